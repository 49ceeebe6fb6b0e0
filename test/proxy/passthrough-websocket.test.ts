/** WebSockets on the paths of a passthrough, and other things that `Upgrade` may name. */
import { createServer } from 'node:http'
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import { echo } from '../fixtures/servers/raw-http.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawRequest } from '../helpers/raw-client.ts'
import { Inbox, waitFor } from '../helpers/wait.ts'
import { asking, dial, listen, type PassDoor, type PassOptions, passDoor, rawPass } from './passthrough-door.ts'

interface Chat extends PassDoor {
  /** The target's ends of the WebSockets, with the heads that asked for them. */
  readonly opened: Inbox<{ readonly head: string; readonly socket: Socket }>
}

/** A target that agrees to every WebSocket and says back what it hears. */
async function chat(t: Test, options: PassOptions = {}, more: readonly string[] = []): Promise<Chat> {
  trackLeaks(t)
  const opened: Chat['opened'] = new Inbox('WebSockets')
  const server = createServer((_, res) => res.end('no WebSocket'))
  server.on('upgrade', (req, socket, first) => {
    const answer = ['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade', ...more]
    socket.write(`${answer.join('\r\n')}\r\n\r\n`)
    socket.write(first)
    socket.on('error', () => {})
    socket.pipe(socket)
    opened.push({ head: `${req.url}\n${JSON.stringify(req.headers)}`, socket: socket as Socket })
  })
  const port = await listen(t, server)
  return { opened, ...(await passDoor(t, `http://127.0.0.1:${port}/mcp`, options)) }
}

t.test('a WebSocket is joined with the target, with all that was said before', async t => {
  const { port, opened, passthrough } = await chat(t, {}, [
    'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
    'Set-Cookie: a=1; Path=/',
    'Set-Cookie: b=2',
    'Keep-Alive: timeout=5'
  ])
  const line = await dial(t, port, `${asking('Authorization: Bearer for-the-server', 'Catflap-Token: s3cret')}early `)
  const heard = await line.until(/early $/)
  t.match(heard, /^HTTP\/1\.1 101 Switching Protocols\r\n/)
  t.match(heard, /\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/i)
  t.match(heard, /\r\nset-cookie: a=1; Path=\/everything\r\n[\s\S]*set-cookie: b=2\r\n/i)
  t.match(heard, /\r\nvia: 1\.1 catflap\r\n/i)
  t.match(heard, /\r\nupgrade: websocket\r\n/i)
  t.notMatch(heard, /keep-alive/i)
  line.socket.write('later')
  await line.until(/early later$/)
  const { head, socket } = await opened.next()
  t.match(head, /^\/chat\n/)
  t.match(JSON.parse(head.split('\n')[1]!), {
    upgrade: 'websocket',
    connection: 'Upgrade',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    authorization: 'Bearer for-the-server',
    'x-forwarded-proto': 'http',
    'x-forwarded-prefix': '/everything',
    via: '1.1 catflap',
    origin: undefined,
    'catflap-token': undefined
  })
  t.same(passthrough.inFlight, { requests: 0, webSockets: 1 })
  line.socket.end()
  if (!socket.closed) await waitFor(socket, 'close')
  await line.closed
})

t.test('it ends on both sides, whichever goes first', async t => {
  const { port, opened, ended, passthrough } = await chat(t)
  const ends: ((client: Socket, server: Socket) => void)[] = [
    client => client.end(),
    client => client.destroy(),
    client => client.resetAndDestroy(),
    (_, server) => server.end(),
    (_, server) => server.destroy(),
    (_, server) => server.resetAndDestroy()
  ]
  for (const end of ends) {
    const line = await dial(t, port, asking())
    await line.until(/\r\n\r\n/)
    const { socket } = await opened.next()
    const closed = waitFor(socket, 'close')
    end(line.socket, socket)
    await Promise.all([closed, line.closed])
    t.match(await ended.next(), { result: /^(?:answered|failed)$/, status: 101 })
  }
  t.same(passthrough.inFlight, { requests: 0, webSockets: 0 })
})

