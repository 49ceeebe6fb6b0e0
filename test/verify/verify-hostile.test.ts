/** Tapes come from others: whatever they hold, there is a report or a clear refusal, and nothing on them is run. */
import { existsSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setImmediate } from 'node:timers/promises'
import fc from 'fast-check'
import t from 'tap'
import { Message } from '../../src/protocol/message.ts'
import { pairsInOrder } from '../../src/replay/in-order-pairs.ts'
import { readRecording } from '../../src/replay/recording.ts'
import { dryRun } from '../../src/verify/dry-run.ts'
import { VerifyRefusal } from '../../src/verify/options.ts'
import { Pending } from '../../src/verify/pending.ts'
import { SessionNames } from '../../src/verify/session-names.ts'
import { reportLines } from '../../src/verify/text-report.ts'
import { updateTapes } from '../../src/verify/update.ts'
import { verifyOnce } from '../../src/verify/verify.ts'
import { createShop } from '../fixtures/servers/shop.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { down, request, result, tapeOf, up } from '../replay/recording-door.ts'
import { shopOf } from './shop-tape.ts'
import { spokenTo, text, turns } from './spoken-to.ts'
import { check, found } from './verify-stage.ts'

const target = { url: 'http://127.0.0.1:9/mcp' }

t.test('a tape without requests is no proof of anything', async t => {
  const file = tapeOf(t, [])
  await t.rejects(check(file, target), { name: 'VerifyRefusal', message: /no request/ })
  const recording = await readRecording([file])
  t.throws(() => dryRun(recording, { target, driftOnly: true }), VerifyRefusal)
  recording.close()
})

t.test('escape sequences are shown, not obeyed', async t => {
  trackLeaks(t)
  const evil = '\u001b[2J\u202e\r\nmethod'
  const file = tapeOf(t, [
    up('stdio', request(1, 'tools/call', { name: evil })),
    down('stdio', result(1, { text: evil }))
  ])
  const shop = await shopOf(t)
  const report = await check(file, { url: shop.url })
  const lines = reportLines(report)
  t.equal(report.outcome, 'different')
  for (const line of lines) t.notMatch(line, /[\u0000-\u001f\u202e]/)
  await t.rejects(check(file, { url: shop.url }, { allowWrites: false }), { message: /tools\/call/ })
})

t.test('what looks like a way to run something is text', async t => {
  const mark = path.join(t.testdir(), 'ran')
  const header = JSON.stringify({
    catflap: 'tape',
    version: 1,
    started: '2026-11-23T02:51:51.123Z',
    target: { kind: 'stdio', argv: ['touch', mark] },
    software: { name: 'x', version: '1' }
  })
  const file = path.join(t.testdirName, 'b.tape.jsonl')
  const frame = (dir: string, n: number, json: object): string =>
    JSON.stringify({ n, t: n, side: 'client', dir, kind: 'message', stream: 'stdio', text: JSON.stringify(json) })
  writeFileSync(file, `${header}\n${frame('up', 1, request(1, 'ping'))}\n${frame('down', 2, result(1))}\n`)
  const shop = await shopOf(t)
  t.same(found(await check(file, { url: shop.url })), [])
  t.notOk(existsSync(mark))
})

t.test('keys that mean something to JavaScript are keys', async t => {
  trackLeaks(t)
  const text = (id: number, args: string): string =>
    `{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":{"name":"x","arguments":${args}}}`
  const answer = (id: number): string =>
    `{"jsonrpc":"2.0","id":${id},"result":{"__proto__":{"id":"value-123456"},"constructor":"value-654321"}}`
  const args = '{"__proto__":{"a":"value-123456"},"b":"value-654321","big":123456789012345678901234567890}'
  const file = tapeOf(t, [
    up('stdio', text(1, '{}')),
    down('stdio', answer(1)),
    up('stdio', text(2, args)),
    down('stdio', answer(2))
  ])
  const report = await check(file, { url: (await shopOf(t)).url })
  t.equal(report.counts.requests, 2)
  t.equal(({} as { a?: unknown }).a, undefined)
})

