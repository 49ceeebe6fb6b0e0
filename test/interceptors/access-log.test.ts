/** One line an exchange, for people or programs, and nothing in it that could be used. */
import fc from 'fast-check'
import type { Test } from 'tap'
import t from 'tap'
import { LineSink } from '../../src/admin/line-sink.ts'
import { ACCESS_FIELDS, type AccessLogFacts, accessLog } from '../../src/interceptors/access-log.ts'
import { RoutesMetrics } from '../../src/metrics/routes-metrics.ts'
import { Redactor } from '../../src/tape/redact.ts'
import { events, openStage, type RouteParts, type Stage } from '../admin/stage.ts'
import { startHttpServer } from '../fixtures/servers/http-server.ts'
import { startRawHttp } from '../fixtures/servers/raw-http.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { openSse, rawPost, rawRequest, send } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, modern, modernHeaders, notification, rpc, toolCall } from '../helpers/rpc.ts'
import { fixtureArgv } from '../helpers/stdio-peer.ts'
import { Inbox } from '../helpers/wait.ts'
import { rawSession } from '../integration/http-door.ts'

interface Logged {
  readonly stage: Stage
  readonly lines: Inbox<string>
  /** The next line, as JSON. */
  next(): Promise<Record<string, unknown>>
}

async function logged(
  t: Test,
  url: string,
  format: AccessLogFacts['format'] = 'json',
  parts: Partial<RouteParts> = {},
  scrub?: AccessLogFacts['scrub']
): Promise<Logged> {
  const lines = new Inbox<string>('lines')
  const sink = new LineSink(text => {
    for (const line of String(text).split('\n').slice(0, -1)) lines.push(line)
  })
  t.teardown(() => sink.close())
  const stage = await openStage(t, {
    one: { target: { url }, observers: [accessLog(sink, { route: 'one', format, ...(scrub && { scrub }) })], ...parts }
  })
  return { stage, lines, next: async () => JSON.parse(await lines.next()) as Record<string, unknown> }
}

t.test('what was asked, by whom, how it went, how long it took, how much it was', async t => {
  trackLeaks(t)
  const server = await startHttpServer()
  t.teardown(() => server.close())
  const { stage, lines, next } = await logged(t, server.url)
  const url = stage.url('one')
  const id = await rawSession(url)
  const began = await next()
  t.match(began, {
    time: /^\d{4}-\d\d-\d\dT[\d:.]+Z$/,
    route: 'one',
    client: '127.0.0.1',
    http: 'POST',
    kind: 'request',
    method: 'initialize',
    session: /^s-[0-9a-f]{8}$/,
    version: '2025-11-25',
    transport: 'http',
    status: 200,
    result: 'answered'
  })
  t.match(await next(), { kind: 'notify', method: 'notifications/initialized', status: 202, session: began.session })
  const body = JSON.stringify(toolCall(1, 'echo', { password: 'in-an-argument' }))
  const answer = await rawPost(url, body, legacyHeaders(id))
  const called = await next()
  t.match(called, { method: 'tools/call', name: 'echo', status: 200, in: body.length, out: answer.body.length })
  const { ms, head_ms } = called as { ms: number; head_ms: number }
  t.ok(head_ms > 0 && head_ms <= ms && ms < 10_000, `${head_ms} of ${ms}`)
  await rawPost(url, rpc(2, 'resources/read', { uri: 'fixture://secret-uri' }), legacyHeaders(id))
  t.same((await next()).name, undefined, 'a URI is no name')
  await rawPost(url, rpc(3, 'tools/call', { uri: 'fixture://secret-uri' }), legacyHeaders(id))
  t.same((await next()).name, undefined, 'wherever it stands')
  const stream = await openSse(url, { headers: { ...legacyHeaders(id), accept: 'text/event-stream' } })
  await rawRequest(url, { method: 'DELETE', headers: legacyHeaders(id) })
  await lines.until(line => line.includes('"kind":"terminate"'))
  stream.close()
  t.match(JSON.parse(await lines.until(line => line.includes('"kind":"listen"'))), { http: 'GET', kind: 'listen' })
  for (const line of lines.items) {
    for (const secret of [id, 'in-an-argument', 'secret-uri']) t.notMatch(line, secret)
    t.same(
      Object.keys(JSON.parse(line) as object).filter(key => !(ACCESS_FIELDS as readonly string[]).includes(key)),
      []
    )
  }
})

