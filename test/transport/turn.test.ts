/** Answers of one turn of the event loop are written at its end; nobody waits longer, and none is lost. */
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import type { HttpReply } from '../../src/transport/downstream/http-reply.ts'
import { HttpServer } from '../../src/transport/downstream/http-server.ts'
import { Turn } from '../../src/transport/turn.ts'
import { trackLeaks } from '../helpers/leaks.ts'

const OPTIONS = {
  ...{ host: '127.0.0.1', port: 0, maxConnections: 10, maxHeaderSize: 16_384, maxBody: 1024 },
  ...{ clientTimeout: 10_000, streamAfter: 1_000, keepAlive: 0 }
}

t.test('what is added is written once, in order, when the turn ends or earlier on demand', async t => {
  const written: string[] = []
  const turn = new Turn<string>(item => written.push(item))
  turn.add('a')
  turn.add('b')
  t.same(written, [])
  await new Promise(setImmediate)
  t.same(written, ['a', 'b'])
  turn.add('c')
  turn.flush()
  t.same(written, ['a', 'b', 'c'])
  await new Promise(setImmediate)
  t.same(written, ['a', 'b', 'c'])
})

t.test('one that cannot be written keeps none back', async t => {
  const written: string[] = []
  const turn = new Turn<string>(item => {
    if (item === 'bad') throw new Error('bad')
    written.push(item)
  })
  for (const item of ['a', 'bad', 'b', 'c']) turn.add(item)
  t.throws(() => turn.flush(), { message: 'bad' })
  await new Promise(setImmediate)
  t.same(written, ['a', 'b', 'c'])
})

/** A server whose handler is given all requests once there are so many. */
async function gathering(t: Test, many: number, act: (replies: HttpReply[]) => void): Promise<[HttpServer, number]> {
  trackLeaks(t)
  const replies: HttpReply[] = []
  const server = new HttpServer(OPTIONS, (req, reply) => {
    req.resume()
    replies.push(reply)
    if (replies.length === many) act(replies)
  })
  const { port } = await server.listen()
  t.teardown(() => server.close())
  return [server, port]
}

async function opened(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  await new Promise(resolve => socket.once('connect', resolve))
  return socket
}

function textOf(socket: Socket): Promise<string> {
  let all = ''
  socket.setEncoding('latin1').on('data', text => {
    all += text
  })
  return new Promise(resolve => socket.once('close', () => resolve(all)))
}

const GET = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'
const BODY = Buffer.from('{"über":"alles"}')
const answer = (reply: HttpReply): void => reply.answer({ status: 200, headers: [], body: BODY })

t.test('answers given in one turn leave together at its end; one alone leaves at once', async t => {
  let alone: boolean | undefined
  let together: boolean[] = []
  const [, port] = await gathering(t, 1, ([reply]) => {
    answer(reply!)
    alone = reply!.res.writableEnded
  })
  const [, other] = await gathering(t, 3, replies => {
    replies.forEach(answer)
    together = replies.map(reply => reply.res.writableEnded)
  })
  for (const [at, times] of [
    [port, 1],
    [other, 3]
  ] as const) {
    const sockets = await Promise.all(Array.from({ length: times }, () => opened(at)))
    const texts = sockets.map(textOf)
    for (const socket of sockets) socket.write(GET.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'))
    for (const text of await Promise.all(texts)) t.ok(text.endsWith(`\r\n\r\n${BODY.toString('latin1')}`), text)
  }
  t.equal(alone, true)
  t.same(together, [false, false, false])
})

t.test('closing right behind them loses none', async t => {
  const done = Promise.withResolvers<void>()
  const [server, port] = await gathering(t, 3, replies => {
    replies.forEach(answer)
    done.resolve(server.flushed(2_000).then(() => server.close()))
  })
  const sockets = await Promise.all([opened(port), opened(port), opened(port)])
  const texts = sockets.map(textOf)
  for (const socket of sockets) socket.write(GET)
  await done.promise
  for (const text of await Promise.all(texts)) t.ok(text.endsWith(BODY.toString('latin1')), text)
})

t.test('nonsense behind a request that was just answered does not swallow the answer', async t => {
  const [, port] = await gathering(t, 2, replies => replies.forEach(answer))
  const sockets = await Promise.all([opened(port), opened(port)])
  const [first, second] = sockets.map(textOf)
  sockets[0]!.write(GET)
  sockets[1]!.write(`${GET}NONSENSE\r\n\r\n`)
  const text = await second!
  t.match(text, /^HTTP\/1\.1 200 OK\r\n/)
  t.ok(text.includes(BODY.toString('latin1')))
  t.match(text, /HTTP\/1\.1 400 Bad Request\r\n/)
  sockets[0]!.destroy()
  t.match(await first!, /^HTTP\/1\.1 200 OK\r\n/)
})
