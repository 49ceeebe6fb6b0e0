/** What happens at each limit: 503 with Retry-After, at once, for the one too many alone. */
import { Agent, request } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { faults } from '../fixtures/servers/faults.ts'
import { echo, echoWithHandshake, type Script } from '../fixtures/servers/raw-http.ts'
import { openSse, type RawResponse, rawPost, rawRequest, send, talk } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, POST_HEADERS, rpc } from '../helpers/rpc.ts'
import { waitFor } from '../helpers/wait.ts'
import { rawDoor, rawSession, sdkDoor, watcher } from './http-door.ts'

const CALL = JSON.stringify(rpc(1, 'x'))

function refusal(answer: RawResponse): unknown {
  const { error } = answer.json() as { error: { data: { code: string } } }
  return [answer.status, answer.headers['retry-after'], error.data.code]
}

t.test('too many sessions: the server is not bothered with one more initialize', async t => {
  const { server, door, url } = await sdkDoor(t, {}, { settings: { maxSessions: 2 } })
  const first = await rawSession(url)
  await rawSession(url)
  const before = server.requests.length
  const refused = await rawPost(url, initialize('third'))
  t.same(refusal(refused), [503, '1', 'too_many_sessions'])
  t.match(refused.json(), { id: 'third' })
  t.equal(server.requests.length, before)
  t.equal((await rawPost(url, CALL, legacyHeaders(first))).status, 200, 'the others work on')
  await rawRequest(url, { method: 'DELETE', headers: legacyHeaders(first) })
  await rawSession(url)
  t.equal(door.stats.sessions, 2)
})

t.test('too many sessions, opened at once: what the server made for nobody is ended there too', async t => {
  const { server, door, url } = await sdkDoor(t, {}, { settings: { maxSessions: 3 } })
  const answers = await Promise.all(Array.from({ length: 10 }, (_, i) => rawPost(url, initialize(i))))
  const made = answers.filter(answer => answer.status === 200)
  t.equal(made.length, 3)
  t.equal(door.stats.sessions, 3)
  const opened = server.counters.count('session.opened')
  await server.counters.until('session.deleted', opened - 3)
  t.equal(server.sessions.size, 3)
})

t.test('too many connections: one more is told so and what it asks is not done', async t => {
  const { server, door, url } = await rawDoor(t, undefined, { settings: { maxConnections: 2 } })
  const agent = new Agent({ keepAlive: true, maxSockets: 2 })
  t.teardown(() => agent.destroy())
  const held = [connect(Number(new URL(url).port), '127.0.0.1'), connect(Number(new URL(url).port), '127.0.0.1')]
  t.teardown(() => held.forEach(socket => void socket.destroy()))
  await Promise.all(held.map(socket => waitFor(socket, 'connect')))
  const body = `POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${CALL.length}\r\n\r\n${CALL}`
  for (let i = 0; i < 20; i++) {
    const heard = await talk(url, body)
    t.match(heard, /^HTTP\/1\.1 503 Service Unavailable\r\n.*Retry-After: 1\r\n.*"too_many_connections"/s)
  }
  t.equal(door.stats.connections, 2)
  t.equal(server.exchanges.length, 0)
  const freed = waitFor(held[0]!, 'close')
  held[0]!.destroy()
  await freed
  t.equal((await rawPost(url, CALL)).status, 200)
})

t.test('too many exchanges in flight', async t => {
  const { server, url } = await rawDoor(t, faults.hang, { settings: { maxExchanges: 2 } })
  const first = send(url, { body: CALL, headers: POST_HEADERS })
  send(url, { body: CALL, headers: POST_HEADERS })
  await server.exchange(2)
  t.same(refusal(await rawPost(url, CALL)), [503, '1', 'too_many_exchanges'])
  t.equal(server.exchanges.length, 2)
  server.always(echo)
  first.req.destroy()
  await server.counters.until('aborted')
  t.equal((await rawPost(url, CALL)).status, 200)
})

