/** An answer of Redis that never arrives: what was asked may have been done, and is not asked again by itself. */
import { setTimeout as pause } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { fails, newSession } from '../../contract/session-store-harness.ts'
import { type RedisServer, skipWithoutRedis } from '../../fixtures/servers/redis.ts'
import { type WiredRedis, wiredCluster, wiredRedis } from '../../fixtures/servers/redis-wired.ts'
import { trackLeaks } from '../../helpers/leaks.ts'
import { StoreOfItsOwn } from '../../helpers/redis-stores.ts'

const UNAVAILABLE = { code: 'session_store_unavailable' }

t.test('lost answers', { skip: skipWithoutRedis() }, async t => {
  t.test('one node', async t => neverTwice(t, await wiredRedis(t)))
  t.test('a cluster', async t => neverTwice(t, await wiredCluster(t)))
})

async function neverTwice(t: Test, { url, server, wire }: WiredRedis): Promise<void> {
  trackLeaks(t)
  const store = new StoreOfItsOwn(url, { cacheFor: 0, touchEvery: 0 })
  t.teardown(() => store.close())
  await settled(store)
  await store.create(newSession('one'))
  t.match(await store.update('one', 1, {}), { ok: true })
  t.equal(await store.delete('none'), undefined, 'Redis knows the scripts by now')

  const lost = wire.loseAnswerTo('evalsha')
  const before = await scriptsRun(server)
  t.match(
    await fails(() => store.update('one', 2, { facts: { x: 1 } })),
    UNAVAILABLE,
    'whether it was done is not known'
  )
  await lost
  t.equal(await scriptsRun(server), before + 1)
  await settled(store)
  t.match(await store.get('one'), { version: 3, facts: { x: 1 } })

  const deletion = wire.loseAnswerTo('evalsha')
  t.match(await fails(() => store.delete('one')), UNAVAILABLE, 'nobody says that another one has deleted it')
  await deletion
  await settled(store)
  t.equal(await store.get('one'), undefined)
}

/** Until it answers again. */
async function settled(store: StoreOfItsOwn): Promise<void> {
  while (await fails(() => store.count())) await pause(20)
}

async function scriptsRun({ port }: RedisServer): Promise<number> {
  const client = new Redis(port, '127.0.0.1')
  const said = await client.info('commandstats')
  client.disconnect()
  return Number(/cmdstat_evalsha:calls=(\d+)/.exec(said)?.[1])
}
