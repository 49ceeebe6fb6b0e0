/** Servers behind TLS, HTTP/2 and proxies. */

import { createServer, type IncomingMessage } from 'node:http'
import { createSecureServer, type Http2SecureServer, type ServerHttp2Stream } from 'node:http2'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, connect, type Server, type Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { startRawHttp } from '../fixtures/servers/raw-http.ts'
import { CA, SERVER_TLS } from '../fixtures/tls/certificates.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { openSse, rawPost, send } from '../helpers/raw-client.ts'
import { POST_HEADERS, rpc } from '../helpers/rpc.ts'
import { Inbox, waitFor } from '../helpers/wait.ts'
import { openDoor } from './http-door.ts'

const CALL = JSON.stringify(rpc(1, 'x'))

/** Listens until the test is over; returns the port. */
async function serve(t: Test, server: Server | Http2SecureServer): Promise<number> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => sockets.delete(socket))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(async () => {
    const closed = new Promise(resolve => server.close(resolve))
    for (const socket of sockets) socket.destroy()
    await closed
  })
  return (server.address() as AddressInfo).port
}

const tlsServer = (t: Test) =>
  serve(
    t,
    createHttpsServer(
      SERVER_TLS,
      (req, res) =>
        void buffer(req).then(body => res.end(`{"jsonrpc":"2.0","id":1,"result":"${body.length} ${req.headers.host}"}`))
    )
  )

t.test('a server whose authority nobody knows is refused, with the option that would help', async t => {
  trackLeaks(t)
  const port = await tlsServer(t)
  const { url } = await openDoor(t, `https://localhost:${port}/mcp`)
  const answer = await rawPost(url, CALL)
  t.match(
    [answer.status, answer.json()],
    [502, { id: 1, error: { message: /TLS.*--ca/, data: { code: 'upstream_unreachable' } } }]
  )
})

t.test('`ca` trusts it, for the names it is for; `insecure` does not ask', async t => {
  trackLeaks(t)
  const port = await tlsServer(t)
  for (const host of ['localhost', '127.0.0.1']) {
    const target = { url: `https://${host}:${port}/mcp`, ca: CA }
    const { url } = await openDoor(t, '', { target })
    t.match(await rawPost(url, CALL), { status: 200, text: `${CALL.length} ${host}:${port}` })
  }
  const insecure = await openDoor(t, '', { target: { url: `https://localhost:${port}/mcp`, insecure: true } })
  t.equal((await rawPost(insecure.url, CALL)).status, 200)
})

interface H2Request {
  readonly stream: ServerHttp2Stream
  readonly headers: Record<string, string | string[] | undefined>
  readonly body: Promise<Buffer>
}

t.test('HTTP/2 where the server offers it: calls, streams, headers and cancellation', async t => {
  trackLeaks(t)
  const server = createSecureServer({ ...SERVER_TLS, allowHTTP1: true })
  const requests = new Inbox<H2Request>('requests on HTTP/2')
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {})
    requests.push({ stream, headers: { ...headers }, body: buffer(stream).catch(() => Buffer.alloc(0)) })
  })
  const port = await serve(t, server)
  const { url } = await openDoor(t, '', { target: { url: `https://localhost:${port}/mcp`, ca: CA } })

  const json = rawPost(url, CALL, { 'X-Twice': ['1', '2'], 'X-UnKnown': 'y' })
  const first = await requests.next()
  t.equal((await first.body).toString(), CALL)
  t.match(first.headers, { ':method': 'POST', ':path': '/mcp', 'x-unknown': 'y', via: '1.1 catflap' })
  t.equal(String(first.headers['x-twice']).replace(' ', ''), '1,2')
  t.equal(first.headers['accept-encoding'], 'identity')
  first.stream.respond({
    ':status': 200,
    'content-type': 'application/json',
    'set-cookie': ['a=1', 'b=2'],
    'x-note': 'n'
  })
  first.stream.end('{"jsonrpc":"2.0","id":1,"result":{}}')
  const answer = await json
  t.match(answer, {
    status: 200,
    text: '{"jsonrpc":"2.0","id":1,"result":{}}',
    headers: { via: '2 catflap', 'x-note': 'n' }
  })
  t.same(answer.headers['set-cookie'], ['a=1', 'b=2'])
  t.notOk(answer.rawHeaders.some(name => name.startsWith(':')))

  const opening = openSse(url, { body: CALL })
  const second = await requests.next()
  second.stream.respond({ ':status': 200, 'content-type': 'text/event-stream' })
  const stream = await opening
  second.stream.write('data: {"jsonrpc":"2.0","method":"n"}\n\n')
  t.match(await stream.nextMessage(), { method: 'n' })
  stream.close()
  await waitFor(second.stream, 'close')

  const { req } = send(url, { body: CALL, headers: POST_HEADERS })
  const third = await requests.next()
  req.destroy()
  await waitFor(third.stream, 'close')

  const reset = rawPost(url, CALL)
  const fourth = await requests.next()
  fourth.stream.close(2)
  t.equal((await reset).status, 502)

  const last = rawPost(url, CALL)
  const fifth = await requests.next()
  fifth.stream.respond({ ':status': 401, 'www-authenticate': 'Bearer' }, { endStream: true })
  t.match(await last, { status: 401, headers: { 'www-authenticate': 'Bearer' } })
})

