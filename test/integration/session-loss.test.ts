/** A server over HTTP that no longer knows a session: it is begun anew there, and the client notices nothing. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { type Interceptor, MemorySessionStore } from '../../src/index.ts'
import { openSse, rawPost, rawRequest, send } from '../helpers/raw-client.ts'
import { legacyHeaders, notification, rpc } from '../helpers/rpc.ts'
import { scrapeOf } from '../metrics/scrape.ts'
import { openDoor, rawSession, watcher } from './http-door.ts'
import { answer, INFO, losingDoor, notFound } from './losing-server.ts'
import { LogInbox } from './pipe-door.ts'

const GET = { accept: 'text/event-stream' }
const LISTS = ['notifications/tools/list_changed', 'notifications/resources/list_changed']

t.test('however many notice at once, initialize is repeated once, and each call is carried out once', async t => {
  const { losing, door, url } = await losingDoor(t, { metrics: true })
  const id = await rawSession(url)
  losing.lose()
  const calls = Array.from({ length: 20 }, (_, n) => rawPost(url, rpc(n, 'count', { n }), legacyHeaders(id)))
  for (const [n, call] of (await Promise.all(calls)).entries()) {
    t.equal(call.status, 200)
    t.match(call.json(), { id: n, result: { echo: { n } } })
  }
  t.equal(losing.initializes.length, 2)
  t.equal(losing.accepted.filter(method => method === 'count').length, 20)
  t.same(losing.accepted.slice(0, 3), ['notifications/initialized', 'notifications/initialized', 'count'])
  t.equal(door.stats.sessions, 1)
  const scrape = scrapeOf(door)
  const again = scrape.sum('catflap_upstream_retries_total', { catflap_retry_reason: 'session_lost' })
  t.equal(again, losing.of('count').length - 20, 'what got a 404 went again')
  t.ok(again >= 1)
  t.equal(scrape.sum('catflap_session_reinitializations_total', { catflap_session_outcome: 'kept' }), 1)
})

t.test('many sessions at once, on few connections: none keeps another from being made anew', async t => {
  const { losing, url } = await losingDoor(t, { settings: { maxUpstreamConnections: 2 } })
  const ids: string[] = []
  for (let n = 0; n < 20; n++) ids.push(await rawSession(url))
  losing.lose()
  const calls = ids.flatMap(id => [1, 2, 3].map(n => rawPost(url, rpc(n, 'count'), legacyHeaders(id))))
  for (const call of await Promise.all(calls)) t.equal(call.status, 200)
  t.equal(losing.initializes.length, 40)
  t.equal(losing.accepted.filter(method => method === 'count').length, 60)
})

t.test("it is the client's own initialize, with the headers of whoever noticed", async t => {
  const { losing, url } = await losingDoor(t)
  const id = await rawSession(url, undefined, { authorization: 'Bearer old' })
  losing.lose()
  await rawPost(url, rpc(1, 'ping'), { ...legacyHeaders(id), authorization: 'Bearer new', 'x-own': 'yes' })
  const [first, second] = losing.initializes
  t.equal(second!.text, first!.text)
  t.match(second!.headers, { authorization: 'Bearer new', 'x-own': 'yes', 'content-type': 'application/json' })
  for (const name of ['mcp-session-id', 'mcp-protocol-version']) t.notOk(second!.headers[name], name)
  const begun = losing.of('notifications/initialized')[1]
  t.match(begun?.headers, { 'mcp-session-id': 'upstream-2', 'mcp-protocol-version': '2025-11-25' })
})

t.test('a session can be lost again and again, and ends as any other', async t => {
  const { losing, door, url } = await losingDoor(t)
  const id = await rawSession(url)
  for (let n = 2; n <= 4; n++) {
    losing.lose()
    t.equal((await rawPost(url, rpc(n, 'ping'), legacyHeaders(id))).status, 200)
    t.equal(losing.initializes.length, n)
  }
  t.equal((await rawRequest(url, { method: 'DELETE', headers: legacyHeaders(id) })).status, 200)
  t.equal(losing.server.exchanges.at(-1)?.headers['mcp-session-id'], 'upstream-4')
  t.equal(door.stats.sessions, 0)
})

t.test('equal means equal as JSON, whatever the order of members', async t => {
  const { losing, url } = await losingDoor(t)
  const id = await rawSession(url)
  losing.lose()
  losing.info = {
    serverInfo: { version: '1', name: 'losing' },
    instructions: 'of no matter',
    capabilities: Object.fromEntries(Object.entries(INFO.capabilities).reverse()),
    protocolVersion: '2025-11-25'
  }
  t.equal((await rawPost(url, rpc(1, 'ping'), legacyHeaders(id))).status, 200)
})

for (const [what, info] of [
  ['another version of the server', { ...INFO, serverInfo: { name: 'losing', version: '2' } }],
  ['other capabilities', { ...INFO, capabilities: { tools: {} } }],
  ['another revision', { ...INFO, protocolVersion: '2025-06-18' }]
] as const) {
  t.test(`${what}: the client gets the server's 404, and the new session is not left there`, async t => {
    const { losing, door, url } = await losingDoor(t, { metrics: true })
    const id = await rawSession(url)
    losing.lose()
    losing.info = info
    const answers = await Promise.all([1, 2, 3].map(n => rawPost(url, rpc(n, 'ping'), legacyHeaders(id))))
    for (const one of answers) t.match(one, { status: 404, text: /ession not found/ })
    t.equal(losing.initializes.length, 2)
    t.equal(losing.accepted.filter(method => method === 'ping').length, 0)
    await losing.server.counters.until('DELETE')
    t.equal(door.stats.sessions, 0)
    t.equal((await rawPost(url, rpc(4, 'ping'), legacyHeaders(id))).status, 404)
    t.equal(scrapeOf(door).sum('catflap_session_reinitializations_total', { catflap_session_outcome: 'changed' }), 1)
  })
}

for (const [what, refuse] of [
  [
    'an error',
    (x: Parameters<typeof answer>[0]) => x.json(200, '{"jsonrpc":"2.0","id":0,"error":{"code":1,"message":"no"}}')
  ],
  ['a status', (x: Parameters<typeof answer>[0]) => x.json(500, '{}')],
  ['a broken connection', (x: Parameters<typeof answer>[0]) => x.reset()],
  [
    'an answer without a session',
    (x: Parameters<typeof answer>[0]) => x.json(200, { jsonrpc: '2.0', id: 0, result: INFO })
  ]
] as const) {
  t.test(`initialize answered with ${what}: the client gets its 404`, async t => {
    const { losing, door, url } = await losingDoor(t)
    const id = await rawSession(url)
    losing.lose()
    losing.onInitialize = refuse
    const refused = await rawPost(url, rpc(1, 'ping'), legacyHeaders(id))
    t.match(refused, { status: 404, text: /Session not found/ }, "in the server's own words")
    t.equal(door.stats.sessions, 0)
  })
}

t.test('a server that answers 404 to everything is asked for one initialize, and no more', async t => {
  const { losing, url } = await losingDoor(t)
  const id = await rawSession(url)
  losing.lose()
  losing.onInitialize = notFound
  const before = losing.server.exchanges.length
  t.equal((await rawPost(url, rpc(1, 'ping'), legacyHeaders(id))).status, 404)
  t.same(
    losing.server.exchanges.slice(before).map(x => JSON.parse(x.text).method),
    ['ping', 'initialize']
  )
  t.equal((await rawPost(url, rpc(2, 'ping'), legacyHeaders(id))).status, 404)
  t.equal(losing.server.exchanges.length, before + 2, 'of a session that has ended it hears nothing')
})

t.test('what gets a 404 the second time too, gets it', async t => {
  const { losing, door, url } = await losingDoor(t)
  const id = await rawSession(url)
  losing.lose()
  losing.onRequest = x => (x.text.includes('"ping"') ? notFound(x) : answer(x))
  t.match(await rawPost(url, rpc(1, 'ping'), legacyHeaders(id)), { status: 404, text: /Session not found/ })
  t.equal(losing.of('ping').length, 2)
  t.equal(losing.initializes.length, 2)
  t.equal(door.stats.sessions, 0)
})

t.test('log level and subscriptions are what they were', async t => {
  const { losing, url } = await losingDoor(t)
  const id = await rawSession(url)
  const ask = (n: number, method: string, params: object) =>
    rawPost(url, rpc(n, method, params as Record<string, unknown>), legacyHeaders(id))
  await ask(1, 'logging/setLevel', { level: 'debug' })
  await ask(2, 'logging/setLevel', { level: 'error' })
  for (const uri of ['a:1', 'a:2', 'a:3']) await ask(3, 'resources/subscribe', { uri })
  await ask(4, 'resources/unsubscribe', { uri: 'a:2' })
  losing.onRequest = x =>
    x.json(200, `{"jsonrpc":"2.0","id":${JSON.parse(x.text).id},"error":{"code":1,"message":"no"}}`)
  await ask(5, 'resources/subscribe', { uri: 'a:refused' })
  losing.onRequest = undefined
  losing.lose()
  const before = losing.server.exchanges.length
  t.equal((await ask(6, 'ping', {})).status, 200)
  const said = losing.server.exchanges.slice(before).map(x => JSON.parse(x.text) as { method: string; params: object })
  const wanted = said.filter(m => m.method.startsWith('resources/')).map(m => `${m.method} ${JSON.stringify(m.params)}`)
  t.same(wanted.toSorted(), ['resources/subscribe {"uri":"a:1"}', 'resources/subscribe {"uri":"a:3"}'])
  t.same(
    said.filter(m => m.method === 'logging/setLevel').map(m => m.params),
    [{ level: 'error' }]
  )
  t.equal(said.at(-1)?.method, 'ping', 'before anything else goes there')
})

t.test(
  'the stream that is open is told that lists may have changed, once, and ends; the next one is of the new session',
  async t => {
    const { losing, url } = await losingDoor(t)
    const id = await rawSession(url)
    const old = await openSse(url, { headers: { ...legacyHeaders(id), ...GET } })
    losing.lose()
    await rawPost(url, rpc(1, 'ping'), legacyHeaders(id))
    t.same([(await old.nextMessage()).method, (await old.nextMessage()).method], LISTS)
    t.equal(await old.ended, 'end')
    const next = await openSse(url, { headers: { ...legacyHeaders(id), ...GET, 'last-event-id': 'old-7' } })
    await losing.server.counters.until('GET', 2)
    t.match(losing.streams[1]?.headers, { 'mcp-session-id': 'upstream-2' })
    t.notOk(losing.streams[1]?.headers['last-event-id'], 'an id of another life')
    await losing.streams[1]!.sendMessage(notification('notifications/first'), 'new-1')
    t.equal((await next.nextMessage()).method, 'notifications/first', 'nothing is told twice')
    next.close()
  }
)

t.test('with no stream open the next one is told first; the GET itself may be who notices', async t => {
  const { losing, url } = await losingDoor(t)
  const id = await rawSession(url)
  losing.lose()
  const headers = { ...legacyHeaders(id), ...GET, 'last-event-id': 'old-7' }
  const stream = await openSse(url, { headers })
  t.equal(stream.status, 200)
  t.same([(await stream.nextMessage()).method, (await stream.nextMessage()).method], LISTS)
  t.notOk(losing.streams[0]?.headers['last-event-id'])
  await losing.streams[0]!.sendMessage(notification('notifications/first'), 'new-1')
  t.equal((await stream.nextMessage()).method, 'notifications/first')
  losing.streams[0]!.end()
  t.equal(await stream.ended, 'end')
  const again = await openSse(url, { headers: { ...headers, 'last-event-id': 'new-1' } })
  t.equal(losing.streams[1]?.headers['last-event-id'], 'new-1', 'an id of this life')
  await losing.streams[1]!.sendMessage(notification('notifications/second'))
  t.equal((await again.nextMessage()).method, 'notifications/second')
  again.close()
})

t.test('a stream in the middle of an event is broken off, and the next one told', async t => {
  const { losing, url } = await losingDoor(t)
  const id = await rawSession(url)
  const headers = { ...legacyHeaders(id), ...GET }
  const old = await openSse(url, { headers })
  await losing.streams[0]!.write(`data: ${JSON.stringify(notification('notifications/first'))}\n\ndata: {"half`)
  t.equal((await old.nextMessage()).method, 'notifications/first')
  losing.lose()
  await rawPost(url, rpc(1, 'ping'), legacyHeaders(id))
  t.equal(await old.ended, 'aborted')
  const next = await openSse(url, { headers })
  t.same([(await next.nextMessage()).method, (await next.nextMessage()).method], LISTS)
  next.close()
})

t.test("answers to the lost server's questions reach nobody; those to the new one's do", async t => {
  const { losing, url } = await losingDoor(t)
  const id = await rawSession(url)
  const headers = { ...legacyHeaders(id), ...GET }
  await openSse(url, { headers })
  const asked = { jsonrpc: '2.0', id: 0, method: 'roots/list' }
  await losing.streams[0]!.sendMessage(asked)
  losing.lose()
  const late = { jsonrpc: '2.0', id: 0, result: { roots: [] } }
  t.equal((await rawPost(url, late, legacyHeaders(id))).status, 202, 'it is who notices')
  t.equal((await rawPost(url, late, legacyHeaders(id))).status, 202)
  t.equal(losing.initializes.length, 2)
  t.notOk(losing.accepted.includes('response'))
  const next = await openSse(url, { headers })
  await losing.streams[1]!.sendMessage(asked)
  await next.events.until(event => event.data.includes('roots/list'))
  t.equal((await rawPost(url, late, legacyHeaders(id))).status, 202)
  t.equal(losing.accepted.filter(method => method === 'response').length, 1)
  next.close()
})

t.test('a question that comes in the answer to a call counts as well', async t => {
  const { losing, url } = await losingDoor(t)
  const id = await rawSession(url)
  losing.lose()
  losing.onRequest = x => (x.text.includes('"tools/call"') ? void x.sse() : answer(x))
  const call = await openSse(url, { headers: legacyHeaders(id), body: rpc(1, 'tools/call', {}) })
  const upstream = losing.of('tools/call')[1]!
  await upstream.sendMessage({ jsonrpc: '2.0', id: 0, method: 'elicitation/create', params: {} })
  await call.nextMessage()
  await rawPost(url, { jsonrpc: '2.0', id: 0, result: { action: 'cancel' } }, legacyHeaders(id))
  t.equal(losing.accepted.filter(method => method === 'response').length, 1)
  await upstream.sendMessage({ jsonrpc: '2.0', id: 1, result: {} })
  t.match(await call.nextMessage(), { id: 1, result: {} })
  upstream.end()
})

t.test('a batch goes again without the answers in it', async t => {
  const { losing, url } = await losingDoor(t)
  losing.info = { ...INFO, protocolVersion: '2025-03-26' }
  const id = await rawSession(url, '2025-03-26')
  losing.lose()
  losing.onRequest = x => (x.text.startsWith('[') ? x.json(200, '[{"jsonrpc":"2.0","id":1,"result":{}}]') : answer(x))
  const batch = [{ jsonrpc: '2.0', id: 0, result: {} }, rpc(1, 'ping'), notification('n')]
  const headers = legacyHeaders(id, '2025-03-26')
  t.equal((await rawPost(url, batch, headers)).status, 200)
  t.same(
    JSON.parse(losing.server.exchanges.at(-1)!.text).map((m: { method?: string }) => m.method),
    ['ping', 'n']
  )
  losing.lose()
  const before = losing.accepted.length
  t.equal((await rawPost(url, batch.slice(0, 1), headers)).status, 202)
  t.notOk(losing.accepted.slice(before).includes('batch'))
})

t.test('notifications/initialized is not said twice to the new session', async t => {
  const { losing, url } = await losingDoor(t)
  const id = await rawSession(url)
  losing.lose()
  const again = await rawPost(url, notification('notifications/initialized'), legacyHeaders(id))
  t.equal(again.status, 202)
  t.equal(losing.accepted.filter(method => method === 'notifications/initialized').length, 2)
})

t.test('hooks see each exchange once, and the head of the answer that goes out', async t => {
  const heads: number[] = []
  const saw = watcher()
  const head: Interceptor = { name: 'heads', head: (_, { status }) => void heads.push(status) }
  const { losing, url } = await losingDoor(t, { interceptors: [saw, head] })
  const id = await rawSession(url)
  losing.lose()
  heads.length = 0
  t.equal((await rawPost(url, rpc('one', 'ping'), legacyHeaders(id))).status, 200)
  t.same(heads, [200])
  t.equal(saw.passed.items.filter(what => what === '"one"').length, 1)
  t.equal(saw.ended.items.length, 3)
  t.equal(saw.ended.items.at(-1)?.result, 'answered')
})

t.test('hooks on messages change nothing of that', async t => {
  const shout: Interceptor = { name: 'shout', message: (_, message) => message }
  const { losing, url } = await losingDoor(t, { interceptors: [shout] })
  const id = await rawSession(url)
  const old = await openSse(url, { headers: { ...legacyHeaders(id), ...GET } })
  losing.lose()
  t.match((await rawPost(url, rpc(1, 'ping', { a: 1 }), legacyHeaders(id))).json(), {
    id: 1,
    result: { echo: { a: 1 } }
  })
  t.same([(await old.nextMessage()).method, (await old.nextMessage()).method], LISTS)
  t.equal(await old.ended, 'end')
})

t.test('a client that left meanwhile: the session goes on, and its call is not sent again', async t => {
  const gate = Promise.withResolvers<void>()
  const { losing, url } = await losingDoor(t)
  const id = await rawSession(url)
  losing.lose()
  losing.onRequest = async x => {
    if (x.text.includes('notifications/initialized')) await gate.promise
    answer(x)
  }
  const gone = send(url, { headers: legacyHeaders(id), body: rpc(1, 'gone') })
  while (losing.of('notifications/initialized').length < 2)
    await losing.server.counters.until('request', losing.server.counters.count('request') + 1)
  gone.req.destroy()
  const stays = rawPost(url, rpc(2, 'ping'), legacyHeaders(id))
  await losing.server.counters.until('request', losing.server.counters.count('request') + 1)
  gate.resolve()
  t.equal((await stays).status, 200)
  t.equal(losing.of('gone').length, 1)
  t.equal(losing.initializes.length, 2)
})

t.test('a server that does not answer initialize: the calls have their deadline, and nothing is left', async t => {
  const { losing, door, url } = await losingDoor(t, { settings: { requestTimeout: 400 } })
  const id = await rawSession(url)
  losing.lose()
  losing.onInitialize = () => {}
  t.equal((await rawPost(url, rpc(1, 'ping'), legacyHeaders(id))).status, 404)
  t.equal(door.stats.sessions, 0)
})

t.test('catflap may stop meanwhile', async t => {
  const { losing, door, url } = await losingDoor(t)
  const id = await rawSession(url)
  losing.lose()
  losing.onInitialize = () => {}
  const call = rawPost(url, rpc(1, 'ping'), legacyHeaders(id))
  await losing.server.counters.until('request', 4)
  await door.close({ drainTimeout: 0 })
  t.match(await call, { status: 503, text: /shutting_down/ })
})

/** Closed once by each of its users, and still of use to the other; answers as over a network. */
function sharedStore(): MemorySessionStore {
  return new Proxy(new MemorySessionStore(), {
    get(target, name) {
      const value = Reflect.get(target, name)
      if (name === 'close') return () => {}
      return typeof value === 'function' ? async (...args: unknown[]) => value.apply(target, args) : value
    }
  })
}

