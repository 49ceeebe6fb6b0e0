/** What one client may take of the server's connections and of catflap's time, and what it is told where something goes amiss. */
import t from 'tap'
import { Message } from '../../src/protocol/message.ts'
import { OpenRequests } from '../../src/transport/upstream/http-client-requests.ts'
import { echoWithHandshake, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { initialize, modern, notification, rpc } from '../helpers/rpc.ts'
import { answerTo, cancelled, modernCall, withServer } from './http-client-door.ts'

const silent = () => startRawHttp(() => {})
const idOf = (text: string): unknown => JSON.parse(text).id

t.test('a batch of many requests is answered in a time that grows with their number, not with its square', async t => {
  const { server, door } = await withServer(t, silent())
  const size = 20_000
  const batch = Array.from({ length: size }, (_, i) => rpc(i, 'ping'))
  const { heard } = door.batch(batch)
  const x = await server.exchange()
  x.json(200, batch.map(m => answerTo(m.id!)).reverse())
  await heard.next()
  const began = performance.now()
  t.equal(await heard.until(line => line === 'end', { timeoutMs: 30_000 }), 'end')
  t.equal(heard.items.length, size + 1)
  t.ok(performance.now() - began < 2_000, 'nobody else waits for it')
})

t.test('requests of one POST are found by id: equal ones in turn, rounded ones, cancelled ones last', t => {
  const of = (...ids: string[]) =>
    new OpenRequests(ids.map(id => Message.parse(Buffer.from(`{"jsonrpc":"2.0","id":${id},"method":"m"}`))))
  const big = of('9007199254740993', '1e30', '1000000000000000000000000000001', '"a"')
  t.equal(big.take('9007199254740992')?.idText, '9007199254740993')
  t.equal(big.take('9007199254740992'), undefined)
  t.equal(big.take('1e+30')?.idText, '1e30')
  t.equal(big.take('1e+30')?.idText, '1000000000000000000000000000001')
  t.equal(big.size, 1)
  t.equal(big.left[0]?.idText, '"a"')
  const same = of('1', '1', '2')
  same.cancel('1')
  same.cancel('2')
  t.equal(same.awaits('2'), false)
  t.equal(same.wanted.length, 1)
  t.ok(same.take('1'))
  t.ok(same.allCancelled)
  t.ok(same.take('1'), 'it was answered all the same')
  t.equal(same.take('1'), undefined)
  t.equal(same.dropCancelled('2'), true)
  t.equal(same.dropCancelled('2'), false)
  t.equal(same.size, 0)
  t.end()
})

t.test('of a share of the connections calls wait for their turn; notifications and answers pass them', async t => {
  const { server, door } = await withServer(t, silent(), { maxCalls: 1, maxPending: 1 })
  const first = door.say(rpc(1, 'a'))
  const second = door.say(rpc(2, 'b'))
  t.match(await door.say(rpc(3, 'c')).heard.next(), /^error upstream_queue_full/)
  const answer = door.say(answerTo('asked'))
  t.equal((await server.exchange(2)).text, JSON.stringify(answerTo('asked')))
  server.exchanges[1]!.head(202).end()
  t.equal(await answer.heard.next(), 'end')
  t.equal(server.exchanges.length, 2)
  server.exchanges[0]!.json(200, answerTo(1))
  t.match(await first.heard.next(), /^last/)
  const x = await server.exchange(3)
  t.equal(idOf(x.text), 2)
  x.json(200, answerTo(2))
  t.match(await second.heard.next(), /^last/)
})

t.test('while the client does not read, hardly anything is begun, and it is held when it says much', async t => {
  const { server, door } = await withServer(
    t,
    startRawHttp(x => x.json(200, answerTo(idOf(x.text) as number))),
    { maxCalls: 16 }
  )
  door.leg.pause()
  const calls = Array.from({ length: 300 }, (_, i) => door.say(rpc(i, 'a')))
  t.equal(await door.log.next(), 'full')
  await server.exchange(4)
  const note = door.say(notification('notifications/roots/list_changed'))
  server.next(x => x.head(202).end())
  t.equal(await note.heard.next(), 'end')
  t.equal(server.exchanges.length, 5, 'four calls, and what needs no room')
  door.leg.resume()
  t.equal(await door.log.next(), 'drain')
  for (const { heard } of calls) t.match(await heard.next(), /^last/)
})

t.test('an id that is cancelled and used again: only the new call is answered', async t => {
  const { server, door } = await withServer(t, silent())
  const first = door.say(rpc(1, 'first'))
  const x = await server.exchange(1)
  door.say(cancelled(1))
  t.equal(await first.heard.next(), 'cancelled')
  ;(await server.exchange(2)).head(202).end()
  const second = door.say(rpc(1, 'second'))
  const y = await server.exchange(3)
  t.match(await first.heard.next(), /^error cancelled/)
  x.json(200, answerTo(1, { was: 'first' }))
  y.json(200, answerTo(1, { was: 'second' }))
  t.match(await second.heard.next(), /^last .*second/)
  t.equal(first.heard.items.length, 2)
})

t.test('the same within a batch, whose other requests are still answered', async t => {
  const { server, door } = await withServer(t, silent())
  const batch = door.batch([rpc(1, 'first'), rpc(2, 'other')])
  const x = await server.exchange(1)
  door.say(cancelled(1))
  ;(await server.exchange(2)).head(202).end()
  const again = door.say(rpc(1, 'again'))
  const y = await server.exchange(3)
  x.json(200, [answerTo(1, { was: 'first' }), answerTo(2)])
  t.match(await batch.heard.next(), /^last .*"id":2/)
  y.json(200, answerTo(1, { was: 'again' }))
  t.match(await again.heard.next(), /^last .*again/)
  t.ok(door.log.items.some(line => line.startsWith('late') && line.includes('first')))
})

t.test('a call that is cancelled before it was sent is never sent, and neither is its cancellation', async t => {
  const { server, door } = await withServer(t, silent(), { connections: 1 })
  const first = door.say(rpc(1, 'a'))
  await server.exchange(1)
  const second = door.say(rpc(2, 'b'))
  const note = door.say(cancelled(2))
  t.equal(await note.heard.next(), 'end')
  t.match(await second.heard.next(), /^error cancelled/)
  server.exchanges[0]!.json(200, answerTo(1))
  t.match(await first.heard.next(), /^last/)
  const third = door.say(rpc(3, 'c'))
  const x = await server.exchange(2)
  t.equal(idOf(x.text), 3)
  x.json(200, answerTo(3))
  await third.heard.next()
})

t.test('what follows initialize waits for its answer, however long that takes', async t => {
  const { server, door } = await withServer(t, silent(), { patience: 30 })
  const start = door.say(initialize(0))
  door.say(notification('notifications/initialized'))
  const list = door.say(rpc(1, 'tools/list'))
  door.say(answerTo('p'))
  const answer = await server.exchange(2)
  t.equal(answer.text, JSON.stringify(answerTo('p')), 'the server may have asked for that: it goes first, in the end')
  answer.head(202).end()
  server.exchanges[0]!.json(200, answerTo(0, { protocolVersion: '2025-11-25' }), ['Mcp-Session-Id', 's'])
  t.match(await start.heard.next(), /^last/)
  const note = await server.exchange(3)
  t.match(note.text, 'notifications/initialized')
  t.equal(note.headers['mcp-session-id'], 's')
  note.head(202).end()
  await server.counters.until('request', 4)
  const x = server.exchanges.find(one => one.text.includes('tools/list'))!
  x.json(200, answerTo(1))
  t.match(await list.heard.next(), /^last/)
})

t.test('a notification that is lost on its way is told to whoever watches', async t => {
  const { door } = await withServer(
    t,
    startRawHttp(x => x.cut())
  )
  door.say(notification('notifications/roots/list_changed'))
  t.match(await door.log.next(), /^note notifications\/roots\/list_changed may not have reached the server/)
  door.say(answerTo('asked'))
  t.match(await door.log.next(), /^note the client's answer may not have reached/)
})

for (const id of ['a\x01b', '\x7f', 'x'.repeat(5_000)])
  t.test(`an event id that fits into no header: ${JSON.stringify(id).slice(0, 12)}`, async t => {
    const script = echoWithHandshake('s')
    const { server, door } = await withServer(
      t,
      startRawHttp(x => (x.method === 'GET' ? undefined : script(x)))
    )
    await door.handshake()
    const gets = (n: number) =>
      server.counters.until('GET', n).then(() => server.exchanges.filter(x => x.method === 'GET'))
    const [first] = await gets(1)
    first!.sse()
    await first!.sendMessage(notification('notifications/message', { n: 1 }), id)
    await door.log.until(line => /^note .*cannot be taken up again there/.test(line))
    await door.log.until(line => line.startsWith('message'))
    first!.end()
    const [, second] = await gets(2)
    t.notOk(second!.headers['last-event-id'])
  })

t.test('calls that are refused at the same time share one look at the tools', async t => {
  let lists = 0
  const { server, door } = await withServer(
    t,
    startRawHttp(x => {
      const { id, method } = JSON.parse(x.text)
      if (method !== 'tools/list') return
      lists++
      x.json(200, answerTo(id, { tools: [], ...(lists % 3 !== 0 && { nextCursor: `c${lists}` }) }))
    })
  )
  const calls = [1, 2, 3].map(id => door.say(modernCall(id, 'tool')))
  await server.exchange(3)
  for (const x of server.exchanges.slice(0, 3))
    x.json(400, { jsonrpc: '2.0', id: idOf(x.text), error: { code: -32020, message: 'no' } })
  for (const { heard } of calls) t.match(await heard.next(), /^last .*-32020/)
  t.equal(lists, 3)
  server.next(x => x.json(200, answerTo(4)))
  t.match(await door.ask(modern(rpc(4, 'ping'))), /"id":4/)
})

t.test('what the server repeats of a secret is not shown', async t => {
  const { door } = await withServer(
    t,
    startRawHttp(x => x.respond(401, 'text/plain', `no such token: very-secret`)),
    { scrub: text => text.replaceAll('very-secret', '[redacted]') }
  )
  t.match(await door.say(rpc(1, 'a')).heard.next(), /^error .*no such token: \[redacted\]/)
  door.say(notification('n'))
  t.match(await door.log.next(), /^note n was refused.*no such token: \[redacted\]/)
})
