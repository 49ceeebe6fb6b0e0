/** What goes amiss between a client and a server harms nobody else, and leaves every request with exactly one answer. */
import t from 'tap'
import { startRawHttp } from '../fixtures/servers/raw-http.ts'
import { handshakeOf } from '../fixtures/servers/raw-json.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, notification, rpc } from '../helpers/rpc.ts'
import { rawDoor } from './http-door.ts'
import { type Json, PAIRS, pair } from './pairing-door.ts'
import { stdioDoor } from './pipe-door.ts'

const result = (id: unknown, more: object = {}) => ({ jsonrpc: '2.0', id, result: more })
const ask = (id: unknown) => ({ jsonrpc: '2.0', id, method: 'roots/list' })
const NOTE = notification('notifications/roots/list_changed')

for (const [client, server] of PAIRS)
  if (client !== 'http' || server !== 'http')
    t.test(`${client} × ${server}: of a batch that breaks off, what was answered is not answered again`, async t => {
      const p = await pair(t, client, server, { version: '2025-03-26', settings: { streamAfter: 50 } })
      void p.client.say([NOTE, rpc('a', 'a'), rpc('b', 'b')])
      const asked = []
      for (let i = 0; i < (server === 'http' ? 1 : 3); i++) asked.push(await p.server.heard.next())
      asked[0]!.tell(result('a'))
      // What comes behind it shows that the answer has passed.
      void p.client.say(rpc('c', 'c'))
      const other = await p.server.heard.next()
      other.answer(result('c'))
      await p.client.heard.until(m => m.id === 'c')
      await p.server.break()
      const all = () => p.client.heard.items.flat() as Json[]
      await p.client.heard.until(() => all().some(m => m.id === 'b'))
      t.same(
        all()
          .map(m => [m.id, 'error' in m])
          .sort(),
        [
          ['a', false],
          ['b', true],
          ['c', false]
        ]
      )
    })

for (const client of ['stdio', 'sse'] as const)
  t.test(`${client} × http: a batch of notifications that is lost is no matter for an answer`, async t => {
    const p = await pair(t, client, 'http', { version: '2025-03-26' })
    // Behind everything of the handshake.
    await p.server.streams.next()
    p.server.http!.next(x => x.cut())
    void p.client.say([NOTE])
    await p.log.until(line => /a batch may not have reached the server/.test(line.text))
    void p.client.say(rpc(1, 'after'))
    const after = await p.server.heard.until(asked => asked.json.method === 'after')
    after.answer(result(1))
    t.same(await p.client.next(), result(1))
  })

t.test('what a client says behind initialize reaches a server that turns out to speak HTTP+SSE', async t => {
  const p = await pair(t, 'stdio', 'sse')
  const lines = [initialize(0, '2024-11-05'), NOTE, rpc(1, 'a'), rpc(2, 'b')]
  void p.client.say(lines.map(line => JSON.stringify(line)).join('\n'))
  t.match(await p.client.next(), { id: 0, result: {} })
  t.equal((await p.server.heard.next()).json.method, NOTE.method)
  for (const id of [1, 2]) {
    const asked = await p.server.heard.next()
    t.equal(asked.json.id, id)
    asked.answer(result(id))
    t.same(await p.client.next(), result(id))
  }
})

t.test('one client that is refused does not move the others to another transport', async t => {
  const { url, server } = await rawDoor(t, x => {
    if (x.method === 'GET') return void x.sse().sendEvent({ event: 'endpoint', data: '/messages' })
    if (x.method === 'DELETE') return void x.head(200).end()
    const { id, method, params } = JSON.parse(x.text)
    if (method !== 'initialize') return x.json(200, result(id, { via: 'streamable' }))
    if (params.protocolVersion === undefined)
      return x.json(400, { jsonrpc: '2.0', id, error: { code: -32602, message: 'no version' } })
    x.json(200, handshakeOf(x.text), ['Mcp-Session-Id', 'the-session-of-the-server'])
  })
  const good = await rawPost(url, initialize(0))
  const bad = await rawPost(url, { ...rpc(0, 'initialize'), params: {} })
  t.equal(bad.status, 400)
  t.match(bad.json(), { error: { code: -32602 } })
  const headers = legacyHeaders(good.headers['mcp-session-id'] as string)
  t.match((await rawPost(url, rpc(1, 'a'), headers)).json(), result(1, { via: 'streamable' }))
  t.equal((await rawPost(url, initialize(0))).status, 200)
  t.notOk(server.exchanges.some(x => x.method === 'GET'))
})

t.test('a refused initialize is not held long for a stream that says nothing', async t => {
  const { url } = await rawDoor(t, x => {
    if (x.method === 'GET') return void x.sse()
    x.json(400, { jsonrpc: '2.0', id: 0, error: { code: -32602, message: 'no' } })
  })
  const began = performance.now()
  t.equal((await rawPost(url, initialize(0))).status, 400)
  t.ok(performance.now() - began < 6_000, 'long before --connect-timeout')
})

