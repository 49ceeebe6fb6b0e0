import fc from 'fast-check'
import t from 'tap'
import { Queue, QueueNode } from '../../src/queue.ts'
import { MemorySessionStore } from '../../src/session/memory-store.ts'
import { SessionStoreFullError } from '../../src/session/store.ts'
import { sessionStoreContract } from '../contract/session-store.ts'
import { type MakeStore, newSession } from '../contract/session-store-harness.ts'
import { sessionStoreModel } from '../contract/session-store-model.ts'

const makeStore: MakeStore = settings => {
  let time = 1_800_000_000_000
  const store = new MemorySessionStore({ ...settings, now: () => time })
  return {
    store,
    advance: ms => {
      time += ms
    }
  }
}

/** The wall clock jumps back after every step and during idle times: nothing may change by it. */
const makeStoreWithBadClock: MakeStore = settings => {
  let time = 1_800_000_000_000
  const store = new MemorySessionStore({ ...settings, now: () => time })
  return {
    store,
    advance: ms => {
      time -= 7_000
      store.get('any')
      time += ms
    }
  }
}

sessionStoreContract('memory', makeStore)
sessionStoreContract('memory, a clock that steps back', makeStoreWithBadClock)
sessionStoreModel('memory', makeStore)
sessionStoreModel('memory, a clock that steps back', makeStoreWithBadClock)

t.test('it answers at once, without promises', async t => {
  const store = new MemorySessionStore()
  t.equal(store.create(newSession('a')).id, 'a')
  t.equal(store.get('a')?.id, 'a')
  t.equal(store.touch('a'), true)
  t.equal(store.update('a', 1, {}).ok, true)
  t.equal(store.list({ limit: 1 }).records.length, 1)
  t.equal(store.count(), 1)
  t.same(store.expired(1), [])
  t.equal(store.delete('a')?.id, 'a')
  store.close()
})

t.test('by default it holds 10,000 sessions for 30 minutes of silence and a day at most', async t => {
  let time = 0
  const store = new MemorySessionStore({ now: () => time })
  for (let n = 0; n < 10_000; n++) store.create(newSession(`${n}`))
  t.throws(() => store.create(newSession('more')), SessionStoreFullError)
  time = 30 * 60_000 - 1
  t.equal(store.count(), 10_000)
  store.touch('7')
  time++
  t.equal(store.count(), 1)
  for (; time < 24 * 3_600_000 - 60_000; time += 60_000) store.touch('7')
  t.ok(store.get('7'))
  time = 24 * 3_600_000
  t.equal(store.get('7'), undefined)
})

t.test(
  'expired sessions take up room until they are reaped: none is forgotten with its upstream side alive',
  async t => {
    let time = 0
    const store = new MemorySessionStore({ maxSessions: 1, idleTtl: 10, now: () => time })
    store.create(newSession('a'))
    time = 1_000_000
    t.equal(store.count(), 0)
    t.throws(() => store.create(newSession('b')), SessionStoreFullError)
    t.same(
      store.expired(1).map(r => r.id),
      ['a']
    )
    store.delete('a')
    t.ok(store.create(newSession('b')))
  }
)

t.test('snapshots are shared while nothing changed and replaced when something did', async t => {
  let time = 0
  const store = new MemorySessionStore({ now: () => time })
  const created = store.create(newSession('a'))
  t.equal(store.get('a'), created)
  time = 5
  store.touch('a')
  t.not(store.get('a'), created)
  t.equal(created.lastSeenAt, 0)
  t.equal(store.get('a')?.lastSeenAt, 5)
  t.equal(store.get('a'), store.get('a'))
})

// A run-away scan in any of these would make about 10^10 steps of it, far beyond the test's time limit.
t.test('100,000 sessions: touching, counting, listing and reaping cost no scan', async t => {
  const size = 100_000
  let time = 0
  const store = new MemorySessionStore({ maxSessions: size, idleTtl: 1_000_000, now: () => time })
  for (let n = 0; n < size; n++) store.create(newSession(`${n}`))
  for (let n = 0; n < 3 * size; n++) {
    time++
    store.touch(`${n % size}`)
    store.count()
    store.expired(10)
  }
  time += 1_000_000
  t.equal(store.get('5'), undefined)
  let reaped = 0
  for (let batch = store.expired(10); batch.length > 0; batch = store.expired(10)) {
    for (const { id } of batch) store.delete(id)
    reaped += batch.length
  }
  t.equal(reaped, size)
  store.create(newSession('last'))
  let pages = 0
  for (let cursor: string | undefined = '0'; cursor !== undefined; pages++) {
    cursor = store.list({ cursor, limit: 10 }).cursor
  }
  t.ok(pages > 100, `after a spike no page walks all ${size} slots: ${pages} pages`)
})

t.test('sessions that come and go leave nothing behind', async t => {
  const store = new MemorySessionStore({ maxSessions: 2 })
  store.create(newSession('stays'))
  for (let n = 0; n < 10_000; n++) {
    store.create(newSession(`${n}`))
    store.delete(`${n}`)
  }
  t.equal(store.list({ limit: 2 }).cursor, undefined, 'a listing walks no more than there ever was at a time')
})

t.test('a page of no size still moves on', async t => {
  const store = new MemorySessionStore()
  store.create(newSession('a'))
  store.create(newSession('b'))
  for (const limit of [0, -1, Number.NaN]) t.equal(store.list({ limit }).records.length, 1)
})

t.test('the queue keeps order, whatever is pushed, moved and removed', async () => {
  const step = fc.tuple(fc.constantFrom('push', 'remove', 'other'), fc.nat(7))
  const property = fc.property(fc.array(step, { maxLength: 100, size: 'max' }), steps => {
    const nodes = Array.from({ length: 8 }, (_, n) => new QueueNode(n))
    const [queue, other] = [new Queue<number>(), new Queue<number>()]
    let model: number[] = []
    for (const [action, n] of steps) {
      model = model.filter(m => m !== n)
      if (action === 'push') model.push(n)
      if (action === 'remove') queue.remove(nodes[n]!)
      else (action === 'push' ? queue : other).push(nodes[n]!)
      const values: number[] = []
      for (let node = queue.head; node; node = node.next) values.push(node.value)
      if (values.join() !== model.join() || queue.size !== model.length) throw new Error(`${values} is not ${model}`)
    }
  })
  fc.assert(property)
})