/** A proxy that leads every name to one server. */
async function startProxy(t: Test, port: number) {
  const seen = new Inbox<string>('requests to the proxy')
  const proxy = createServer((req: IncomingMessage, res) => {
    seen.push(`${req.method} ${req.url} ${req.headers['proxy-authorization'] ?? ''}`)
    void buffer(req).then(body =>
      res.end(
        `{"jsonrpc":"2.0","id":1,"result":"${req.rawHeaders.filter(h => /^x-twice$/i.test(h)).length} ${body.length}"}`
      )
    )
  })
  proxy.on('connect', (req, socket) => {
    seen.push(`CONNECT ${req.url} ${req.headers['proxy-authorization'] ?? ''}`)
    const through = connect(port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      through.pipe(socket)
      socket.pipe(through)
    })
    through.on('error', () => socket.destroy())
    socket.on('error', () => through.destroy())
    socket.on('close', () => through.destroy())
  })
  return { port: await serve(t, proxy), seen }
}

function environment(t: Test, variables: Record<string, string>): void {
  for (const [name, value] of Object.entries(variables)) {
    const before = process.env[name]
    process.env[name] = value
    t.teardown(() => {
      if (before === undefined) delete process.env[name]
      else process.env[name] = before
    })
  }
}

t.test('HTTPS_PROXY: a tunnel to the server, whose certificate is still verified', async t => {
  trackLeaks(t)
  const port = await tlsServer(t)
  const proxy = await startProxy(t, port)
  environment(t, { HTTPS_PROXY: `http://us%40er:pa@127.0.0.1:${proxy.port}`, NO_PROXY: 'elsewhere.test' })
  const { url } = await openDoor(t, '', { target: { url: 'https://server.test/mcp', ca: CA } })
  t.match(await rawPost(url, CALL), { status: 200, text: `${CALL.length} server.test` })
  t.equal(await proxy.seen.next(), `CONNECT server.test:443 Basic ${Buffer.from('us@er:pa').toString('base64')}`)
  const unverified = await openDoor(t, 'https://server.test/mcp')
  t.match((await rawPost(unverified.url, CALL)).json(), { error: { data: { code: 'upstream_unreachable' } } })
  const wrongName = await openDoor(t, '', { target: { url: 'https://other.test/mcp', ca: CA } })
  t.match((await rawPost(wrongName.url, CALL)).json(), { error: { data: { code: 'upstream_unreachable' } } })
})

t.test('HTTP_PROXY: repeated headers stay repeated; a loopback server is never behind a proxy', async t => {
  trackLeaks(t)
  const server = await startRawHttp()
  t.teardown(() => server.close())
  const proxy = await startProxy(t, server.port)
  environment(t, { HTTP_PROXY: `127.0.0.1:${proxy.port}` })
  const { url } = await openDoor(t, 'http://server.test/mcp')
  t.match((await rawPost(url, CALL, { 'X-Twice': ['1', '2'] })).json(), { result: `2 ${CALL.length}` })
  t.match(await proxy.seen.next(), /^POST http:\/\/server\.test\/mcp /)
  const direct = await openDoor(t, server.url)
  t.match((await rawPost(direct.url, CALL)).json(), { result: { echo: null } })
  t.equal(proxy.seen.items.length, 1)
})

t.test('what is set for connections holds for those to a proxy', async t => {
  trackLeaks(t)
  const port = await serve(
    t,
    createServer(() => {})
  )
  environment(t, { HTTP_PROXY: `http://127.0.0.1:${port}` })
  const { url } = await openDoor(t, 'http://server.test/mcp', { settings: { headersTimeout: 100 } })
  t.match((await rawPost(url, CALL)).json(), { id: 1, error: { data: { code: 'upstream_timeout' } } })
})

t.test('a proxy that is down, or refuses, is 502', async t => {
  trackLeaks(t)
  const refusing = createServer((_, res) => res.writeHead(403).end())
  refusing.on('connect', (_, socket) => void socket.end('HTTP/1.1 403 Forbidden\r\n\r\n'))
  const port = await serve(t, refusing)
  environment(t, { HTTPS_PROXY: `http://127.0.0.1:${port}` })
  const { url } = await openDoor(t, 'https://server.test/mcp')
  const answer = await rawPost(url, CALL)
  t.match([answer.status, answer.json()], [502, { id: 1 }])
})
