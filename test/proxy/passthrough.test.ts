/** What is not MCP, over HTTP/1.1: what the target sees, what the client gets, and what happens where one of them fails. */
import { createServer as createHttpsServer } from 'node:https'
import { createServer, type Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { echo } from '../fixtures/servers/raw-http.ts'
import { CA, SERVER_TLS } from '../fixtures/tls/certificates.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawRequest, send } from '../helpers/raw-client.ts'
import { waitFor } from '../helpers/wait.ts'
import { listen, passDoor, rawPass, sendChunked } from './passthrough-door.ts'

const get = (url: string, headers: readonly string[] = []) => rawRequest(url, { method: 'GET', headers })

t.test('method, path, query, headers and body reach the target as they are', async t => {
  const { server, url, ended } = await rawPass(t, x =>
    x.respond(201, 'text/plain', `got ${x.text}`, ['X-A', '1', 'x-a', '2'])
  )
  const answer = await rawRequest(`${url}/everything/pages/a%20b?q=%2F&&x`, {
    method: 'PUT',
    headers: [
      'Host',
      'front.test',
      'X-One',
      '1',
      'x-one',
      '2',
      'Cookie',
      'a=b',
      'Accept-Encoding',
      'br',
      'Connection',
      'X-Gone',
      'X-Gone',
      '1',
      'Keep-Alive',
      'timeout=5',
      'TE',
      'trailers',
      'Origin',
      'https://front.test',
      'Authorization',
      'Bearer for-the-server',
      'Catflap-Token',
      's3cret',
      'X-Forwarded-User',
      'admin'
    ],
    body: 'content'
  })
  t.match(answer, { status: 201, text: 'got content', headers: { 'x-a': '1, 2', via: '1.1 catflap' } })
  const x = await server.exchange()
  t.same([x.method, x.path, x.text], ['PUT', '/pages/a%20b?q=%2F&&x', 'content'])
  t.match(x.headers, {
    host: `127.0.0.1:${server.port}`,
    'x-one': '1, 2',
    cookie: 'a=b',
    'accept-encoding': 'br',
    authorization: 'Bearer for-the-server',
    via: '1.1 catflap',
    forwarded: 'by=_catflap;for=127.0.0.1;host=front.test;proto=http',
    'x-forwarded-prefix': '/everything',
    'content-length': '7'
  })
  for (const gone of ['x-gone', 'keep-alive', 'te', 'origin', 'catflap-token', 'x-forwarded-user', 'transfer-encoding'])
    t.notOk(gone in x.headers, gone)
  t.match(await ended.next(), { result: 'answered', status: 201 })
})

t.test("a token that catflap knows ends there; what is set for the target replaces the client's", async t => {
  const { server, url } = await rawPass(t, echo, {
    tokens: ['s3cret'],
    headers: ['X-Api-Key', 'k'],
    rules: { request: { set: { 'X-Team': 'blue' } }, response: { remove: ['Allow'], add: { 'X-Front': 'yes' } } }
  })
  const answer = await get(`${url}/health`, ['authorization', 'Bearer s3cret', 'x-api-key', 'mine', 'x-team', 'red'])
  t.match(answer, { status: 405, headers: { 'x-front': 'yes', allow: undefined } })
  const { headers } = await server.exchange()
  t.match(headers, { 'x-api-key': 'k', 'x-team': 'blue', authorization: undefined })
  await get(`${url}/health`, ['authorization', 'Bearer other'])
  t.match((await server.exchange(2)).headers, { authorization: 'Bearer other', 'x-forwarded-prefix': undefined })
})

t.test('credentials of the URL are sent, and shown nowhere', async t => {
  const { server, url, passthrough } = await rawPass(t)
  const door = await passDoor(t, server.url.replace('//', '//user:p%40ss@'))
  await get(`${door.url}/health`)
  t.equal((await server.exchange()).headers.authorization, `Basic ${Buffer.from('user:p@ss').toString('base64')}`)
  await server.close()
  const { text } = await get(`${door.url}/health`)
  t.match(text, /upstream_unreachable/)
  t.notMatch(text, /user|p%40ss|p@ss/)
  t.ok(url && passthrough)
})

t.test('what is no path of the passthrough is not touched', async t => {
  const { server, url, others } = await rawPass(t)
  t.equal((await get(`${url}/other`)).status, 404)
  t.same(others, ['/other'])
  t.equal(server.exchanges.length, 0)
})

t.test('redirects and cookies are named as they are here', async t => {
  const { server, url } = await rawPass(t)
  server.next(x =>
    x
      .head(302, ['Location', '/login?x=1', 'Set-Cookie', 'a=1; Path=/', 'Set-Cookie', 'b=2', 'Alt-Svc', 'h3=":443"'])
      .end()
  )
  const answer = await get(`${url}/everything/start`)
  t.match(answer, { status: 302, headers: { location: '/everything/login?x=1' } })
  t.same(answer.headers['set-cookie'], ['a=1; Path=/everything', 'b=2'])
  t.notOk('alt-svc' in answer.headers)
  server.next(x =>
    x
      .head(201, ['Location', `http://127.0.0.1:${server.port}/a`, 'Content-Location', '/a', 'Content-Length', '0'])
      .end()
  )
  t.match(await get(`${url}/everything/start`), {
    headers: { location: '/everything/a', 'content-location': '/everything/a' }
  })
  server.next(x => x.redirect('https://accounts.example/authorize?redirect_uri=http%3A%2F%2Fa'))
  t.match(await get(`${url}/everything/start`), {
    headers: { location: 'https://accounts.example/authorize?redirect_uri=http%3A%2F%2Fa' }
  })
})

t.test('metadata documents pass with their content as it is', async t => {
  const document = '{"resource":"http://up.test/mcp","authorization_servers":["https://accounts.example"]}'
  const { server, url } = await rawPass(t, x => x.json(200, document))
  const answer = await get(`${url}/.well-known/oauth-protected-resource/everything/mcp`)
  t.equal(answer.text, document)
  t.equal((await server.exchange()).path, '/.well-known/oauth-protected-resource/mcp')
})

t.test('HEAD, OPTIONS, DELETE and empty POSTs; TRACE goes nowhere', async t => {
  const { server, url } = await rawPass(t, x => x.respond(200, 'text/plain', x.method === 'HEAD' ? '' : 'x'))
  for (const method of ['HEAD', 'OPTIONS', 'DELETE', 'POST', 'PATCH']) {
    t.equal((await rawRequest(`${url}/health`, { method })).status, 200, method)
    const x = server.exchanges.at(-1)!
    t.same([x.method, x.text], [method, ''])
  }
  const before = server.exchanges.length
  t.match(await rawRequest(`${url}/health`, { method: 'TRACE' }), { status: 405, headers: { allow: /GET/ } })
  t.equal(server.exchanges.length, before)
})

t.test('content of a DELETE keeps its frame: it can never be a request of its own', async t => {
  const { server, url } = await rawPass(t)
  const smuggled = 'GET /admin HTTP/1.1\r\nHost: x\r\n\r\n'
  for (const method of ['DELETE', 'OPTIONS']) {
    await sendChunked(`${url}/health`, method, smuggled)
    t.ok(server.exchanges.every(x => x.path === '/health'))
    t.equal(server.exchanges.at(-1)!.text, smuggled)
  }
})

t.test('a large answer passes no faster than it is taken', async t => {
  const size = 32 * 1024 * 1024
  const { server, url, ended, answers } = await rawPass(t, x => x.respond(200, 'text/plain', Buffer.alloc(size, 'x')))
  const { head } = send(`${url}/health`, { method: 'GET' })
  const res = await head
  res.pause()
  while (!answers[0]!.writableNeedDrain) await turn()
  for (let i = 0; i < 200; i++) await turn()
  t.ok(answers[0]!.writableLength < 1024 * 1024, `${answers[0]!.writableLength} bytes wait`)
  let got = 0
  for await (const chunk of res) got += (chunk as Buffer).length
  t.equal(got, size)
  t.match(await ended.next(), { result: 'answered' })
  t.same(server.errors, [])
})

t.test('a large body passes whole', async t => {
  const { server, url } = await rawPass(t, x => x.respond(200, 'text/plain', String(x.body.length)))
  const body = Buffer.alloc(8 * 1024 * 1024, 'x')
  t.equal((await rawRequest(`${url}/health`, { body })).text, String(body.length))
  t.equal((await sendChunked(`${url}/health`, 'POST', body)).text, String(body.length))
  t.same(server.errors, [])
})

t.test('an answer that takes its time shows its head at once', async t => {
  const { server, url } = await rawPass(t, x => void x.sse())
  const { head, req } = send(`${url}/everything/events`, { method: 'GET' })
  const res = await head
  t.equal(res.headers['content-type'], 'text/event-stream')
  const x = await server.exchange()
  await x.sendEvent({ data: 'one' })
  const [chunk] = await waitFor(res, 'data')
  t.equal(String(chunk), 'data: one\n\n')
  req.destroy()
  await x.aborted
})

t.test('a client that goes away frees the target, before the head and behind it', async t => {
  const { server, url, ended, passthrough } = await rawPass(t, () => {})
  const early = send(`${url}/health`, { method: 'GET' })
  const first = await server.exchange(1)
  early.req.destroy()
  await first.aborted
  t.match(await ended.next(), { result: 'gone' })
  server.always(x => void x.sse())
  const late = send(`${url}/health`, { method: 'GET' })
  await late.head
  late.req.destroy()
  await (await server.exchange(2)).aborted
  t.match(await ended.next(), { result: 'gone' })
  t.same(passthrough.inFlight, { requests: 0, webSockets: 0 })
})

t.test('a client that goes away while it sends', async t => {
  trackLeaks(t)
  const sockets: Socket[] = []
  const port = await listen(
    t,
    createServer(socket => void sockets.push(socket.resume()))
  )
  const { url, ended } = await passDoor(t, `http://127.0.0.1:${port}/mcp`)
  const { req } = send(`${url}/health`, { headers: { 'content-length': '100' }, body: 'half' })
  req.on('error', () => {})
  await waitFor(req, 'finish').catch(() => {})
  while (sockets.length === 0) await turn()
  req.destroy()
  t.match(await ended.next(), { result: 'gone' })
  if (!sockets[0]!.closed) await waitFor(sockets[0]!, 'close')
})

t.test('a target that cannot be reached, resets, or says what is no HTTP: 502', async t => {
  const { server, url, ended } = await rawPass(t, x => x.reset())
  t.match(await get(`${url}/health`), {
    status: 502,
    headers: { 'content-type': 'application/json' },
    text: /"code":"upstream_reset"/
  })
  t.match(await ended.next(), { result: 'failed', status: 502, code: 'upstream_reset' })
  server.always(x => void x.raw('SSH-2.0-OpenSSH\r\n\r\n'))
  t.match(await get(`${url}/health`), { status: 502, text: /"code":"upstream_protocol"/ })
  server.always(x => void x.raw('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok'))
  t.match(await get(`${url}/health`), { status: 502, text: /"code":"upstream_protocol"/ })
  server.always(x => void x.raw('HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n'))
  t.equal((await get(`${url}/health`)).status, 502)
  await server.close()
  t.match(await get(`${url}/health`), { status: 502, text: /"code":"upstream_unreachable"/ })
})

t.test('a target that does not answer in time: 504', async t => {
  const { server, url, ended } = await rawPass(t, () => {}, { settings: { requestTimeout: 100 } })
  t.match(await get(`${url}/health`), { status: 504, text: /"code":"upstream_timeout"/ })
  t.match(await ended.next(), { result: 'failed', status: 504, code: 'upstream_timeout' })
  await (await server.exchange()).aborted
})

t.test('an answer that breaks off looks broken', async t => {
  for (const headers of [
    ['Content-Length', '100'],
    ['Transfer-Encoding', 'chunked']
  ]) {
    const { url, ended } = await rawPass(t, async x => {
      x.head(200, headers)
      await x.write('half')
      x.cut()
    })
    await t.rejects(get(`${url}/health`))
    t.match(await ended.next(), { result: 'failed', code: 'upstream_reset' })
  }
})

t.test('an answer that falls silent is ended', async t => {
  const { url, ended } = await rawPass(t, x => void x.sse(), { settings: { requestTimeout: 150 } })
  await t.rejects(get(`${url}/health`))
  t.match(await ended.next(), { result: 'failed', code: 'upstream_timeout' })
})

t.test("headers that cannot be passed on are the target's fault", async t => {
  const { server, url } = await rawPass(
    t,
    x => void x.raw('HTTP/1.1 200 OK\r\nX-A: a\u0001b\r\nContent-Length: 0\r\n\r\n')
  )
  t.match(await get(`${url}/health`), { status: 502, text: /upstream_protocol/ })
  server.always(x => void x.raw('HTTP/1.1 200 caf\u00e9\u0001\r\nContent-Length: 0\r\nConnection: close\r\n\r\n'))
  t.match(
    await get(`${url}/health`).then(a => [200, 502].includes(a.status)),
    true,
    'an odd reason phrase harms nobody'
  )
})

t.test('a body beyond the limit: 413, announced or not', async t => {
  const { server, url, ended } = await rawPass(t, x => x.respond(200, 'text/plain', 'x'), {
    settings: { maxBody: 1_000 }
  })
  const announced = await rawRequest(`${url}/health`, { body: 'x'.repeat(1_001) })
  t.match(announced, { status: 413, text: /body_too_large/ })
  t.equal(server.exchanges.length, 0)
  t.match(await ended.next(), { result: 'refused', status: 413, code: 'body_too_large' })
  const chunked = await sendChunked(`${url}/health`, 'POST', 'x'.repeat(100_000))
  t.match(chunked, { status: 413, text: /body_too_large/ })
  t.equal(server.exchanges.length, 0, 'it never was whole')
  t.equal((await rawRequest(`${url}/health`, { body: 'x'.repeat(1_000) })).status, 200)
})

t.test('an answer before the body was taken reaches the client', async t => {
  trackLeaks(t)
  const port = await listen(
    t,
    createServer(socket => {
      socket.once('data', () =>
        socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno')
      )
    })
  )
  const { url } = await passDoor(t, `http://127.0.0.1:${port}/mcp`)
  t.match(await rawRequest(`${url}/health`, { body: Buffer.alloc(8 * 1024 * 1024) }), { status: 403, text: 'no' })
})

t.test('more at once than there may be connections: 503', async t => {
  const { server, url } = await rawPass(t, () => {}, { settings: { maxUpstreamConnections: 2 } })
  const held = [1, 2].map(() => send(`${url}/health`, { method: 'GET' }))
  await server.exchange(2)
  t.match(await get(`${url}/health`), { status: 503, headers: { 'retry-after': '1' }, text: /upstream_queue_full/ })
  for (const { req } of held) req.destroy()
})

t.test('a target behind TLS is trusted by its authority, or not at all', async t => {
  trackLeaks(t)
  const port = await listen(
    t,
    createHttpsServer(SERVER_TLS, (req, res) => res.end(`${req.headers.host}`))
  )
  const target = `https://localhost:${port}/mcp`
  for (const given of [{ ca: CA }, { insecure: true }]) {
    const { url } = await passDoor(t, target, given)
    t.match(await get(`${url}/health`), { status: 200, text: `localhost:${port}` })
  }
  const { url } = await passDoor(t, target)
  t.match(await get(`${url}/health`), { status: 502, text: /upstream_unreachable.*|TLS failed/ })
})

t.test('closing ends what is open and takes nothing new', async t => {
  const { server, url, passthrough, ended } = await rawPass(t, () => {})
  const waiting = get(`${url}/health`)
  const x = await server.exchange()
  t.equal(await passthrough.drained(50), false)
  await passthrough.close()
  t.match(await waiting, { status: 503, text: /shutting_down/ })
  await x.aborted
  t.match(await ended.next(), { code: 'shutting_down' })
  t.match(await get(`${url}/health`), { status: 503, text: /shutting_down/ })
  t.equal(await passthrough.drained(0), true)
})

t.test('draining waits for what is in flight', async t => {
  const { server, url, passthrough } = await rawPass(t, () => {})
  const waiting = get(`${url}/health`)
  const x = await server.exchange()
  const drained = passthrough.drained(10_000)
  x.respond(200, 'text/plain', 'done')
  t.equal(await drained, true)
  t.equal((await waiting).text, 'done')
})

t.test('draining does not wait for streams of events, also where one turns out to be one', async t => {
  const { server, url, passthrough } = await rawPass(t, () => {})
  const { head, req } = send(`${url}/health`, { method: 'GET' })
  const x = await server.exchange()
  const drained = passthrough.drained(10_000)
  x.sse()
  t.equal(await drained, true)
  await head
  t.equal(await passthrough.drained(0), true)
  t.equal(passthrough.inFlight.requests, 1)
  req.destroy()
  await x.aborted
})

t.test('an address of IPv6 as target', async t => {
  trackLeaks(t)
  const server = createServer(socket =>
    socket.once('data', bytes => socket.end(`HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n${bytes}`))
  )
  const bound = await new Promise<boolean>(resolve => {
    server.once('error', () => resolve(false))
    server.listen(0, '::1', () => resolve(true))
  })
  if (!bound) return t.pass('this machine has no IPv6')
  t.teardown(() => new Promise(resolve => server.close(resolve)))
  const { port } = server.address() as { port: number }
  const { url } = await passDoor(t, `http://[::1]:${port}/mcp`)
  t.match((await get(`${url}/health`)).text, new RegExp(`^host: \\[::1\\]:${port}`, 'im'))
})
