/** What an update may write: whole tapes without secrets, and nothing where nothing has changed. */
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { Message } from '../../src/protocol/message.ts'
import { readRecording } from '../../src/replay/recording.ts'
import { Literals } from '../../src/tape/literals.ts'
import { validateTape } from '../../src/tape/validate.ts'
import type { VerifyOptions } from '../../src/verify/options.ts'
import { PROTOCOL_WORDS } from '../../src/verify/protocol-words.ts'
import type { VerifyReport } from '../../src/verify/report.ts'
import { scrubbedMessage } from '../../src/verify/scrub.ts'
import { reportLines } from '../../src/verify/text-report.ts'
import { type Updated, updateTapes } from '../../src/verify/update.ts'
import { verifyOnce } from '../../src/verify/verify.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { down, notice, request, result, tapeOf, up } from '../replay/recording-door.ts'
import { callTool, recorded } from '../replay/replay-stage.ts'
import { spokenTo, text, turns } from './spoken-to.ts'
import { check, found, freshServer } from './verify-stage.ts'

async function update(
  file: string,
  target: VerifyOptions['target'],
  more: Partial<VerifyOptions> = {}
): Promise<Updated & { readonly report: VerifyReport }> {
  const recording = await readRecording([file])
  const options = { target, allowWrites: true, timeout: 10_000, ...more }
  const verified = await verifyOnce(recording, options, true)
  try {
    return { ...(await updateTapes(recording, verified, options)), report: verified.report() }
  } finally {
    verified.answers.close()
    recording.close()
  }
}

async function isValid(t: Test, file: string): Promise<void> {
  for await (const finding of validateTape(file)) t.not(finding.severity, 'error', finding.text)
}

const textsOf = (file: string): { readonly result?: Record<string, unknown> }[] =>
  readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .slice(1)
    .map(line => JSON.parse(JSON.parse(line).text ?? 'null'))

t.test('a second update finds nothing to write', async t => {
  await t.test('on a pipe, with what the tape tells behind an answer of the client', async t => {
    trackLeaks(t)
    const log = (data: string): object => notice('notifications/message', { level: 'info', data })
    const file = tapeOf(t, [
      up('stdio', request(1, 'tools/call', { name: 'read' })),
      down('stdio', log('before')),
      down('stdio', { ...request('q', 'roots/list') }),
      up('stdio', result('q', { roots: [] })),
      down('stdio', log('after')),
      down('stdio', result(1, text('old')))
    ])
    const { target } = spokenTo(
      t,
      `if (m.method === 'tools/call') {
         state.call = m.id
         say(${JSON.stringify(log('before'))})
         say({ id: 'q', method: 'roots/list', params: {} })
         return true
       }
       if (m.id === 'q') {
         say(${JSON.stringify(log('after'))})
         answer({ content: [{ type: 'text', text: 'new' }] }, state.call)
         return true
       }`
    )
    t.match(await update(file, target), { changed: 1, left: [] })
    const once = readFileSync(file, 'utf8')
    t.match(await update(file, target), { changed: 0, left: [] })
    t.equal(readFileSync(file, 'utf8'), once)
    t.equal(once.split('after').length, 2)
  })
  for (const wire of ['http', 'stdio'] as const)
    await t.test(`a tape of ${wire}`, async t => {
      trackLeaks(t)
      const { file } = await recorded(t, { client: wire, server: wire }, async c => {
        await callTool(c, 'count')
        await callTool(c, 'count')
        await c.client.callTool({ name: 'progress', arguments: { n: 2 } }, { onprogress() {} })
        await callTool(c, 'log', { level: 'error' })
      })
      const recording = await readRecording([file])
      const tape = recording.tapes[0]!.file
      recording.close()
      const another = readFileSync(tape, 'utf8').replaceAll('\\"text\\":\\"2\\"', '\\"text\\":\\"20\\"')
      writeFileSync(tape, another)
      t.match(await update(tape, await freshServer(t, wire)), { changed: 1, left: [] })
      const once = readFileSync(tape, 'utf8')
      t.not(once, another)
      t.match(await update(tape, await freshServer(t, wire)), { changed: 0, left: [] })
      t.equal(readFileSync(tape, 'utf8'), once)
      await isValid(t, tape)
    })
})

