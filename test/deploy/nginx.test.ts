/** nginx itself, with the example's file, in front of catflap. */
import { writeFileSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { type ClientHttp2Session, connect } from 'node:http2'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { startHttpServer } from '../fixtures/servers/http-server.ts'
import { echoWithHandshake, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { CA } from '../fixtures/tls/certificates.ts'
import { connectHttp } from '../helpers/clients.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { openSse, rawPost, rawRequest } from '../helpers/raw-client.ts'
import { skipWithout } from '../helpers/require.ts'
import { POST_HEADERS, rpc } from '../helpers/rpc.ts'
import { spawnPeer } from '../helpers/stdio-peer.ts'
import { waitFor } from '../helpers/wait.ts'
import { openDoor } from '../integration/http-door.ts'
import { openReverse, to } from '../integration/reverse-door.ts'
import { asking, dial, passDoor } from '../proxy/passthrough-door.ts'
import {
  type Config,
  checkConfig,
  freePort,
  portOf,
  ROOT,
  read,
  skipWithoutCommand,
  tempFolder,
  yaml
} from './example.ts'

const skip = process.platform === 'win32' ? 'nginx is tried on Unix' : skipWithout('nginx', ['-v'])
const config = yaml('nginx/catflap.yaml') as Config
const FIXTURES = path.join(ROOT, 'test/fixtures/tls')

interface Nginx {
  readonly port: number
  readonly url: string
}

/** The example as it is, but for its ports, its certificates, and where it writes. */
async function startNginx(t: Test, upstream: string | number, { tls = false } = {}): Promise<Nginx> {
  const folder = tempFolder(t)
  const port = await freePort()
  const places = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map(n => `${n}_temp_path ${folder}/${n};`)
    .join('\n')
  const lines = read('nginx/nginx.conf')
    .replace('http {', `http {\naccess_log off;\n${places}`)
    .replace('worker_processes auto', 'worker_processes 1')
    .replace(`server 127.0.0.1:${portOf(config.listeners[0]!.address)};`, `server 127.0.0.1:${upstream};`)
    .replace('listen 443 ssl http2;', `listen 127.0.0.1:${port}${tls ? ' ssl http2' : ''};`)
    .replaceAll('/etc/nginx/tls', FIXTURES)
    .split('\n')
  const own = tls ? lines : lines.filter(line => !/^\s*ssl_/.test(line))
  const file = path.join(folder, 'nginx.conf')
  writeFileSync(file, own.join('\n'))
  const more = `daemon off; pid ${folder}/nginx.pid; error_log stderr notice;`
  const run = spawnPeer(['nginx', '-e', 'stderr', '-p', folder, '-c', file, '-g', more])
  t.teardown(async () => {
    run.proc.kill('SIGTERM')
    await run.exit
  })
  await run.untilStderr(/start worker process \d+/, { timeoutMs: 20_000 })
  return { port, url: `http${tls ? 's' : ''}://127.0.0.1:${port}` }
}

const door = (t: Test, url: string): ReturnType<typeof openDoor> =>
  openDoor(t, url, { allowHosts: ['mcp.example.com'], settings: { keepAlive: 200 } })
const portIn = (url: string): string => new URL(url).port

t.test('a client of the SDK works through it', { skip }, async t => {
  trackLeaks(t)
  const server = await startHttpServer()
  t.teardown(() => server.close())
  const { url } = await door(t, server.url)
  const nginx = await startNginx(t, portIn(url))
  const client = await connectHttp(`${nginx.url}/mcp`)
  t.teardown(() => client.close())
  await client.listening()
  t.match(await client.client.callTool({ name: 'add', arguments: { a: 1, b: 2 } }), { content: [{ text: '3' }] })
  await client.terminate()
})

t.test(
  'events pass one by one, comments keep a silent stream open, and its end reaches the server',
  { skip },
  async t => {
    trackLeaks(t)
    const server = await startRawHttp(x => void x.sse())
    t.teardown(() => server.close())
    const { url } = await door(t, server.url)
    const nginx = await startNginx(t, portIn(url))
    const stream = await openSse(`${nginx.url}/mcp`)
    const x = await server.exchange()
    for (const n of [1, 2, 3]) {
      // The next is sent only once this one is there.
      await x.sendMessage({ n })
      t.same(await stream.nextMessage(), { n })
    }
    const comment = await stream.next()
    t.ok(comment.comments.length > 0)
    stream.close()
    await x.aborted
  }
)

t.test('what a client says of itself does not pass; what nginx says does', { skip }, async t => {
  trackLeaks(t)
  const server = await startRawHttp(echoWithHandshake())
  t.teardown(() => server.close())
  const { url } = await door(t, server.url)
  const nginx = await startNginx(t, portIn(url))
  await rawPost(`${nginx.url}/mcp`, rpc(1, 'x'), {
    host: 'mcp.example.com',
    forwarded: 'for=1.2.3.4',
    'x-forwarded-for': '1.2.3.4',
    'x-forwarded-proto': 'https',
    'x-forwarded-prefix': '/evil',
    'x-real-ip': '1.2.3.4'
  })
  const { headers } = await server.exchange()
  t.match(headers, {
    forwarded: 'for=127.0.0.1;proto=http',
    'x-forwarded-for': '127.0.0.1',
    'x-forwarded-proto': 'http',
    'x-forwarded-host': 'mcp.example.com'
  })
  t.notMatch(JSON.stringify(headers), /1\.2\.3\.4|evil/)
})

t.test(
  'catflap takes from it who the client is',
  { skip: skip || (process.platform !== 'linux' && 'needs 127.0.0.2') },
  async t => {
    trackLeaks(t)
    const server = await startRawHttp(echoWithHandshake())
    t.teardown(() => server.close())
    const { allowHosts } = (config.routes as Record<string, { allowHosts: string[] }>).everything!
    const proxy = await openReverse(
      t,
      { everything: to(server, { allowHosts }) },
      { trustedProxies: config.trustedProxies }
    )
    const nginx = await startNginx(t, portIn(proxy.origins[0]!))
    const headers = { ...POST_HEADERS, host: 'mcp.example.com', 'x-forwarded-for': '1.2.3.4' }
    const at = {
      port: nginx.port,
      path: '/everything/mcp',
      method: 'POST',
      localAddress: '127.0.0.2',
      agent: false,
      headers
    }
    const req = request(at).end(JSON.stringify(rpc(1, 'x')))
    const [res] = (await waitFor(req, 'response')) as [IncomingMessage]
    t.equal(res.statusCode, 200)
    res.resume()
    t.match((await server.exchange()).headers, {
      'x-forwarded-for': '127.0.0.2, 127.0.0.1',
      'x-forwarded-proto': 'http',
      'x-forwarded-host': 'mcp.example.com',
      'x-forwarded-prefix': '/everything',
      forwarded: 'for=127.0.0.2;proto=http, by=_catflap;for=127.0.0.1;host=mcp.example.com;proto=http'
    })
  }
)

t.test('its connections to catflap are used again, and large messages pass', { skip }, async t => {
  trackLeaks(t)
  const server = await startRawHttp(echoWithHandshake())
  t.teardown(() => server.close())
  const opened = await door(t, server.url)
  const nginx = await startNginx(t, portIn(opened.url))
  for (let i = 0; i < 20; i++) t.equal((await rawPost(`${nginx.url}/mcp`, rpc(i, 'x'))).status, 200)
  t.ok(opened.stats.connections <= 2, `${opened.stats.connections} connections`)
  const big = 'x'.repeat(8 * 1024 * 1024)
  t.equal((await rawPost(`${nginx.url}/mcp`, rpc(1, 'x', { big }))).body.length > big.length, true)
})

t.test('WebSockets pass to the pages of a route, and no other protocol does', { skip }, async t => {
  trackLeaks(t)
  const server = await startRawHttp(x => x.respond(200, 'text/plain', String(x.headers.upgrade)))
  t.teardown(() => server.close())
  const behind = await passDoor(t, server.url)
  const nginx = await startNginx(t, behind.port)
  server.next(
    x => void x.raw('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello')
  )
  const line = await dial(t, nginx.port, asking())
  t.match(await line.until(/hello$/), /^HTTP\/1\.1 101 /)
  line.socket.destroy()
  await behind.ended.next()
  const other = await rawRequest(`${nginx.url}/health`, {
    method: 'GET',
    headers: { connection: 'upgrade', upgrade: 'h2c' }
  })
  t.equal(other.text, 'undefined')
})

t.test('over TLS, with HTTP/2', { skip }, async t => {
  trackLeaks(t)
  const server = await startRawHttp(echoWithHandshake())
  t.teardown(() => server.close())
  const { url } = await door(t, server.url)
  const nginx = await startNginx(t, portIn(url), { tls: true })
  const session: ClientHttp2Session = connect(nginx.url, { ca: CA })
  t.teardown(async () => {
    const closed = waitFor(session, 'close')
    session.destroy()
    await closed
  })
  const stream = session.request({ ':method': 'POST', ':path': '/mcp', ...POST_HEADERS })
  stream.end(JSON.stringify(rpc(1, 'x')))
  const [head] = await waitFor(stream, 'response')
  t.match(head, { ':status': 200 })
  t.match(JSON.parse(await text(stream)), { id: 1, result: {} })
  t.match((await server.exchange()).headers, { 'x-forwarded-proto': 'https', forwarded: 'for=127.0.0.1;proto=https' })
})

t.test('catflap closes idle connections after nginx does', { skip: false }, async t => {
  const [, seconds] = /keepalive_timeout (\d+)s;/.exec(read('nginx/nginx.conf')) ?? []
  t.ok(Number(seconds) < 75)
  t.same(config.trustedProxies, ['127.0.0.1'])
})

t.test('the file is one that catflap takes', { skip: skipWithoutCommand('config') }, t =>
  checkConfig(t, read('nginx/catflap.yaml'))
)
