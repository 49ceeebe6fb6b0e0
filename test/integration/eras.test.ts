/** Clients and servers of different eras, as raw servers show it, and what the options about it force. */
import t, { type Test } from 'tap'
import type { ForwardOptions } from '../../src/index.ts'
import { startHttpServer } from '../fixtures/servers/http-server.ts'
import type { RawExchange } from '../fixtures/servers/raw-exchange.ts'
import { startRawHttp } from '../fixtures/servers/raw-http.ts'
import { startCatflap } from '../helpers/catflap.ts'
import { connectHttp, connectStdio, HANDLERS } from '../helpers/clients.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { initialize, MODERN_VERSION, modern, modernHeaders, rpc } from '../helpers/rpc.ts'
import { fixtureArgv } from '../helpers/stdio-peer.ts'
import { callTool, client, rawDoor, sdkDoor } from './http-door.ts'
import { catflapArgs, pipeDoor, stdioDoor } from './pipe-door.ts'
import { sseSession } from './sse-down-door.ts'

const DISCOVER = modern(rpc('d', 'server/discover'))
const CALL = modern(rpc('c', 'tools/call', { name: 'echo', arguments: {} }))
const rpcError = (id: unknown, code: number, data?: object) => ({
  jsonrpc: '2.0',
  id,
  error: { code, message: 'not like this', ...(data && { data }) }
})

t.test("a legacy server's answer to a modern request is relayed as it is: status, headers, bytes", async t => {
  const answers: [number, string, string][] = [
    [
      400,
      'application/json',
      '{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"},"id":null}'
    ],
    [400, 'application/json', '{ "jsonrpc" : "2.0", "id":"d", "error":{"code":-32600.0,"message":"\\u0042ad"}}\n'],
    [400, 'text/plain', 'Bad Request'],
    [404, 'text/html', '<pre>Cannot POST /mcp</pre>'],
    [405, 'text/plain', ''],
    [406, 'application/json', '{}'],
    [200, 'application/json', '{"jsonrpc":"2.0","id":"d","error":{"code":-32601,"message":"Method not found"}}']
  ]
  const { url, server } = await rawDoor(t)
  for (const [status, type, body] of answers) {
    for (const request of [DISCOVER, CALL]) {
      server.next(x => x.respond(status, type, body, ['X-Server', 'itself']))
      const answer = await rawPost(url, request, modernHeaders(request))
      t.same(
        [answer.status, answer.headers['content-type'], answer.headers['x-server'], answer.text],
        [status, type, 'itself', body]
      )
    }
  }
  t.equal(server.counters.count('request'), 2 * answers.length, 'catflap asked nothing of its own')
})

t.test('a client on stdio gets the answer of a legacy server under its own id', async t => {
  trackLeaks(t)
  const server = await startRawHttp()
  t.teardown(() => server.close())
  const { send, nextMessage } = await stdioDoor(t, 'puppet-stdio.ts', { target: { url: server.url } })
  server.next(x =>
    x.json(400, '{"jsonrpc":"2.0","error":{"code":-32000,"message":"No session","data":[1.0]},"id":null}')
  )
  send(DISCOVER)
  t.same(await nextMessage(), { jsonrpc: '2.0', id: 'd', error: { code: -32000, message: 'No session', data: [1] } })
  server.next(x => x.respond(404, 'text/html', '<pre>Cannot POST</pre>'))
  send(CALL)
  t.match(await nextMessage(), { id: 'c', error: { data: { code: 'upstream_status', status: 404 } } })
})

/** Refuses `initialize` as a modern server may; names its revisions only where it is asked. */
const unnamed = (x: RawExchange): void => {
  const request = JSON.parse(x.text) as { id: unknown; method: string }
  if (request.method === 'server/discover' && x.headers['mcp-method'] === 'server/discover') {
    const result = { resultType: 'complete', supportedVersions: [MODERN_VERSION, '2027-01-01'], capabilities: {} }
    x.json(200, { jsonrpc: '2.0', id: request.id, result })
  } else x.json(400, rpcError(request.id, -32020))
}