t.test('closing ends all of them', async t => {
  const { port, opened, passthrough } = await chat(t)
  const open = await Promise.all([1, 2, 3].map(() => dial(t, port, asking())))
  for (const line of open) await line.until(/\r\n\r\n/)
  const sockets = await Promise.all([1, 2, 3].map(() => opened.next()))
  const closed = sockets.map(({ socket }) => waitFor(socket, 'close'))
  await passthrough.close()
  await Promise.all([...closed, ...open.map(line => line.closed)])
  const late = await dial(t, port, asking())
  await late.closed
  t.match(late.heard(), /^HTTP\/1\.1 503 [\s\S]*shutting_down/)
})

t.test('a flood is taken no faster than it is read', async t => {
  const { port, opened } = await chat(t)
  const line = await dial(t, port, asking())
  await line.until(/\r\n\r\n/)
  const { socket } = await opened.next()
  socket.unpipe()
  line.socket.pause()
  const chunk = Buffer.alloc(1024 * 1024)
  let written = 0
  // The kernel's buffers on the way hold some MiB; what is beyond waits at the target.
  while (written < 64 && socket.writableLength < 8 * chunk.length) {
    socket.write(chunk)
    written++
    await new Promise(resolve => setImmediate(resolve))
  }
  t.ok(written < 64, `${written} MiB were taken for a client that reads nothing`)
  const closed = new Promise(resolve => socket.once('close', resolve))
  line.socket.destroy()
  await closed
})

t.test('a target that wants none answers as to any request, and the connection ends', async t => {
  const { server, port, ended } = await rawPass(t)
  server.always(x => x.head(302, ['Location', '/login', 'Set-Cookie', 'a=1; Path=/', 'Set-Cookie', 'b=2']).end('go'))
  const line = await dial(t, port, asking())
  await line.closed
  t.match(
    line.heard(),
    /^HTTP\/1\.1 302 Found\r\n[\s\S]*Location: \/everything\/login\r\n[\s\S]*\r\nConnection: close\r\n/i
  )
  t.match(line.heard(), /set-cookie: a=1; Path=\/everything\r\nset-cookie: b=2\r\n/i)
  t.match(line.heard(), /go/)
  t.match(await ended.next(), { result: 'answered', status: 302 })
  server.always(async x => {
    x.head(200, ['Content-Length', '100'])
    await x.write('half')
    x.cut()
  })
  const broken = await dial(t, port, asking())
  await broken.closed
  t.match(await ended.next(), { result: 'failed', code: 'upstream_reset' })
})

t.test('a refusal that is large is held back for a client that does not read', async t => {
  const size = 64
  let written = 0
  const { server, port } = await rawPass(t, async x => {
    x.head(200, ['Content-Type', 'text/plain'])
    for (; written < size; written++) await x.write(Buffer.alloc(1024 * 1024)).catch(() => {})
    x.end()
  })
  const line = await dial(t, port, asking())
  await line.until(/200 OK/)
  line.socket.pause()
  const x = await server.exchange()
  line.socket.destroy()
  await x.aborted
  t.pass()
})

t.test('only a 101 to a WebSocket joins the two', async t => {
  const { server, port } = await rawPass(t)
  for (const answer of [
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n',
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n'
  ]) {
    server.always(x => void x.raw(answer))
    const line = await dial(t, port, `${asking()}GET /admin HTTP/1.1\r\nHost: x\r\n\r\n`)
    await line.closed
    t.match(line.heard(), /^HTTP\/1\.1 502 /)
  }
  // The classic: refused by the target, taken for open by the proxy, and what follows goes past every check.
  server.always(x => x.respond(426, 'text/plain', 'version', ['Sec-WebSocket-Version', '13']))
  const before = server.exchanges.length
  const line = await dial(t, port, `${asking()}GET /admin HTTP/1.1\r\nHost: x\r\n\r\n`)
  await line.closed
  t.match(line.heard(), /^HTTP\/1\.1 426 /)
  t.same(
    server.exchanges.slice(before).map(x => x.path),
    ['/chat']
  )
})

t.test('a target that cannot be reached, or does not answer', async t => {
  const { server, port, ended } = await rawPass(t, () => {}, { settings: { requestTimeout: 100 } })
  const slow = await dial(t, port, asking())
  await slow.closed
  t.match(slow.heard(), /^HTTP\/1\.1 504 [\s\S]*upstream_timeout/)
  t.match(await ended.next(), { result: 'failed', status: 504 })
  server.always(x => x.reset())
  const reset = await dial(t, port, asking())
  await reset.closed
  t.match(reset.heard(), /^HTTP\/1\.1 502 [\s\S]*upstream_reset/)
  await server.close()
  const gone = await dial(t, port, asking())
  await gone.closed
  t.match(gone.heard(), /^HTTP\/1\.1 502 [\s\S]*upstream_unreachable/)
})

