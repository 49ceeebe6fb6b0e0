/** Clients on HTTP+SSE: how sessions begin and end. A session, its stream and its child are one. */
import t, { type Test } from 'tap'
import { MemorySessionStore, type SessionStore } from '../../src/index.ts'
import { openSse, rawRequest, send } from '../helpers/raw-client.ts'
import { rpc } from '../helpers/rpc.ts'
import { watcher } from './http-door.ts'
import { pipeDoor } from './pipe-door.ts'
import { gate, JSON_TYPE, messagesUrl, sseReady, sseSession, sseUrl } from './sse-down-door.ts'

const held = { answer: false }
const codeOf = (answer: { json(): unknown }) => (answer.json() as { error: { data: { code: string } } }).error.data.code
const GET = { method: 'GET', headers: { accept: 'text/event-stream' } }

t.test('a client that goes away in mid call takes session and child with it; another goes on', async t => {
  const { url, log, door } = await pipeDoor(t, 'puppet-stdio.ts')
  const [s, other] = [await sseReady(url), await sseReady(url)]
  await s.post(rpc(1, 'do', held))
  await log.child(/seen.*"do"/)
  s.close()
  t.match(await log.until(l => l.event === 'session-end'), { facts: { why: 'client' } })
  const answer = await s.post(rpc(2, 'do'))
  t.same([answer.status, codeOf(answer)], [404, 'session_not_found'])
  await other.post(rpc(3, 'do'))
  t.match(await other.next(), { id: 3 })
  t.same([door.stats.sessions, door.stats.streams, door.stats.exchanges], [1, 1, 1])
  other.close()
  await door.close()
  t.same(
    log.items.filter(l => l.level === 'warn'),
    [],
    'nothing to be warned of'
  )
})

t.test('a child that ignores everything is ended when its client goes away', async t => {
  const { url, log } = await pipeDoor(t, 'raw-stdio.ts', {
    args: ['--handshake', '--ignore-eof', '--ignore-term', '--grandchild'],
    settings: { killAfter: 100 }
  })
  const s = await sseReady(url)
  await log.child(/^grandchild/)
  s.close()
  await log.until(l => l.event === 'session-end')
})

t.test('a child that dies in mid call: errors on the stream with their ids, then the stream ends', async t => {
  const { url, door, log } = await pipeDoor(t, 'raw-stdio.ts', {
    args: ['--handshake', '--die-on', 'x', '--mute-on', 'y']
  })
  const s = await sseReady(url)
  await s.post(rpc('one', 'y'))
  await s.post(rpc('two', 'x'))
  for (const id of ['one', 'two'])
    t.match(await s.next(), {
      id,
      error: { message: /code 3.*about to die/, data: { code: 'child_exited', exitCode: 3 } }
    })
  t.equal(await s.stream.ended, 'end')
  t.equal((await s.post(rpc(3, 'z'))).status, 404)
  t.same([door.stats.sessions, door.stats.streams, door.stats.exchanges], [0, 0, 0])
  t.match(
    log.items.filter(l => l.level === 'warn'),
    [{ event: 'server-lost', text: /code 3/ }],
    'said once'
  )
})

t.test('a child that ends without a fault ends the stream', async t => {
  const { url, door } = await pipeDoor(t, 'puppet-stdio.ts')
  const s = await sseReady(url)
  await s.post(rpc(1, 'do', { exit: 0 }))
  t.match(await s.next(), { id: 1, result: {} })
  t.equal(await s.stream.ended, 'end')
  t.equal(door.stats.sessions, 0)
})

t.test('a command that cannot start: 502 that names it, no session, and no argument told', async t => {
  const target = { command: '/no/such/command', args: ['--password', 'hunter2'] }
  const { url, door } = await pipeDoor(t, 'puppet-stdio.ts', { target })
  const answer = await rawRequest(sseUrl(url), GET)
  t.same([answer.status, codeOf(answer)], [502, 'child_start_failed'])
  t.match(answer.text, '/no/such/command')
  t.notMatch(answer.text, 'hunter2')
  t.same([door.stats.sessions, door.stats.streams, door.stats.exchanges], [0, 0, 0])
})

