/** Uses of many sessions: all are told, in few commands. */
import t from 'tap'
import { Touches, type Use } from '../../../src/session/redis/touches.ts'
import { newSession } from '../../contract/session-store-harness.ts'
import { skipWithoutRedis, startRedis } from '../../fixtures/servers/redis.ts'
import { trackLeaks } from '../../helpers/leaks.ts'
import { StoreOfItsOwn } from '../../helpers/redis-stores.ts'
import { command } from './local-store.ts'

const MANY = 12_500

t.test('no session in use dies because there are many', { skip: skipWithoutRedis() }, async t => {
  trackLeaks(t)
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const store = new StoreOfItsOwn(redis.url, { maxSessions: MANY, idleTtl: 3_600_000, touchEvery: 3_600_000 })
  t.teardown(() => store.close())
  const ids = Array.from({ length: MANY }, (_, n) => `id-${n}`)
  for (let i = 0; i < MANY; i += 250) {
    const some = ids.slice(i, i + 250)
    await Promise.all(some.map(id => store.create(newSession(id))))
    await Promise.all(some.map(id => store.touch(id)))
  }
  const usedAt = Date.now()
  t.ok(ids.every(id => store.touch(id) === true))
  await command(redis, 'CONFIG', 'RESETSTAT')
  const other = new StoreOfItsOwn(redis.url, { cacheFor: 0 })
  t.teardown(() => other.close())
  // What is late is told now.
  await store.close()
  const stats = String(await command(redis, 'INFO', 'commandstats'))
  const calls = Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1])
  t.ok(calls < 250, `${calls} commands`)
  let late = 0
  for (let i = 0; i < MANY; i += 250)
    for (const record of await Promise.all(ids.slice(i, i + 250).map(id => other.get(id))))
      if (record!.lastSeenAt < usedAt - 2) late++
  t.equal(late, 0)
})

t.test('what could not be told is told the next time; of what is gone, who asks is told', async t => {
  const told: Use[][] = []
  let isAway = false
  const every = 50
  // Its own timer keeps no process alive.
  const alive = setInterval(() => {}, 1_000)
  t.teardown(() => clearInterval(alive))
  let passed = (): void => {}
  const touches = new Touches({
    every,
    forgetAfter: 60_000,
    partOf: () => 0,
    tell: async uses => {
      passed()
      if (isAway) throw new Error('away')
      told.push([...uses])
      return uses.map(({ id }) => id !== 'gone')
    }
  })
  t.teardown(() => touches.close())
  const pass = (): Promise<void> => new Promise(resolve => (passed = resolve))
  t.equal(await touches.touch('one'), true)
  isAway = true
  t.equal(touches.touch('one'), true)
  await pass()
  await pass()
  t.equal(told.length, 1)
  isAway = false
  await pass()
  await new Promise(setImmediate)
  t.match(told[1], [{ id: 'one' }])
  t.ok(told[1]![0]!.ago >= every, 'as it was, not as it is told')
  t.equal(await touches.touch('gone'), false)
})
