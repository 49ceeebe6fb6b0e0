/** What is HTTP/2's own, and what shares a port with it. */
import { execFile } from 'node:child_process'
import { connect as connectTcp, createServer } from 'node:net'
import { promisify } from 'node:util'
import t from 'tap'
import { Agent, request } from 'undici'
import { Queue } from '../../src/queue.ts'
import type { HttpReply } from '../../src/transport/downstream/http-reply.ts'
import { readBody } from '../../src/transport/downstream/http-server.ts'
import { Http2Door } from '../../src/transport/downstream/http2-door.ts'
import { Turn } from '../../src/transport/turn.ts'
import { CA } from '../fixtures/tls/certificates.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { talk } from '../helpers/raw-client.ts'
import { Inbox, waitFor, within } from '../helpers/wait.ts'
import { END_HEADERS, END_STREAM, fields, frame, get, PREFACE, rawClient, TYPE, u32 } from './raw-http2.ts'
import { client, conversations, json, serve, WIRES } from './wires.ts'

const [, , CLEAR, SECURE] = WIRES as [unknown, unknown, (typeof WIRES)[number], (typeof WIRES)[number]]
const STREAM_HEAD = () => ({
  status: 200,
  statusText: '',
  headers: ['Content-Type', 'text/event-stream'],
  type: 'sse' as const,
  length: undefined,
  encoding: undefined
})