t.test(
  'a modern-only server that does not name its revisions is asked for them, whatever the client is on',
  async t => {
    const { url, server, door } = await rawDoor(t, unnamed)
    const told = {
      error: {
        code: -32022,
        message: /2025-11-25.*2026-07-28, 2027-01-01.*without initialize/,
        data: { supported: [MODERN_VERSION, '2027-01-01'], requested: '2025-11-25' }
      }
    }
    const http = await rawPost(url, initialize('i'), { authorization: 'Bearer mine' })
    t.match([http.status, http.json()], [400, { id: 'i', ...told }])
    t.equal(http.headers['mcp-session-id'], undefined)
    const sse = await sseSession(url, { authorization: 'Bearer mine' })
    await sse.post(initialize('s'))
    t.match(await sse.next(), { id: 's', ...told })
    sse.close()
    t.equal(server.exchanges.length, 4)
    for (const x of server.exchanges)
      t.equal(x.headers.authorization, 'Bearer mine', 'the question has the credentials')
    const { send, nextMessage } = await stdioDoor(t, 'puppet-stdio.ts', { target: { url: server.url } })
    send(initialize('p'))
    t.match(await nextMessage(), { id: 'p', ...told })
    t.equal(door.stats.sessions, 0)
  }
)

t.test('an error that names the revisions is relayed as it is', async t => {
  const body = `{"jsonrpc":"2.0","id":0,"error":{"code":-32022,"message":"no","data":{"supported":["2026-07-28"],"n":1.0}}}`
  const { url, server } = await rawDoor(t, x => x.json(400, body))
  const http = await rawPost(url, initialize())
  t.same([http.status, http.text], [400, body])
  t.equal(server.counters.count('request'), 1)
  const { send, lines } = await stdioDoor(t, 'puppet-stdio.ts', { target: { url: server.url } })
  send(initialize())
  t.equal(await lines.next(), body)
  t.equal(server.counters.count('request'), 2)
})

t.test('a modern server on stdio answers initialize itself', async t => {
  const served = { args: ['--era', 'modern'] }
  const { url } = await pipeDoor(t, 'stdio-server.ts', served)
  const answer = await rawPost(url, initialize('i'))
  t.match(answer.json(), { id: 'i', error: { data: { supported: [MODERN_VERSION] } } })
  t.equal(answer.headers['mcp-session-id'], undefined, 'no session came of it')
  const { send, nextMessage } = await stdioDoor(t, 'stdio-server.ts', served)
  send(initialize('i'))
  t.match(await nextMessage(), { id: 'i', error: { data: { supported: [MODERN_VERSION] } } })
})

async function bothKinds(t: Test, url: string): Promise<void> {
  const [old, young] = await Promise.all([client(t, url), client(t, url, { era: 'modern' })])
  const either = await client(t, url, { era: 'auto' })
  t.same(
    [old, young, either].map(c => c.client.getNegotiatedProtocolVersion()),
    ['2025-11-25', MODERN_VERSION, MODERN_VERSION]
  )
  const slow = old.client.callTool({ name: 'slow', arguments: { key: 'k' } })
  const counts = await Promise.all([old, young, either].map(c => callTool(c, 'echo', { n: 1 })))
  t.same(counts, Array(3).fill('{"n":1}'))
  await callTool(old, 'release', { key: 'k' })
  t.match(await slow, { content: [{ text: 'released' }] })
  t.match(await callTool(old, 'sample'), 'sampled')
  t.match(await callTool(young, 'sample'), 'sampled')
  t.same(
    [old, young, either].flatMap(c => c.errors),
    []
  )
}

t.test('a server of both eras serves both kinds of clients at once', async t => {
  const { url } = await sdkDoor(t, { mode: 'dual' })
  await bothKinds(t, url)
})