t.test('of several processes with one store, one begins the session anew, and the others go on with it', async t => {
  const store = sharedStore()
  const { losing, url } = await losingDoor(t, { store })
  const other = await openDoor(t, losing.server.url, { store })
  const id = await rawSession(url)
  t.equal((await rawPost(other.url, rpc(0, 'ping'), legacyHeaders(id))).status, 200)
  losing.lose()
  const calls = [url, other.url, url, other.url].map((at, n) => rawPost(at, rpc(n, 'count'), legacyHeaders(id)))
  for (const call of await Promise.all(calls)) t.equal(call.status, 200)
  t.equal(losing.initializes.length, 2)
  t.equal(losing.accepted.filter(method => method === 'count').length, 4)
})

t.test('a stream that is open in another process is told there, once that knows', async t => {
  const store = sharedStore()
  const { losing, url } = await losingDoor(t, { store })
  const other = await openDoor(t, losing.server.url, { store })
  const id = await rawSession(url)
  const stream = await openSse(other.url, { headers: { ...legacyHeaders(id), ...GET } })
  losing.lose()
  t.equal((await rawPost(url, rpc(1, 'ping'), legacyHeaders(id))).status, 200)
  t.equal((await rawPost(other.url, rpc(2, 'ping'), legacyHeaders(id))).status, 200)
  t.same([(await stream.nextMessage()).method, (await stream.nextMessage()).method], LISTS)
  t.equal(await stream.ended, 'end')
  t.equal(losing.initializes.length, 2)
})