t.test('what options supply gets into no tape and no report, and a tape stays one', async t => {
  const pem = '-----BEGIN KEY-----\nMIIEvQIBADANBg\n"quoted"'
  const file = (t: Test): string =>
    tapeOf(t, [
      ...turns(['initialize', { protocolVersion: '2025-06-18', capabilities: {} }, { protocolVersion: '2025-06-18' }]),
      up('stdio', request(5, 'tools/call', { name: 'read', arguments: { key: '[redacted]' } })),
      down('stdio', result(5, text('was [redacted]')))
    ])
  const echo = (result: string): string => `if (m.method === 'tools/call') { answer(${result}); return true }`
  for (const [name, secret, body, hidden] of [
    ['lines and quotes, in JSON within a text', pem, 'text(JSON.stringify(m.params.arguments))', 'MIIEvQ'],
    ['as a key', pem, '{ content: [], [m.params.arguments.key]: 1 }', 'MIIEvQ'],
    ['a number', 12_345_678, '{ content: [], n: m.params.arguments.key, big: 112345678.5 }', ':12345678'],
    ['in an address', 'a b&c=d/efg', 'text(encodeURIComponent(m.params.arguments.key))', 'a%20b']
  ] as const)
    await t.test(name, async t => {
      trackLeaks(t)
      const tape = file(t)
      const server = spokenTo(t, `const text = t => ({ content: [{ type: 'text', text: t }] }); ${echo(body)}`)
      const set = { '/params/arguments/key': secret }
      const { report, changed } = await update(tape, server.target, { set })
      t.equal(changed, 1)
      const shown = `${JSON.stringify(report)}\n${reportLines(report).join('\n')}\n${readFileSync(tape, 'utf8')}`
      t.notMatch(shown, hidden)
      t.notMatch(shown, 'BEGIN KEY')
      await isValid(t, tape)
      t.match(await update(tape, server.target, { set }), { changed: 0 })
    })
  await t.test('words of the protocol', async t => {
    trackLeaks(t)
    const tape = file(t)
    const server = spokenTo(t, echo(`{ content: [{ type: 'resource', resource: { text: 'new content' } }] }`))
    const env = { A: 'content', B: 'result', C: 'resource', D: 'jsonrpc', E: 'changed', F: '2025-06-18' }
    const { report } = await update(tape, { ...server.target, env }, { set: { '/params/arguments/key': 'value-1' } })
    t.match(textsOf(tape).at(-1), { result: { content: [{ type: 'resource', resource: { text: 'new [redacted]' } }] } })
    const kinds = report.sessions[0]!.requests.flatMap(r => r.differences.map(d => d.kind))
    t.ok(kinds.every(kind => ['added', 'removed', 'changed'].includes(kind)))
    await isValid(t, tape)
  })
  await t.test('a mark stays where what it stands for is the same', async t => {
    trackLeaks(t)
    const tape = tapeOf(t, turns(['ping', {}, { a: 'key [redacted]', b: 'old' }]))
    const server = spokenTo(t, `if (m.method === 'ping') { answer({ a: 'key 123', b: 'new' }); return true }`)
    await update(tape, server.target)
    t.same(textsOf(tape).at(-1)!.result, { a: 'key [redacted]', b: 'new' })
  })
})