t.test('any sequence of calls of a shop gives the same again', async t => {
  trackLeaks(t)
  const call = fc.oneof(
    fc.record({ method: fc.constant('ping') }),
    fc.record({ method: fc.constant('tools/list') }),
    fc.record({
      method: fc.constant('tools/call'),
      params: fc.record({ name: fc.constantFrom('find', 'none'), arguments: fc.object({ maxDepth: 2 }) })
    })
  )
  let run = 0
  await fc.assert(
    fc.asyncProperty(fc.array(call, { minLength: 1, maxLength: 8 }), async calls => {
      const shop = createShop()
      const frames = calls.flatMap((one, id) => {
        const asked = JSON.parse(JSON.stringify({ jsonrpc: '2.0', id, ...one }))
        return [up('stdio', asked), down('stdio', shop.answer(asked))]
      })
      const live = await shopOf(t)
      const report = await check(tapeOf(t, frames, `${run++}.tape.jsonl`), { url: live.url })
      await live.close()
      return report.outcome === 'same' && report.counts.same === calls.length
    }),
    { numRuns: 20 }
  )
})

t.test('pairs: each once, in order, and only of equal kind', async t => {
  const kinds = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 12 })
  fc.assert(
    fc.property(kinds, kinds, (before, after) => {
      const [as, bs] = [before, after].map(list => list.map((kind, i) => ({ kind, i })))
      const pairs = pairsInOrder(
        as!,
        bs!,
        x => x.kind,
        x => x.kind
      )
      t.same(
        pairs.map(([a]) => a).filter(a => a),
        as
      )
      t.same(
        pairs.map(([, b]) => b).filter(b => b),
        bs
      )
      return pairs.every(([a, b]) => !a || !b || a.kind === b.kind)
    }),
    { numRuns: 50 }
  )
})

t.test('what is nested too deeply is a difference like any other', async t => {
  trackLeaks(t)
  const deep = `let deep = []; for (let i = 0; i < 600; i++) deep = [deep]`
  await t.test('an answer', async t => {
    const file = tapeOf(
      t,
      turns(['tools/call', { name: 'read' }, text('x')], ['tools/call', { name: 'read' }, text('x')])
    )
    const server = spokenTo(t, `if (m.id !== 1) return; ${deep}; answer({ content: deep }); return true`)
    const report = await check(file, server.target)
    t.same(
      report.sessions[0]!.requests.map(r => r.status),
      ['different', 'same']
    )
    const recording = await readRecording([file])
    const options = { target: server.target, allowWrites: true }
    const updated = await updateTapes(recording, await verifyOnce(recording, options, true), options)
    recording.close()
    t.match(updated, { changed: 1 })
    t.same(found(await check(file, server.target)), [])
  })
  await t.test('a question', async t => {
    const file = tapeOf(t, [
      up('stdio', request(1, 'tools/call', { name: 'read' })),
      down('stdio', request('q', 'elicitation/create', { message: 'Which?' })),
      up('stdio', result('q', { action: 'accept' })),
      down('stdio', result(1, text('x')))
    ])
    const asks = `if (m.id !== 1) return m.id === 'live' && (answer({ content: [{ type: 'text', text: 'x' }] }, 1), true)
      ${deep}; say({ id: 'live', method: 'elicitation/create', params: deep }); return true`
    const server = spokenTo(t, asks)
    t.match(found(await check(file, server.target)).join('\n'), /elicitation\/create/)
    t.same(server.heard.find(m => m.id === 'live')?.result, { action: 'decline' })
  })
  t.test('the id of its session is not shown', async t => {
    const names = new SessionNames('s-1')
    names.learn('live-session-0123456789')
    const message = (id: string): Message =>
      Message.parse(Buffer.from(`{"jsonrpc":"2.0","id":1,"result":[${'['.repeat(600)}"${id}"${']'.repeat(600)}]}`))
    t.same(names.asOnTape(message('live-session-0123456789')).bytes, message('s-1').bytes)
  })
})

t.test('an error of what is under way is kept for who waits next', async t => {
  const pending = new Pending()
  pending.add(Promise.reject(new Error('first')), 5)
  await setImmediate()
  await t.rejects(pending.earlier(1), { message: 'first' })
  await t.rejects(pending.all(), { message: 'first' })
})
