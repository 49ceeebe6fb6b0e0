/** What a server on HTTP/2 says not to have looked at is sent once more, and nothing else is. */
import { constants, createSecureServer, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { startRawHttp } from '../fixtures/servers/raw-http.ts'
import { CA, SERVER_TLS } from '../fixtures/tls/certificates.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { groupDoor } from './group-door.ts'

type OnStream = (stream: ServerHttp2Stream, n: number, session: ServerHttp2Session) => void

interface H2 {
  readonly url: string
  readonly ca: string
  readonly counts: { streams: number; answered: number; sessions: number }
}

/** Answers each stream that `onStream` leaves open. */
async function h2Server(t: Test, onStream: OnStream): Promise<H2> {
  const counts = { streams: 0, answered: 0, sessions: 0 }
  const server = createSecureServer({ ...SERVER_TLS })
  const sockets = new Set<Socket>()
  server.on('secureConnection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => sockets.delete(socket))
  })
  server.on('session', session => {
    counts.sessions++
    session.on('error', () => {})
  })
  server.on('stream', (stream: ServerHttp2Stream) => {
    stream.on('error', () => {})
    onStream(stream, ++counts.streams, stream.session as ServerHttp2Session)
    if (stream.closed || stream.destroyed) return
    buffer(stream).then(
      () => {
        if (stream.closed || stream.destroyed) return
        counts.answered++
        stream.respond({ ':status': 200, 'content-type': 'application/json' })
        stream.end('{"jsonrpc":"2.0","id":0,"result":{}}')
      },
      () => {}
    )
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(async () => {
    const closed = new Promise(resolve => server.close(resolve))
    for (const socket of sockets) socket.destroy()
    await closed
  })
  return { url: `https://localhost:${(server.address() as AddressInfo).port}/mcp`, ca: CA, counts }
}

t.test('a refused stream is sent once more on the same connection', async t => {
  trackLeaks(t)
  const server = await h2Server(t, (stream, n) => {
    if (n === 2) stream.close(constants.NGHTTP2_REFUSED_STREAM)
  })
  const door = await groupDoor(t, [server])
  for (let i = 0; i < 3; i++) t.equal((await door.call(i)).status, 200)
  t.same(server.counts, { streams: 4, answered: 3, sessions: 1 })
  t.same(door.again.items, ['refused_stream'])
})

t.test('a server that refuses all streams: another gets the call', async t => {
  trackLeaks(t)
  const server = await h2Server(t, stream => stream.close(constants.NGHTTP2_REFUSED_STREAM))
  const other = await startRawHttp()
  t.teardown(() => other.close())
  const door = await groupDoor(t, [server, other.url])
  for (let i = 0; i < 2; i++) t.equal((await door.call(i)).status, 200)
  t.equal(other.counters.count('POST'), 2)
  t.equal(server.counts.streams, 2, 'undici itself asks once more')
  t.same(door.again.items, ['refused_stream', 'refused_stream'])
})

t.test('a stream above the last of a GOAWAY goes over a new connection', async t => {
  trackLeaks(t)
  const server = await h2Server(t, (stream, n, session) => {
    if (n !== 2) return
    // The one before it is the last that was looked at.
    session.goaway(constants.NGHTTP2_NO_ERROR, (stream.id ?? 3) - 2)
    stream.close(constants.NGHTTP2_REFUSED_STREAM)
  })
  const door = await groupDoor(t, [server])
  for (let i = 0; i < 3; i++) t.equal((await door.call(i)).status, 200)
  t.equal(server.counts.answered, 3)
  t.ok(server.counts.sessions >= 2)
})

for (const [name, code] of [
  ['CANCEL', constants.NGHTTP2_CANCEL],
  ['INTERNAL_ERROR', constants.NGHTTP2_INTERNAL_ERROR],
  ['ENHANCE_YOUR_CALM', constants.NGHTTP2_ENHANCE_YOUR_CALM]
] as const)
  t.test(`a stream that is reset with ${name} is not sent again`, async t => {
    trackLeaks(t)
    const server = await h2Server(t, stream => stream.close(code))
    const other = await startRawHttp()
    t.teardown(() => other.close())
    const door = await groupDoor(t, [server, other.url])
    const statuses = []
    for (let i = 0; i < 4; i++) statuses.push((await door.call(i)).status)
    t.same(statuses.filter(s => s === 200).length, 2)
    t.equal(server.counts.streams, 2)
    t.same(door.again.items, [])
  })

t.test('a connection that dies with streams on it: none is sent again', async t => {
  trackLeaks(t)
  const server = await h2Server(t, (_, n, session) => {
    if (n === 4) session.destroy()
  })
  const door = await groupDoor(t, [server], { health: { failures: 0 } })
  t.equal((await door.call(0)).status, 200)
  const answers = await Promise.all([1, 2, 3].map(i => door.call(i)))
  t.ok(answers.some(a => a.status !== 200))
  const failed = answers.filter(a => a.status !== 200).length
  t.equal(server.counts.streams, 4, `${failed} failed, and no stream came twice`)
})
