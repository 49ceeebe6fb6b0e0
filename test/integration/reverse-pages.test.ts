/** What is not MCP, and who asked, through a whole reverse proxy: its listeners, its routes, its order of closing. */
import { connect, type OutgoingHttpHeaders } from 'node:http2'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { MemorySessionStore, type Reverse, type ReverseOptions, type RouteOptions } from '../../src/index.ts'
import { echo, echoWithHandshake, type RawHttpServer, type Script, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { CA, SERVER_TLS } from '../fixtures/tls/certificates.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost, rawRequest, send } from '../helpers/raw-client.ts'
import { rpc } from '../helpers/rpc.ts'
import { waitFor } from '../helpers/wait.ts'
import { asking, dial } from '../proxy/passthrough-door.ts'
import { ANYWHERE, openReverse, to } from './reverse-door.ts'

interface Front {
  readonly server: RawHttpServer
  readonly proxy: Reverse
  readonly origin: string
}

async function front(
  t: Test,
  script: Script = echo,
  route: Partial<RouteOptions> = {},
  options: Partial<ReverseOptions> = {}
): Promise<Front> {
  trackLeaks(t)
  const server = await startRawHttp(script)
  t.teardown(() => server.close())
  const passthrough = ['/everything/*', '/.well-known/oauth-protected-resource/everything/mcp']
  const proxy = await openReverse(t, { everything: to(server, { passthrough, ...route }) }, options)
  return { server, proxy, origin: proxy.origins[0]! }
}

const get = (url: string, headers: readonly string[] = []) => rawRequest(url, { method: 'GET', headers })

t.test('pages and metadata lead to the server, MCP stays MCP, and all else is nowhere', async t => {
  const { server, origin } = await front(t, x => (x.method === 'POST' ? echo(x) : x.redirect('/login', 302)))
  t.match(await get(`${origin}/everything/start`), { status: 302, headers: { location: '/everything/login' } })
  t.equal((await get(`${origin}/.well-known/oauth-protected-resource/everything/mcp`)).status, 302)
  t.match((await rawPost(`${origin}/everything/mcp`, rpc(1, 'x'))).json(), { id: 1 })
  t.same(
    server.exchanges.map(x => `${x.method} ${x.path}`),
    ['GET /start', 'GET /.well-known/oauth-protected-resource/mcp', 'POST /mcp']
  )
  for (const path of ['/', '/health', '/everything', '/everything/../mcp', '/everything//x'])
    t.equal((await get(`${origin}${path}`)).status, 404, path)
  t.equal(server.exchanges.length, 3)
})

t.test('nobody sees a page who may not come in', async t => {
  const { server, origin } = await front(t, x => x.respond(200, 'text/plain', 'page'), { tokens: ['s3cret'] })
  const page = `${origin}/everything/page`
  t.match(await get(page), { status: 401, headers: { 'www-authenticate': /Bearer/ } })
  t.equal((await get(page, ['Authorization', 'Bearer wrong'])).status, 401)
  t.equal((await get(page, ['Host', 'evil.example', 'Catflap-Token', 's3cret'])).status, 403)
  t.equal((await get(page, ['Origin', 'https://evil.example', 'Catflap-Token', 's3cret'])).status, 403)
  t.equal(server.exchanges.length, 0)
  t.equal((await get(page, ['Authorization', 'Bearer s3cret'])).text, 'page')
  const { headers } = await server.exchange()
  t.notOk('authorization' in headers)
  const { port } = new URL(origin)
  const line = await dial(
    t,
    Number(port),
    asking()
      .replace('front.test', 'localhost')
      .replace(/Origin: .*\r\n/, '')
  )
  await line.closed
  t.match(line.heard(), /^HTTP\/1\.1 401 /)
})

t.test('a WebSocket passes, and ends when the proxy is closed', async t => {
  const { server, proxy, origin } = await front(t)
  server.next(
    x => void x.raw('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhi')
  )
  const port = Number(new URL(origin).port)
  const line = await dial(
    t,
    port,
    asking()
      .replace('front.test', 'localhost')
      .replace(/Origin: .*\r\n/, '')
  )
  t.match(await line.until(/hi$/), /^HTTP\/1\.1 101 /)
  t.equal((await rawPost(`${origin}/everything/mcp`, rpc(1, 'x'))).status, 200, 'beside it, all else goes on')
  await proxy.close({ drainTimeout: 0 })
  await line.closed
})

for (const tokens of [[], ['s3cret']])
  t.test(
    `a WebSocket asked for behind a request without its answer is none${tokens.length > 0 ? ', also without a token' : ''}`,
    async t => {
      const { server, origin } = await front(t, x => x.respond(200, 'text/plain', 'no WebSocket'), { tokens })
      server.next(() => {})
      const first = [
        'GET /everything/slow HTTP/1.1',
        'Host: localhost',
        ...tokens.map(token => `Catflap-Token: ${token}`)
      ]
      const second = asking()
        .replace('front.test', 'localhost')
        .replace(/Origin: .*\r\n/, '')
      const line = await dial(t, Number(new URL(origin).port), `${first.join('\r\n')}\r\n\r\n${second}`)
      const slow = await server.exchange()
      if (tokens.length === 0) await server.exchange(2)
      slow.respond(200, 'text/plain', 'the first answer')
      const heard = await line.until(tokens.length > 0 ? /HTTP\/1\.1 401 / : /no WebSocket/)
      t.match(heard, /^HTTP\/1\.1 200 [\s\S]*the first answer/)
      t.equal(heard.indexOf('HTTP/1.1', 1), heard.lastIndexOf('HTTP/1.1'), 'two answers, in their order')
      t.ok(heard.indexOf('the first answer') < heard.lastIndexOf('HTTP/1.1'))
      t.equal(
        (await get(`${origin}/everything/page`, tokens.length > 0 ? ['Catflap-Token', 's3cret'] : [])).status,
        200
      )
      line.socket.destroy()
    }
  )

t.test('an upgrade to anything else is ignored on MCP', async t => {
  const { origin } = await front(t)
  const asked = { connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c', 'http2-settings': 'AAMAAABkAAQAAP__' }
  t.match((await rawPost(`${origin}/everything/mcp`, rpc(1, 'x'), asked)).json(), { id: 1 })
  const socket = { connection: 'Upgrade', upgrade: 'websocket' }
  t.match((await rawPost(`${origin}/everything/mcp`, rpc(2, 'x'), socket)).json(), { id: 2 })
})

for (const tls of [false, true])
  t.test(`pages over HTTP/2 ${tls ? 'with' : 'without'} TLS`, async t => {
    const { certificate, key } = { certificate: SERVER_TLS.cert, key: SERVER_TLS.key }
    const listeners = [{ host: '127.0.0.1', port: 0, ...(tls && { tls: { certificate, key } }) }]
    const script: Script = x =>
      x.head(201, ['Location', '/a/1', 'Set-Cookie', 'a=1; Path=/', 'Set-Cookie', 'b=2']).end(`${x.method} ${x.text}`)
    const { server, origin } = await front(t, script, {}, { listeners })
    const session = connect(origin, { ca: CA })
    const closed = new Promise(resolve => session.once('close', resolve))
    t.teardown(async () => {
      session.destroy()
      await closed
    })
    const ask = async (headers: OutgoingHttpHeaders, body?: string): Promise<{ head: unknown; text: string }> => {
      const stream = session.request({ ':path': '/everything/a', ...headers }, { endStream: body === undefined })
      if (body !== undefined) stream.end(body)
      const [head] = await waitFor(stream, 'response')
      return { head, text: await text(stream) }
    }
    t.match(await ask({ ':method': 'POST' }, 'hello'), {
      head: { ':status': 201, location: '/everything/a/1', 'set-cookie': ['a=1; Path=/everything', 'b=2'] },
      text: 'POST hello'
    })
    t.match(await ask({}), { text: 'GET ' })
    t.match((await server.exchange(2)).headers, {
      host: `127.0.0.1:${server.port}`,
      'x-forwarded-proto': tls ? 'https' : 'http',
      'x-forwarded-host': new URL(origin).host,
      'x-forwarded-for': '127.0.0.1'
    })
    // One that is reset frees the server, and its neighbours go on.
    server.next(x => void x.sse())
    const held = session.request({ ':path': '/everything/events' })
    held.on('error', () => {})
    await waitFor(held, 'response')
    held.close(8)
    await (await server.exchange(3)).aborted
    t.match(await ask({}), { text: 'GET ' })
  })

t.test('a request that names two hosts is refused, whatever it asks for', async t => {
  const { server, origin } = await front(t)
  const two = ['Host: localhost', 'Host: evil.example', 'Connection: close']
  const upgrade = ['Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==']
  for (const path of ['/everything/page', '/everything/mcp'])
    for (const more of [[], upgrade]) {
      const head = [`GET ${path} HTTP/1.1`, ...two.slice(0, more.length > 0 ? 2 : 3), ...more]
      const line = await dial(t, Number(new URL(origin).port), `${head.join('\r\n')}\r\n\r\n`)
      t.match(await line.until(/names its host twice/), /^HTTP\/1\.1 400 /)
      line.socket.destroy()
    }
  t.equal(server.exchanges.length, 0)
})

t.test('a server that breaks its answers off does not cost its client the connection', async t => {
  const { origin } = await front(t, async x => {
    if (x.path === '/whole') return x.respond(200, 'text/plain', 'whole')
    x.head(200, ['Content-Length', '100'])
    await x.write('half')
    x.cut()
  })
  const session = connect(origin)
  session.on('error', () => {})
  const closed = new Promise(resolve => session.once('close', resolve))
  t.teardown(async () => {
    session.destroy()
    await closed
  })
  for (let n = 0; n < 250; n++) {
    const stream = session.request({ ':path': '/everything/broken' })
    stream.resume()
    await new Promise(resolve => stream.once('error', resolve))
    if (stream.rstCode !== 2) t.equal(stream.rstCode, 2, `${n}`)
  }
  const whole = session.request({ ':path': '/everything/whole' })
  t.equal(await text(whole), 'whole')
})

t.test('an upload that comes too slowly is none for the server', async t => {
  const listeners = [{ ...ANYWHERE[0]!, settings: { clientTimeout: 1_000 } }]
  const { server, origin } = await front(t, x => x.respond(200, 'text/plain', 'got it'), {}, { listeners })
  const session = connect(origin)
  session.on('error', () => {})
  const closed = new Promise(resolve => session.once('close', resolve))
  t.teardown(async () => {
    session.destroy()
    await closed
  })
  const stream = session.request({ ':path': '/everything/up', ':method': 'POST' })
  stream.on('error', () => {})
  stream.write('half')
  const [head] = (await waitFor(stream, 'response')) as [Record<string, unknown>]
  t.equal(head[':status'], 408)
  await waitFor(stream.resume(), 'close')
  const after = session.request({ ':path': '/everything/after' })
  t.equal(await text(after), 'got it')
  t.same(
    server.exchanges.map(x => x.path),
    ['/after']
  )
})

t.test('a server is told who asks for MCP; what a client says of itself is not passed on', async t => {
  const { server, origin } = await front(t, echoWithHandshake())
  await rawPost(`${origin}/everything/mcp`, rpc(1, 'x'), { forwarded: 'for=1.2.3.4', 'x-forwarded-for': '1.2.3.4' })
  const { host } = new URL(origin)
  t.match((await server.exchange()).headers, {
    forwarded: `by=_catflap;for=127.0.0.1;host="${host}";proto=http`,
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-host': host,
    'x-forwarded-prefix': '/everything'
  })
})

t.test('a trusted proxy is added to', async t => {
  const { server, origin } = await front(t, echoWithHandshake(), {}, { trustedProxies: ['127.0.0.0/8'] })
  await rawPost(`${origin}/everything/mcp`, rpc(1, 'x'), {
    'x-forwarded-for': '203.0.113.9',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'mcp.example.com'
  })
  t.match((await server.exchange()).headers, {
    'x-forwarded-for': '203.0.113.9, 127.0.0.1',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'mcp.example.com'
  })
})

t.test('rules for headers hold for pages as for MCP', async t => {
  const headers = { request: { set: { 'X-Team': 'blue' } }, response: { set: { 'X-Front': 'catflap' } } }
  const { server, origin } = await front(
    t,
    x => (x.method === 'POST' ? echo(x) : x.respond(200, 'text/plain', 'page')),
    {
      headers
    }
  )
  t.equal((await get(`${origin}/everything/page`)).headers['x-front'], 'catflap')
  t.equal((await rawPost(`${origin}/everything/mcp`, rpc(1, 'x'))).headers['x-front'], 'catflap')
  for (const n of [1, 2]) t.equal((await server.exchange(n)).headers['x-team'], 'blue')
})

t.test('a page under way when its route is replaced is finished by the old one', async t => {
  trackLeaks(t)
  const [first, second] = [await startRawHttp(() => {}), await startRawHttp(x => x.respond(200, 'text/plain', 'new'))]
  for (const server of [first, second]) t.teardown(() => server.close())
  const store = new MemorySessionStore({ maxSessions: 1, idleTtl: 1_000, maxTtl: 1_000 })
  const closed = new Promise<void>(resolve => {
    const close = store.close.bind(store)
    store.close = async () => {
      await close()
      resolve()
    }
  })
  const passthrough = ['/everything/*']
  // The second has nothing under way: it goes as soon as a route may, and tells so.
  const proxy = await openReverse(t, { everything: to(first, { passthrough }), idle: to(first, { store }) })
  const page = `${proxy.origins[0]}/everything/page`
  const old = get(page)
  const x = await first.exchange()
  await proxy.reload({ listeners: ANYWHERE, routes: { everything: to(second, { passthrough }) } })
  t.equal((await get(page)).text, 'new')
  await closed
  x.respond(200, 'text/plain', 'old')
  t.equal((await old).text, 'old')
})

t.test('a page that is not finished does not keep the proxy from closing', async t => {
  const { server, proxy, origin } = await front(t, x => void x.sse())
  const { head } = send(`${origin}/everything/events`, { method: 'GET' })
  const res = await head
  res.on('error', () => {})
  const gone = new Promise(resolve => res.once('close', resolve))
  const x = await server.exchange()
  await proxy.close({ drainTimeout: 0 })
  await Promise.all([x.aborted, gone])
})
