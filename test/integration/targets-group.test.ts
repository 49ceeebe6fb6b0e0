/** Several servers behind one door: who gets what, with real clients and servers of every transport. */
import { PassThrough } from 'node:stream'
import t, { type Test } from 'tap'
import { StdioConnection } from '../../src/proxy/serve-stdio.ts'
import { startHttpServer } from '../fixtures/servers/http-server.ts'
import { echo, echoWithHandshake, type Script, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { startSseServer } from '../fixtures/servers/sse-server.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost, send } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, modern, notification, rpc, toolCall } from '../helpers/rpc.ts'
import { readLines } from '../helpers/stdio-peer.ts'
import { Inbox } from '../helpers/wait.ts'
import { groupDoor } from './group-door.ts'
import { callTool, client } from './http-door.ts'
import { sseClient } from './sse-down-door.ts'

async function rawServers(t: Test, n: number, script?: Script) {
  trackLeaks(t)
  const servers = await Promise.all(Array.from({ length: n }, () => startRawHttp(script)))
  t.teardown(() => Promise.all(servers.map(s => s.close())))
  return servers
}

const posts = (servers: Awaited<ReturnType<typeof rawServers>>): number[] => servers.map(s => s.counters.count('POST'))

t.test('calls go round by weight', async t => {
  const servers = await rawServers(t, 3)
  const door = await groupDoor(
    t,
    servers.map((s, i) => ({ url: s.url, weight: [5, 1, 2][i] }))
  )
  for (let i = 0; i < 16; i++) t.equal((await door.call(i)).status, 200)
  t.same(posts(servers), [10, 2, 4])
})

t.test('least in flight: who is busy gets less', async t => {
  const servers = await rawServers(t, 2)
  const held: (() => void)[] = []
  servers[0]!.always(
    x => new Promise(resolve => held.push(() => resolve(void x.json(200, '{"jsonrpc":"2.0","id":0,"result":{}}'))))
  )
  const door = await groupDoor(
    t,
    servers.map(s => s.url),
    { balance: 'least-in-flight' }
  )
  const slow = door.call('slow')
  await servers[0]!.exchange()
  for (let i = 0; i < 6; i++) t.equal((await door.call(i)).status, 200)
  t.same(posts(servers), [1, 6])
  for (const release of held) release()
  t.equal((await slow).status, 200)
})

t.test('sessions of real clients stay where they were made, whatever comes between', async t => {
  trackLeaks(t)
  const servers = [await startHttpServer(), await startHttpServer()]
  t.teardown(() => Promise.all(servers.map(s => s.close())))
  const door = await groupDoor(
    t,
    servers.map(s => s.url)
  )
  const clients = await Promise.all([1, 2, 3, 4].map(() => client(t, door.url)))
  t.same(
    servers.map(s => s.sessions.size),
    [2, 2]
  )
  for (let round = 0; round < 3; round++)
    await Promise.all(clients.map(async (c, i) => t.match(await callTool(c, 'echo', { text: `hi ${i}` }), `hi ${i}`)))
  await Promise.all(clients.map(c => c.terminate()))
  t.same(
    servers.map(s => s.sessions.size),
    [0, 0]
  )
})

t.test('a member is known by its URL without what may be secret, and by a number where URLs repeat', async t => {
  const [server] = await rawServers(t, 1)
  const url = new URL(server!.url)
  url.username = 'user'
  url.password = 'secret'
  url.search = '?key=secret'
  const door = await groupDoor(t, [url.href, server!.url])
  t.same(
    door.target.health?.().map(h => [h.member, h.label, h.state, h.inFlight]),
    [
      [server!.url, server!.url, 'up', 0],
      [`${server!.url}#2`, server!.url, 'up', 0]
    ]
  )
  t.equal(door.target.resume('x', 'http://elsewhere/mcp'), undefined)
  t.equal(door.target.resume('x', server!.url)?.member, server!.url)
})

t.test('a server that fails is left out, and the other answers all', async t => {
  const servers = await rawServers(t, 2)
  servers[0]!.always(x => x.respond(502, 'text/plain', 'nobody is behind it'))
  const door = await groupDoor(
    t,
    servers.map(s => s.url),
    { health: { failures: 3, ejection: 60_000 } }
  )
  const answers = []
  for (let i = 0; i < 30; i++) answers.push((await door.call(i)).status)
  t.equal(answers.filter(s => s === 502).length, 10, 'its answers are relayed as they are')
  t.same(posts(servers), [10, 20])
  t.match(await door.health.next(), { state: 'ejected', member: servers[0]!.url, reason: /status 502/, ms: Number })
  t.match(door.target.health?.()[0], { state: 'ejected', reason: /10 of its latest 10 answers/, until: Number })
})

t.test('a server that is busy is asked again soon, and the other before it', async t => {
  const servers = await rawServers(t, 2)
  servers[0]!.always(x => x.respond(503, 'text/plain', 'later', ['Retry-After', '1']))
  const door = await groupDoor(
    t,
    servers.map(s => s.url),
    { health: { failures: 1 } }
  )
  t.equal((await door.call(0)).status, 503)
  for (let i = 1; i < 10; i++) t.equal((await door.call(i)).status, 200)
  t.match(door.target.health?.(), [{ state: 'up' }, { state: 'up' }])
})

t.test('all are left out: nobody is refused, the one whose time ends first is asked', async t => {
  const servers = await rawServers(t, 2, x => x.respond(502, 'text/plain', ''))
  const door = await groupDoor(
    t,
    servers.map(s => s.url),
    { health: { failures: 1, ejection: 60_000 } }
  )
  for (let i = 0; i < 22; i++) t.equal((await door.call(i)).status, 502)
  const health = door.target.health?.() ?? []
  t.same(
    health.map(h => h.state),
    ['ejected', 'ejected']
  )
  const first = health[0]!.until! <= health[1]!.until! ? 0 : 1
  const before = servers[first]!.counters.count('POST')
  for (const server of servers) server.always(echo)
  t.equal((await door.call(30)).status, 200)
  t.equal(servers[first]!.counters.count('POST'), before + 1)
  t.match(door.target.health?.()[first], { state: 'up' })
})

t.test('a client whose calls take too long costs nobody else the server', async t => {
  const slow: Script = x =>
    x.text.includes('slow-head') ? void x.sse() : x.text.includes('slow') ? undefined : echo(x)
  for (const count of [1, 2]) {
    const servers = await rawServers(t, count, slow)
    const door = await groupDoor(
      t,
      servers.map(s => s.url),
      { health: { failures: 2, ejection: 60_000 }, settings: { requestTimeout: 300 } }
    )
    let over = false
    const attack = Promise.all(
      Array.from({ length: 6 * count }, (_, i) => door.call(i, i % 2 > 0 ? 'slow' : 'slow-head'))
    ).then(() => {
      over = true
    })
    const statuses = new Set<number>()
    for (let i = 100; !over; i++) statuses.add((await door.call(i)).status)
    await attack
    t.same(statuses, new Set([200]))
    // One of several that got only such calls cannot be told from one that hangs, and is left out: the others answer.
    if (count === 1) t.match(door.target.health?.(), [{ state: 'up' }])
  }
})

t.test('a server that is full of sessions goes on serving those it has', async t => {
  let made = 0
  const [server] = await rawServers(t, 1, x => {
    if (!x.text.includes('"initialize"')) return echo(x)
    return made++ > 0 ? x.respond(503, 'text/plain', 'full') : echoWithHandshake('only')(x)
  })
  const door = await groupDoor(t, [server!.url], { health: { failures: 2, ejection: 60_000 } })
  const first = await rawPost(door.url, initialize(0))
  const headers = legacyHeaders(String(first.headers['mcp-session-id']))
  for (let i = 1; i < 8; i++) {
    t.equal((await rawPost(door.url, initialize(i))).status, 503)
    t.equal((await rawPost(door.url, toolCall(i, 'echo'), headers)).status, 200)
  }
  t.match(door.target.health?.(), [{ state: 'up' }])
})

t.test('errors of a client’s own make no server ill', async t => {
  const servers = await rawServers(t, 2, x => x.respond(400, 'text/plain', 'no'))
  const door = await groupDoor(
    t,
    servers.map(s => s.url),
    { health: { failures: 2 } }
  )
  for (let i = 0; i < 10; i++) t.equal((await door.call(i)).status, 400)
  t.same(
    door.target.health?.().map(h => h.state),
    ['up', 'up']
  )
})

t.test('a member that speaks HTTP+SSE serves its clients, beside one that does not', async t => {
  trackLeaks(t)
  const [older, newer] = [await startSseServer(), await startHttpServer()]
  t.teardown(() => Promise.all([older.close(), newer.close()]))
  const door = await groupDoor(t, [older.url, newer.url])
  const clients = []
  for (let i = 0; i < 4; i++) clients.push(await client(t, door.url))
  t.same([older.sessions.size, newer.sessions.size], [2, 2])
  t.equal(door.target.kind, 'http')
  for (const c of clients) t.match(await callTool(c, 'echo', { text: 'hi' }), 'hi')
  const piped = [await sseClient(t, door.url), await sseClient(t, door.url)]
  for (const c of piped) t.match(await callTool(c, 'echo', { text: 'hi' }), 'hi')
})

t.test('a client that vanishes cancels nothing at a member on HTTP+SSE', async t => {
  trackLeaks(t)
  const [older, newer] = [await startSseServer(), await startHttpServer()]
  t.teardown(() => Promise.all([older.close(), newer.close()]))
  const door = await groupDoor(t, [older.url, newer.url])
  const first = await rawPost(door.url, initialize(0))
  const headers = legacyHeaders(String(first.headers['mcp-session-id']))
  await rawPost(door.url, notification('notifications/initialized'), headers)
  t.equal(older.sessions.size, 1)
  const gone = send(door.url, { headers, body: toolCall(1, 'slow', { key: 'k' }) })
  gone.head.catch(() => {})
  await older.counters.until('slow.started')
  gone.req.destroy()
  while (door.core.inFlight.size > 0) await new Promise(setImmediate)
  await rawPost(door.url, toolCall(2, 'release', { key: 'k' }), headers)
  t.ok(await older.counters.until('slow.finished'))
  t.equal(older.counters.count('slow.cancelled'), 0)
})

t.test('all members speak HTTP+SSE', async t => {
  trackLeaks(t)
  const servers = [await startSseServer(), await startSseServer()]
  t.teardown(() => Promise.all(servers.map(s => s.close())))
  const door = await groupDoor(
    t,
    servers.map(s => s.url)
  )
  const clients = []
  for (let i = 0; i < 6; i++) clients.push(await client(t, door.url))
  t.equal(door.target.kind, 'sse')
  for (const c of clients) t.match(await callTool(c, 'echo', { text: 'hi' }), 'hi')
  t.ok(servers.every(s => s.sessions.size >= 2))
})

t.test('a client on a pipe: its session has one server, its modern calls have all', async t => {
  const servers = await rawServers(t, 2)
  for (const [i, server] of servers.entries())
    server.always(x => {
      const { id, method } = JSON.parse(x.text || '{}') as { id?: number; method?: string }
      if (x.method === 'DELETE') return void x.head(200).end()
      if (x.method === 'GET') return void x.head(405).end()
      if (id === undefined) return void x.head(202).end()
      const made = method === 'initialize' ? ['Mcp-Session-Id', `made-by-${i}`] : []
      const result = { protocolVersion: '2025-11-25', capabilities: {}, serverInfo: { name: 's', version: '1' }, by: i }
      x.json(200, { jsonrpc: '2.0', id, result }, made)
    })
  const door = await groupDoor(
    t,
    servers.map(s => s.url)
  )
  const { say, next, close } = pipe(door.core)
  t.teardown(close)
  say(initialize(0))
  const by = ((await next()) as { result: { by: number } }).result.by
  say(notification('notifications/initialized'))
  for (let i = 1; i < 6; i++) {
    say(toolCall(i, 'echo'))
    t.match(await next(), { id: i, result: { by } })
  }
  t.same(new Set(servers[by]!.exchanges.slice(1).map(x => x.headers['mcp-session-id'])), new Set([`made-by-${by}`]))
  const other = pipe(door.core)
  t.teardown(other.close)
  const heard = new Set<unknown>()
  for (let i = 0; i < 4; i++) {
    other.say(modern(rpc(i, 'tools/list')))
    heard.add(((await other.next()) as { result: { by: number } }).result.by)
  }
  t.same(heard, new Set([0, 1]))
})

function pipe(core: ConstructorParameters<typeof StdioConnection>[0]) {
  const [input, output] = [new PassThrough(), new PassThrough()]
  const lines = new Inbox<string>('lines')
  readLines(output, lines)
  const connection = new StdioConnection(core, { input, output, maxLine: 1_000_000 })
  connection.start()
  return {
    say: (message: object) => void input.write(`${JSON.stringify(message)}\n`),
    next: async () => JSON.parse(await lines.next()) as unknown,
    close: async () => {
      input.end()
      await connection.ended
      await connection.close()
    }
  }
}

t.test('what makes no sense is refused before anything is opened', async t => {
  const url = 'http://127.0.0.1:1/mcp'
  const refused = (health: object, weight = 1) => groupDoor(t, [{ url, weight }, url], { health })
  await t.rejects(refused({}, 0), { message: 'weight: 0 is not allowed; give a whole number from 1 to 1000' })
  await t.rejects(refused({ failures: -1 }), /health.failures: -1 is not allowed/)
  await t.rejects(refused({ ejection: 2_000, maxEjection: 1_000 }), /health.maxEjection: 1000 is not allowed/)
  await t.rejects(refused({ check: { kind: 'http', path: 'x' } }), /health.check.path: 'x' is not allowed/)
  await t.rejects(
    refused({ check: { kind: 'x' } }),
    /health.check.kind: 'x' is not allowed; give http, discover or session/
  )
})
