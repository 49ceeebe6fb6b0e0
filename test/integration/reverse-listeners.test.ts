/** Listeners that change while clients are connected: what has begun is finished, ports are handed over, or nothing changes. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'
import { createServer } from 'node:net'
import { text } from 'node:stream/consumers'
import { connect, type TLSSocket } from 'node:tls'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import type { ListenerOptions } from '../../src/index.ts'
import { CA, SERVER_TLS } from '../fixtures/tls/certificates.ts'
import { makeClient } from '../fixtures/tls/client.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { openSse, rawPost } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, POST_HEADERS, rpc, toolCall } from '../helpers/rpc.ts'
import { waitFor } from '../helpers/wait.ts'
import { rawSession } from './http-door.ts'
import { ANYWHERE, openReverse, sdkServer, to } from './reverse-door.ts'

const HOST = '127.0.0.1'
const KNOCK = fileURLToPath(new URL('../fixtures/clients/knock.ts', import.meta.url))
const TLS = { certificate: SERVER_TLS.cert, key: SERVER_TLS.key }

async function freePort(): Promise<number> {
  const server = createServer().listen(0, HOST)
  await waitFor(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await waitFor(server, 'close')
  return port
}

t.test('a listener that is removed says what it has to say first: calls finish, streams end', async t => {
  trackLeaks(t)
  const server = await sdkServer(t)
  const routes = { a: to(server) }
  const proxy = await openReverse(t, routes, { listeners: [...ANYWHERE, ...ANYWHERE] })
  const url = `${proxy.origins[1]}/a/mcp`
  const id = await rawSession(url)
  const stream = await openSse(url, { method: 'GET', headers: { ...legacyHeaders(id), accept: 'text/event-stream' } })
  const slow = rawPost(url, toolCall(5, 'slow'), legacyHeaders(id))
  await server.counters.until('slow.started')
  await proxy.reload({ listeners: ANYWHERE, routes })
  await t.rejects(rawPost(url, initialize()), 'nobody new comes in')
  server.state.gate.release()
  t.match((await slow).text, /released/)
  t.equal(await stream.ended, 'end')
  while (proxy.stats.connections > 0) await new Promise(resolve => setImmediate(resolve))
})

t.test('what takes too long is cut with a listener that is removed; closing the proxy waits for neither', async t => {
  trackLeaks(t)
  const server = await sdkServer(t)
  const routes = { a: to(server) }
  const proxy = await openReverse(t, routes, { listeners: [...ANYWHERE, ...ANYWHERE] })
  const call = async (url: string, name: number) => {
    const slow = rawPost(url, toolCall(name, 'slow'), legacyHeaders(await rawSession(url)))
    slow.catch(() => {})
    await server.counters.until('slow.started', name)
    return slow.then(
      answer => answer.status,
      () => 'cut'
    )
  }
  const first = call(`${proxy.origins[1]}/a/mcp`, 1)
  await server.counters.until('slow.started', 1)
  await proxy.reload({ listeners: ANYWHERE, routes, drainTimeout: 60 })
  t.equal(await first, 'cut')
  await proxy.reload({ listeners: [...ANYWHERE, ...ANYWHERE], routes })
  const second = call(`${proxy.origins[1]}/a/mcp`, 2)
  await server.counters.until('slow.started', 2)
  await proxy.reload({ listeners: ANYWHERE, routes, drainTimeout: 60_000 })
  await proxy.close({ drainTimeout: 0 })
  t.not(await second, 200)
})

t.test('who connects while it starts, or while a listener is added, is served once all is ready', async t => {
  trackLeaks(t)
  const server = await sdkServer(t)
  const routes = { a: to(server) }
  for (let round = 0; round < 5; round++) {
    const [first, second] = [await freePort(), await freePort()]
    const [one, other] = [await knocking(first), await knocking(second)]
    const proxy = await openReverse(t, routes, { listeners: [{ host: HOST, port: first }] })
    t.match(await one.heard, /^HTTP\/1.1 200 /)
    const listeners = [
      { host: HOST, port: first },
      { host: HOST, port: second, http2: false }
    ]
    await proxy.reload({ listeners, routes: { ...routes, b: to(server) } })
    t.match(await other.heard, /^HTTP\/1.1 200 /)
    await proxy.close()
  }
})

/** A process that tries to connect without a pause: what it is answered, or what became of its connection. */
async function knocking(port: number): Promise<{ readonly heard: Promise<string> }> {
  const child = spawn(process.execPath, ['--no-warnings', KNOCK, String(port)], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  let heard = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    heard += text
  })
  await waitFor(child.stdout, 'data')
  return { heard: once(child, 'close').then(() => heard.slice('knocking\n'.length)) }
}

for (const [what, before, after] of [
  ['settings', {}, { settings: { maxConnections: 9 } }],
  ['HTTP/2', { http2: true }, { http2: false }],
  ['and back', { http2: false }, {}],
  ['TLS', {}, { tls: TLS }],
  ['the address', {}, { host: '0.0.0.0' }]
] as const satisfies readonly [string, ListenerOptions, ListenerOptions][])
  t.test(`a listener gets other options at its port: ${what}`, async t => {
    trackLeaks(t)
    const server = await sdkServer(t)
    const routes = { a: to(server, { allowUnauthenticated: true }) }
    const port = await freePort()
    const proxy = await openReverse(t, routes, { listeners: [{ host: HOST, port, ...before }] })
    const url = proxy.urlOf('a')
    const id = await rawSession(url)
    const slow = rawPost(url, toolCall(5, 'slow'), legacyHeaders(id))
    await server.counters.until('slow.started')
    await proxy.reload({ listeners: [{ host: HOST, port, ...after }], routes })
    t.equal(new URL(proxy.origins[0]!).port, String(port))
    if (!('tls' in after)) {
      t.equal((await rawPost(url, rpc(1, 'tools/list'), legacyHeaders(id))).status, 200)
      t.equal(proxy.urlOf('a'), url)
    } else (await secure(t, port, {})).destroy()
    server.state.gate.release()
    t.match((await slow).text, /released/)
  })