t.test('a client that leaves before the answer frees the target', async t => {
  const { server, port, ended } = await rawPass(t, () => {})
  const line = await dial(t, port, asking())
  const x = await server.exchange()
  line.socket.destroy()
  await x.aborted
  t.match(await ended.next(), { result: 'gone' })
})

t.test('more than there may be streams: 503', async t => {
  const { port, opened } = await chat(t, { settings: { maxStreams: 1 } })
  const first = await dial(t, port, asking())
  await first.until(/\r\n\r\n/)
  await opened.next()
  const second = await dial(t, port, asking())
  await second.closed
  t.match(second.heard(), /^HTTP\/1\.1 503 [\s\S]*Retry-After: 1[\s\S]*upstream_queue_full/)
})

t.test('paths that are not named, and disguises, get no WebSocket', async t => {
  const { port, opened } = await chat(t)
  for (const path of ['/other', '/everything/../other', '//evil.example/everything/chat']) {
    const line = await dial(t, port, asking().replace('/everything/chat', path))
    await line.closed
    t.match(line.heard(), /^HTTP\/1\.1 404 /, path)
  }
  t.equal(opened.items.length, 0)
})

t.test('any other protocol that is asked for is ignored, as is what is no proper question', async t => {
  const { server, port, passthrough } = await rawPass(t, x => x.respond(200, 'text/plain', `${x.method} ${x.text}`))
  const requests: Record<string, string> = {
    'HTTP/2 on clear text, as the clients of Java ask for it with every POST':
      'POST /health HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\nContent-Length: 2\r\n\r\nhi',
    TLS: 'GET /health HTTP/1.1\r\nHost: a\r\nConnection: upgrade, close\r\nUpgrade: TLS/1.0\r\n\r\n',
    'by POST':
      'POST /health HTTP/1.1\r\nHost: a\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nhi',
    'with content':
      'GET /health HTTP/1.1\r\nHost: a\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nhi',
    'several at once':
      'GET /health HTTP/1.1\r\nHost: a\r\nConnection: upgrade, close\r\nUpgrade: websocket, h2c\r\n\r\n'
  }
  for (const [what, bytes] of Object.entries(requests)) {
    const line = await dial(t, port, bytes)
    await line.closed
    t.match(line.heard(), /^HTTP\/1\.1 200 OK/, what)
  }
  for (const x of server.exchanges) t.notOk('upgrade' in x.headers || 'http2-settings' in x.headers)
  t.same(passthrough.inFlight, { requests: 0, webSockets: 0 })
})

t.test('where a server has asked nobody, an upgrade to something else is refused', async t => {
  trackLeaks(t)
  const { passthrough } = await passDoor(t, 'http://127.0.0.1:9/mcp')
  const server = createServer(() => {})
  server.on('upgrade', (req, socket, head) => passthrough.upgrade(req, socket as Socket, head))
  const port = await listen(t, server)
  const line = await dial(t, port, asking().replace('Upgrade: websocket', 'Upgrade: h2c'))
  await line.closed
  t.match(line.heard(), /^HTTP\/1\.1 400 [\s\S]*Connection: close[\s\S]*WebSocket/)
})

t.test('frames pass as the bytes they are', async t => {
  const { port, opened } = await chat(t)
  const line = await dial(t, port, asking())
  await line.until(/\r\n\r\n/)
  await opened.next()
  const frame = Buffer.from([0x81, 0x82, 1, 2, 3, 4, 0x68 ^ 1, 0x69 ^ 2])
  line.socket.write(frame)
  const heard = await line.until(/\r\n\r\n[\s\S]{8}$/)
  t.equal(heard.slice(-8), frame.toString('latin1'))
})

t.test('requests beside WebSockets are answered as ever', async t => {
  const { server, url, port } = await rawPass(t, echo)
  const line = await dial(t, port, asking())
  await line.closed
  t.equal((await rawRequest(`${url}/health`, { body: '{"jsonrpc":"2.0","id":1,"method":"x"}' })).status, 200)
  t.same(server.errors, [])
})
