/** While Redis cannot be reached nothing piles up for it, and what was said to have failed is not done afterwards. */
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { redisAddress } from '../../../src/session/redis/address.ts'
import { RedisBackend } from '../../../src/session/redis/backend.ts'
import { openRedis, type RedisClient } from '../../../src/session/redis/client.ts'
import { RedisSessionStore } from '../../../src/session/redis/store.ts'
import { fails, newSession } from '../../contract/session-store-harness.ts'
import { skipWithoutRedis, startRedis } from '../../fixtures/servers/redis.ts'
import { startCluster, startSentinels } from '../../fixtures/servers/redis-groups.ts'
import { wiredCluster, wiredRedis } from '../../fixtures/servers/redis-wired.ts'
import { trackLeaks } from '../../helpers/leaks.ts'

const UNAVAILABLE = { code: 'session_store_unavailable' }
const TIMEOUT = 1_000
const ROUNDS = 60
const AT_ONCE = 50

t.test('outages', { skip: skipWithoutRedis() }, async t => {
  for (const [name, start] of [
    ['one node', wiredRedis],
    ['a cluster', wiredCluster]
  ] as const)
    t.test(`${name}: what failed while it was away is not done when it is back`, async t => {
      trackLeaks(t)
      const { url, wire } = await start(t)
      const { client, store } = opened(t, url)
      await settled(store)
      await store.create(newSession('one'))
      wire.cut()
      t.same(await refused(store), ['session_store_unavailable'])
      t.ok(queued(client) < AT_ONCE, `${queued(client)} of ${ROUNDS * AT_ONCE} wait in the client`)
      wire.join()
      await settled(store)
      t.match(await store.get('one'), { version: 1 })
      t.match(await store.update('one', 1, {}), { ok: true })
    })

  t.test('a short break is waited for', async t => {
    trackLeaks(t)
    const { url, wire } = await wiredRedis(t)
    const { client, store } = opened(t, url, 5_000)
    await store.create(newSession('one'))
    wire.cut()
    while (client.status === 'ready') await pause(1)
    const getting = store.get('one')
    wire.join()
    t.match(await getting, { id: 'one' })
  })

  t.test('who asks when it has been away for long is told at once, and why', async t => {
    trackLeaks(t)
    const redis = await startRedis()
    const { store } = opened(t, redis.url)
    await store.create(newSession('one'))
    await redis.kill()
    const until = performance.now() + TIMEOUT + 500
    while (performance.now() < until) await fails(() => store.get('one'))
    const begun = performance.now()
    for (let n = 0; n < 100; n++)
      t.match(await fails(() => store.get('one')), { ...UNAVAILABLE, message: /ECONNREFUSED/ })
    t.ok(performance.now() - begun < TIMEOUT)
  })

  for (const [name, start] of [
    ['a cluster', () => startCluster()],
    ['Sentinel', () => startSentinels()]
  ] as const)
    t.test(`${name} is gone for good: nothing piles up`, async t => {
      // ioredis's pause between two rounds through the sentinels goes on to its end, after which it stops.
      if (name !== 'Sentinel') trackLeaks(t)
      const group = await start()
      t.teardown(() => group.stop())
      const { client, store } = opened(t, group.url)
      await settled(store)
      await store.create(newSession('one'))
      await Promise.all(group.servers.map(server => server.kill()))
      t.same(await refused(store), ['session_store_unavailable'])
      t.ok(queued(client) < AT_ONCE, `${queued(client)} of ${ROUNDS * AT_ONCE} wait in the client`)
    })
})

/** Many updates, over three times the time that one may take. How they failed. */
async function refused(store: RedisSessionStore): Promise<unknown[]> {
  const asked: Promise<unknown>[] = []
  for (let round = 0; round < ROUNDS; round++) {
    for (let n = 0; n < AT_ONCE; n++) asked.push(fails(() => store.update('one', 1, { facts: { round, n } })))
    await pause((3 * TIMEOUT) / ROUNDS)
  }
  return [...new Set((await Promise.all(asked)).map(error => (error as { code?: string } | undefined)?.code))]
}

interface Queue {
  readonly offlineQueue: { readonly length: number }
}

/** What the client itself keeps until it is connected. */
function queued(client: RedisClient): number {
  const all = [client, ...('nodes' in client ? client.nodes() : [])] as unknown as Queue[]
  return all.reduce((sum, { offlineQueue }) => sum + offlineQueue.length, 0)
}

function opened(t: Test, url: string, timeout = TIMEOUT): { client: RedisClient; store: RedisSessionStore } {
  const client = openRedis(redisAddress(url), { timeout, connectTimeout: timeout })
  const backend = new RedisBackend({ client, label: 'redis', timeout })
  const store = new RedisSessionStore({ backend, name: 'store', cacheFor: 0, touchEvery: 0 })
  t.teardown(async () => {
    await store.close()
    backend.close()
  })
  return { client, store }
}

/** Until it answers again. */
async function settled(store: RedisSessionStore): Promise<void> {
  while (await fails(() => store.count())) await pause(20)
}