for (const wire of [CLEAR, SECURE]) {
  t.test(`${wire.name}: a stream that is not read holds none of its siblings up`, async t => {
    trackLeaks(t)
    const { handler, all } = conversations()
    const { port } = await serve(t, wire, handler)
    const one = client(t, wire, port)
    const asking = one.ask({ path: '/slow', bodiless: true })
    const slow = await all.next()
    slow.reply.head(STREAM_HEAD())
    const { stream } = await asking.unread
    while (slow.reply.data(Buffer.alloc(200_000, 'x'), true));
    for (let n = 0; n < 20; n++) {
      const answer = one.get({ method: 'POST', body: Buffer.alloc(100_000, 'y') })
      const { req, reply } = await all.next()
      const body = await new Promise<Buffer>(resolve => readBody(req, 1e6, (_, bytes) => resolve(bytes)))
      reply.answer({ status: 200, headers: [], body })
      t.equal((await answer).text.length, 100_000)
    }
    t.equal(slow.events.items.length, 0)
    stream.resume()
    t.equal(await slow.events.next(), 'drained')
    asking.leave()
    t.equal(await slow.events.until(what => what === 'gone'), 'gone')
  })

  t.test(`${wire.name}: stopping sends an idle client away, and a busy one when it has its answers`, async t => {
    trackLeaks(t)
    const { handler, all } = conversations()
    const { server, port } = await serve(t, wire, handler)
    const [idle, busy] = [await rawClient(t, wire, port), await rawClient(t, wire, port)]
    busy.write(frame(TYPE.headers, END_HEADERS | END_STREAM, 1, get(port)))
    const { reply } = await all.next()
    await idle.frames.until(f => f.type === TYPE.settings)
    server.stopAccepting()
    t.equal(await idle.goaway(), 0)
    await within(idle.closed)
    // What a server asks in the middle of a call is answered on this connection, or not at all.
    busy.write(frame(TYPE.headers, END_HEADERS | END_STREAM, 3, get(port, ['x-answer', '1'])))
    const second = await all.next()
    t.notOk(busy.frames.items.some(f => f.type === TYPE.goaway))
    second.reply.answer({ status: 202, headers: [], body: undefined })
    reply.answer(json(200, '{}'))
    t.equal(await busy.goaway(), 0)
    await busy.frames.until(f => f.stream === 1 && (f.flags & END_STREAM) > 0)
    await within(busy.closed)
    while (server.connections > 0) await new Promise(resolve => setImmediate(resolve))
  })

  t.test(`${wire.name}: stopping waits until a slow client has read its answer`, async t => {
    trackLeaks(t)
    const { handler, all } = conversations()
    const { server, port } = await serve(t, wire, handler)
    const room = u32(2 ** 30)
    const raw = await rawClient(t, wire, port, Buffer.concat([Buffer.of(0, 4), room]))
    raw.write(frame(TYPE.window, 0, 0, room), frame(TYPE.headers, END_HEADERS | END_STREAM, 1, get(port)))
    const { reply } = await all.next()
    raw.socket.pause()
    const size = 500_000
    reply.answer({ status: 200, headers: [], body: Buffer.alloc(size, 'x') })
    server.stopAccepting()
    let over = false
    const flushed = server.flushed(60_000).then(() => {
      over = true
    })
    while (server.traffic.written < size) await new Promise(resolve => setImmediate(resolve))
    for (let n = 0; n < 50; n++) {
      raw.write(frame(TYPE.window, 0, 0, u32(1000)))
      await new Promise(resolve => setImmediate(resolve))
    }
    t.notOk(over, 'all is with the kernel, and not with the client')
    raw.socket.resume()
    await within(raw.closed)
    const got = raw.frames.items.filter(f => f.type === TYPE.data).reduce((sum, f) => sum + f.payload.length, 0)
    t.equal(got, size)
    await within(flushed)
  })

  t.test(`${wire.name}: a client that has closed its half is gone`, async t => {
    trackLeaks(t)
    const { handler, all } = conversations()
    const { port } = await serve(t, wire, handler)
    const raw = await rawClient(t, wire, port)
    raw.write(frame(TYPE.headers, END_HEADERS | END_STREAM, 1, get(port)))
    const { reply, events } = await all.next()
    reply.head(STREAM_HEAD())
    raw.socket.end()
    t.equal(await events.next(), 'gone')
    await within(raw.closed)
  })

  t.test(`${wire.name}: curl`, async t => {
    trackLeaks(t)
    const { port } = await serve(t, wire, (req, reply) =>
      readBody(req, 1e6, (_, body) => reply.answer(json(200, `${req.httpVersion} ${req.method} ${body.length}`)))
    )
    const ca = `${t.testdir({ 'ca.pem': CA })}/ca.pem`
    const how = wire.tls ? ['--http2', '--cacert', ca] : ['--http2-prior-knowledge']
    const url = `http${wire.tls ? 's' : ''}://localhost:${port}/`
    const curl = async (...args: readonly string[]) =>
      (await promisify(execFile)('curl', ['-sS', '-4', '-w', ' %{http_version}', ...args, url])).stdout
    t.equal(await curl(...how), '2.0 GET 0 2')
    t.equal(await curl(...how, '-d', 'x'.repeat(100_000)), '2.0 POST 100000 2')
    t.equal(await curl('--http1.1', ...how.slice(1), '-d', 'abc'), '1.1 POST 3 1.1')
  })
}

t.test('undici, which speaks HTTP/2 where it is offered', async t => {
  trackLeaks(t)
  const { port } = await serve(t, SECURE, (req, reply) =>
    readBody(req, 1e6, (_, body) => reply.answer(json(200, `${req.httpVersion} ${body.length}`)))
  )
  const dispatcher = new Agent({ allowH2: true, connect: { ca: CA } })
  t.teardown(() => dispatcher.close())
  const url = `https://localhost:${port}/mcp`
  const answers = await Promise.all(
    Array.from({ length: 20 }, async (_, n) => {
      const { body } = await request(url, { dispatcher, method: 'POST', body: 'x'.repeat(n * 1000) })
      return body.text()
    })
  )
  t.same(
    answers,
    answers.map((_, n) => `2.0 ${n * 1000}`)
  )
})

