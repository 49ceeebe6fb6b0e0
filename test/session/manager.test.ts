/** Conversations with the session manager: who gets which session, and what an end ends. */
import t from 'tap'
import { SILENT } from '../../src/log.ts'
import { Channel } from '../../src/session/channel.ts'
import { SessionManager, type SessionManagerOptions } from '../../src/session/manager.ts'
import { MemorySessionStore } from '../../src/session/memory-store.ts'
import type { Leg } from '../../src/transport/upstream.ts'
import { trackLeaks } from '../helpers/leaks.ts'

interface TestLeg extends Leg {
  readonly closedWith: (readonly string[])[]
}

/** A leg that only notes its end. */
function leg(upstreamId?: string): TestLeg {
  const closedWith: (readonly string[])[] = []
  return {
    upstreamId,
    closedWith,
    call: () => ({ pause() {}, resume() {}, cancel() {} }),
    async close(headers = []) {
      closedWith.push(headers)
    }
  }
}

function manager(t: Tap, options: Partial<SessionManagerOptions> = {}, maxSessions = 2) {
  trackLeaks(t)
  const clock = { now: 1_000 }
  const store = new MemorySessionStore({ maxSessions, idleTtl: 100, maxTtl: 1_000, now: () => clock.now })
  const ends: string[] = []
  const m = new SessionManager({
    store,
    target: 'default',
    openLeg: () => undefined,
    log: SILENT,
    reapEvery: 3_600_000,
    onEnd: (session, why) => ends.push(`${session.handle} ${why}`),
    ...options
  })
  t.teardown(() => m.close())
  const start = async (l: Leg = leg(), principal = 'ann') => m.start({ principal, leg: l, initialize: '{}' })
  return { m, store, clock, ends, start }
}

type Tap = Parameters<typeof trackLeaks>[0]

t.test('an id has 192 random bits, and its handle tells nothing of it', async t => {
  const { m, start } = manager(t, {}, 1_000)
  const ids = new Set<string>()
  for (let i = 0; i < 1_000; i++) ids.add((await start()).id)
  t.equal(ids.size, 1_000)
  for (const id of ids) t.match(id, /^[\w-]{32}$/)
  t.equal(m.size, 1_000)
})

t.test('a session is found by its id and its owner only', async t => {
  const { m, start } = manager(t)
  const session = await start()
  t.equal(await m.find(session.id, 'ann'), session)
  t.equal(await m.find(session.id, 'bob'), undefined)
  t.equal(await m.find(session.handle, 'ann'), undefined)
  t.equal(await m.find('', 'ann'), undefined)
})

t.test('an end: unknown to clients before the upstream side is closed, and closed once', async t => {
  const { m, start, ends } = manager(t)
  const l = leg()
  const session = await start({
    ...l,
    close: async () => void l.closedWith.push([String(await m.find(session.id, 'ann'))])
  })
  await Promise.all([m.end(session, 'client'), m.end(session, 'expired')])
  t.same(l.closedWith, [['undefined']])
  t.same(ends, [`${session.handle} client`])
  t.equal(m.size, 0)
})

t.test('a server over HTTP is told of the end, unless it has been told or told us', async t => {
  const { m, start } = manager(t, {}, 10)
  for (const [why, times] of [
    ['client', 0],
    ['lost', 0],
    ['expired', 1],
    ['shutdown', 1],
    ['failed', 1]
  ] as const) {
    const l = leg('upstream-id')
    await m.end(await start(l), why)
    t.equal(l.closedWith.length, times, why)
  }
})

t.test('idle sessions expire with their upstream side; those in use do not, up to their age', async t => {
  const { m, clock, start, ends } = manager(t)
  const [idle, used] = [leg(), leg()]
  await start(idle)
  const session = await start(used)
  session.inFlight++
  clock.now += 90
  await m.reap()
  clock.now += 20
  await m.reap()
  t.same([idle.closedWith.length, used.closedWith.length], [1, 0])
  for (let i = 0; i < 20; i++) {
    clock.now += 50
    await m.reap()
  }
  t.equal(used.closedWith.length, 1, 'its age ends it all the same')
  t.match(ends, [/expired$/, /expired$/])
})

