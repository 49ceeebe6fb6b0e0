/** MCP over HTTP/2 and TLS: the same door as over HTTP/1.1, seen from the client's side. */
import { type ClientHttp2Session, connect as connectHttp2, type OutgoingHttpHeaders } from 'node:http2'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { SILENT } from '../../src/log.ts'
import { getHeader } from '../../src/protocol/headers.ts'
import { Core } from '../../src/proxy/core.ts'
import { type Interceptor, Pipeline } from '../../src/proxy/interceptor.ts'
import { interceptorList } from '../../src/proxy/interceptors.ts'
import { type SettingName, settings } from '../../src/proxy/options.ts'
import { endpoint } from '../../src/proxy/serve-http.ts'
import { ssePaths } from '../../src/proxy/serve-sse.ts'
import { openTarget } from '../../src/proxy/target.ts'
import { SessionManager } from '../../src/session/manager.ts'
import { MemorySessionStore } from '../../src/session/memory-store.ts'
import { FrameBus } from '../../src/tape/bus.ts'
import { HttpServer, type HttpServerOptions } from '../../src/transport/downstream/http-server.ts'
import { faults } from '../fixtures/servers/faults.ts'
import { startHttpServer } from '../fixtures/servers/http-server.ts'
import { type Script, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { CA, SERVER_TLS } from '../fixtures/tls/certificates.ts'
import { makeClient } from '../fixtures/tls/client.ts'
import { connectHttp, HANDLERS } from '../helpers/clients.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { initialize, legacyHeaders, POST_HEADERS, rpc } from '../helpers/rpc.ts'
import { waitFor } from '../helpers/wait.ts'
import { callTool, watcher } from './http-door.ts'

const TLS = { certificate: SERVER_TLS.cert, key: SERVER_TLS.key }
const CALL = JSON.stringify(rpc(1, 'x'))

interface DoorOptions {
  readonly settings?: Partial<Record<SettingName, number>>
  readonly tokens?: readonly string[]
  readonly interceptors?: readonly Interceptor[]
  readonly tls?: HttpServerOptions['tls']
}

interface Door {
  readonly core: Core
  readonly server: HttpServer
  readonly origin: string
}

/** A door of the parts that a proxy is made of, on a listener that speaks everything. */
async function openDoor(t: Test, target: string, options: DoorOptions = {}): Promise<Door> {
  const chosen = settings(options.settings)
  const host = '127.0.0.1'
  const opened = await openTarget({ url: target }, chosen, { via: 'catflap' })
  const lists = { settings: chosen, host, allowHosts: [], allowOrigins: [], tokens: options.tokens ?? [] }
  const pipeline = new Pipeline(interceptorList({ ...lists, interceptors: options.interceptors ?? [] }))
  const sessions = new SessionManager({
    store: new MemorySessionStore({ maxSessions: 10, idleTtl: 60_000, maxTtl: 60_000 }),
    target: opened.name,
    log: SILENT,
    reapEvery: 60_000,
    openLeg: record => {
      const id = record.legs[opened.name]?.upstreamId
      return id === undefined ? undefined : opened.resume(id)
    },
    onStart: () => {},
    onEnd: () => {}
  })
  const core = new Core({
    settings: chosen,
    log: SILENT,
    bus: new FrameBus(() => {}),
    target: opened,
    sessions,
    pipeline
  })
  const handler = endpoint(core, { path: '/mcp', sse: ssePaths('/mcp'), via: 'catflap' })
  const server = new HttpServer({ ...chosen, host, port: 0, http2: true, tls: options.tls }, handler)
  const { port } = await server.listen()
  t.teardown(async () => {
    core.cancelAll('shutdown')
    await sessions.close()
    await server.close()
    await opened.close()
    core.deadlines.close()
    if (core.inFlight.size > 0) throw new Error(`${core.inFlight.size} exchanges are left`)
  })
  return { core, server, origin: `http${options.tls ? 's' : ''}://localhost:${port}` }
}

interface Client {
  readonly session: ClientHttp2Session
  post(body: string, headers?: OutgoingHttpHeaders): ReturnType<typeof answerOf>
  open(headers: OutgoingHttpHeaders, body?: string): ReturnType<ClientHttp2Session['request']>
}

function client(t: Test, origin: string, tls: object = {}): Client {
  const session = connectHttp2(origin, { ca: CA, ...tls })
  session.on('error', () => {})
  t.teardown(() => session.destroy())
  const open: Client['open'] = (headers, body) => {
    const stream = session.request({ ':path': '/mcp', ...headers }, { endStream: body === undefined })
    if (body !== undefined) stream.end(body)
    stream.on('error', () => {})
    return stream
  }
  const post: Client['post'] = (body, headers = {}) =>
    answerOf(open({ ':method': 'POST', ...POST_HEADERS, ...headers }, body))
  return { session, open, post }
}

async function answerOf(stream: ReturnType<ClientHttp2Session['request']>) {
  const [headers] = (await waitFor(stream, 'response')) as [Record<string, string>]
  return { status: Number(headers[':status']), headers, text: await text(stream) }
}

async function rawDoor(t: Test, script?: Script, options?: DoorOptions) {
  trackLeaks(t)
  const upstream = await startRawHttp(script)
  t.teardown(() => upstream.close())
  return { upstream, ...(await openDoor(t, upstream.url, options)) }
}

for (const tls of [undefined, TLS]) {
  const wire = tls ? 'over TLS' : 'on clear text'
  t.test(`the SDK's client over HTTP/2, ${wire}`, async t => {
    trackLeaks(t)
    const served = await startHttpServer({})
    t.teardown(() => served.close())
    const spoken = new Set<string | undefined>()
    const listens: Interceptor = { name: 'listens', request: x => void spoken.add(getHeader(x.headers, 'via')) }
    const { core, server, origin } = await openDoor(t, served.url, { tls, interceptors: [listens] })
    const agent = { allowH2: true, connect: { ca: CA }, ...(tls ? {} : { useH2c: true }) }
    const sdk = await connectHttp(`${origin}/mcp`, { handlers: HANDLERS, agent })
    t.equal(core.sessions.size, 1)
    t.equal(await callTool(sdk, 'echo', { a: 1 }), '{"a":1}')
    t.match(await callTool(sdk, 'elicit'), '"colour":"blue"', 'asked in the middle of a call')
    await sdk.terminate()
    t.equal(core.sessions.size, 0)
    await sdk.close()
    t.same([...spoken], ['2.0 catflap'])
    t.ok(server.traffic.written > 0)
  })

  t.test(`what reaches the server from HTTP/2 ${wire} is what a client of HTTP/1.1 would have sent`, async t => {
    const { upstream, origin } = await rawDoor(t, undefined, { tls })
    const answer = await client(t, origin).post(CALL, {
      'x-twice': ['1', '2'],
      te: 'trailers',
      origin: 'http://localhost'
    })
    t.equal(answer.status, 200)
    const seen = upstream.exchanges[0]!
    t.equal(seen.text, CALL)
    const names = seen.rawHeaders.filter((_, i) => i % 2 === 0).map(name => name.toLowerCase())
    t.notOk(names.some(name => name.startsWith(':') || name === 'te' || name === 'origin'))
    t.match(seen.headers, { host: new URL(upstream.url).host, via: /^2(\.0)? catflap$/ })
    t.same(
      seen.rawHeaders.filter((_, i, all) => i % 2 === 1 && all[i - 1] === 'x-twice'),
      ['1', '2']
    )
  })
}

t.test('admission holds as over HTTP/1.1', async t => {
  const { upstream, server, origin } = await rawDoor(t, undefined, { tokens: ['s3cret'] })
  const { post } = client(t, origin)
  const token = { 'catflap-token': 's3cret' }
  t.match(await post(CALL, { ...token, ':authority': 'evil.example' }), { status: 403, text: /forbidden_host/ })
  t.match(await post(CALL, { ...token, origin: 'http://evil.example' }), { status: 403, text: /forbidden_origin/ })
  t.match(await post(CALL), { status: 401, headers: { 'www-authenticate': /^Bearer/ } })
  t.match(await post(CALL, { ...token, 'content-type': 'text/plain' }), { status: 415 })
  t.match(await post('{', token), { status: 400, text: /parse_error/ })
  t.match(await post(CALL, { ...token, ':path': '/nowhere' }), { status: 404 })
  t.equal(upstream.exchanges.length, 0)
  t.equal((await post(CALL, token)).status, 200)
  t.equal(server.connections, 1)
})

t.test('a body that is too large is 413, and its connection goes on', async t => {
  const { origin } = await rawDoor(t, undefined, { settings: { maxBody: 10_000 } })
  const { post } = client(t, origin)
  t.match(await post('x'.repeat(2_000_000)), { status: 413, text: /body_too_large/ })
  t.equal((await post(CALL)).status, 200)
})

t.test('a stream that is reset cancels its call, and no other', async t => {
  const watch = watcher()
  const { upstream, core, origin } = await rawDoor(t, faults.hangInSse, { interceptors: [watch] })
  const { open } = client(t, origin)
  const streams = [0, 1].map(() => open({ ':method': 'GET', accept: 'text/event-stream' }))
  for (const stream of streams) await waitFor(stream, 'response')
  streams[0]!.close(8)
  t.equal((await watch.ended.next()).result, 'gone')
  await upstream.counters.until('aborted', 1)
  t.equal(core.inFlight.size, 1)
  streams[1]!.session!.destroy()
  await upstream.counters.until('aborted', 2)
})

t.test('a request that does not come in time is 408, and leaves no exchange', async t => {
  const watch = watcher()
  const { core, origin } = await rawDoor(t, undefined, { settings: { clientTimeout: 150 }, interceptors: [watch] })
  const { session } = client(t, origin)
  const stream = session.request({ ':path': '/mcp', ':method': 'POST', ...POST_HEADERS })
  stream.write('{"jsonrpc"')
  t.match(await answerOf(stream), { status: 408, text: /request_timeout/ })
  t.equal((await watch.ended.next()).result, 'gone')
  t.equal(core.inFlight.size, 0)
})

t.test('a session belongs to the certificate that made it', async t => {
  trackLeaks(t)
  const dir = t.testdir({ a: {} })
  const [mine, other] = [await makeClient(`${dir}/a`), await makeClient(t.testdirName, 'other')]
  const served = await startHttpServer({})
  t.teardown(() => served.close())
  const { origin } = await openDoor(t, served.url, { tls: { ...TLS, clientCa: mine.ca + other.ca } })
  const [me, them] = [mine, other].map(({ cert, key }) => client(t, origin, { cert, key })) as [Client, Client]
  const made = await me.post(JSON.stringify(initialize()))
  const id = made.headers['mcp-session-id']!
  t.equal(made.status, 200)
  const ping = JSON.stringify(rpc(2, 'ping'))
  t.match(await them.post(ping, legacyHeaders(id)), { status: 404, text: /session_not_found/ })
  t.equal((await me.post(ping, legacyHeaders(id))).status, 200)
})
