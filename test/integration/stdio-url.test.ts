/** catflap as the command of a stdio client, in front of a server behind a URL: how it begins, fails and ends. */
import t, { type Test } from 'tap'
import { startHttpServer } from '../fixtures/servers/http-server.ts'
import { echoWithHandshake, type RawHttpServer, type Script, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { methodOf } from '../fixtures/servers/raw-json.ts'
import { startSseServer } from '../fixtures/servers/sse-server.ts'
import { type CatflapRun, runCatflap } from '../helpers/catflap.ts'
import { connectStdio, HANDLERS, type StdioTestClient } from '../helpers/clients.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { initialize, notification, rpc } from '../helpers/rpc.ts'
import { callTool } from './http-door.ts'
import { catflapArgs } from './pipe-door.ts'

function run(t: Test, url: string, more: readonly string[] = []): CatflapRun {
  const started = runCatflap(['forward', '--stdio', '--no-tail', ...more, url])
  t.teardown(() => started.kill9())
  return started
}

async function connect(t: Test, url: string): Promise<StdioTestClient> {
  const args = [...catflapArgs(['--no-tail'], []).filter(arg => arg !== '--'), url]
  const c = await connectStdio({ args, handlers: HANDLERS })
  t.teardown(() => c.close())
  return c
}

async function raw(t: Test, script: Script = echoWithHandshake('s-1')): Promise<RawHttpServer> {
  trackLeaks(t)
  const server = await startRawHttp(script)
  t.teardown(() => server.close())
  return server
}

/** Past the handshake, and past the GET that follows it. */
async function ready(catflap: CatflapRun, server?: RawHttpServer): Promise<void> {
  catflap.send(initialize(0))
  await catflap.nextMessage()
  catflap.send(notification('notifications/initialized'))
  await server?.counters.until('GET')
}

const PROBLEMS = ['warn', 'error']
const problems = (catflap: CatflapRun): unknown[] =>
  catflap.events.items.filter(e => PROBLEMS.includes(String(e.level))).map(e => e.text)

t.test('a client of the official SDK says goodbye: exit code 0, a quiet stderr, the session ended', async t => {
  for (const start of [startHttpServer, startSseServer]) {
    trackLeaks(t)
    const server = await start()
    t.teardown(() => server.close())
    const c = await connect(t, server.url)
    t.equal(await callTool(c, 'add', { a: 1, b: 2 }), '3')
    t.match(await callTool(c, 'sample', { via: 'session' }), 'sampled')
    await c.close()
    await server.counters.until('session.closed')
    t.equal(server.sessions.size, 0)
    t.same([c.stderr.items, c.errors, server.errors], [[], [], []])
  }
})

t.test('DELETE ends the session, with its id and credentials, before catflap does', async t => {
  const server = await raw(t)
  const catflap = run(t, server.url, ['--header', 'Authorization: Bearer me'])
  await ready(catflap, server)
  catflap.proc.stdin.end()
  t.same(await catflap.exit, { code: 0, signal: null })
  const last = server.exchanges.at(-1)!
  t.same(
    [last.method, last.headers['mcp-session-id'], last.headers.authorization, last.headers['mcp-protocol-version']],
    ['DELETE', 's-1', 'Bearer me', '2025-11-25']
  )
})

t.test('a server that does not answer DELETE keeps catflap only a short while', async t => {
  const server = await raw(t, x => (x.method === 'DELETE' ? undefined : echoWithHandshake('s-1')(x)))
  const catflap = run(t, server.url)
  await ready(catflap, server)
  catflap.proc.stdin.end()
  t.same(await catflap.exit, { code: 0, signal: null })
  t.equal(server.counters.count('DELETE'), 1)
})

t.test('an input that is closed at once still gets all its answers, and the session its end', async t => {
  const server = await raw(t)
  const catflap = run(t, server.url)
  const calls = Array.from({ length: 20 }, (_, i) => rpc(i + 1, 'do'))
  const lines = [initialize(0), notification('notifications/initialized'), ...calls].map(m => JSON.stringify(m))
  catflap.proc.stdin.end(lines.join('\n'))
  t.same(await catflap.exit, { code: 0, signal: null })
  const ids = catflap.stdout.items.map(line => JSON.parse(line).id as number)
  t.same(
    ids.sort((a, b) => a - b),
    Array.from({ length: 21 }, (_, i) => i)
  )
  const posts = server.exchanges.filter(x => x.method === 'POST').map(x => methodOf(x.text))
  t.same(posts.slice(0, 2), ['initialize', 'notifications/initialized'], 'what must come first came first')
  t.ok(
    server.exchanges
      .filter(x => x.method === 'POST')
      .slice(1)
      .every(x => x.headers['mcp-session-id'] === 's-1')
  )
  t.equal(server.counters.count('DELETE'), 1)
})

t.test('a server that is not there: each request is answered with a sentence that names it', async t => {
  const server = await raw(t)
  const { url } = server
  await server.close()
  const catflap = run(t, url)
  catflap.send(initialize('i'))
  t.match(await catflap.nextMessage(), {
    id: 'i',
    error: { message: new RegExp(url), data: { code: 'upstream_unreachable' } }
  })
  catflap.proc.stdin.end()
  t.same(await catflap.exit, { code: 0, signal: null })
})

t.test('a server that dies in the middle: the call fails under its id; one that is back is used again', async t => {
  const server = await raw(t)
  const catflap = run(t, server.url)
  await ready(catflap, server)
  server.next(x => x.reset())
  catflap.send(rpc('r', 'x'))
  t.match(await catflap.nextMessage(), { id: 'r', error: { data: { code: 'upstream_reset' } } })
  catflap.send(rpc('a', 'x'))
  t.match(await catflap.nextMessage(), { id: 'a', result: {} })
  catflap.proc.stdin.end()
  t.same(await catflap.exit, { code: 0, signal: null })
})

t.test('a server on HTTP+SSE whose stream ends: catflap ends too, with code 1 and the reason', async t => {
  trackLeaks(t)
  const server = await startSseServer()
  t.teardown(() => server.close())
  const catflap = run(t, server.url)
  await ready(catflap)
  catflap.send(rpc('r', 'tools/call', { name: 'slow', arguments: {} }))
  await server.counters.until('slow.started')
  await server.endSession([...server.sessions.keys()][0]!)
  t.match(await catflap.nextMessage(), { id: 'r', error: { data: { code: 'upstream_session_lost' } } })
  t.same(await catflap.exit, { code: 1, signal: null })
  t.match(problems(catflap).at(-1), /session.*lost/)
})

t.test('a server that has forgotten the session: every call is told so, and catflap ends with code 1', async t => {
  const server = await raw(t)
  const catflap = run(t, server.url)
  await ready(catflap, server)
  server.next(
    () => {},
    x => x.json(404, { jsonrpc: '2.0', id: null, error: { code: -32001, message: 'Session not found' } })
  )
  server.always(x => x.json(404, { jsonrpc: '2.0', id: null, error: { code: -32001, message: 'Session not found' } }))
  catflap.send(rpc('hangs', 'x'))
  await server.counters.until('POST', 3)
  catflap.send(rpc('r', 'x'))
  const answers = [await catflap.nextMessage(), await catflap.nextMessage()]
  t.match(
    answers.find(a => a.id === 'r'),
    { error: { code: -32001, message: 'Session not found' } }
  )
  t.match(
    answers.find(a => a.id === 'hangs'),
    { error: { data: { code: 'upstream_session_lost' } } }
  )
  t.same(await catflap.exit, { code: 1, signal: null })
  t.match(problems(catflap).at(-1), /no longer knows the session.*anew/)
  t.equal(server.counters.count('DELETE'), 0, 'there is nothing left to end')
  t.notMatch(JSON.stringify([catflap.events.items, catflap.stdout.items]), /s-1/, 'its id is nowhere')
})

t.test('401 and 403: the answer tells what to do, and no secret', async t => {
  const bodies = [
    ['text/plain', 'Unauthorized'],
    ['application/json', '{"error":"invalid_token","error_description":"The access token expired"}']
  ] as const
  for (const status of [401, 403]) {
    for (const [type, body] of bodies) {
      const server = await raw(t, x => x.respond(status, type, body, ['WWW-Authenticate', 'Bearer realm="mcp"']))
      const catflap = run(t, server.url, ['--header', 'X-Key: hunter2'])
      catflap.send(initialize('i'))
      const answer = await catflap.nextMessage()
      t.match(answer, { id: 'i', error: { data: { code: 'upstream_status', status } } })
      const { message } = answer.error as { message: string }
      t.match(message, new RegExp(`${server.url} answered with HTTP ${status}.*--header 'Authorization:`))
      catflap.proc.stdin.end()
      t.same(await catflap.exit, { code: 0, signal: null })
      t.notMatch(JSON.stringify([catflap.events.items, catflap.stdout.items]), /hunter2/)
    }
  }
})

t.test('401 with a message: it is relayed, and the advice goes to the log', async t => {
  const body = '{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"log in"}}'
  const server = await raw(t, x => x.json(401, body))
  const catflap = run(t, server.url)
  catflap.send(initialize('i'))
  t.same(await catflap.nextMessage(), { jsonrpc: '2.0', id: 'i', error: { code: -32001, message: 'log in' } })
  await catflap.events.until(e => /HTTP 401.*--header 'Authorization: …'/.test(String(e.text)))
  catflap.proc.stdin.end()
  t.same(await catflap.exit, { code: 0, signal: null })
})

t.test('HTTP+SSE too: what is refused tells what to do', async t => {
  const server = await raw(t, x => x.respond(401, 'text/plain', 'Unauthorized'))
  for (const more of [[], ['--upstream-transport', 'sse']]) {
    const catflap = run(t, server.url, more)
    catflap.send(initialize('i'))
    const answer = (await catflap.nextMessage()) as { id: string; error: { message: string } }
    t.equal(answer.id, 'i')
    t.match(answer.error.message, /HTTP 401.*--header 'Authorization:/)
    catflap.proc.stdin.end()
    await catflap.exit
  }
})

t.test('--upstream-transport on the command line', async t => {
  trackLeaks(t)
  const server = await startSseServer()
  t.teardown(() => server.close())
  for (const [transport, id] of [
    ['sse', 'works'],
    ['auto', 'works'],
    ['streamable-http', 'refused']
  ] as const) {
    const catflap = run(t, server.url, ['--upstream-transport', transport])
    catflap.send(initialize(id))
    const answer = await catflap.nextMessage()
    t.equal(answer.id, id)
    if (id === 'works') t.ok(answer.result, transport)
    else t.match(answer.error, { message: /HTTP 404/ })
    catflap.proc.stdin.end()
    t.same(await catflap.exit, { code: 0, signal: null })
  }
})