t.test('so does one on stdio, with a child each and one for all', async t => {
  const { url } = await pipeDoor(t, 'stdio-server.ts')
  await bothKinds(t, url)
})

const TARGETS = ['http', 'stdio'] as const

async function forced(t: Test, kind: 'http' | 'stdio', era: 'legacy' | 'modern') {
  trackLeaks(t)
  const server = await startRawHttp()
  t.teardown(() => server.close())
  const [command, ...args] = fixtureArgv('puppet-stdio.ts')
  const target: ForwardOptions['target'] = kind === 'http' ? { url: server.url, era } : { command, args, era }
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts', { target })
  const pipe = await stdioDoor(t, 'puppet-stdio.ts', { target })
  const untouched = (): void => {
    t.equal(server.counters.count('request'), 0, 'the server has seen nothing')
    t.same([...log.seen, ...pipe.log.seen], [])
  }
  return { url, pipe, untouched }
}

for (const kind of TARGETS) {
  t.test(`--upstream-era legacy: modern requests are refused here (${kind})`, async t => {
    const { url, pipe, untouched } = await forced(t, kind, 'legacy')
    const http = await rawPost(url, DISCOVER, modernHeaders(DISCOVER))
    const told = { id: 'd', error: { code: -31050, message: /--upstream-era legacy/ } }
    t.match([http.status, http.json()], [400, told], 'as a legacy server does, so that the client falls back')
    pipe.send(DISCOVER)
    t.match(await pipe.nextMessage(), told)
    untouched()
  })

  t.test(`--upstream-era modern: initialize is refused here (${kind})`, async t => {
    const { url, pipe, untouched } = await forced(t, kind, 'modern')
    const http = await rawPost(url, initialize('i'))
    const data = { supported: [MODERN_VERSION], requested: '2025-11-25' }
    const told = { id: 'i', error: { code: -32022, message: /--upstream-era modern/, data } }
    t.match([http.status, http.json()], [400, told])
    pipe.send(initialize('i'))
    t.match(await pipe.nextMessage(), told)
    const sse = await sseSession(url)
    await sse.post(initialize('i'))
    t.match(await sse.next(), told)
    sse.close()
    if (kind === 'http') untouched()
  })
}

t.test('a client of both eras falls back where the user says that the server is legacy', async t => {
  trackLeaks(t)
  const server = await startHttpServer()
  t.teardown(() => server.close())
  const door = await startCatflap(['forward', '--upstream-era', 'legacy', '--listen', '127.0.0.1:0', server.url])
  t.teardown(() => door.close())
  const c = await client(t, door.url, { era: 'auto' })
  t.equal(c.client.getNegotiatedProtocolVersion(), '2025-11-25')
  t.notOk(server.requests.some(r => r.body.includes('server/discover')))
  const stdio = await connectStdio({
    args: [...catflapArgs(['--upstream-era', 'legacy'], []).filter(arg => arg !== '--'), server.url],
    era: 'auto',
    handlers: HANDLERS
  })
  t.teardown(() => stdio.close())
  t.equal(stdio.client.getNegotiatedProtocolVersion(), '2025-11-25')
  t.notOk(server.requests.some(r => r.body.includes('server/discover')))
})

t.test('a client that speaks only 2026-07-28 gets an error from a legacy server, and is not left waiting', async t => {
  const { url } = await sdkDoor(t)
  await t.rejects(connectHttp(url, { era: 'modern' }))
  const { url: piped } = await pipeDoor(t, 'stdio-server.ts', { args: ['--era', 'legacy'] })
  await t.rejects(connectHttp(piped, { era: 'modern' }))
  const [command, ...args] = fixtureArgv('stdio-server.ts', '--era', 'legacy')
  await t.rejects(connectStdio({ args: catflapArgs([], [command, ...args]), era: 'modern' }))
})