t.test('too many open streams; calls do not count as streams, nor streams as calls', async t => {
  const script: Script = exchange => (exchange.method === 'GET' ? void exchange.sse() : echo(exchange))
  const { server, door, url } = await rawDoor(t, script, { settings: { maxStreams: 2, maxExchanges: 1 } })
  const open = [await openSse(url), await openSse(url)]
  t.equal(door.stats.streams, 2)
  const refused = await rawRequest(url, { method: 'GET', headers: { accept: 'text/event-stream' } })
  t.same(refusal(refused), [503, '1', 'too_many_streams'])
  t.equal((await rawPost(url, CALL)).status, 200)
  open[0]!.close()
  await server.counters.until('aborted')
  const again = await openSse(url)
  t.equal(again.status, 200)
  open[1]!.close()
  again.close()
})

t.test('too many calls that wait for a connection; answers and notifications never wait behind them', async t => {
  const watch = watcher()
  const settings = { maxUpstreamConnections: 1, maxPending: 1 }
  const { server, url } = await rawDoor(t, faults.hang, { settings, interceptors: [watch] })
  const inFlight = send(url, { body: CALL, headers: POST_HEADERS })
  const first = await server.exchange(1)
  const waiting = rawPost(url, rpc(2, 'x'))
  await watch.passed.until(id => id === '2')
  const refused = await rawPost(url, rpc(3, 'x'))
  t.same(refusal(refused), [503, '1', 'upstream_queue_full'])
  server.always(echo)
  t.equal((await rawPost(url, { jsonrpc: '2.0', method: 'notifications/x' })).status, 202)
  t.equal((await rawPost(url, { jsonrpc: '2.0', id: 1, result: {} })).status, 202)
  first.json(200, '{"jsonrpc":"2.0","id":1,"result":{}}')
  t.equal((await inFlight.head).statusCode, 200)
  inFlight.req.destroy()
  t.match((await waiting).json(), { id: 2 })
})

t.test('a call that was cancelled while it waited for a connection is never sent', async t => {
  const watch = watcher()
  const options = { settings: { maxUpstreamConnections: 1 }, interceptors: [watch] }
  const { server, url, door } = await rawDoor(t, faults.hang, options)
  const blocker = send(url, { body: CALL, headers: POST_HEADERS })
  const first = await server.exchange(1)
  const waiting = send(url, { body: rpc(2, 'unwanted'), headers: POST_HEADERS })
  await watch.passed.until(id => id === '2')
  waiting.req.destroy()
  await watch.ended.until(outcome => outcome.result === 'gone')
  server.always(echo)
  first.json(200, '{"jsonrpc":"2.0","id":1,"result":{}}')
  await text(await blocker.head)
  t.match((await rawPost(url, rpc(3, 'x'))).json(), { id: 3 })
  t.notOk(server.exchanges.some(exchange => exchange.text.includes('unwanted')))
  t.equal(door.stats.exchanges, 0)
})

t.test('a connection that is kept alive serves request after request', async t => {
  const { door, url } = await rawDoor(t)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => agent.destroy())
  for (let i = 0; i < 5; i++) {
    const req = request(url, { method: 'POST', agent, headers: POST_HEADERS })
    req.end(JSON.stringify(rpc(i, 'x')))
    const [res] = (await waitFor(req, 'response')) as [NodeJS.ReadableStream]
    t.match(JSON.parse(await text(res)), { id: i })
  }
  t.equal(door.stats.connections, 1)
})

t.test('session initialisations of others still work where one is refused', async t => {
  const { url } = await rawDoor(t, echoWithHandshake('s'), { settings: { maxSessions: 1 } })
  const id = await rawSession(url)
  t.equal((await rawPost(url, initialize())).status, 503)
  t.equal((await rawPost(url, CALL, legacyHeaders(id))).status, 200)
})