t.test('property: a scrubbed message is a message still, and holds no secret', t => {
  const secret = fc.oneof(fc.string({ minLength: 6, maxLength: 12 }), fc.constantFrom('result', 'message', '123456'))
  fc.assert(
    fc.property(secret, fc.jsonValue(), fc.string(), (secret, value, around) => {
      fc.pre(!'[redacted]'.includes(secret))
      const literals = new Literals(0)
      literals.add(secret)
      const said = { value, text: `${around}${secret}`, nested: JSON.stringify({ secret }) }
      const message = { jsonrpc: '2.0', id: 123_456, result: { [`k${secret}`]: said } }
      const json = scrubbedMessage(JSON.parse(JSON.stringify(message)), literals)
      const clean = Message.parse(Buffer.from(JSON.stringify(json)))
      t.equal(clean.idText, '123456')
      const texts: string[] = []
      JSON.stringify((json as { result: object }).result, (key, item) => {
        texts.push(key, ...(typeof item === 'string' ? [item] : []))
        return item
      })
      return !texts.some(text => text.includes(secret) && !PROTOCOL_WORDS.has(text))
    })
  )
  t.end()
})

t.test('a list with more pages than were asked for is whole on the tape', async t => {
  trackLeaks(t)
  const page = (names: string[], nextCursor?: string): object => ({
    tools: names.map(name => ({ name, inputSchema: { type: 'object' } })),
    ...(nextCursor !== undefined && { nextCursor })
  })
  const file = tapeOf(t, turns(['tools/list', {}, page(['a'], 'c1')], ['tools/list', { cursor: 'c1' }, page(['b'])]))
  const pages = { '': page(['a'], 'c1'), c1: page(['b'], 'c2'), c2: page(['new']) }
  const { target } = spokenTo(
    t,
    `if (m.method === 'tools/list') { answer(${JSON.stringify(pages)}[m.params?.cursor ?? '']); return true }`
  )
  t.match(await update(file, target), { changed: 1, left: [] })
  t.same(textsOf(file).at(-1)!.result, page(['b', 'new']))
  t.equal((await check(file, target)).outcome, 'same')
  t.match(await update(file, target), { changed: 0 })
})

t.test('the id of a session is in no report and on no tape: its handle stands there', async t => {
  trackLeaks(t)
  const id = '5b0c6f6a-7d1e-4d0e-9c0f-3f2f9c1d7e55'
  const heard: string[] = []
  const server = createServer(async (req, res) => {
    if (req.method !== 'POST') return void res.writeHead(405).end()
    let body = ''
    for await (const chunk of req) body += chunk
    const m = JSON.parse(body)
    heard.push(body)
    if (m.id === undefined) return void res.writeHead(202).end()
    const content = [{ type: 'text', text: `session ${id} says ${m.params.arguments?.say}` }]
    const answer = m.method === 'initialize' ? { protocolVersion: '2025-06-18', capabilities: {} } : { content }
    res.writeHead(200, { 'content-type': 'application/json', 'mcp-session-id': id })
    res.end(JSON.stringify({ jsonrpc: '2.0', id: m.id, result: answer }))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => new Promise(resolve => server.close(resolve)))
  const of = (stream: string, session: string): object => ({ session, stream })
  const file = tapeOf(t, [
    up(
      'post-1',
      request(0, 'initialize', { protocolVersion: '2025-06-18', capabilities: {} }),
      of('post-1', 's-60b60725')
    ),
    down('post-1', result(0, { protocolVersion: '2025-06-18', capabilities: {} }), of('post-1', 's-60b60725')),
    up('post-2', request(1, 'tools/call', { name: 'a', arguments: { say: 's-60b60725' } }), of('post-2', 's-60b60725')),
    down('post-2', result(1, text('session s-60b60725 says hello')), of('post-2', 's-60b60725'))
  ])
  const target = { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp` }
  const { report, changed } = await update(file, target)
  t.match(found(report), [/says hello.*says s-60b60725/])
  t.equal(changed, 1)
  t.match(heard.at(-1), `"say":"${id}"`)
  t.notMatch(JSON.stringify(report) + readFileSync(file, 'utf8'), id)
  t.same(found(await check(file, target)), [])
})
