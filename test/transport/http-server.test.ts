/** What the listener owes its clients, whatever wire they are on. */
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { CatflapError } from '../../src/errors.ts'
import { Message } from '../../src/protocol/message.ts'
import { readBody } from '../../src/transport/downstream/http-server.ts'
import { isEncrypted } from '../../src/transport/downstream/tls-peer.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { type Inbox, waitFor, within } from '../helpers/wait.ts'
import { type Conversation, client, conversations, json, serve, WIRES } from './wires.ts'

const SSE = ['Content-Type', 'text/event-stream']
const event = (n: number) => Message.parse(Buffer.from(`{"jsonrpc":"2.0","method":"n","params":{"n":${n}}}`))
const streamHead = () => ({
  status: 200,
  statusText: 'OK',
  headers: [...SSE],
  type: 'sse' as const,
  length: undefined,
  encoding: undefined
})
/** Connections take their time: what was asked first may come second. */
const asked = (all: Inbox<Conversation>, path: string) => all.until(({ req }) => req.url === path)
const MiB = Buffer.alloc(1024 * 1024, 'x')

for (const wire of WIRES) {
  const test = (name: string, run: (t: Test) => Promise<void>) =>
    t.test(`${wire.name}: ${name}`, t => {
      trackLeaks(t)
      return run(t)
    })
  const open = async (t: Test, options?: Parameters<typeof serve>[3]) => {
    const { handler, all } = conversations()
    const { server, port } = await serve(t, wire, handler, options)
    return { server, port, all, client: client(t, wire, port) }
  }

  test('a request is told as it was made', async t => {
    const { all, port, client } = await open(t)
    const headers = { 'X-Twice': ['1', '2'], cookie: wire.http2 ? ['a=1', 'b=2'] : 'a=1; b=2', 'content-length': '5' }
    const asking = client.ask({ method: 'PUT', path: '/a/b?c=%20', headers, body: 'h\u00e9y!' })
    const { req, reply } = await all.next()
    t.match(req, { method: 'PUT', url: '/a/b?c=%20', httpVersion: wire.http2 ? '2.0' : '1.1' })
    t.match(req.headers, { 'content-length': '5', host: `localhost:${port}` })
    const list: string[] = []
    for (let i = 0; i < req.rawHeaders.length; i += 2)
      list.push(`${req.rawHeaders[i]!.toLowerCase()}: ${req.rawHeaders[i + 1]}`)
    t.same(
      list.filter(one => /^(host|x-twice|cookie):/.test(one)).sort(),
      ['cookie: a=1; b=2', `host: localhost:${port}`, 'x-twice: 1', 'x-twice: 2'].sort()
    )
    t.notOk(list.some(one => one.startsWith(':')))
    t.equal(req.socket.remoteAddress, '127.0.0.1')
    t.equal(isEncrypted(req.socket), wire.tls)
    const body = await new Promise<Buffer>(resolve => readBody(req, 100, (_, bytes) => resolve(bytes)))
    t.equal(body.toString(), 'h\u00e9y!')
    reply.answer(json(200, '{}'))
    t.equal((await asking.head).status, 200)
  })

  test('an answer arrives as it was given', async t => {
    const { all, client } = await open(t)
    const asking = client.ask({ bodiless: true })
    const { reply } = await all.next()
    const headers = ['Set-Cookie', 'a=1', 'set-cookie', 'b=2', 'X-Latin', 'caf\u00e9 \u00a0', 'X-Padded', ' v ']
    reply.answer(json(418, '{"a":1}', wire.http2 ? [...headers, 'Connection', 'close', 'Keep-Alive', 'x'] : headers))
    const answer = await asking.head
    t.equal(answer.status, 418)
    t.equal(await answer.text(), '{"a":1}')
    t.match(answer.headers, { 'content-length': '7', 'content-type': 'application/json', date: /GMT$/ })
    t.same(answer.headers['set-cookie'], ['a=1', 'b=2'])
    t.equal(answer.headers['x-latin'], 'caf\u00e9 \u00a0')
    t.equal(answer.headers['x-padded'], 'v')
    if (wire.http2) t.notOk('keep-alive' in answer.headers || 'connection' in answer.headers)
  })

  test('statuses and methods without content', async t => {
    const { all, client } = await open(t)
    for (const status of [202, 204, 304]) {
      const answer = client.get()
      ;(await all.next()).reply.answer({ status, headers: [], body: undefined })
      t.match(await answer, { status, text: '' })
    }
    const head = client.get({ method: 'HEAD' })
    ;(await all.next()).reply.answer(json(200, '{"a":1}'))
    t.match(await head, { status: 200, text: '', headers: { 'content-length': '7' } })
  })

  test('many at once, each with its own answer', async t => {
    const { all, client } = await open(t)
    const answers = Array.from({ length: 50 }, (_, n) => client.get({ path: `/${n}` }))
    for (let n = 0; n < 50; n++) await all.next()
    for (const { req, reply } of [...all.items].reverse()) reply.answer(json(200, `"${req.url}"`))
    t.same(
      (await Promise.all(answers)).map(({ text }) => text),
      Array.from({ length: 50 }, (_, n) => `"/${n}"`)
    )
  })

  test('large bodies pass whole in both directions', async t => {
    const { all, client } = await open(t)
    const body = Buffer.alloc(3_000_001, 'abcdefg')
    const answer = client.get({ method: 'POST', body })
    const { req, reply } = await all.next()
    const heard = await new Promise<Buffer>(resolve => readBody(req, 4_000_000, (_, bytes) => resolve(bytes)))
    t.ok(heard.equals(body))
    reply.answer({ status: 200, headers: [], body: heard })
    t.ok(Buffer.from((await answer).text).equals(body))
  })

  test('a stream is delivered as it is said, with comments in its silence', async t => {
    const { all, server, client } = await open(t, { keepAlive: 20 })
    const asking = client.ask({ bodiless: true })
    const { reply } = await all.next()
    reply.head(streamHead())
    const answer = await asking.head
    t.match(answer.headers, { 'content-type': 'text/event-stream' }, 'before anything was said')
    t.equal(server.streams, 1)
    for (let n = 0; n < 3; n++) {
      reply.message(event(n), false)
      await answer.until(`"n":${n}}}\n\n`)
    }
    await answer.until(': keep-alive\n\n')
    reply.end()
    t.equal(await answer.ended, 'end')
    t.equal(server.streams, 0)
  })

  test('a client that does not read is waited for, and costs no more than what it was told', async t => {
    const { all, client } = await open(t)
    const asking = client.ask({ bodiless: true })
    const { reply, events } = await all.next()
    reply.head(streamHead())
    const { stream } = await asking.unread
    let written = 0
    while (reply.data(MiB, true)) written++
    // Kernel and flow control take some of it; the rest waits here.
    t.ok(written < 16, `${written} MiB`)
    t.ok(reply.queued > 0 && reply.queued <= MiB.length + 100, `${reply.queued} bytes wait`)
    t.equal(events.items.length, 0)
    stream.resume()
    t.equal(await events.next(), 'drained')
    reply.end()
    await waitFor(stream, 'end')
  })

  test('a client that goes away ends its request, and no other', async t => {
    const { all, server, client } = await open(t)
    const [leaver, stayer] = [client.ask({ path: '/1', bodiless: true }), client.ask({ path: '/2', bodiless: true })]
    const [first, second] = [await asked(all, '/1'), await asked(all, '/2')]
    first.reply.head(streamHead())
    second.reply.head(streamHead())
    await leaver.head
    leaver.leave()
    t.equal(await first.events.next(), 'gone')
    t.equal(first.reply.state, 'ended')
    t.equal(server.streams, 1)
    second.reply.message(event(1), false)
    await (await stayer.head).until('"n":1')
    t.equal(second.events.items.length, 0)
    // Whoever has not noticed yet speaks into the void.
    t.ok(first.reply.data(MiB, true))
    first.reply.end()
  })

  test('a client that goes away before it was answered', async t => {
    const { all, client } = await open(t)
    const asking = client.ask({ method: 'POST', body: 'x' })
    const { reply, events } = await all.next()
    asking.leave()
    t.equal(await events.next(), 'gone')
    reply.answer(json(200, '{}'))
    reply.fail(new CatflapError('internal'), undefined)
  })

  test('a body that is too large is refused, declared or not', async t => {
    const { all, client } = await open(t)
    const refuseLarge = async () => {
      const { req, reply } = await all.next()
      readBody(req, 1000, error => error && reply.fail(error, undefined))
    }
    const headers = { 'content-length': '5000' }
    const declared = client.ask({ method: 'POST', headers })
    await refuseLarge()
    t.equal((await declared.head).status, 413)
    t.match(await (await declared.head).text(), 'body_too_large')
    declared.leave()
    const undeclared = client.ask({ method: 'POST' })
    undeclared.body.write(Buffer.alloc(2000))
    await refuseLarge()
    const answer = await undeclared.head
    t.equal(answer.status, 413)
    t.match(await answer.text(), 'body_too_large')
    // What nobody reads any more may still be coming.
    undeclared.body.write(Buffer.alloc(200_000))
    undeclared.leave()
    const next = client.get()
    ;(await all.next()).reply.answer(json(200, '{}'))
    t.equal((await next).status, 200)
  })

  test('a body that does not come in time is 408, and its request is over', async t => {
    const { all, server, client } = await open(t, { clientTimeout: 200 })
    const asking = client.ask({ method: 'POST', headers: { 'content-length': '100' } })
    asking.body.write('{"begin')
    const { req, events } = await all.next()
    readBody(req, 1000, () => t.fail('it is not whole'))
    const answer = await asking.head
    t.equal(answer.status, 408)
    t.match(await answer.text(), 'request_timeout')
    t.equal(await events.next(), 'gone')
    t.equal(server.refusals.request_timeout, 1)
  })

  test('a body that is broken off is never taken for whole', async t => {
    const { all, client } = await open(t)
    const asking = client.ask({ method: 'POST' })
    asking.body.write('{"a":1}')
    const { req, events } = await all.next()
    const whole = new Promise<never>((_, reject) => readBody(req, 1000, () => reject(new Error('taken for whole'))))
    await waitFor(req, 'data')
    asking.leave()
    t.equal(await Promise.race([whole, events.next()]), 'gone')
    await Promise.race([whole, turn()])
  })

  test('a request that is whole may take as long as it likes', async t => {
    const { all, server, client } = await open(t, { clientTimeout: 100 })
    const answer = client.get({ method: 'POST', body: 'x' })
    const { req, reply } = await all.next()
    await new Promise<void>(resolve => readBody(req, 10, () => resolve()))
    // As long as another that is refused for it.
    const late = client.ask({ method: 'POST' })
    late.body.write('x')
    t.equal((await late.head).status, 408)
    reply.answer(json(200, '{}'))
    t.equal((await answer).status, 200)
    t.equal(server.refusals.request_timeout, 1)
  })

  test('headers that are too large are 431', async t => {
    const { all, server, client } = await open(t, { maxHeaderSize: 2000 })
    const fits = client.get({ headers: { 'x-large': 'x'.repeat(1500) } })
    ;(await all.next()).reply.answer(json(200, '{}'))
    t.equal((await fits).status, 200)
    const refused = await client.get({ headers: { 'x-large': 'x'.repeat(2000) } })
    t.equal(refused.status, 431)
    t.match(refused.text, 'headers_too_large')
    t.equal(server.refusals.headers_too_large, 1)
    t.equal(all.items.length, 1)
  })

  test('an answer that fails in the middle looks broken; a stream ends with an error of its own', async t => {
    const { all, client } = await open(t)
    const [part, stream] = [client.ask({ path: '/1', bodiless: true }), client.ask({ path: '/2', bodiless: true })]
    const [first, second] = [await asked(all, '/1'), await asked(all, '/2')]
    first.reply.head({ ...streamHead(), headers: ['Content-Type', 'application/json'], type: 'json' })
    first.reply.data(Buffer.from('{"half'), false)
    second.reply.head(streamHead())
    second.reply.message(event(1), false)
    const [half, whole] = [await part.head, await stream.head]
    await half.until('half')
    first.reply.fail(new CatflapError('upstream_reset'), '1')
    second.reply.fail(new CatflapError('upstream_reset'), '7')
    t.equal(await half.ended, 'aborted')
    t.equal(await whole.ended, 'end')
    t.match(whole.heard(), /"id":7,.*upstream_reset/)
  })

  test('a header that is none costs its own answer', async t => {
    const { all, client } = await open(t)
    for (const bad of ['a\r\nb: c', 'a\0b', 'a\u0100'])
      for (const type of ['json', 'sse'] as const) {
        const asking = client.get()
        const { reply } = await all.next()
        reply.head({ ...streamHead(), headers: ['X-Bad', bad], type })
        reply.data(Buffer.from('data: {}\n\n'), true)
        const answer = await asking
        t.equal(answer.status, 502)
        t.match(answer.text, 'upstream_protocol')
      }
  })

  test('Expect: 100-continue is answered before the body', async t => {
    const { all, client } = await open(t)
    const asking = client.ask({ method: 'POST', headers: { expect: '100-continue', 'content-length': '2' } })
    await waitFor(asking.body, 'continue')
    const { req, reply } = await all.next()
    asking.body.end('hi')
    await new Promise<void>(resolve => readBody(req, 10, () => resolve()))
    reply.answer(json(200, '{}'))
    t.equal((await asking.head).status, 200)
  })

  test('stopping: what is open goes on, what was answered arrives, nothing is left', async t => {
    const { all, port, server, client: one } = await open(t)
    const asking = one.ask({ bodiless: true })
    const { reply } = await all.next()
    server.stopAccepting()
    await t.rejects(client(t, wire, port).get())
    const again = one.ask({ bodiless: true })
    // Over HTTP/1.1 that was another connection.
    if (wire.http2) {
      ;(await all.next()).reply.answer(json(503, '{}'))
      t.equal((await again.head).status, 503)
    } else await t.rejects(again.head)
    const large = Buffer.alloc(8_000_000, 'y')
    reply.answer({ status: 200, headers: [], body: large })
    const { stream } = await asking.unread
    const flushed = server.flushed(10_000)
    let size = 0
    stream.on('data', (chunk: Buffer) => {
      size += chunk.length
    })
    const ended = waitFor(stream, 'end')
    await within(flushed, { what: 'the answer to be on its way' })
    await server.close()
    await ended
    t.equal(size, large.length)
    t.equal(server.connections, 0)
  })

  test('closing in the middle of everything leaves nothing', async t => {
    const { all, server, client } = await open(t)
    const asked = Array.from({ length: 5 }, () => client.ask({ method: 'POST' }))
    for (const { body } of asked) body.write('x')
    for (let n = 0; n < 5; n++) {
      const { reply } = await all.next()
      if (n % 2) reply.head(streamHead())
    }
    await server.close()
    t.same([server.connections, server.streams], [0, 0])
    for (const { events } of all.items) t.equal(await events.next(), 'gone')
  })

  test('connections beyond the limit are refused; bytes are counted', async t => {
    const { all, port, server, client: one } = await open(t, { maxConnections: 1 })
    const asking = one.ask({ bodiless: true })
    const { reply } = await all.next()
    const refused = client(t, wire, port).get()
    if (wire.name === 'HTTP/1.1') t.equal((await refused).status, 503)
    else await t.rejects(refused)
    t.equal(server.refused, 1)
    t.equal(server.connections, 1)
    t.ok(server.traffic.read > 0)
    reply.answer(json(200, '{}'))
    t.equal((await asking.head).status, 200)
    const before = server.traffic
    one.close()
    while (server.connections > 0) await turn()
    t.ok(server.traffic.read >= before.read && server.traffic.written > 0)
  })
}