t.test('one session too many gets 503 with Retry-After and starts nothing; when one ends there is room', async t => {
  const { url, log, door } = await pipeDoor(t, 'puppet-stdio.ts', { settings: { maxSessions: 2 } })
  const [a, b] = [await sseReady(url), await sseReady(url)]
  const answer = await rawRequest(sseUrl(url), GET)
  t.same([answer.status, codeOf(answer), answer.headers['retry-after']], [503, 'too_many_sessions', '1'])
  t.equal(log.of('session-start').length, 2)
  t.equal(door.stats.streams, 2)
  a.close()
  await log.until(l => l.event === 'session-end')
  const c = await sseReady(url)
  t.equal(log.items.filter(l => /^pid/.test(l.text)).length, 3)
  b.close()
  c.close()
})

t.test('of many that come at once, as many as allowed begin', async t => {
  const { url, log, door } = await pipeDoor(t, 'puppet-stdio.ts', { settings: { maxSessions: 3 } })
  const streams = await Promise.all(Array.from({ length: 8 }, () => openSse(sseUrl(url))))
  t.same(streams.map(s => s.status).sort(), [200, 200, 200, 503, 503, 503, 503, 503])
  t.equal(door.stats.sessions, 3)
  t.equal(log.of('session-start').length, 3)
  for (const s of streams) s.close()
})

t.test('open streams are bounded with those of the endpoint; one that ends makes room', async t => {
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts', { settings: { maxStreams: 1 } })
  const s = await sseReady(url)
  const answer = await rawRequest(sseUrl(url), GET)
  t.same([answer.status, codeOf(answer)], [503, 'too_many_streams'])
  t.equal(log.of('session-start').length, 1)
  s.close()
  await log.until(l => l.event === 'session-end')
  const again = await sseSession(url)
  again.close()
})

t.test('requests in flight are bounded; those that were taken are unharmed', async t => {
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts', { settings: { maxExchanges: 2 } })
  const s = await sseReady(url)
  for (const id of [1, 2]) await s.post(rpc(id, 'do', held))
  await log.child(/seen.*"id":2/)
  const answer = await s.post(rpc(3, 'do'))
  t.same([answer.status, codeOf(answer), answer.headers['retry-after']], [503, 'too_many_exchanges', '1'])
  s.close()
  await log.until(l => l.event === 'session-end')
  const again = await sseReady(url)
  await again.post(rpc(1, 'do'))
  t.match(await again.next(), { id: 1 })
  again.close()
})

t.test('a session that reaches its age ends with its stream and its child; what is in flight is told', async t => {
  const { url, log, door } = await pipeDoor(t, 'puppet-stdio.ts', { settings: { sessionMax: 1_200 } })
  const s = await sseReady(url)
  await s.post(rpc(1, 'do', held))
  t.match(await s.next(), { id: 1, error: { data: { code: 'session_not_found' } } })
  t.equal(await s.stream.ended, 'end')
  t.match(log.of('session-end'), [{ facts: { why: 'expired' } }])
  t.equal((await s.post(rpc(2, 'do'))).status, 404)
  t.same([door.stats.sessions, door.stats.streams, door.stats.exchanges], [0, 0, 0])
})

t.test('a stream keeps its session in use, however silent it is', async t => {
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts', { settings: { sessionIdle: 300, sessionMax: 2_500 } })
  const began = performance.now()
  const s = await sseReady(url)
  t.equal(await s.stream.ended, 'end')
  t.match(log.of('session-end'), [{ facts: { why: 'expired' } }])
  t.ok(performance.now() - began > 2_000, 'at its age, not before')
  t.equal(s.stream.events.items.length, 2, 'endpoint and initialize')
})

t.test('stopping: calls in flight finish, new ones are refused, then streams end in order', async t => {
  const { url, door, log } = await pipeDoor(t, 'puppet-stdio.ts')
  const s = await sseReady(url)
  const idle = await sseReady(url)
  await s.post(rpc(1, 'do', { every: 500, times: 1 }))
  await log.child(/seen.*"id":1,/)
  const closing = door.close({ drainTimeout: 10_000 })
  t.match(await s.next(), { id: 1, result: {} })
  await closing
  t.same(await Promise.all([s.stream.ended, idle.stream.ended]), ['end', 'end'])
  t.match(log.of('session-end'), [{ facts: { why: 'shutdown' } }, { facts: { why: 'shutdown' } }])
  await t.rejects(openSse(sseUrl(url)))
})

