/** Streams that end too early, break, are packed or too large; and the stream of the server's own messages. */
import { constants, createGzip, gzipSync } from 'node:zlib'
import t from 'tap'
import { faults, huge } from '../fixtures/servers/faults.ts'
import { startHttpServer } from '../fixtures/servers/http-server.ts'
import type { RawExchange } from '../fixtures/servers/raw-exchange.ts'
import { echoWithHandshake, type RawHttpServer, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { notification, rpc, toolCall } from '../helpers/rpc.ts'
import { answerTo, modernCall, withServer } from './http-client-door.ts'

const progress = (n: number) => notification('notifications/progress', { progressToken: 1, progress: n })
const list = notification('notifications/tools/list_changed')
/** Answers POSTs only when the test does. */
const silent = () => startRawHttp(() => {})

t.test('polling: a stream that was primed and closed is taken up again until its answer comes', async t => {
  const { server, door } = await withServer(t, startHttpServer({ eventStore: true, retryInterval: 20 }))
  await door.handshake()
  await server.counters.until('http GET')
  const { heard } = door.say(toolCall(1, 'poll', { key: 'k' }))
  await server.counters.until('http GET', 2)
  const resumed = server.requests.filter(r => r.method === 'GET').at(-1)!
  t.match(resumed.headers['last-event-id'], /_\d+$/)
  t.match(resumed.headers['mcp-session-id'], door.leg.upstreamId)
  await door.ask(toolCall(2, 'release', { key: 'k' }))
  t.match(await heard.next(), /^last .*released/)
  t.equal(await heard.next(), 'end')
  t.equal(server.counters.count('tools/call poll'), 1)
  t.same(door.log.items, [], 'which is nothing to talk about')
})

t.test('a stream that breaks is resumed behind its last id, as often as it goes on', async t => {
  const { server, door } = await withServer(t, silent())
  const { heard } = door.say(rpc(1, 'a'))
  const first = await server.exchange(1)
  first.sse()
  await first.sendMessage(progress(1), 'é-1')
  await heard.next()
  first.reset()
  const second = await server.exchange(2)
  t.equal(second.method, 'GET')
  t.equal(Buffer.from(second.headers['last-event-id'] as string, 'latin1').toString(), 'é-1')
  second.sse()
  await second.sendMessage(progress(2), '2')
  await second.write('id: 3\ndata: {"jsonrpc"')
  t.match(await heard.next(), /^own .*"progress":2/)
  second.reset()
  const third = await server.exchange(3)
  t.equal(third.headers['last-event-id'], '2', 'half an event is none')
  third.sse()
  await third.sendMessage(answerTo(1), '3')
  t.match(await heard.next(), /^last/)
  third.end()
  t.equal(door.log.items.filter(l => /^note .*taken up again/.test(l)).length, 2)
})

t.test('the wait that the server asked for is kept', async t => {
  const { server, door } = await withServer(t, silent(), { delays: { first: 60_000, max: 60_000 } })
  const { heard } = door.say(rpc(1, 'a'))
  const first = await server.exchange(1)
  first.sse()
  await first.sendEvent({ id: '1', retry: 150, data: '' })
  const ended = performance.now()
  first.end()
  const second = await server.exchange(2)
  t.ok(performance.now() - ended >= 149)
  second.sse()
  await second.sendMessage(answerTo(1))
  t.match(await heard.next(), /^last/)
  second.end()
})

t.test('attempts that bring nothing are bounded; every one that brings something counts anew', async t => {
  const { server, door } = await withServer(t, silent())
  server.always(async x => {
    x.sse()
    if (server.exchanges.length <= 7) await x.sendEvent({ id: '1', data: '' })
    x.end()
  })
  t.match(await door.say(rpc(1, 'a')).heard.next(), /^error upstream_reset/)
  t.equal(server.exchanges.length, 12, 'seven that brought an event, five that did not')
})

t.test('a server in trouble is asked again for the rest, one that refuses is not', async t => {
  const { server, door } = await withServer(t, silent())
  const breakOff = async (n: number) => {
    const x = await server.exchange(n)
    x.sse()
    await x.sendEvent({ id: '1', data: '' })
    x.end()
  }
  const patient = door.say(rpc(1, 'a'))
  server.next(
    () => {},
    x => x.respond(503, 'text/plain', 'busy'),
    faults.resetBeforeHead,
    async x => {
      x.sse()
      await x.sendMessage(answerTo(1))
      x.end()
    }
  )
  await breakOff(1)
  t.match(await patient.heard.next(), /^last/)
  const refused = door.say(rpc(2, 'b'))
  server.next(
    () => {},
    x => x.respond(400, 'text/plain', 'no')
  )
  await breakOff(5)
  t.match(await refused.heard.next(), /^error upstream_reset/)
  t.equal(server.exchanges.length, 6)
})

t.test('without ids there is nothing to take up: the call fails, and is not sent again', async t => {
  const { server, door } = await withServer(t, startRawHttp(faults.endSseEarly))
  const early = door.say(rpc(1, 'a'))
  t.match(await early.heard.next(), /^own/)
  t.match(await early.heard.next(), /^error upstream_reset/)
  for (const fault of ['cutMidSse', 'resetMidSse', 'cutMidJson', 'resetBeforeHead'] as const) {
    server.next(faults[fault])
    const { heard } = door.say(rpc(2, 'a'))
    t.match(await heard.until(l => !l.startsWith('own')), /^error upstream_reset/, fault)
  }
  t.equal(server.exchanges.length, 5)
})

t.test('nor is there in the modern era, ids or not', async t => {
  const { server, door } = await withServer(t, silent())
  const { heard } = door.say(modernCall(1, 'x'))
  const x = await server.exchange()
  x.sse()
  await x.sendEvent({ id: '1', data: '' })
  x.end()
  t.match(await heard.next(), /^error upstream_reset/)
  t.equal(server.exchanges.length, 1)
})

t.test('a call that is given up while it waits is not taken up again', async t => {
  const { server, door } = await withServer(t, silent(), { delays: { first: 60_000, max: 60_000 } })
  const { heard, handle } = door.say(rpc(1, 'a'))
  const x = await server.exchange()
  x.sse()
  await x.sendMessage(progress(1), '1')
  await heard.next()
  x.end()
  await x.closed
  server.next(y => y.json(200, answerTo(2)))
  await door.ask(rpc(2, 'b'))
  handle.cancel('timeout')
  t.match((await server.exchange(3)).text, 'notifications/cancelled')
  t.same(heard.items.slice(1), [])
})

t.test('events: data over several lines, arrays, other names, noise', async t => {
  const { server, door } = await withServer(t, silent())
  const { heard } = door.say(rpc(1, 'a'))
  const x = await server.exchange()
  x.sse()
  await x.sendEvent({ comment: 'hello' })
  await x.sendEvent({ event: 'ping', data: '{"not":"a message"}' })
  await x.sendEvent({ data: 'this is { not JSON' })
  await x.sendEvent({ event: 'message', data: JSON.stringify([progress(1), progress(2)]) })
  await x.sendEvent({ data: JSON.stringify(answerTo(1), null, 1) })
  x.end()
  t.match(await heard.next(), /^own .*"progress":1/)
  t.match(await heard.next(), /^own .*"progress":2/)
  t.equal(await heard.next(), `last ${JSON.stringify(answerTo(1), null, 1)}`)
  t.same(door.log.items, ['noise this is { not JSON'])
})

t.test('content that is packed though nobody asked for it', async t => {
  const { server, door } = await withServer(t, silent())
  const answer = JSON.stringify(answerTo(1, { text: 'x'.repeat(100_000) }))
  server.next(x => x.gzip(200, answer))
  t.equal(await door.ask(rpc(1, 'a')), answer)
  const streaming = door.say(rpc(1, 'b'))
  const x = await server.exchange(2)
  x.sse(['Content-Encoding', 'gzip'])
  const gzip = createGzip()
  t.teardown(() => gzip.destroy())
  gzip.on('data', chunk => void x.write(chunk))
  gzip.write(`data: ${JSON.stringify(progress(1))}\n\n`)
  gzip.flush(constants.Z_SYNC_FLUSH)
  t.match(await streaming.heard.next(), /^own/, 'told as it comes')
  gzip.end(`data: ${answer}\n\n`)
  gzip.on('end', () => x.end())
  t.equal(await streaming.heard.next(), `last ${answer}`)
  server.next(
    y => y.respond(200, 'application/json', answer, ['Content-Encoding', 'gzip']),
    y => y.respond(200, 'application/json', answer, ['Content-Encoding', 'pkzip']),
    y => y.respond(200, 'application/json', gzipSync(answer).subarray(0, 40), ['Content-Encoding', 'gzip'])
  )
  t.match(await door.say(rpc(1, 'c')).heard.next(), /^error upstream_protocol .*gzip/)
  t.match(await door.say(rpc(1, 'd')).heard.next(), /^error upstream_protocol .*pkzip/)
  t.match(await door.say(rpc(1, 'e')).heard.next(), /^error upstream_reset/)
})

t.test('a message over the limit fails its call, packed or not, and no other', async t => {
  const { server, door } = await withServer(t, silent(), { maxMessage: 10_000 })
  const event = `data: ${JSON.stringify(answerTo(1, { text: 'x'.repeat(20_000) }))}\n\n`
  server.next(
    huge(5_000_000),
    x => x.gzip(200, 'x'.repeat(5_000_000)),
    async x => {
      x.sse()
      await x.sendEvent({ id: '1', data: '' })
      await x.write(event)
    },
    x => x.json(200, answerTo(4))
  )
  for (const id of [1, 2, 3]) t.match(await door.say(rpc(id, 'a')).heard.next(), /^error message_too_large .*10000/)
  t.match(await door.ask(rpc(4, 'a')), '"id":4')
  await server.exchanges[2]!.aborted
  t.equal(server.exchanges.length, 4, 'nobody asks for the rest of it')
})

t.test('a call that is held before it was sent stays held', async t => {
  const { server, door } = await withServer(t, silent())
  const note = door.say(notification('n'))
  const { handle, heard } = door.say(rpc(1, 'a'))
  handle.pause()
  ;(await server.exchange(1)).head(202).end()
  t.equal(await note.heard.next(), 'end')
  const x = await server.exchange(2)
  x.json(200, answerTo(1))
  await x.closed
  server.next(y => y.json(200, answerTo(2)))
  await door.ask(rpc(2, 'b'))
  t.same(heard.items, [])
  handle.resume()
  t.match(await heard.next(), /^last/)
})

t.test('a call or the whole leg can be held, packed content too', async t => {
  const { server, door } = await withServer(t, silent(), { maxMessage: 50_000_000 })
  const big = JSON.stringify(answerTo(1, { text: 'x'.repeat(30_000_000) }))
  for (const [hold, release] of [
    [(h: { pause(): void }) => h.pause(), (h: { resume(): void }) => h.resume()],
    [() => door.leg.pause(), () => door.leg.resume()]
  ] as const) {
    const { handle, heard } = door.say(rpc(1, 'a'))
    hold(handle)
    const x = await server.exchange(server.exchanges.length + 1)
    x.head(200, ['Content-Type', 'application/json'])
    let written = false
    const sent = x.write(big).then(() => {
      written = true
    })
    const other = door.say(rpc(2, 'b'))
    const y = await server.exchange(server.exchanges.length + 1)
    y.json(200, answerTo(2))
    await y.closed
    t.notOk(written, 'nobody reads it')
    release(handle)
    await sent
    x.end()
    t.equal(await heard.next(), `last ${big}`)
    t.match(await other.heard.next(), /^last/)
  }
  door.leg.pause()
  server.next(x => x.gzip(200, big))
  const packed = door.say(rpc(1, 'c'))
  await (await server.exchange(server.exchanges.length + 1)).closed
  t.same(packed.heard.items, [])
  door.leg.resume()
  t.equal(await packed.heard.next(), `last ${big}`)
})

async function listening(server: RawHttpServer, n = 1): Promise<RawExchange> {
  await server.counters.until('GET', n)
  return server.exchanges.filter(x => x.method === 'GET')[n - 1]!
}

/** Handshake as real servers do it; GETs are the test's. */
const withListen = () => {
  const script = echoWithHandshake('s')
  return startRawHttp(x => (x.method === 'GET' ? undefined : script(x)))
}

t.test('the stream of its own is opened again when it ends or breaks, behind the last id', async t => {
  const { server, door } = await withServer(t, withListen())
  await door.handshake()
  const first = await listening(server)
  first.sse()
  await first.sendMessage(list)
  await door.log.until(l => l.startsWith('message'))
  first.end()
  const second = await listening(server, 2)
  t.notOk(second.headers['last-event-id'])
  second.sse()
  await second.sendMessage(list, 'e2')
  await door.log.until(l => l.startsWith('message'))
  second.reset()
  const third = await listening(server, 3)
  t.equal(third.headers['last-event-id'], 'e2')
  third.respond(503, 'text/plain', 'busy')
  const fourth = await listening(server, 4)
  fourth.respond(409, 'text/plain', 'there is one')
  const fifth = await listening(server, 5)
  fifth.reset()
  const sixth = await listening(server, 6)
  sixth.sse()
  await sixth.sendMessage(answerTo('replayed'))
  t.match(await door.log.until(l => l.startsWith('late')), '"replayed"')
  t.match(
    door.log.items.filter(l => l.startsWith('note')),
    [/stands again/]
  )
  await door.leg.close()
  await sixth.aborted
})

t.test('a stream that waits to be opened again keeps nobody from closing', async t => {
  const { server, door } = await withServer(t, withListen(), { delays: { first: 60_000, max: 60_000 } })
  await door.handshake()
  const first = await listening(server)
  first.sse()
  await first.sendMessage(list)
  await door.log.until(l => l.startsWith('message'))
  first.end()
  await first.closed
  await door.ask(rpc(1, 'ping'))
  await door.leg.close()
  t.equal(server.counters.count('GET'), 1)
})

t.test('a server without that stream is not asked again, whatever it says', async t => {
  const { server, door } = await withServer(t, withListen())
  const answers: ((x: RawExchange) => void)[] = [
    x => x.respond(404, 'text/html', '<h1>nothing here</h1>'),
    x => x.respond(501, 'text/plain', 'never'),
    x => x.head(200, ['Content-Type', 'text/html']) && void x.write('<html>'),
    x => x.head(202).end()
  ]
  for (const [i, answer] of answers.entries()) {
    await door.handshake()
    const x = await listening(server, i + 1)
    answer(x)
    await x.closed
  }
  await door.ask(rpc(1, 'ping'))
  t.equal(server.counters.count('GET'), answers.length)
  t.same(door.log.items, [])
})

t.test('an event over the limit is told and left behind, and the stream goes on', async t => {
  const { server, door } = await withServer(t, withListen(), { maxMessage: 5_000 })
  await door.handshake()
  const first = await listening(server)
  first.sse()
  await first.sendEvent({ id: '1', data: '' })
  await first.write(`id: 2\ndata: ${'x'.repeat(6_000)}\n\n`)
  t.match(await door.log.next(), /^note .*--max-message \(5000\)/)
  const second = await listening(server, 2)
  t.notOk(second.headers['last-event-id'], 'the server would begin with the same event again')
  second.sse()
  await second.sendMessage(list)
  t.match(await door.log.until(l => l.startsWith('message')), 'list_changed')
})