t.test('a process that died in the middle of it is not waited for without end', async t => {
  const store = new MemorySessionStore()
  const { losing, url } = await losingDoor(t, { store })
  const id = await rawSession(url)
  losing.lose()
  const record = store.get(id)!
  const until = Date.now() + 300
  t.ok(store.update(id, record.version, { facts: { ...record.facts, renewing: until } }).ok)
  t.equal((await rawPost(url, rpc(1, 'ping'), legacyHeaders(id))).status, 200)
  t.ok(Date.now() >= until)
  t.equal(losing.initializes.length, 2)
  t.notOk('renewing' in store.get(id)!.facts)
})

t.test('a client that ends the session meanwhile has ended it, on both sides', async t => {
  const gate = Promise.withResolvers<void>()
  const { losing, door, url } = await losingDoor(t)
  const id = await rawSession(url)
  losing.lose()
  losing.onRequest = async x => {
    if (x.text.includes('notifications/initialized')) await gate.promise
    answer(x)
  }
  const call = rawPost(url, rpc(1, 'ping'), legacyHeaders(id))
  // initialize, initialized, ping; initialize, initialized
  await losing.server.counters.until('request', 5)
  await rawRequest(url, { method: 'DELETE', headers: legacyHeaders(id) })
  gate.resolve()
  t.equal((await call).status, 404)
  await losing.server.counters.until('DELETE', 2)
  t.equal(losing.of('ping').length, 1)
  t.equal(door.stats.sessions, 0)
})