t.test('stopping does not wait longer than it was told: what is in flight fails on its stream', async t => {
  const { url, door, log } = await pipeDoor(t, 'puppet-stdio.ts')
  const s = await sseReady(url)
  await s.post(rpc(1, 'do', held))
  await log.child(/seen.*"id":1,/)
  await door.close({ drainTimeout: 50 })
  t.match(await s.next(), { id: 1, error: { data: { code: 'shutting_down' } } })
  t.equal(await s.stream.ended, 'end')
})

/** A store in memory, one method of which does something else first. */
function storeWith(method: 'create' | 'get' | 'count' | 'touch', first: () => unknown): SessionStore {
  const store = new MemorySessionStore()
  const original = store[method].bind(store) as (...args: unknown[]) => unknown
  return Object.assign(store, {
    [method]: (...args: unknown[]) => {
      const pending = first()
      return pending instanceof Promise ? pending.then(() => original(...args)) : original(...args)
    }
  })
}

for (const method of ['count', 'create'] as const) {
  t.test(`a client that leaves while the store is at its ${method} leaves neither session nor child`, async t => {
    const { pass, arrived, open } = gate()
    const watch = watcher()
    const { url, door, log } = await pipeDoor(t, 'puppet-stdio.ts', {
      store: storeWith(method, pass),
      interceptors: [watch]
    })
    const { req } = send(sseUrl(url), GET)
    await arrived
    req.destroy()
    await watch.ended.until(outcome => outcome.result === 'gone')
    open()
    if (method === 'create') await log.until(l => l.event === 'session-end')
    const s = await sseReady(url)
    t.equal(door.stats.sessions, 1)
    t.equal(watch.ended.items.filter(o => o.result === 'gone').length, 1)
    s.close()
  })
}

t.test('a command that cannot start, at a store that takes its time, leaves no session', async t => {
  const { pass, arrived, open } = gate()
  const target = { command: '/no/such/command' }
  const { url, door, log } = await pipeDoor(t, 'puppet-stdio.ts', { target, store: storeWith('create', pass) })
  const answer = rawRequest(sseUrl(url), GET)
  await arrived
  await log.until(l => l.event === 'server-lost')
  open()
  t.equal((await answer).status, 502)
  t.same([door.stats.sessions, door.stats.streams, door.stats.exchanges], [0, 0, 0])
})

/** A store whose reads fail, each in another way. */
for (const [how, fail] of [
  [
    'throws',
    () => {
      throw new Error('disk full at /secret')
    }
  ],
  ['rejects', () => Promise.reject(new Error('disk full at /secret'))]
] as const) {
  t.test(`a store that ${how}: the POST gets 500 without its reason, and everything else goes on`, async (t: Test) => {
    let broken = false
    const store = storeWith('get', () => (broken ? fail() : undefined))
    const { url, log, door } = await pipeDoor(t, 'puppet-stdio.ts', { store })
    const s = await sseReady(url)
    broken = true
    const answer = await s.post(rpc(1, 'do'))
    t.same([answer.status, codeOf(answer)], [500, 'internal'])
    t.notMatch(answer.text, 'secret')
    t.match(log.of('internal'), [{ facts: { cause: /disk full/ } }], 'the log has the reason')
    broken = false
    t.equal((await s.post(rpc(2, 'do'))).status, 202)
    t.match(await s.next(), { id: 2 })
    t.equal(door.stats.exchanges, 1)
    s.close()
  })
}

t.test('a POST that waits for the store when its stream ends gets 404', async t => {
  const { pass, arrived, open } = gate()
  let slow = false
  const store = storeWith('get', () => (slow ? pass() : undefined))
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts', { store })
  const s = await sseReady(url)
  slow = true
  const post = rawRequest(messagesUrl(url, s.id), { body: rpc(1, 'do'), headers: JSON_TYPE })
  await arrived
  s.close()
  await log.until(l => l.event === 'session-end')
  open()
  t.equal((await post).status, 404)
})
