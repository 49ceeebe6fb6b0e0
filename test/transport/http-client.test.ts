/** catflap as the HTTP client of a client on a pipe: what a legacy server is told, and in what order. */
import t from 'tap'
import { startHttpServer } from '../fixtures/servers/http-server.ts'
import type { RawExchange } from '../fixtures/servers/raw-exchange.ts'
import { echoWithHandshake, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { initialize, notification, rpc, toolCall } from '../helpers/rpc.ts'
import { answerTo, withServer } from './http-client-door.ts'

const SESSION = 'session-of-the-server'
const text = (result: string): unknown => JSON.parse(result).result.content[0].text

for (const json of [false, true])
  t.test(`a conversation with a real server, answers as ${json ? 'JSON' : 'streams'}`, async t => {
    const { server, door } = await withServer(t, startHttpServer({ json }))
    await door.handshake()
    t.equal(door.leg.upstreamId, [...server.sessions.keys()][0])
    t.equal(text(await door.ask(toolCall(1, 'add', { a: 2, b: 3 }))), '5')
    t.match(await door.ask(rpc('x', 'tools/list')), '"id":"x"')
    t.match(await door.ask(toolCall(2, 'throw', { code: -32_001 })), '"code":-32001')
    await door.leg.close()
    t.equal(server.counters.count('session.deleted'), 1)
    t.equal(door.leg.upstreamId, undefined)
    t.same(server.errors, [])
  })

t.test('what belongs to a call comes with it, before its answer; questions are answered by POST', async t => {
  const { server, door } = await withServer(t, startHttpServer())
  await door.ask(initialize(0, '2025-11-25', { sampling: {}, roots: {} }))
  await door.say(notification('notifications/initialized')).heard.next()
  const progress = door.say(
    rpc(1, 'tools/call', { name: 'progress', arguments: { n: 2 }, _meta: { progressToken: 'p' } })
  )
  t.match(await progress.heard.next(), /^own .*"progress":1/)
  t.match(await progress.heard.next(), /^own .*"progress":2/)
  t.match(await progress.heard.next(), /^last /)
  t.equal(await progress.heard.next(), 'end')
  const asking = door.say(toolCall(2, 'roots'))
  const question = JSON.parse((await asking.heard.next()).slice(4))
  t.equal(question.method, 'roots/list')
  t.equal(await door.say(answerTo(question.id, { roots: [] })).heard.next(), 'end')
  t.match(await asking.heard.next(), /^last .*roots/)
  t.equal(server.counters.count('roots.answered'), 1)
})

t.test("the server's own messages come on the stream that is opened behind notifications/initialized", async t => {
  const { server, door } = await withServer(t, startHttpServer())
  await door.ask(initialize(0, '2025-11-25', { roots: {} }))
  t.equal(server.counters.count('http GET'), 0)
  await door.say(notification('notifications/initialized')).heard.next()
  await server.counters.until('http GET')
  server.changed('tools')
  t.match(await door.log.until(l => l.startsWith('message')), 'notifications/tools/list_changed')
  const asking = door.say(toolCall(1, 'roots', { via: 'session' }))
  const question = await door.log.until(l => l.includes('roots/list'))
  door.say(answerTo(JSON.parse(question.slice(8)).id, { roots: [] }))
  t.match(await asking.heard.next(), /^last /)
  t.same(server.errors, [])
})

t.test('the headers a legacy server gets, the configured ones and the client’s own among them', async t => {
  const { server, door } = await withServer(t, startRawHttp(echoWithHandshake(SESSION)), { headers: ['X-Key', 'k'] })
  const own = [
    'Authorization',
    'Bearer c',
    'mcp-session-id',
    'foreign',
    'MCP-Protocol-Version',
    'x',
    'Accept',
    'x/y',
    'Content-Type',
    'a/b'
  ]
  await door.say(initialize(0, '2025-06-18'), own).heard.next()
  await door.say(notification('notifications/initialized')).heard.next()
  await server.counters.until('GET')
  await door.ask(rpc(1, 'ping'))
  await door.leg.close()
  const [first, second, ...rest] = server.exchanges
  const said = (x: RawExchange) => [
    x.method,
    x.values('accept').join(),
    x.values('content-type').join(),
    x.values('mcp-protocol-version').join(),
    x.values('mcp-session-id').join(),
    x.values('authorization').join(),
    x.values('x-key').join()
  ]
  const both = 'application/json, text/event-stream'
  t.same(said(first!), ['POST', both, 'application/json', '', '', 'Bearer c', 'k'])
  t.same(said(second!), ['POST', both, 'application/json', '2025-06-18', SESSION, 'Bearer c', 'k'])
  const by = (method: string) => said(rest.find(x => x.method === method)!)
  t.same(by('POST'), ['POST', both, 'application/json', '2025-06-18', SESSION, 'Bearer c', 'k'])
  t.same(by('GET'), ['GET', 'text/event-stream', '', '2025-06-18', SESSION, 'Bearer c', 'k'])
  t.same(by('DELETE').slice(3), ['2025-06-18', SESSION, 'Bearer c', 'k'])
  t.notOk(
    server.exchanges.some(x => x.headers['mcp-method']),
    'headers of the modern era are for that alone'
  )
})

t.test('without a session there is no id to send, and nothing to end', async t => {
  const { server, door } = await withServer(t, startHttpServer({ mode: 'stateless' }))
  await door.handshake()
  await server.counters.until('http GET')
  t.equal(text(await door.ask(toolCall(1, 'add', { a: 1, b: 1 }))), '2')
  await door.leg.close()
  t.equal(server.counters.count('http GET'), 1, 'a server without that stream is asked once')
  t.equal(server.counters.count('http DELETE'), 0)
  t.same(door.log.items, [], 'and nothing is said about it')
})

t.test('bytes pass as they are, both ways, white space and big numbers too', async t => {
  const { server, door } = await withServer(t, startRawHttp())
  const asked = '{ "jsonrpc": "2.0",\t"id": 9007199254740993, "method": "x", "params": {"n": 1.0e2, "u": "\\u00e9é"} }'
  t.equal(
    await door.ask(asked),
    '{"jsonrpc":"2.0","id":9007199254740993,"result":{"echo":{"n": 1.0e2, "u": "\\u00e9é"}}}'
  )
  t.equal((await server.exchange()).text, asked)
})

t.test('a server of doubles answers a big id rounded, and is understood', async t => {
  const { server, door } = await withServer(t, startRawHttp())
  server.next(x => x.json(200, '{"jsonrpc":"2.0","id":9007199254740992,"result":{}}'))
  t.equal(
    await door.ask('{"jsonrpc":"2.0","id":9007199254740993,"method":"x"}'),
    '{"jsonrpc":"2.0","id":9007199254740992,"result":{}}'
  )
})

t.test('one id twice at once: each gets its own answer', async t => {
  const { server, door } = await withServer(
    t,
    startRawHttp(() => {})
  )
  const [first, second] = [door.say(rpc(1, 'a')), door.say(rpc(1, 'b'))]
  await server.exchange(2)
  for (const x of server.exchanges) x.json(200, answerTo(1, { for: JSON.parse(x.text).method }))
  t.match(await first.heard.next(), '"for":"a"')
  t.match(await second.heard.next(), '"for":"b"')
})

t.test('an answer to another id is late, and the call still waits for its own', async t => {
  const { server, door } = await withServer(
    t,
    startRawHttp(() => {})
  )
  const { heard } = door.say(rpc(1, 'a'))
  const x = await server.exchange()
  x.sse()
  await x.sendMessage(answerTo('other'))
  await x.sendMessage(answerTo(1))
  t.equal(await heard.next(), 'last {"jsonrpc":"2.0","id":1,"result":{}}')
  t.match(await door.log.next(), 'late {"jsonrpc":"2.0","id":"other"')
  await x.sendMessage(notification('notifications/message', { level: 'info', data: 'behind' }))
  t.match(await door.log.next(), /^message .*behind/, 'what comes behind the answer belongs to no call')
  await x.sendMessage(answerTo(1))
  t.match(await door.log.next(), /^late .*"id":1/)
  t.equal(await heard.next(), 'end')
  await x.aborted
  t.pass('a server that does not end its stream is left after a while')
})

t.test('notifications/initialized opens the stream from within a batch, too; once', async t => {
  const { server, door } = await withServer(t, startRawHttp(echoWithHandshake(SESSION)))
  await door.ask(initialize(0, '2025-03-26'))
  server.next(x => x.head(400).end())
  await door.say(notification('notifications/initialized')).heard.next()
  t.equal(server.counters.count('GET'), 0, 'not where it was refused')
  t.match(await door.batch([notification('notifications/initialized'), rpc(1, 'ping')]).heard.next(), /^last/)
  await server.counters.until('GET')
  await door.say(notification('notifications/initialized')).heard.next()
  await door.ask(rpc(2, 'ping'))
  t.equal(server.counters.count('GET'), 1)
})

t.test('a client that begins anew leaves its old session', async t => {
  const { server, door } = await withServer(t, startHttpServer())
  await door.handshake()
  const first = door.leg.upstreamId
  await door.handshake()
  await server.counters.until('session.deleted')
  t.not(door.leg.upstreamId, first)
  const again = server.requests.filter(r => r.body.includes('"initialize"'))[1]!
  t.notOk(again.headers['mcp-session-id'] ?? again.headers['mcp-protocol-version'])
  await server.counters.until('http GET', 2)
  server.changed('prompts')
  t.match(await door.log.until(l => l.startsWith('message')), 'prompts/list_changed')
})

t.test('close ends what is under way and the session; afterwards nothing is sent', async t => {
  const { server, door } = await withServer(t, startHttpServer())
  await door.handshake()
  await server.counters.until('http GET')
  const held = door.say(toolCall(1, 'slow'))
  await server.counters.until('slow.started')
  const closing = door.leg.close(['Authorization', 'Bearer last'])
  t.equal(door.leg.close(), closing)
  await closing
  t.match(await held.heard.next(), /^error session_not_found/)
  t.equal(server.requests.find(r => r.method === 'DELETE')?.headers.authorization, 'Bearer last')
  const seen = server.requests.length
  t.match(await door.say(rpc(2, 'ping')).heard.next(), /^error session_not_found/)
  t.equal(server.requests.length, seen)
  t.notOk(door.log.items.some(l => l.startsWith('lost')))
})

t.test('close waits for no stream that goes on behind its answer', async t => {
  const { server, door } = await withServer(
    t,
    startRawHttp(() => {})
  )
  const { heard } = door.say(rpc(1, 'a'))
  const x = await server.exchange()
  x.sse()
  await x.sendMessage(answerTo(1))
  t.equal(await heard.next(), 'last {"jsonrpc":"2.0","id":1,"result":{}}')
  const closing = performance.now()
  await door.leg.close()
  await x.aborted
  t.ok(performance.now() - closing < 1_900)
})

t.test('a server that does not let go of its session keeps nobody', async t => {
  const { server, door } = await withServer(t, startRawHttp(echoWithHandshake(SESSION)))
  await door.handshake()
  server.always(x => void x.head(405).end())
  await door.leg.close()
  t.equal(server.exchanges.at(-1)?.method, 'DELETE')
})
