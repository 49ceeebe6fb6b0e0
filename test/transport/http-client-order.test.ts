/** The order of a pipe kept over HTTP; cancellation of legacy calls; batches. */
import t from 'tap'
import { startHttpServer } from '../fixtures/servers/http-server.ts'
import { startRawHttp } from '../fixtures/servers/raw-http.ts'
import { initialize, notification, rpc } from '../helpers/rpc.ts'
import { answerTo, cancelled, withServer } from './http-client-door.ts'

t.test(
  'a request waits until the server has accepted what came before it; requests do not wait for each other',
  async t => {
    const { server, door } = await withServer(
      t,
      startRawHttp(() => {})
    )
    const before = door.say(rpc(0, 'runs'))
    await server.exchange(1)
    const note = door.say(notification('notifications/roots/list_changed'))
    await server.exchange(2)
    const answer = door.say(answerTo('asked'))
    const [one, two] = [door.say(rpc(1, 'a')), door.say(rpc(2, 'b'))]
    server.exchanges[0]!.json(200, answerTo(0))
    t.match(await before.heard.next(), /^last/)
    t.equal(server.exchanges.length, 2, 'what follows the notification has not been sent')
    server.exchanges[1]!.head(202).end()
    t.equal(await note.heard.next(), 'end')
    t.equal((await server.exchange(3)).text, JSON.stringify(answerTo('asked')))
    t.equal(server.exchanges.length, 3)
    server.exchanges[2]!.head(400)
    await server.exchange(5)
    t.same(answer.heard.items, [], 'refused is accepted, too, as soon as it is said')
    server.exchanges[2]!.end()
    t.equal(await answer.heard.next(), 'end')
    for (const x of server.exchanges.slice(3)) x.json(200, answerTo(JSON.parse(x.text).id))
    t.match(await one.heard.next(), /^last/)
    t.match(await two.heard.next(), /^last/)
  }
)

t.test('what a client sends behind initialize without waiting waits until the session is known', async t => {
  const { server, door } = await withServer(t, startHttpServer())
  door.say(initialize(0))
  const note = door.say(notification('notifications/initialized'))
  const list = door.say(rpc(1, 'tools/list'))
  t.equal(await note.heard.next(), 'end')
  t.match(await list.heard.next(), /^last .*"tools"/)
  const [first, ...later] = server.requests.filter(r => r.method === 'POST')
  t.notOk(first!.headers['mcp-session-id'])
  for (const r of later) t.equal(r.headers['mcp-session-id'], door.leg.upstreamId)
  for (const r of later) t.equal(r.headers['mcp-protocol-version'], '2025-11-25')
  t.equal(later.length, 2)
})

t.test('an answer to what the server asks before it is initialized is not kept back for ever', async t => {
  const { server, door } = await withServer(
    t,
    startRawHttp(() => {}),
    { patience: 30 }
  )
  const start = door.say(initialize(0))
  const x = await server.exchange(1)
  x.sse()
  await x.sendMessage(rpc('p', 'ping'))
  t.match(await start.heard.next(), /^own .*ping/)
  door.say(answerTo('p'))
  const answer = await server.exchange(2)
  t.equal(answer.text, JSON.stringify(answerTo('p')))
  answer.head(202).end()
  await x.sendMessage(answerTo(0, { protocolVersion: '2025-11-25' }))
  t.match(await start.heard.next(), /^last/)
  x.end()
})

t.test('a server that never accepts a notification holds nobody for ever', async t => {
  const { server, door } = await withServer(
    t,
    startRawHttp(() => {}),
    { patience: 30 }
  )
  const note = door.say(notification('notifications/roots/list_changed'))
  door.say(rpc(1, 'a'))
  t.match((await server.exchange(2)).text, '"a"')
  note.handle.cancel('timeout')
  await server.exchanges[0]!.aborted
  t.same(note.heard.items, [])
})

t.test(
  'what waits is bounded: the client is held, then refused; what is cancelled meanwhile is never sent',
  async t => {
    const { server, door } = await withServer(
      t,
      startRawHttp(() => {}),
      { maxWaiting: 100 }
    )
    door.say(notification('notifications/roots/list_changed'))
    await server.exchange(1)
    const first = door.say(rpc(1, 'a'))
    const second = door.say(rpc(2, 'b'))
    t.equal(await door.log.next(), 'full')
    const third = door.say(rpc(3, 'c'))
    t.match(await third.heard.next(), /^error upstream_queue_full/)
    first.handle.cancel('client-gone')
    server.exchanges[0]!.head(202).end()
    t.match((await server.exchange(2)).text, '"b"')
    t.equal(await door.log.next(), 'drain')
    server.exchanges[1]!.json(200, answerTo(2))
    t.match(await second.heard.next(), /^last/)
    t.same(first.heard.items, [])
    t.equal(server.exchanges.length, 2)
  }
)