t.test('refusals, failures and clients that leave have a line, too', async t => {
  trackLeaks(t)
  const server = await startRawHttp()
  t.teardown(() => server.close())
  const { stage, next } = await logged(t, server.url, 'json', { tokens: ['one'] })
  const url = stage.url('one')
  await rawPost(url, rpc(1, 'ping'), { authorization: 'Bearer wrong-secret' })
  const refused = await next()
  t.match(refused, { http: 'POST', status: 401, result: 'refused', code: 'unauthorized', rpc: -31401 })
  t.notMatch(JSON.stringify(refused), 'wrong-secret')
  const headers = { authorization: 'Bearer one' }
  server.next(x => x.reset())
  const failed = await rawPost(url, rpc(1, 'ping'), headers)
  t.match(await next(), { status: 502, result: 'failed', code: 'upstream_reset', rpc: -31031, out: failed.body.length })
  server.next(() => {})
  const { req } = send(url, { body: rpc(1, 'ping'), headers: { ...legacyHeaders(), ...headers } })
  await server.exchange(2)
  req.destroy()
  const gone = await next()
  t.match(gone, { result: 'gone', method: 'ping' })
  t.notOk('status' in gone)
})

t.test("the number of a server's error, where metrics have looked for it", async t => {
  trackLeaks(t)
  const server = await startRawHttp(x => x.json(200, '{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no"}}'))
  t.teardown(() => server.close())
  const metrics = new RoutesMetrics()
  t.teardown(() => metrics.close())
  const route = metrics.route({ name: 'one', wires: { down: 'http', up: 'http' }, among: 1 })
  const { stage, next } = await logged(t, server.url, 'json', { metrics: route })
  await rawPost(stage.url('one'), toolCall(1, 'x'))
  t.match(await next(), { status: 200, result: 'answered', rpc: -32602 })
})

t.test('a batch says how many messages it has; a modern request its revision', async t => {
  trackLeaks(t)
  const server = await startRawHttp()
  t.teardown(() => server.close())
  const { stage, next } = await logged(t, server.url)
  await rawPost(stage.url('one'), JSON.stringify([rpc(1, 'a'), rpc(2, 'b')]), { 'mcp-protocol-version': '2025-03-26' })
  t.match(await next(), { kind: 'batch', messages: 2, version: '2025-03-26' })
  const call = modern(toolCall(1, 'x'))
  await rawPost(stage.url('one'), call, modernHeaders(call))
  t.match(await next(), { kind: 'request', name: 'x', version: '2026-07-28' })
})

t.test('with a server on a pipe behind, the status is what the client got', async t => {
  trackLeaks(t)
  const [command = '', ...args] = fixtureArgv('puppet-stdio.ts')
  const { stage, next } = await logged(t, '', 'json', { target: { command, args } })
  const url = stage.url('one')
  const opened = await rawPost(url, initialize())
  t.match(await next(), { kind: 'request', status: opened.status })
  const headers = legacyHeaders(String(opened.headers['mcp-session-id']))
  const told = await rawPost(url, notification('notifications/initialized'), headers)
  t.equal(told.status, 202)
  t.match(await next(), { kind: 'notify', status: 202 })
})

t.test('over HTTP+SSE, where many share a stream: no status, no bytes out', async t => {
  trackLeaks(t)
  const server = await startHttpServer()
  t.teardown(() => server.close())
  const { stage, lines } = await logged(t, server.url)
  const base = stage.url('one').replace(/mcp$/, '')
  const stream = await openSse(`${base}sse`, { headers: { accept: 'text/event-stream' } })
  const { data } = await stream.next()
  await rawPost(new URL(data, base), initialize(0, '2024-11-05'))
  await stream.nextMessage()
  const line = JSON.parse(await lines.until(l => l.includes('initialize'))) as Record<string, unknown>
  t.match(line, { transport: 'sse', http: 'POST', result: 'answered' })
  t.notOk('status' in line || 'out' in line)
  stream.close()
  const listening = JSON.parse(await lines.until(l => l.includes('"listen"'))) as Record<string, unknown>
  t.match(listening, { transport: 'sse', http: 'GET', result: 'gone' })
  for (const l of lines.items) t.notMatch(l, data.split('=')[1]!, 'the id in the URL is a secret')
})

