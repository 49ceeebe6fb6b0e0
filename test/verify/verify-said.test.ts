/** What a server says besides its answers: compared, and written into the tape. */
import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { readRecording } from '../../src/replay/recording.ts'
import { parseRules } from '../../src/replay/rules.ts'
import { validateTape } from '../../src/tape/validate.ts'
import { updateTapes } from '../../src/verify/update.ts'
import { verifyOnce } from '../../src/verify/verify.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { down, notice, request, result, tapeOf, up } from '../replay/recording-door.ts'
import { callTool, recorded } from '../replay/replay-stage.ts'
import { check, found, freshServer } from './verify-stage.ts'

/** A server on stdio that answers each request with these lines; `ID` and `TOKEN` are the request's. */
function scripted(lines: Readonly<Record<string, readonly object[]>>): { command: string; args: string[] } {
  const source = `
    const lines = ${JSON.stringify(lines)}
    require('node:readline').createInterface({ input: process.stdin }).on('line', line => {
      const all = [JSON.parse(line)].flat()
      for (const { id, method, params } of all)
        for (const answer of (id === undefined ? [] : lines[params?.name ?? method] ?? []))
          console.log(JSON.stringify(answer).replaceAll('"ID"', JSON.stringify(id)).replaceAll('"TOKEN"', JSON.stringify(params?._meta?.progressToken ?? 0)))
    })`
  return { command: process.execPath, args: ['-e', source] }
}

const progress = (progress: number, message: string): object =>
  notice('notifications/progress', { progressToken: 'TOKEN', progress, message })
const answer = { jsonrpc: '2.0', id: 'ID', result: { ok: true } }

function workTape(t: Test, ...steps: readonly string[]): string {
  const told = steps.map((message, i) =>
    down('stdio', notice('notifications/progress', { progressToken: 7, progress: i + 1, message }))
  )
  return tapeOf(t, [
    up('stdio', request(1, 'tools/call', { name: 'work', _meta: { progressToken: 7 } })),
    ...told,
    down('stdio', result(1, { ok: true }))
  ])
}

t.test('progress that says something else, comes no more, or is new', async t => {
  trackLeaks(t)
  const file = workTape(t, 'one', 'two')
  const of = async (...said: readonly object[]): Promise<string[]> =>
    found(await check(file, scripted({ work: [...said, answer] })))
  t.same(await of(progress(1, 'one'), progress(2, 'two')), [])
  t.match(await of(progress(1, 'one'), progress(2, 'TWO')), [/notifications\[1\]\.params\.message: "two" → "TWO"/])
  t.match(await of(progress(1, 'one')), [/notifications\[1\]: removed .*progress/])
  t.match(await of(progress(1, 'one'), progress(2, 'two'), progress(3, 'three')), [/notifications\[2\]: added/])
  const rules = { defaults: true, requests: [], answers: [{ method: 'tools/call', ignore: ['/notifications'] }] }
  const report = await check(file, scripted({ work: [progress(1, 'one'), answer] }), { rules })
  t.same(found(report), [])
})

const log = (data: string): object => notice('notifications/message', { level: 'info', data })
const changed = (): object => notice('notifications/tools/list_changed', {})
const call = (id: number, name: string): object => request(id, 'tools/call', { name })

t.test('on a pipe, what is said at large counts wherever it stands: its kind, content and number', async t => {
  trackLeaks(t)
  const ask = { jsonrpc: '2.0', id: 'q', method: 'roots/list' }
  const file = tapeOf(t, [
    up('stdio', request(1, 'ping')),
    down('stdio', result(1, { ok: true })),
    down('stdio', log('loose')),
    down('stdio', changed()),
    up('stdio', call(2, 'ask')),
    down('stdio', log('before')),
    down('stdio', ask),
    up('stdio', result('q', { roots: [] })),
    down('stdio', log('behind')),
    down('stdio', result(2, { ok: true }))
  ])
  const of = async (...said: readonly object[]): Promise<string[]> =>
    found(await check(file, scripted({ ping: [answer], ask: [...said, answer] })))
  t.same(await of(log('before'), ask, log('behind'), log('loose'), changed()), [])
  t.same(await of(changed(), changed(), log('behind'), log('loose'), ask, changed(), log('before')), [])
  t.match(await of(changed(), log('before'), ask, log('BEHIND'), log('loose')), [
    /^notifications\/message\.params\.data: "behind" → "BEHIND" \(while tools\/call ask .* was under way\)$/
  ])
  t.match(await of(log('before'), ask, log('behind'), log('loose')), [/tools\/list_changed: removed/])
  t.match(await of(changed(), log('before'), ask, log('behind')), [/message: removed .*loose/])
  const twice = await of(changed(), log('before'), ask, log('behind'), log('loose'), log('loose'))
  t.match(twice, [/message: added .*loose/])
})

t.test('second answers, and progress for a token that nobody gave, are told', async t => {
  trackLeaks(t)
  const file = tapeOf(t, [
    up('stdio', call(1, 'work')),
    down('stdio', result(1, { ok: true })),
    up('stdio', request(2, 'ping')),
    down('stdio', result(2, { ok: true }))
  ])
  const other = notice('notifications/progress', { progressToken: 'nobody', progress: 1 })
  const of = async (...said: readonly object[]): Promise<string[]> =>
    found(await check(file, scripted({ work: said, ping: [answer] })))
  t.same(await of(answer), [])
  t.match(await of(answer, answer), [/^answer: added .*already/])
  t.match(await of(other, answer), [/^notifications\/progress: added .*nobody/])
})