t.test('a 404 that is longer than what is held is told in our words', async t => {
  const { losing, url } = await losingDoor(t)
  const id = await rawSession(url)
  losing.lose()
  losing.onInitialize = notFound
  // Answers what is in no session.
  losing.notFound = x => x.respond(404, 'text/plain', 'x'.repeat(100_000))
  const answered = await rawPost(url, rpc(1, 'ping'), legacyHeaders(id))
  t.equal(answered.status, 404)
  t.match(answered.json(), { id: 1, error: { data: { code: 'session_not_found' } } })
})

t.test('no id of either side is on the tape', async t => {
  const tape = `${t.testdir()}/a.tape.jsonl`
  const { losing, door, url } = await losingDoor(t, { record: { path: tape } })
  const id = await rawSession(url, undefined, { authorization: 'Bearer abcdefghijkl' })
  losing.lose()
  await rawPost(url, rpc(1, 'ping'), { ...legacyHeaders(id), authorization: 'Bearer abcdefghijkl' })
  await door.close()
  const text = readFileSync(tape, 'utf8')
  t.match(text, 'session-reinitialized')
  for (const secret of [id, 'upstream-1', 'upstream-2', 'abcdefghijkl']) t.notOk(text.includes(secret), secret)
})

t.test('propagate: the client gets its 404, and the server is asked nothing', async t => {
  const { losing, door, url } = await losingDoor(t, { sessionLoss: 'propagate' })
  const id = await rawSession(url)
  losing.lose()
  t.match(await rawPost(url, rpc(1, 'ping'), legacyHeaders(id)), { status: 404, text: /Session not found/ })
  t.equal(losing.initializes.length, 1)
  t.equal(door.stats.sessions, 0)
})

t.test('DELETE in a session that the server has lost just ends it', async t => {
  const { losing, door, url } = await losingDoor(t)
  const id = await rawSession(url)
  losing.lose()
  t.equal((await rawRequest(url, { method: 'DELETE', headers: legacyHeaders(id) })).status, 404)
  t.equal(losing.initializes.length, 1)
  t.equal(door.stats.sessions, 0)
})

t.test('the log says what happened, and no id', async t => {
  const log = new LogInbox('lines of the log')
  const { losing, url } = await losingDoor(t, { log })
  const id = await rawSession(url)
  losing.lose()
  await rawPost(url, rpc(1, 'ping'), legacyHeaders(id))
  t.equal(log.of('session-lost').length, 1)
  t.match(log.of('session-reinitialized'), [{ facts: { outcome: 'kept', session: /^s-/ } }])
  losing.lose()
  losing.onInitialize = notFound
  await rawPost(url, rpc(2, 'ping'), legacyHeaders(id))
  t.match(log.of('session-not-reinitialized'), [{ level: 'warn', text: /404/, facts: { outcome: 'refused' } }])
  const all = JSON.stringify(log.items)
  for (const secret of [id, 'upstream-1', 'upstream-2']) t.notOk(all.includes(secret))
})
