/** Sessions that end by themselves end on both sides, and only when nobody uses them. */
import t from 'tap'
import { MemorySessionStore } from '../../src/index.ts'
import { openSse, rawPost, rawRequest } from '../helpers/raw-client.ts'
import { legacyHeaders, rpc, toolCall } from '../helpers/rpc.ts'
import { Inbox } from '../helpers/wait.ts'
import { type DoorOptions, rawSession, sdkDoor } from './http-door.ts'

/** How long sessions are looked after at least, in ms: the shortest that there is. */
const LOOK = 50

/**
 * Its time passes at looks of the reaper, a quarter of the idle time at each, and only once a test has said so: how long a busy
 * machine takes for what the test does before and between is nothing to it.
 */
class PacedStore extends MemorySessionStore {
  /** Whether time passes. */
  running = false
  readonly #now: { ms: number }
  readonly #step: number

  constructor(idleTtl: number, maxTtl: number) {
    const now = { ms: Date.now() }
    super({ idleTtl, maxTtl, now: () => now.ms })
    this.#now = now
    this.#step = Math.min(idleTtl, maxTtl) / 4
  }

  pass(ms: number): void {
    this.#now.ms += ms
  }

  override expired(limit: number): ReturnType<MemorySessionStore['expired']> {
    if (this.running) this.pass(this.#step)
    return super.expired(limit)
  }
}

/** Short lives, and an inbox that tells how sessions ended. */
function shortLived(sessionIdle: number, sessionMax = 60_000) {
  const ends = new Inbox<string>('ends of sessions')
  const store = new PacedStore(sessionIdle, sessionMax)
  const log = {
    debug: (event: string, _: string, facts: Record<string, unknown> = {}) =>
      void (event === 'session-end' && ends.push(String(facts.why))),
    info() {},
    warn() {},
    error: (event: string, text: string) => void ends.push(`${event}: ${text}`)
  }
  const options: DoorOptions = { settings: { sessionIdle: LOOK, sessionMax: LOOK }, store, log }
  return { ends, store, options }
}

t.test('a session that nobody uses expires, and the server is told', async t => {
  const { ends, store, options } = shortLived(100)
  const { server, door, url } = await sdkDoor(t, {}, options)
  const id = await rawSession(url)
  store.running = true
  t.equal(await ends.next(), 'expired')
  await server.counters.until('session.deleted')
  t.match(server.requests.at(-1), { method: 'DELETE', headers: { 'mcp-protocol-version': '2025-11-25' } })
  const answer = await rawPost(url, rpc(1, 'ping'), legacyHeaders(id))
  t.match([answer.status, answer.json()], [404, { id: 1, error: { data: { code: 'session_not_found' } } }])
  t.same([door.stats.sessions, store.count(), server.sessions.size], [0, 0, 0])
})

t.test('a session ends at its maximum age, however busy it is', async t => {
  const { ends, store, options } = shortLived(60_000, 150)
  const { server, door, url } = await sdkDoor(t, {}, options)
  const id = await rawSession(url)
  const stream = await openSse(url, { headers: { ...legacyHeaders(id), accept: 'text/event-stream' } })
  t.equal(stream.status, 200)
  store.running = true
  t.equal(await ends.next(), 'expired')
  await server.counters.until('session.deleted')
  await stream.ended
  t.same([door.stats.sessions, store.count()], [0, 0])
})

t.test('a session with an open stream does not idle out', async t => {
  const { ends, store, options } = shortLived(400)
  const { server, door, url } = await sdkDoor(t, {}, options)
  const [used, idle] = [await rawSession(url), await rawSession(url)]
  const stream = await openSse(url, { headers: { ...legacyHeaders(used), accept: 'text/event-stream' } })
  store.running = true
  t.equal(await ends.next(), 'expired', 'the other one')
  const third = await rawSession(url)
  t.equal(await ends.next(), 'expired', 'and one more, so that twice the idle time is over')
  void third
  void idle
  t.equal(door.stats.sessions, 1)
  server.changed('tools')
  t.match(await stream.nextMessage(), { method: 'notifications/tools/list_changed' })
  stream.close()
  t.equal(await ends.next(), 'expired', 'once it is closed, it does')
})

t.test('a session with a call in flight does not idle out', async t => {
  const { ends, store, options } = shortLived(400)
  const { server, door, url } = await sdkDoor(t, {}, options)
  const used = await rawSession(url)
  const slow = rawPost(url, toolCall(1, 'slow'), legacyHeaders(used))
  await server.counters.until('slow.started')
  store.running = true
  for (let i = 0; i < 2; i++) {
    await rawSession(url)
    t.equal(await ends.next(), 'expired')
  }
  t.equal(door.stats.sessions, 1)
  store.running = false
  server.state.gate.release()
  t.match((await slow).text, 'released')
  t.equal((await rawPost(url, rpc(2, 'ping'), legacyHeaders(used))).status, 200)
})

t.test('use keeps a session alive', async t => {
  const { ends, store, options } = shortLived(250)
  const { url } = await sdkDoor(t, {}, options)
  const id = await rawSession(url)
  for (let i = 0; i < 6; i++) {
    store.pass(240)
    t.equal((await rawPost(url, rpc(i, 'ping'), legacyHeaders(id))).status, 200)
  }
  t.same(ends.items, [])
  store.running = true
  t.equal(await ends.next(), 'expired', 'without it, it ends')
})

t.test('what the server has forgotten is gone: 404 to the client, and the session with it', async t => {
  const { ends, store, options } = shortLived(60_000)
  const { server, door, url } = await sdkDoor(t, {}, { ...options, sessionLoss: 'propagate' })
  const [lost, other] = [await rawSession(url), await rawSession(url)]
  await server.endSession([...server.sessions.keys()][0]!)
  const before = server.requests.length
  const first = await rawPost(url, rpc(1, 'ping'), legacyHeaders(lost))
  t.match(first, { status: 404, text: /Session not found/ }, "the server's own words")
  t.equal(await ends.next(), 'lost')
  t.equal((await rawPost(url, rpc(2, 'ping'), legacyHeaders(lost))).status, 404)
  t.equal(server.requests.length, before + 1, 'the second is not bothered the server with')
  t.notOk(server.requests.slice(before).some(r => r.method === 'DELETE'))
  t.equal((await rawPost(url, rpc(3, 'ping'), legacyHeaders(other))).status, 200)
  t.same([door.stats.sessions, store.count()], [1, 1])
})

t.test('DELETE ends a session on both sides at once', async t => {
  const { ends, store, options } = shortLived(60_000)
  const { server, url } = await sdkDoor(t, {}, options)
  const id = await rawSession(url)
  t.equal((await rawRequest(url, { method: 'DELETE', headers: legacyHeaders(id) })).status, 200)
  t.equal(await ends.next(), 'client')
  t.equal(server.requests.filter(r => r.method === 'DELETE').length, 1)
  t.equal(store.count(), 0)
})