t.test(
  'the client cancels: the server is told, the newest call of that id hears it and may still be answered',
  async t => {
    const { server, door } = await withServer(
      t,
      startRawHttp(() => {})
    )
    const [old, newer] = [door.say(rpc(1, 'a')), door.say(rpc(1, 'b'))]
    await server.exchange(2)
    const cancel = door.say(cancelled(1))
    t.equal(await newer.heard.next(), 'cancelled')
    t.same(old.heard.items, [])
    const told = await server.exchange(3)
    t.equal(told.text, JSON.stringify(cancelled(1)))
    told.head(202).end()
    t.equal(await cancel.heard.next(), 'end')
    server.exchanges.find(x => x.text.includes('"b"'))!.json(200, answerTo(1))
    t.match(await newer.heard.next(), /^last/)
    door.say(cancelled('unknown'))
    t.equal((await server.exchange(4)).text, JSON.stringify(cancelled('unknown')), 'an unknown one passes as it is')
  }
)

t.test('a call that is given up is cancelled at a legacy server, once, and its connection closed', async t => {
  const { server, door } = await withServer(
    t,
    startRawHttp(() => {})
  )
  const late = door.say(rpc(1, 'a'))
  const posted = await server.exchange(1)
  late.handle.cancel('timeout')
  const reason = '{"requestId":1,"reason":"timed out"}'
  t.equal((await server.exchange(2)).text, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":${reason}}`)
  t.match(door.log.items, [/^own .*notifications\/cancelled/])
  server.exchanges[1]!.head(202).end()
  await posted.aborted
  const starting = door.say(initialize(2))
  await server.exchange(3)
  starting.handle.cancel('timeout')
  await server.exchanges[2]!.aborted
  const own = door.say(rpc(3, 'b'))
  await server.exchange(4)
  door.say(cancelled(3))
  await server.exchange(5)
  server.exchanges[4]!.head(202).end()
  own.handle.cancel('client-cancelled')
  await server.exchanges[3]!.aborted
  const last = door.say(rpc(4, 'c'))
  t.match((await server.exchange(6)).text, '"c"')
  last.handle.cancel('shutdown')
  await server.exchanges[5]!.aborted
  t.equal(server.exchanges.length, 6, 'not initialize, not what the client cancelled itself, not at the end')
  t.same([late.heard.items, last.heard.items], [[], []])
})

t.test('a batch is one POST; its answers come as an array or as several events, each to the receiver', async t => {
  const { server, door } = await withServer(t, startRawHttp())
  const messages = [rpc(1, 'a'), notification('n'), rpc(2, 'b')]
  const whole = door.batch(messages)
  t.match(await whole.heard.next(), /^message .*"id":1/)
  t.match(await whole.heard.next(), /^last .*"id":2/)
  t.equal(await whole.heard.next(), 'end')
  t.same(JSON.parse((await server.exchange()).text), messages)
  server.next(async x => {
    x.sse()
    await x.sendMessage([answerTo(2), answerTo('?')])
    await x.sendMessage(answerTo(1))
    x.end()
  })
  const events = door.batch(messages)
  t.match(await events.heard.next(), /^message .*"id":2/)
  t.match(await events.heard.next(), /^last .*"id":1/)
  t.equal(await events.heard.next(), 'end')
  t.match(await door.log.next(), /^late .*"\?"/)
  const notes = door.batch([notification('n'), answerTo(7)])
  t.equal(await notes.heard.next(), 'end')
})

t.test('what catflap says by itself is given up when the server does not take it', async t => {
  const { server, door } = await withServer(
    t,
    startRawHttp(() => {}),
    { patience: 30 }
  )
  const { handle } = door.say(rpc(1, 'a'))
  await server.exchange(1)
  handle.cancel('timeout')
  const own = await server.exchange(2)
  t.match(own.text, 'notifications/cancelled')
  await own.aborted
})

t.test('a batch of which only cancelled requests are left says so', async t => {
  const { server, door } = await withServer(
    t,
    startRawHttp(() => {})
  )
  const { heard } = door.batch([rpc(1, 'a'), rpc(2, 'b')])
  const x = await server.exchange()
  x.sse()
  door.say(cancelled(2))
  ;(await server.exchange(2)).head(202).end()
  t.same(heard.items, [])
  await x.sendMessage(answerTo(1))
  t.match(await heard.next(), /^message .*"id":1/)
  t.equal(await heard.next(), 'cancelled')
})