t.test('the preface is known however it comes, and what only begins like it is HTTP/1.1', async t => {
  trackLeaks(t)
  const { handler, all } = conversations()
  const { port } = await serve(t, CLEAR, handler)
  const socket = connectTcp(port, '127.0.0.1')
  t.teardown(() => void socket.destroy())
  socket.setNoDelay()
  const heard = new Inbox<Buffer>('bytes')
  socket.on('data', bytes => heard.push(bytes))
  await waitFor(socket, 'connect')
  for (const byte of PREFACE) {
    socket.write(Buffer.of(byte))
    await new Promise(resolve => setImmediate(resolve))
  }
  socket.write(Buffer.concat([frame(TYPE.settings, 0, 0), frame(TYPE.headers, END_HEADERS | END_STREAM, 1, get(port))]))
  const { req, reply } = await all.next()
  t.equal(req.httpVersion, '2.0')
  reply.answer(json(200, '{}'))
  t.equal((await heard.next())[3], TYPE.settings)
  for (const method of ['P', 'PR', 'PRI', 'PUT', 'POST']) {
    const asked = talk(
      `http://127.0.0.1:${port}`,
      `${method} / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`
    )
    if (method.length < 3 || method === 'PRI') t.match(await asked, /^HTTP\/1\.1 400 .*bad_http/s, method)
    else {
      ;(await all.next()).reply.answer(json(200, '{}'))
      t.match(await asked, /^HTTP\/1\.1 200 OK/, method)
    }
  }
})

t.test('requests of HTTP/1.1 in one packet, behind a look at the first bytes', async t => {
  trackLeaks(t)
  const { port } = await serve(t, CLEAR, (req, reply) =>
    readBody(req, 100, (_, body) => reply.answer(json(200, `"${req.url} ${body}"`)))
  )
  const one = (n: number, last: boolean) =>
    `POST /${n} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n${last ? 'Connection: close\r\n' : ''}\r\nb${n}`
  const heard = await talk(`http://127.0.0.1:${port}`, one(1, false) + one(2, false) + one(3, true))
  t.same(heard.match(/"\/.*?"/g), ['"/1 b1"', '"/2 b2"', '"/3 b3"'])
})

t.test('a client that says nothing is told so, whichever protocol it would have spoken', async t => {
  trackLeaks(t)
  const { server, port } = await serve(t, CLEAR, () => t.fail('nothing was asked'), { clientTimeout: 100 })
  for (const bytes of ['', 'PRI * HT', 'POST / HTTP/1.1\r\nHo']) {
    t.match(await talk(`http://127.0.0.1:${port}`, bytes), /^HTTP\/1\.1 408 .*request_timeout/s, bytes)
  }
  t.equal(server.refusals.request_timeout, 3)
})

t.test('clients that leave before they have said which protocol they speak', async t => {
  trackLeaks(t)
  const { server, port } = await serve(t, CLEAR, () => t.fail('nothing was asked'))
  for (const bytes of ['', 'PRI * HT']) {
    const socket = connectTcp(port, '127.0.0.1')
    await waitFor(socket, 'connect')
    socket.end(bytes)
    socket.resume()
    await waitFor(socket, 'close')
  }
  while (server.connections > 0) await new Promise(resolve => setImmediate(resolve))
})

t.test('closing while clients have not said which protocol they speak', async t => {
  trackLeaks(t)
  for (const wire of [CLEAR, SECURE]) {
    const { server, port } = await serve(t, wire, () => t.fail('nothing was asked'))
    const sockets = ['', wire.tls ? '\x16\x03\x01' : 'PRI * HT'].map(bytes => {
      const socket = connectTcp(port, '127.0.0.1', () => void socket.write(bytes))
      socket.on('error', () => {})
      socket.resume()
      return socket
    })
    while (server.connections < 2) await new Promise(resolve => setImmediate(resolve))
    const closed = Promise.all(sockets.map(socket => new Promise(resolve => socket.once('close', resolve))))
    await server.close()
    await within(closed)
    t.equal(server.connections, 0)
  }
})

t.test('a client that says it speaks HTTP/2 when the server is stopping is sent away', async t => {
  trackLeaks(t)
  const { server, port } = await serve(t, CLEAR, () => t.fail('nothing was begun'))
  const socket = connectTcp(port, '127.0.0.1')
  t.teardown(() => void socket.destroy())
  const heard: Buffer[] = []
  socket.on('data', (bytes: Buffer) => heard.push(bytes))
  while (server.connections < 1) await new Promise(resolve => setImmediate(resolve))
  server.stopAccepting()
  socket.write(Buffer.concat([PREFACE, frame(TYPE.settings, 0, 0)]))
  await waitFor(socket, 'close')
  // GOAWAY, with the last stream and the error both 0.
  t.ok(Buffer.concat(heard).includes(frame(TYPE.goaway, 0, 0, Buffer.alloc(8))))
})