t.test('a rule for a request leaves out what was said while it alone was under way, and nothing else', async t => {
  trackLeaks(t)
  const file = tapeOf(t, [
    up('stdio', call(1, 'noisy')),
    down('stdio', log('n')),
    down('stdio', result(1, { ok: true })),
    up('stdio', call(2, 'calm')),
    down('stdio', log('all well')),
    down('stdio', result(2, { ok: true }))
  ])
  const of = async (pointer: string, noisy: object[], calm: string): Promise<string[]> => {
    const text = `version: 1\nanswers: [{method: tools/call, name: noisy, ignore: ['${pointer}']}]`
    const target = scripted({ noisy: [...noisy, answer], calm: [log(calm), answer] })
    return found(await check(file, target, { rules: parseRules(text, 'a.rules.yaml') }))
  }
  for (const pointer of ['/notifications', '/notifications/*', '/notifications/*/params/data'])
    t.same(await of(pointer, [log('other')], 'all well'), [], pointer)
  t.same(await of('/notifications', [], 'all well'), [])
  t.match(await of('/notifications/*/params/data', [], 'all well'), [/removed .*"n"/])
  t.match(await of('/notifications', [log('x')], 'the disk is gone'), [/"all well" → "the disk is gone"/])
})

t.test('an update writes them: changed, left out, and new', async t => {
  trackLeaks(t)
  const file = workTape(t, 'one', 'two')
  const before = readFileSync(file, 'utf8').split('\n')
  for (const said of [
    [progress(1, 'one'), progress(2, 'TWO')],
    [progress(1, 'one')],
    [progress(0, 'zero'), progress(1, 'one'), progress(3, 'three')]
  ]) {
    const target = scripted({ work: [...said, answer] })
    const recording = await readRecording([file])
    const options = { target, allowWrites: true }
    const updated = await updateTapes(recording, await verifyOnce(recording, options, true), options)
    recording.close()
    t.match(updated, { changed: Number, left: [] })
    t.same(found(await check(file, target)), [])
    for await (const finding of validateTape(file)) t.not(finding.severity, 'error', finding.text)
  }
  const after = readFileSync(file, 'utf8').split('\n')
  t.same(after.slice(0, 2), before.slice(0, 2), 'what the client said stays')
})

t.test('a question that was not recorded, and one that does not come', async t => {
  trackLeaks(t)
  const ask = (text: string): object => ({ jsonrpc: '2.0', id: 'q', method: 'roots/list', params: { text } })
  const file = tapeOf(t, [
    up('stdio', request(1, 'tools/call', { name: 'ask' })),
    down('stdio', ask('recorded')),
    up('stdio', result('q', { roots: [] })),
    down('stdio', result(1, { ok: true }))
  ])
  const other = { jsonrpc: '2.0', id: 'r', method: 'sampling/createMessage', params: {} }
  const of = async (...said: readonly object[]): Promise<string[]> =>
    found(await check(file, scripted({ ask: [...said, answer] }), { timeout: 3_000 }))
  t.same(await of(ask('recorded')), [])
  t.match(await of(ask('other')), [/params\.text: "recorded" → "other"/])
  t.match((await of(ask('recorded'), other)).join('\n'), /sampling\/createMessage: added/)
  t.match((await of()).join('\n'), /roots\/list.*removed|removed.*roots\/list/)
})

t.test('a batch goes as a batch', async t => {
  trackLeaks(t)
  const batch = [request(1, 'ping'), request(2, 'ping')]
  const file = tapeOf(t, [up('stdio', batch), down('stdio', [result(1), result(2)])])
  const target = scripted({ ping: [{ jsonrpc: '2.0', id: 'ID', result: {} }] })
  const report = await check(file, target)
  t.same(found(report), [])
  t.equal(report.counts.same, 2)
})

t.test('subscriptions of the modern era', async t => {
  trackLeaks(t)
  const as = { era: 'modern' } as const
  const { file } = await recorded(t, { client: 'http', server: 'http', era: 'modern', as }, async c => {
    const subscription = await c.client.listen({ toolsListChanged: true })
    await callTool(c, 'change', { what: 'tools' })
    await c.until('notifications/tools/list_changed')
    await subscription.close()
    await callTool(c, 'echo', { n: 1 })
  })
  for (const wire of ['http', 'stdio'] as const) {
    const report = await check(file, await freshServer(t, wire, 'modern'))
    t.same(found(report), [], wire)
    t.ok(report.counts.same >= 3)
  }
})

for (const wire of ['http', 'sse', 'stdio'] as const)
  t.test(`an update of a tape of ${wire}: what has changed is written, and the tape stays one`, async t => {
    trackLeaks(t)
    const script = async (c: Parameters<typeof callTool>[0]): Promise<void> => {
      await callTool(c, 'count')
      await c.client.callTool({ name: 'progress', arguments: { n: 2 } }, { onprogress() {} })
      await Promise.all([callTool(c, 'echo', { n: 1 }), callTool(c, 'count')])
    }
    const { file } = await recorded(t, { client: wire, server: wire === 'stdio' ? 'stdio' : wire }, script)
    const target = await freshServer(t, 'http')
    t.same(found(await check(file, target)), [])
    const recording = await readRecording([file])
    const options = { target, allowWrites: true }
    const updated = await updateTapes(recording, await verifyOnce(recording, options, true), options)
    const files = recording.tapes.map(tape => tape.file)
    recording.close()
    t.same(updated, { changed: 2, left: [] })
    for (const tape of files)
      for await (const finding of validateTape(tape)) t.not(finding.severity, 'error', finding.text)
    const counts = found(await check(file, await freshServer(t, 'http')))
    t.match(counts, [/count: result\.content\[0\]\.text: "3" → "1"/, /count: .*"4" → "2"/])
    t.equal(counts.length, 2)
  })