t.test('a client of HTTP+SSE takes a part of the connections, and leaves the others to others', async t => {
  const p = await pair(t, 'sse', 'http', { version: '2025-06-18', settings: { maxUpstreamConnections: 4 } })
  const other = await p.another()
  for (const id of [1, 2, 3, 4, 5]) void p.client.say(rpc(id, 'mine'))
  const first = await p.server.heard.next()
  void other.say(rpc(1, 'theirs'))
  const theirs = await p.server.heard.next()
  t.equal(theirs.json.method, 'theirs')
  theirs.answer(result(1))
  t.same(await other.next(), result(1))
  first.answer(result(first.json.id))
  for (const _ of [2, 3, 4, 5]) {
    const next = await p.server.heard.next()
    next.answer(result(next.json.id))
  }
  await p.client.heard.until(() => p.client.heard.items.length === 5)
})

const QUICK = { requestTimeout: 300 }

t.test('a request of the server that is never answered excuses only the call that it came with', async t => {
  const p = await pair(t, 'stdio', 'http', { version: '2025-06-18', settings: QUICK })
  void p.client.say(rpc(1, 'a'))
  const first = await p.server.heard.next()
  first.tell(ask('s1'))
  t.match(await p.client.next(), ask('s1'))
  first.answer(result(1))
  t.match(await p.client.next(), result(1))
  void p.client.say(rpc(2, 'never'))
  t.match(await p.client.next(), { id: 2, error: { data: { code: 'upstream_timeout' } } })
})

for (const server of ['http', 'sse', 'stdio'] as const)
  t.test(`stdio × ${server}: one that belongs to no call excuses later calls for a while only`, async t => {
    const p = await pair(t, 'stdio', server, { version: '2025-06-18', settings: QUICK })
    await p.server.tell(ask('s1'))
    t.match(await p.client.next(), ask('s1'))
    void p.client.say(rpc(2, 'never'))
    t.match(await p.client.next(), { id: 2, error: { data: { code: 'upstream_timeout' } } })
  })

t.test('on a pipe the call that was under way may wait for a person as long as it takes', async t => {
  const p = await pair(t, 'stdio', 'stdio', { version: '2025-06-18', settings: QUICK })
  void p.client.say(rpc(1, 'asks'))
  const asks = await p.server.heard.next()
  asks.tell(ask('s1'))
  t.match(await p.client.next(), ask('s1'))
  const began = performance.now()
  // Others come and go meanwhile.
  for (let n = 2; performance.now() - began < 3 * QUICK.requestTimeout; n++) {
    void p.client.say(rpc(n, 'x'))
    const x = await p.server.heard.next()
    x.answer(result(n))
    t.match(await p.client.heard.until(m => m.id === n), result(n))
  }
  void p.client.say(result('s1'))
  t.equal((await p.server.heard.next()).json.id, 's1')
  asks.answer(result(1))
  t.match(await p.client.heard.until(m => m.id === 1), result(1))
})

for (const client of ['stdio', 'http'] as const)
  t.test(`${client} × stdio: a server that waited for its client has its whole time from the answer on`, async t => {
    const p = await pair(t, client, 'stdio', { version: '2025-06-18', settings: QUICK })
    void p.client.say(rpc(1, 'asks'))
    const asks = await p.server.heard.next()
    asks.tell(ask('s1'))
    t.match(await p.client.next(), ask('s1'))
    const began = performance.now()
    // The deadline has been put off again and again; the next one may be about to come.
    const late = 1.8 * QUICK.requestTimeout
    while (performance.now() - began < late) await new Promise(resolve => setImmediate(resolve))
    void p.client.say(result('s1'))
    t.equal((await p.server.heard.next()).json.id, 's1')
    const answered = performance.now()
    while (performance.now() - answered < QUICK.requestTimeout / 2) await new Promise(resolve => setImmediate(resolve))
    asks.answer(result(1))
    t.match(await p.client.heard.until(m => m.id === 1), result(1))
  })

t.test('a client that writes and does not read is held', async t => {
  const d = await stdioDoor(t, 'raw-stdio.ts', { settings: { maxExchangeQueue: 1_000 } })
  d.output.pause()
  const held = new Promise(resolve => d.input.once('pause', resolve))
  // Each is answered with an error.
  d.input.write('{"no":"message"}\n'.repeat(2_000))
  await held
  const free = new Promise(resolve => d.input.once('resume', resolve))
  d.output.resume()
  await free
  await d.lines.until(() => d.lines.items.length >= 2_000)
})

t.test('what the server repeats of a credential reaches neither client nor log', async t => {
  const server = await startRawHttp(x => x.respond(401, 'text/plain', `no such token: ${x.headers.authorization}`))
  t.teardown(() => server.close())
  const headers = ['Authorization', 'Bearer sk-verysecret-123456']
  const p = await pair(t, 'stdio', 'http', { target: { url: server.url, headers, transport: 'streamable-http' } })
  void p.client.say(rpc(1, 'a'))
  void p.client.say(NOTE)
  const told = await p.client.next()
  t.match(told.error.message, 'no such token')
  t.notMatch(told.error.message, 'verysecret')
  const { text } = await p.log.until(line => /was refused/.test(line.text))
  t.notMatch(text, 'verysecret')
})
