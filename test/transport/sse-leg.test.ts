/** A session at a server on HTTP+SSE as a leg: one stream, many POSTs. */
import { constants, gzipSync } from 'node:zlib'
import t from 'tap'
import { faults } from '../fixtures/servers/faults.ts'
import type { RawExchange } from '../fixtures/servers/raw-exchange.ts'
import type { Script } from '../fixtures/servers/raw-http.ts'
import { accept, echoing, opens, type RawSseServer } from '../fixtures/servers/raw-sse.ts'
import { startSseServer } from '../fixtures/servers/sse-server.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { initialize, notification, rpc, toolCall } from '../helpers/rpc.ts'
import { answer, lostIn, openLeg, start } from './sse-leg-start.ts'

t.test('a conversation with a server of the official SDK', async t => {
  trackLeaks(t)
  const server = await startSseServer()
  t.teardown(() => server.close())
  const { leg, log, say } = openLeg(t, server.url)
  t.match(await say(initialize(0, '2024-11-05', { sampling: {} })).heard.next(), '"protocolVersion":"2024-11-05"')
  say(notification('notifications/initialized'))
  const call = say(toolCall(1, 'echo', { a: [1, 'é\u2028'] }))
  t.match(await call.heard.next(), '"id":1')
  t.equal(await call.heard.next(), 'end')

  const progress = rpc(2, 'tools/call', { name: 'progress', arguments: { n: 2 }, _meta: { progressToken: 'p' } })
  t.match(await say(progress).heard.next(), 'progressed 2')
  const owned = log.items.filter(l => l.startsWith('owned'))
  t.same(
    owned.map(l => JSON.parse(l.slice(6)).params.progress),
    [1, 2]
  )

  const asking = say(toolCall(3, 'sample'))
  const question = JSON.parse(await log.until(l => l.includes('sampling/createMessage')))
  say(answer(question.id, { role: 'assistant', model: 'm', content: { type: 'text', text: 'hello' } }))
  t.match(await asking.heard.next(), 'hello')

  const slow = say(toolCall(4, 'slow', { key: 'k' }))
  await server.counters.until('slow.started')
  say(notification('notifications/cancelled', { requestId: 4 }))
  await server.counters.until('slow.cancelled')
  t.same(slow.heard.items, ['cancelled'])

  server.changed('tools')
  t.match(await log.until(l => l.includes('list_changed')), 'notifications/tools/list_changed')
  await leg.close()
  await server.counters.until('session.closed')
  t.same(server.errors, [])
})

t.test('wherever the endpoint is said to be on the same origin, messages go there', async t => {
  const forms: [string, string][] = [
    ['/messages?sessionId=1', '/messages?sessionId=1'],
    ['?sessionId=2', '/sse?sessionId=2'],
    ['post/3', '/post/3'],
    ['../4', '/4']
  ]
  for (const [endpoint, path] of forms) {
    const { server, say } = await start(t, { open: opens(endpoint), refuse: x => server.posts.push(x) })
    say(rpc(1, 'ping'))
    t.equal((await server.posts.next()).path, path)
  }
  const { server, say } = await start(t, {
    open: x => opens(`http://127.0.0.1:${server.port}/absolute?x=5#fragment`)(x)
  })
  say(rpc(1, 'ping'))
  t.equal((await server.posts.next()).path, '/absolute?x=5')
})

t.test('a second endpoint changes nothing and is noted', async t => {
  const { server, say, log } = await start(t)
  say(rpc(1, 'ping'))
  await server.posts.next()
  await server.say({ event: 'endpoint', data: '/elsewhere' })
  t.match(await log.until(l => l.startsWith('note')), 'named an endpoint again')
  say(rpc(2, 'ping'))
  t.match((await server.posts.next()).path, /^\/messages/)
})

t.test('what is said before the endpoint is known waits, in order, up to a bound', async t => {
  const { server, say, log } = await start(t, { open: x => void x.sse() }, { maxInput: 200 })
  for (let id = 1; id <= 8; id++) say(rpc(id, 'ping'))
  const refused = say(rpc(9, 'ping', { long: 'x'.repeat(300) }))
  t.equal(log.items[0], 'full')
  t.match(await say(rpc(10, 'ping')).heard.next(), 'error upstream_queue_full')
  await server.streams.next()
  t.same(server.posts.items, [])
  await server.say({ event: 'endpoint', data: '/messages' })
  const seen = [await server.posts.next(), await server.posts.next(), await server.posts.next()]
  t.ok(seen.every(x => x.path === '/messages'))
  await log.until(l => l === 'drain')
  const { heard } = say(rpc(11, 'ping'))
  await server.posts.until(x => x.text.includes('"id":11'))
  await server.tell(answer(11))
  t.match(await heard.next(), 'last')
  t.same(refused.heard.items, [])
})