t.test('Upgrade: h2c is ignored', async t => {
  trackLeaks(t)
  const { port } = await serve(t, CLEAR, (req, reply) => reply.answer(json(200, `"${req.httpVersion}"`)))
  const head = 'GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings, close\r\n'
  const heard = await talk(`http://127.0.0.1:${port}`, `${head}Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n`)
  t.match(heard, /^HTTP\/1\.1 200 OK\r\n.*"1\.1"/s)
})

t.test('upgrades that are wanted are handed over; others are requests like any other', async t => {
  trackLeaks(t)
  const upgrades = {
    wants: (req: { url?: string | undefined }) => req.url === '/ws',
    take: (_: unknown, socket: import('node:net').Socket, head: Buffer) => socket.end(`HTTP/1.1 101 x\r\n\r\n${head}`)
  }
  const { port } = await serve(t, CLEAR, (_, reply) => reply.answer(json(200, '{}')), {}, upgrades)
  const ask = (path: string) =>
    talk(
      `http://127.0.0.1:${port}`,
      `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: upgrade, close\r\nUpgrade: y\r\n\r\n`
    )
  t.equal(await ask('/ws'), 'HTTP/1.1 101 x\r\n\r\n')
  t.match(await ask('/'), /^HTTP\/1\.1 200 /)
})

t.test('two hosts in one request are refused, one in either place is not', async t => {
  trackLeaks(t)
  const { server, port } = await serve(t, CLEAR, (req, reply) =>
    reply.answer(json(200, JSON.stringify(req.rawHeaders.filter((_, i, all) => all[i - (i % 2)] === 'host'))))
  )
  const asked = async (...names: readonly (readonly [string, string])[]) => {
    const raw = await rawClient(t, CLEAR, port)
    const head = fields([':method', 'GET'], [':scheme', 'http'], [':path', '/'], ...names)
    raw.write(frame(TYPE.headers, END_HEADERS | END_STREAM, 1, head))
    const answer = await raw.frames.until(f => f.type === TYPE.data && f.stream === 1)
    raw.socket.destroy()
    return answer.payload.toString()
  }
  t.equal(await asked([':authority', 'a:1']), '["host","a:1"]')
  t.equal(await asked(['host', 'a:1']), '["host","a:1"]')
  t.equal(await asked([':authority', 'a:1'], ['host', 'A:1']), '["host","a:1"]')
  t.equal(server.refusals.bad_http, 0)
  t.match(await asked([':authority', 'a:1'], ['host', 'b:1']), /bad_http/)
  t.equal(server.refusals.bad_http, 1)
})

t.test('CONNECT is refused', async t => {
  trackLeaks(t)
  const { port } = await serve(t, CLEAR, () => t.fail('no tunnel'))
  const raw = await rawClient(t, CLEAR, port)
  raw.write(frame(TYPE.headers, END_HEADERS, 1, fields([':method', 'CONNECT'], [':authority', 'a:1'])))
  t.match((await raw.frames.until(f => f.type === TYPE.data)).payload.toString(), /CONNECT is not served/)
})

t.test("Node's own pair, for code that knows nothing else", async t => {
  trackLeaks(t)
  const closed = new Inbox<'drained' | 'gone'>('events')
  const { server, port } = await serve(t, CLEAR, (req, reply) => {
    reply.listener = { onDrained: () => {}, onGone: () => closed.push('gone') }
    const own = reply.handOver(req)
    t.equal(own.req.headers.host, `localhost:${port}`)
    own.res.writeHead(200, { 'content-type': 'text/plain' })
    own.req.pipe(own.res)
  })
  const answer = await client(t, CLEAR, port).get({ method: 'POST', body: 'x'.repeat(200_000) })
  t.match(answer, { status: 200, headers: { 'content-type': 'text/plain' }, text: 'x'.repeat(200_000) })
  const left = client(t, CLEAR, port).ask({ method: 'POST' })
  left.body.write('y')
  await left.head
  left.leave()
  t.equal(await closed.until(what => what === 'gone'), 'gone')
  await server.flushed(1_000)
})