t.test('any free port stays the same under other settings', async t => {
  trackLeaks(t)
  const server = await sdkServer(t)
  const proxy = await openReverse(t, { a: to(server) })
  const { origins } = proxy
  await proxy.reload({ listeners: [{ ...ANYWHERE[0]!, http2: false }], routes: { a: to(server) } })
  t.same(proxy.origins, origins)
  t.equal((await rawPost(proxy.urlOf('a'), initialize())).status, 200)
})

t.test('where a port cannot be had, those that made room listen again', async t => {
  trackLeaks(t)
  const server = await sdkServer(t)
  const routes = { a: to(server) }
  const port = await freePort()
  const other = createServer().listen(port, '127.0.0.2')
  await waitFor(other, 'listening')
  t.teardown(() => other.close())
  const proxy = await openReverse(t, routes, { listeners: [{ host: HOST, port }] })
  const id = await rawSession(proxy.urlOf('a'))
  await t.rejects(
    proxy.reload({ listeners: [{ host: '0.0.0.0', port }], routes: { a: to(server, { tokens: ['x'] }) } }),
    {
      code: 'EADDRINUSE'
    }
  )
  t.equal((await rawPost(proxy.urlOf('a'), rpc(1, 'tools/list'), legacyHeaders(id))).status, 200)
  await proxy.reload({ listeners: [{ host: HOST, port, http2: false }], routes })
  t.equal((await rawPost(proxy.urlOf('a'), rpc(1, 'tools/list'), legacyHeaders(id))).status, 200)
})

t.test('certificates change on all listeners, or on none', async t => {
  trackLeaks(t)
  const server = await sdkServer(t)
  const dir = t.testdir({ one: {} })
  const other = await makeClient(`${dir}/one`, 'localhost')
  const next = { certificate: other.cert, key: other.key }
  const routes = { a: to(server) }
  const listeners = (...all: { certificate: string; key: string }[]) => all.map(tls => ({ host: HOST, port: 0, tls }))
  const proxy = await openReverse(t, routes, { listeners: listeners(TLS, TLS) })
  const shown = async (i: number) => {
    const socket = await secure(t, Number(new URL(proxy.origins[i]!).port), { rejectUnauthorized: false })
    const { subject } = socket.getPeerCertificate()
    socket.destroy()
    return subject.CN
  }
  t.equal(await shown(0), 'server.test')
  const wrong = { certificate: TLS.certificate, key: next.key }
  await t.rejects(proxy.reload({ listeners: listeners(next, wrong), routes }), { name: 'TypeError', message: /^tls: / })
  t.equal(await shown(0), 'server.test')
  await proxy.reload({ listeners: listeners(TLS, next), routes })
  t.equal(await shown(0), 'server.test')
  t.equal(await shown(1), 'localhost')
})

t.test('once certificates are asked for, who came in without one has to connect anew', async t => {
  trackLeaks(t)
  const server = await sdkServer(t)
  const dir = t.testdir({ one: {} })
  const known = await makeClient(`${dir}/one`)
  const listener = (clientCa?: string) => [{ host: HOST, port: 0, tls: { ...TLS, ...(clientCa && { clientCa }) } }]
  const proxy = await openReverse(t, { a: to(server, { tokens: ['secret'] }) }, { listeners: listener() })
  const port = Number(new URL(proxy.origins[0]!).port)
  const token = { 'catflap-token': 'secret' }
  const [busy, idle] = [await asker(t, port, {}), await asker(t, port, {})]
  const [made] = await busy(initialize(), token)
  await text(made)
  const id = String(made.headers['mcp-session-id'])
  const slow = busy(toolCall(5, 'slow'), { ...token, ...legacyHeaders(id) })
  await server.counters.until('slow.started')
  await proxy.reload({ listeners: listener(known.ca), routes: { a: to(server) } })
  const [refused] = await idle(initialize(), {})
  t.equal(refused.statusCode, 401)
  t.equal(refused.headers.connection, 'close')
  refused.resume()
  server.state.gate.release()
  const [answer] = await slow
  t.equal(answer.statusCode, 200)
  t.equal(answer.headers.connection, 'close')
  t.match(await text(answer), /released/)
  const { cert, key } = known
  const certified = await asker(t, port, { cert, key })
  const [welcome] = await certified(initialize(), {})
  t.equal(welcome.statusCode, 200)
  await text(welcome)
})

async function secure(t: Test, port: number, options: object): Promise<TLSSocket> {
  const socket = connect({
    host: HOST,
    port,
    servername: 'localhost',
    ca: CA,
    checkServerIdentity: () => undefined,
    ...options
  })
  t.teardown(() => socket.destroy())
  socket.on('error', () => {})
  await waitFor(socket, 'secureConnect')
  return socket
}

/** Asks one thing after another on one connection. */
async function asker(t: Test, port: number, options: object) {
  const socket = await secure(t, port, options)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  agent.createConnection = () => socket
  t.teardown(() => agent.destroy())
  return (body: unknown, headers: Record<string, string>) => {
    const own = { ...POST_HEADERS, ...headers, host: `localhost:${port}` }
    const req = request({ agent, method: 'POST', path: '/a/mcp', headers: own })
    req.end(JSON.stringify(body))
    return waitFor(req, 'response') as Promise<[IncomingMessage]>
  }
}