t.test('headers of the client go along, with the stream as with every message', async t => {
  const { server, say, leg } = await start(t, {}, { targetHeaders: ['X-Key', 'ours'], query: '?tenant=7' })
  const headers = (token: string) => [
    ...['Authorization', token, 'X-Key', 'theirs', 'X-Other', 'kept', 'Mcp-Session-Id', 'no'],
    ...['Content-Type', 'text/plain', 'Accept', 'application/json', 'Last-Event-ID', '7']
  ]
  const first = say(rpc(1, 'a'), headers('one'))
  const stream = await server.streams.next()
  t.equal(stream.path, '/sse?tenant=7')
  t.match(stream.headers, { authorization: 'one', 'x-key': 'ours', 'x-other': 'kept', accept: 'text/event-stream' })
  t.match(stream.headers, { 'accept-encoding': 'identity' })
  const post = await server.posts.next()
  t.match(post.headers, { authorization: 'one', 'x-key': 'ours', 'content-type': 'application/json', accept: '*/*' })
  for (const x of [stream, post]) t.notOk(x.headers['mcp-session-id'] ?? x.headers['last-event-id'])
  t.notOk(stream.headers['content-type'])

  say(rpc(2, 'b'), headers('two'))
  await server.posts.next()
  say(notification('n'))
  t.match(
    (await server.posts.next()).headers,
    { authorization: 'two' },
    'also with what the client did not say over HTTP'
  )
  first.handle.cancel('timeout')
  t.match((await server.posts.next()).headers, { authorization: 'two' }, 'nor anybody but us')
  await leg.close()

  const given = await start(t, {}, { headers: ['Authorization', 'given'] })
  given.say(rpc(1, 'a'), headers('one'))
  t.match((await given.server.streams.next()).headers, { authorization: 'given' })
})

t.test('redirects to the same origin are followed', async t => {
  const { server, say } = await start(t, {
    open: x => (x.path === '/sse' ? x.redirect('/moved/sse') : opens('/deep/messages')(x))
  })
  server.nextPosts(x => x.redirect('there?b=2'))
  say(rpc(1, 'ping'))
  t.equal((await server.posts.next()).path, '/deep/messages')
  const moved = await server.posts.next()
  t.same([moved.path, moved.method, JSON.parse(moved.text).id], ['/deep/there?b=2', 'POST', 1])
  t.equal(server.http.exchanges[1]?.path, '/moved/sse')
})

t.test('a stream that is compressed all the same is read', async t => {
  const events = `event: endpoint\ndata: /messages\n\ndata: ${JSON.stringify(answer(1, 'unpacked'))}\n\n`
  const { server, say, log } = await start(t, {
    open: x => {
      x.sse(['Content-Encoding', 'gzip'])
      return x.write(gzipSync(events, { finishFlush: constants.Z_SYNC_FLUSH }))
    },
    post: x => x.gzip(400, JSON.stringify({ jsonrpc: '2.0', id: null, error: { code: -1, message: 'packed' } }))
  })
  t.match(await say(rpc(1, 'ping')).heard.next(), 'unpacked')
  t.equal(
    await say(rpc(2, 'ping')).heard.next(),
    'last {"jsonrpc":"2.0","id":2,"error":{"code":-1,"message":"packed"}}'
  )
  server.http.exchanges[0]?.cut()
  t.match(await lostIn(log), 'upstream_session_lost')
})