t.test('a request is whole when its end has come, whether anybody reads that or not', async t => {
  trackLeaks(t)
  const { handler, all } = conversations()
  const { server, port } = await serve(t, CLEAR, handler, { clientTimeout: 200 })
  const raw = await rawClient(t, CLEAR, port)
  raw.write(frame(TYPE.headers, END_HEADERS, 1, get(port)), frame(TYPE.data, END_STREAM, 1, Buffer.of(1)))
  const { reply, events } = await all.next()
  reply.head(STREAM_HEAD())
  // As long as another that is refused for it.
  raw.write(frame(TYPE.headers, END_HEADERS, 3, get(port)))
  await raw.frames.until(f => f.type === TYPE.data && f.stream === 3 && f.payload.includes('request_timeout'))
  t.equal(server.refusals.request_timeout, 1)
  t.equal(events.items.length, 0)
  reply.end()
  await raw.frames.until(f => f.stream === 1 && (f.flags & END_STREAM) > 0)
})

t.test('a connection on which nothing is asked is left after a while, one with a stream is not', async t => {
  trackLeaks(t)
  const { handler, all } = conversations()
  const open = new Queue<HttpReply>()
  const replies = { streamAfter: 1000, open, streams: new Set<HttpReply>(), turn: new Turn<HttpReply>(r => r.flush()) }
  const limits = { maxBody: 1000, maxHeaderSize: 1000, clientTimeout: 400, idleTimeout: 300, refused: () => {} }
  const door = new Http2Door({ ...limits, replies }, handler)
  const listener = createServer(socket => door.accept(socket))
  await new Promise<void>(resolve => listener.listen(0, '127.0.0.1', resolve))
  const { port } = listener.address() as { port: number }
  t.teardown(() => new Promise(resolve => listener.close(resolve)))
  const [silent, busy] = [await rawClient(t, CLEAR, port), await rawClient(t, CLEAR, port)]
  busy.write(frame(TYPE.headers, END_HEADERS | END_STREAM, 1, get(port)))
  const { reply } = await all.next()
  t.equal(await silent.goaway(), 0)
  await within(silent.closed)
  t.notOk(busy.frames.items.some(f => f.type === TYPE.goaway))
  reply.answer(json(200, '{}'))
  t.equal(await busy.goaway(), 0)
  await within(busy.closed)
})

t.test('a window of nothing: an answer waits, and in the end is given up', async t => {
  trackLeaks(t)
  const { handler, all } = conversations()
  const { server, port } = await serve(t, CLEAR, handler, { clientTimeout: 200 })
  const raw = await rawClient(t, CLEAR, port, Buffer.concat([Buffer.of(0, 4), u32(0)]))
  raw.write(frame(TYPE.headers, END_HEADERS | END_STREAM, 1, get(port)))
  raw.write(frame(TYPE.headers, END_HEADERS | END_STREAM, 3, get(port)))
  const [whole, stream] = [await all.next(), await all.next()]
  whole.reply.answer({ status: 200, headers: [], body: Buffer.alloc(1_000_000) })
  stream.reply.head(STREAM_HEAD())
  let written = 0
  while (stream.reply.data(Buffer.alloc(10_000), true)) written += 10_000
  t.ok(written < 1_000_000, `${written} bytes`)
  t.equal(await raw.reset(1), 8)
  // What has not ended yet may wait: its server hears that there is no room.
  t.notOk(raw.frames.items.some(f => f.type === TYPE.reset && f.stream === 3))
  stream.reply.end()
  t.equal(await raw.reset(3), 8)
  t.equal(server.connections, 1)
})