t.test('text is one line that can be read by people and by programs', async t => {
  trackLeaks(t)
  const server = await startRawHttp()
  t.teardown(() => server.close())
  const { stage, lines } = await logged(t, server.url, 'text')
  await rawPost(stage.url('one'), toolCall(1, 'echo'))
  t.match(
    await lines.next(),
    /^time=\S+ route=one client=127\.0\.0\.1 http=POST kind=request method=tools\/call name=echo transport=http status=200 result=answered ms=[\d.]+ head_ms=[\d.]+ in=\d+ out=\d+$/
  )
  await rawPost(stage.url('one'), toolCall(1, 'a "name"\n\u001b[31m=x result=failed'))
  const odd = await lines.next()
  t.match(odd, /name="a \\"name\\"\\n\\u001b\[31m=x result=failed" transport=http/)
  await rawPost(stage.url('one'), toolCall(1, 'x'.repeat(5_000)))
  t.ok((await lines.next()).length < 500)
})

t.test('whatever clients call themselves and their tools, a line is a line', async t => {
  trackLeaks(t)
  const server = await startRawHttp()
  t.teardown(() => server.close())
  const text = await logged(t, server.url, 'text')
  const json = await logged(t, server.url, 'json')
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: 'binary', minLength: 1, maxLength: 200 }), async name => {
      const body = Buffer.from(JSON.stringify(toolCall(1, name)))
      for (const { stage } of [text, json]) await rawPost(stage.url('one'), body)
      const line = await text.lines.next()
      if (/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(line)) return false
      const { name: told } = await json.next()
      return told === name || (String(told).length <= 128 && String(told).endsWith('…'))
    }),
    { numRuns: 30 }
  )
})

t.test('a name that looks like a secret is taken out, and the rest of its line stays', async t => {
  trackLeaks(t)
  const server = await startRawHttp()
  t.teardown(() => server.close())
  const { scrub } = new Redactor({})
  for (const format of ['json', 'text'] as const) {
    const { stage, lines } = await logged(t, server.url, format, {}, scrub)
    for (const name of ['Authorization: Bearer abcdef0123456789', 'Cookie: a=b', 'Set-Cookie: sid=0123456789abcdef']) {
      await rawPost(stage.url('one'), toolCall(1, name))
      const line = await lines.next()
      t.notMatch(line, /0123456789|a=b/)
      t.match(line, format === 'json' ? /"status":200.*\}$/ : / status=200 .* out=\d+/)
      if (format === 'json') t.match(JSON.parse(line), { method: 'tools/call', result: 'answered' })
    }
  }
})

t.test('while lines have nowhere to go, traffic goes on; they are counted and not even made', async t => {
  trackLeaks(t)
  const server = await startRawHttp()
  t.teardown(() => server.close())
  const sink = new LineSink(() => new Promise(() => {}), { maxWaiting: 2_000 })
  t.teardown(() => sink.close(1))
  sink.add('x'.repeat(70_000))
  const observers = [accessLog(sink, { format: 'text' })]
  const stage = await openStage(t, { one: { target: { url: server.url }, observers } }, { log: events().log })
  for (let i = 0; i < 40; i++) t.equal((await rawPost(stage.url('one'), rpc(i, 'ping'))).status, 200)
  t.ok(sink.drops > 20, `${sink.drops} drops`)
  const metrics = new RoutesMetrics()
  metrics.process.accessLog(sink)
  t.match([...metrics.text()].join(''), `catflap_access_log_drops_total ${sink.drops}`)
  await metrics.close()
})
