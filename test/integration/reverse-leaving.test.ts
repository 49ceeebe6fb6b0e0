/** A listener gets other settings while clients are connected: whoever is loses nothing, and is told in time to connect anew. */
import { connect as connectHttp2 } from 'node:http2'
import t, { type Test } from 'tap'
import type { Reverse } from '../../src/index.ts'
import { echo, type RawHttpServer, type Script, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { POST_HEADERS, rpc } from '../helpers/rpc.ts'
import { waitFor, within } from '../helpers/wait.ts'
import { asking, dial } from '../proxy/passthrough-door.ts'
import { END_HEADERS, END_STREAM, fields, frame, rawClient, TYPE, u32 } from '../transport/raw-http2.ts'
import { openReverse, to } from './reverse-door.ts'

const BODY = JSON.stringify(rpc(1, 'x'))
const HEAD = Object.entries({ ...POST_HEADERS, host: '127.0.0.1', 'content-length': String(BODY.length) })
const REQUEST = `POST /a/mcp HTTP/1.1\r\n${HEAD.map(([name, value]) => `${name}: ${value}`).join('\r\n')}\r\n\r\n${BODY}`

interface Front {
  readonly server: RawHttpServer
  readonly proxy: Reverse
  readonly port: number
  /** The listener gets other settings. */
  change(drainTimeout: number): Promise<void>
}

async function front(t: Test, script: Script = echo): Promise<Front> {
  trackLeaks(t)
  const server = await startRawHttp(script)
  t.teardown(() => server.close())
  const routes = { a: to(server, { passthrough: ['/everything/*'] }) }
  const proxy = await openReverse(t, routes)
  const port = Number(new URL(proxy.origins[0]!).port)
  const change = async (drainTimeout: number) => {
    const settings = { maxConnections: 50 }
    await proxy.reload({ listeners: [{ host: '127.0.0.1', port: 0, settings }], routes, drainTimeout })
    t.equal((await rawPost(proxy.urlOf('a'), rpc(9, 'x'))).status, 200, 'and who is new is served')
  }
  return { server, proxy, port, change }
}

t.test('connections of HTTP/1.1 on which nothing is under way are not cut: their next answer tells them', async t => {
  const { port, proxy, change } = await front(t)
  const idle = await dial(t, port, REQUEST)
  t.notMatch(await idle.until(/"result"/), /connection: close/i)
  const lines = [idle, await dial(t, port, ''), await dial(t, port, REQUEST.slice(0, 40))]
  while (proxy.stats.connections < lines.length) await new Promise(resolve => setImmediate(resolve))
  await change(60_000)
  for (const [i, { socket, until, closed }] of lines.entries()) {
    socket.write(i === 2 ? REQUEST.slice(40) : REQUEST)
    t.match(await until(/connection: close/i), /^HTTP\/1\.1 200 /)
    await within(closed)
  }
})

t.test('who connects meanwhile is not turned away', async t => {
  const { proxy, server } = await front(t)
  const url = proxy.urlOf('a')
  let stop = false
  const statuses = new Set<number | string>()
  const knock = async () => {
    while (!stop) statuses.add(await rawPost(url, rpc(1, 'x')).then(({ status }) => status, String))
  }
  const knocking = Array.from({ length: 10 }, knock)
  for (let n = 0; n < 10; n++) {
    await server.counters.until('POST', server.exchanges.length + 10)
    const listeners = [
      { host: '127.0.0.1', port: 0, settings: { maxConnections: 50 + n } },
      // The same port elsewhere is another listener.
      { host: '127.0.0.2', port: Number(new URL(url).port) }
    ]
    await proxy.reload({ listeners, routes: { a: to(server, { passthrough: ['/everything/*'] }) } })
  }
  stop = true
  await Promise.all(knocking)
  t.same([...statuses], [200])
})

t.test('a WebSocket goes on for as long as a drain takes', async t => {
  const { server, port, proxy, change } = await front(t)
  const upgrade = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhi'
  server.next(x => void x.raw(upgrade))
  const words = asking()
    .replace('front.test', 'localhost')
    .replace(/Origin: .*\r\n/, '')
  const line = await dial(t, port, words)
  t.match(await line.until(/hi$/), /^HTTP\/1\.1 101 /)
  await change(60_000)
  t.equal(proxy.routes[0]!.pages!.passthrough.inFlight.webSockets, 1)
  await proxy.close({ drainTimeout: 0 })
  await line.closed
})

t.test('a client of HTTP/2 that is never idle is told, and gets its answers', async t => {
  const { server, port, change } = await front(t)
  const session = connectHttp2(`http://127.0.0.1:${port}`)
  t.teardown(() => session.destroy())
  session.on('error', () => {})
  const goaway = waitFor(session, 'goaway', { timeoutMs: 20_000 })
  server.next(() => {})
  const stream = session.request({ ':method': 'POST', ':path': '/a/mcp', ...POST_HEADERS })
  const answered = waitFor(stream, 'response')
  stream.end(BODY)
  const call = await server.exchange()
  await change(6_000)
  t.equal((await goaway)[0], 0)
  call.json(200, '{"jsonrpc":"2.0","id":1,"result":{}}')
  t.match(await answered, [{ ':status': 200 }])
  const closed = waitFor(session, 'close')
  stream.resume()
  await closed
})

t.test('a client of HTTP/2 is sent away once it has been quiet for a while, not at once', async t => {
  const { server, port, change } = await front(t)
  const raw = await rawClient(t, { tls: false }, port)
  await raw.frames.until(f => f.type === TYPE.settings)
  const ask = (id: number) => {
    raw.write(frame(TYPE.headers, END_HEADERS, id, postHead(port)), frame(TYPE.data, END_STREAM, id, Buffer.from(BODY)))
    return raw.frames.until(f => f.type === TYPE.data && f.stream === id)
  }
  server.next(() => {})
  const first = ask(1)
  const call = await server.exchange()
  await change(60_000)
  call.json(200, '{"jsonrpc":"2.0","id":1,"result":{}}')
  await first
  await ask(3)
  const goaway = await raw.frames.until(f => f.type === TYPE.goaway)
  t.same([goaway.payload.readUInt32BE(0), goaway.payload.readUInt32BE(4)], [3, 0])
  await within(raw.closed)
})

t.test('a client of HTTP/2 that reads slowly gets all of its answer', async t => {
  const size = 8_000_000
  const { server, port, change } = await front(t, x =>
    x.json(200, `{"jsonrpc":"2.0","id":1,"result":"${'x'.repeat(size)}"}`)
  )
  const room = u32(2 ** 30)
  const raw = await rawClient(t, { tls: false }, port, Buffer.concat([Buffer.of(0, 4), room]))
  raw.write(frame(TYPE.window, 0, 0, room), frame(TYPE.headers, END_HEADERS, 1, postHead(port)))
  raw.write(frame(TYPE.data, END_STREAM, 1, Buffer.from(BODY)))
  await raw.frames.until(f => f.type === TYPE.data)
  raw.socket.pause()
  await server.counters.until('POST', 1)
  server.always(echo)
  await change(60_000)
  // It says so as it goes on reading: what the kernel still held would be lost with a server that had closed by then.
  raw.socket.on('data', () => {
    raw.socket.pause()
    raw.write(frame(TYPE.window, 0, 0, u32(1)))
    setTimeout(() => raw.socket.resume(), 4)
  })
  raw.socket.resume()
  await within(raw.closed)
  const got = raw.frames.items.filter(f => f.type === TYPE.data).reduce((sum, f) => sum + f.payload.length, 0)
  t.ok(got > size, `${got} bytes`)
})

function postHead(port: number): Buffer {
  return fields(
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', '/a/mcp'],
    [':authority', `localhost:${port}`],
    ...Object.entries(POST_HEADERS)
  )
}