t.test('what stands behind a notification waits until the server has taken it; requests wait for nobody', async t => {
  const { server, say, log } = await start(t)
  const held: RawExchange[] = []
  const hold: Script = x => void held.push(x)
  server.nextPosts(hold, hold, hold, hold)
  say(rpc(1, 'a'))
  say(rpc(2, 'b'))
  say(notification('n'))
  await server.posts.until(x => x.text.includes('"n"'))
  t.equal(held.length, 3, 'two requests and the notification behind them, none of them taken')
  say(rpc(3, 'c'))
  await server.tell(notification('seen'))
  await log.until(l => l.includes('seen'))
  t.equal(server.posts.items.length, 3)
  accept(held.find(x => x.text.includes('"n"'))!)
  await server.posts.until(x => x.text.includes('"c"'))
  say(answer('server-1'))
  await server.posts.until(x => x.text.includes('server-1'))
  say(rpc(4, 'd'))
  await server.posts.until(x => x.text.includes('"d"'))
})

t.test('but not for ever', async t => {
  const { server, say } = await start(t, {}, { orderWait: 300 })
  server.nextPosts(faults.hang)
  say(notification('n'))
  say(rpc(1, 'a'))
  await server.posts.next()
  const began = performance.now()
  t.match((await server.posts.next()).text, '"a"')
  t.ok(performance.now() - began > 200)
})

t.test('events without a name are messages, other names are not, and what is no message is noise', async t => {
  // A byte order mark may stand at the very beginning.
  const { server, say, log } = await start(t, {
    open: x => x.sse().write('\ufeffevent: endpoint\ndata: /messages\n\n')
  })
  say(rpc(1, 'x'))
  await server.posts.next()
  await server.say(`event: ping\ndata: {"jsonrpc":"2.0","method":"no"}\n\n: comment\n\ndata:\n\nid: 3\n\n`)
  await server.say('data: {"jsonrpc":"2.0",\rdata: "method":"two-lines"}\r\rdata: nonsense\n\n')
  t.equal(await log.next(), '{"jsonrpc":"2.0",\n"method":"two-lines"}')
  t.equal(await log.next(), 'noise nonsense')
})

t.test('equal ids at once are told apart', async t => {
  const { server, say } = await start(t)
  const [first, second] = [say(rpc(1, 'x')), say(rpc(1, 'y'))]
  const post = await server.posts.until(x => x.text.includes('"y"'))
  const { id } = JSON.parse(post.text)
  t.not(id, 1)
  server.nextPosts(x => x.respond(500, 'text/plain', ''))
  await server.tell(answer(id, 'second'))
  t.equal(await second.heard.next(), `last ${JSON.stringify(answer(1, 'second'))}`)
  await server.tell(answer(1, 'first'))
  t.match(await first.heard.next(), 'first')
})

t.test('close ends the stream and what is on its way', async t => {
  const { server, say, leg, log } = await start(t, { post: faults.hang })
  const { heard } = say(rpc(1, 'x'))
  say(notification('n'))
  const [post, note, stream] = [await server.posts.next(), await server.posts.next(), await server.streams.next()]
  await leg.close()
  await Promise.all([post.aborted, note.aborted, stream.aborted])
  t.match(heard.items, [/^error session_not_found/])
  t.match(await lostIn(log), '"expected":1')
  t.match(await say(rpc(2, 'x')).heard.next(), 'error session_not_found')
})

t.test('close before anything was said opens nothing', async t => {
  const { server, leg } = await start(t)
  await leg.close()
  t.equal(server.http.counters.count('connection'), 0)
})

t.test('a request that was given up before it could be sent is never sent', async t => {
  const { server, say } = await start(t, { open: x => void x.sse() })
  const given = say(rpc(1, 'given-up'))
  say(rpc(2, 'kept'))
  await server.streams.next()
  given.handle.cancel('client-gone')
  await server.say({ event: 'endpoint', data: '/messages' })
  await server.posts.until(x => x.text.includes('notifications/cancelled'))
  t.notOk(server.posts.items.some(x => x.text.includes('given-up')))
})

t.test('an answer may come before its POST is taken', async t => {
  const { server, say } = await start(t)
  const held: RawExchange[] = []
  server.nextPosts(x => void held.push(x))
  const { heard } = say(rpc(1, 'x'))
  await server.posts.next()
  await server.tell(answer(1))
  t.match(await heard.next(), 'last')
  held[0]?.respond(500, 'text/plain', 'too late')
  const served: RawSseServer = server
  server.nextPosts(echoing(() => served))
  t.match(await say(rpc(2, 'x', { still: 'there' })).heard.next(), 'there')
  t.same(heard.items.slice(1), ['end'])
})
