/** What a process knows of what its server has given, and what it tells the others: by a real Redis. */
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { SILENT } from '../../src/log.ts'
import { HeldNames } from '../../src/proxy/held-names.ts'
import { RedisMembership } from '../../src/session/redis/membership.ts'
import { skipWithoutRedis, startRedis } from '../fixtures/servers/redis.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { backendAt } from '../helpers/redis-stores.ts'

const skip = skipWithoutRedis()

async function names(t: Test, route = 'route') {
  trackLeaks(t)
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const backend = backendAt(redis.url)
  const membership = new RedisMembership({ backend, lease: 60_000, log: SILENT })
  await membership.start()
  const store = new Redis(redis.url)
  const held = new HeldNames(membership, route)
  t.teardown(async () => {
    held.close()
    await store.quit()
    await membership.close()
    backend.close()
  })
  return { held, membership, store }
}

t.test('names are of one route, and nothing can be read in them', { skip }, async t => {
  const { held, membership } = await names(t, 'one')
  const other = new HeldNames(membership, 'other')
  t.teardown(() => other.close())
  t.match(held.nameOf('given'), /^[\w-]{43}$/)
  t.equal(held.nameOf('given'), held.nameOf('given'))
  t.not(held.nameOf('given'), other.nameOf('given'))
  t.not(held.nameOf('given'), held.nameOf('Given'))
})

t.test('what is held is told, and told again when half of its time is over', { skip }, async t => {
  const { held, membership, store } = await names(t)
  t.equal(held.owns('name'), false)
  await held.hold('name', 60_000)
  t.equal(held.owns('name'), true)
  t.equal(await membership.holder('name'), membership.id)
  await store.flushall()
  await held.hold('name', 60_000)
  t.equal(await membership.holder('name'), undefined, 'not every time')
  await held.hold('name', 200_000)
  t.equal(await membership.holder('name'), membership.id)
})

t.test('what could not be told is told the next time', { skip }, async t => {
  const { held, membership, store } = await names(t)
  await store.config('SET', 'min-replicas-to-write', '1')
  await held.hold('name', 60_000)
  t.equal(held.owns('name'), true)
  await store.config('SET', 'min-replicas-to-write', '0')
  t.equal(await membership.holder('name'), undefined)
  await held.hold('name', 60_000)
  t.equal(await membership.holder('name'), membership.id)
})

t.test('time passes', { skip }, async t => {
  const { held } = await names(t)
  await held.hold('name', 60)
  await held.hold('longer', 60_000)
  const end = performance.now() + 60
  while (performance.now() <= end) await new Promise(setImmediate)
  t.equal(held.owns('name'), false)
  t.equal(held.owns('longer'), true)
})

t.test('only so many are remembered: the oldest are asked for like any other', { skip }, async t => {
  const { held, membership } = await names(t)
  for (let n = 0; n <= 10_000; n += 500)
    await Promise.all(Array.from({ length: 500 }, (_, i) => held.hold(`name ${n + i}`, 60_000)))
  t.equal(held.owns('name 0'), false)
  t.equal(held.owns('name 499'), false)
  t.equal(held.owns('name 500'), true)
  t.equal(await membership.holder('name 0'), membership.id)
})