t.test('the session of a pipe has no clock, no limit and no name for others', async t => {
  const { m, clock, store } = manager(t, {}, 1)
  const l = leg()
  const one = m.adopt({ principal: 'ann', leg: l, initialize: '{}' })
  const two = m.adopt({ principal: 'ann', leg: leg(), initialize: '{}' })
  t.same([m.size, store.count()], [2, 0])
  clock.now += 1_000_000
  m.touch(one)
  await m.reap()
  t.equal(l.closedWith.length, 0)
  t.equal(await m.find(one.id, 'ann'), undefined)
  await m.negotiated(one, '2025-06-18')
  t.equal(one.record.protocolVersion, '2025-06-18')
  await m.end(one, 'shutdown')
  await m.end(two, 'shutdown')
  t.same([m.size, l.closedWith.length], [0, 1])
})

t.test('too many sessions: one more is refused and its leg left to the caller; expired ones make room', async t => {
  const { start, clock, m } = manager(t, {}, 1)
  const first = leg()
  await start(first)
  const refused = leg()
  await t.rejects(start(refused), { code: 'too_many_sessions' })
  await t.rejects(m.admit(1), { code: 'too_many_sessions' })
  t.equal(refused.closedWith.length, 0)
  clock.now += 101
  await start(leg())
  t.equal(first.closedWith.length, 1)
})

t.test('close ends every session and its channel, and waits for ends under way', async t => {
  const { m, start } = manager(t)
  const slow = leg()
  const gate = Promise.withResolvers<void>()
  const ending = m.end(await start({ ...slow, close: () => gate.promise }), 'failed')
  const l = leg()
  const session = await start(l)
  const told: string[] = []
  session.channel = new Channel(
    { maxMailbox: 1, mailboxTtl: 1_000, maxServerRequests: 1 },
    { toServer() {}, undelivered() {} }
  )
  session.channel.openStream({ deliver: () => true, channelClosed: () => told.push('closed') })
  let closed = false
  const closing = m.close().then(() => {
    closed = true
  })
  await Promise.resolve()
  t.notOk(closed)
  gate.resolve()
  await Promise.all([ending, closing])
  t.same([l.closedWith.length, told, m.size], [1, ['closed'], 0])
})

t.test('a session that another process has ended goes here too, and the server is not told twice', async t => {
  const { m, start, store, ends } = manager(t, {}, 10)
  const [asked, unasked, child] = [leg('a'), leg('b'), leg()]
  const [first, ...others] = [await start(asked), await start(unasked), await start(child)]
  const pipe = m.adopt({ principal: 'ann', leg: leg(), initialize: '{}' })
  store.delete(first.id)
  t.equal(await m.find(first.id, 'ann'), undefined)
  t.same([first.ended, m.size], [true, 4])
  for (const other of others) store.delete(other.id)
  await m.reap()
  await m.end(first, 'failed')
  t.same([asked.closedWith.length, unasked.closedWith.length, child.closedWith.length], [0, 0, 1])
  t.equal(ends.length, 3)
  t.same([m.size, pipe.ended], [1, false])
})

t.test('a store that fails keeps no session from ending, and no close from finishing', async t => {
  const { m, start, store } = manager(t)
  const l = leg('a')
  const session = await start(l)
  const broken = (): never => {
    throw new Error('down')
  }
  Object.assign(store, { touch: broken, delete: broken, close: broken })
  m.touch(session)
  await m.end(session, 'failed')
  t.same([l.closedWith.length, m.size], [1, 0])
  await m.close()
})

t.test('an end that fails is not waited for again', async t => {
  const { m, start } = manager(t)
  const session = await start({ ...leg('a'), close: () => Promise.reject(new Error('no')) })
  await t.rejects(m.end(session, 'failed'), { message: 'no' })
  await m.close()
})
