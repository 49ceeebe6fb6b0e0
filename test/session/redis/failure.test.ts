/** Redis slow, gone, full, read-only, without its data: whoever asks is told in time, and it goes on by itself. */
import { setTimeout as pause } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import type { SessionStore } from '../../../src/session/store.ts'
import { fails, newSession } from '../../contract/session-store-harness.ts'
import { type RedisServer, skipWithoutRedis, startRedis } from '../../fixtures/servers/redis.ts'
import { startCluster, startSentinels } from '../../fixtures/servers/redis-groups.ts'
import { trackLeaks } from '../../helpers/leaks.ts'
import { StoreOfItsOwn, type StoreSettings } from '../../helpers/redis-stores.ts'

const UNAVAILABLE = { code: 'session_store_unavailable' }

t.test('failures', { skip: skipWithoutRedis() }, async t => {
  t.test('while Redis hangs everybody is told in time; then it goes on', async t => {
    trackLeaks(t)
    const redis = await started(t)
    const store = open(t, redis.url, { timeout: 300 })
    await store.create(newSession('one'))
    redis.pause()
    const begun = performance.now()
    const uses = [
      () => store.get('one'),
      () => store.touch('one'),
      () => store.update('one', 1, { facts: {} }),
      () => store.create(newSession('two')),
      () => store.delete('other'),
      () => store.list({ limit: 1 }),
      () => store.count(),
      () => store.expired(1)
    ]
    const errors = await Promise.all(uses.map(use => fails(use)))
    for (const error of errors) t.match(error, UNAVAILABLE)
    t.match(errors[0], { message: /^redis:\/\/127\.0\.0\.1:\d+ / }, 'it names the store')
    t.ok(performance.now() - begun < 5_000)
    redis.resume()
    await again(store)
    t.match(await store.get('one'), { id: 'one' })
  })

  t.test('Redis is gone, and comes back', async t => {
    trackLeaks(t)
    const redis = await startRedis()
    const store = open(t, redis.url)
    await store.create(newSession('one'))
    await redis.kill()
    t.match(await fails(() => store.get('one')), UNAVAILABLE)
    const back = await startRedis([], redis.port)
    t.teardown(() => back.stop())
    await again(store)
    t.equal(await store.get('one'), undefined, 'its data is not back')
    t.ok(await store.create(newSession('one')))
  })

  t.test('nobody was ever there', async t => {
    trackLeaks(t)
    const redis = await startRedis()
    await redis.stop()
    const store = open(t, redis.url)
    const begun = performance.now()
    t.match(await fails(() => store.get('one')), UNAVAILABLE)
    t.ok(performance.now() - begun < 5_000)
  })

  t.test('it is flushed: sessions are gone, and new ones are made', async t => {
    trackLeaks(t)
    const redis = await started(t)
    const store = open(t, redis.url)
    await store.create(newSession('one'))
    await command(redis, 'FLUSHALL')
    t.equal(await store.get('one'), undefined)
    t.equal(await store.touch('one'), false)
    t.equal(await store.count(), 0)
    t.ok(await store.create(newSession('one')))
  })

  t.test('the scripts it knew are forgotten: they are sent again', async t => {
    trackLeaks(t)
    const redis = await started(t)
    const store = open(t, redis.url)
    await store.create(newSession('one'))
    await command(redis, 'SCRIPT', 'FLUSH')
    t.match(await store.update('one', 1, { facts: { x: 1 } }), { ok: true, record: { version: 2 } })
  })

  t.test('it is full: what is there goes on, new ones are refused, and then not any more', async t => {
    trackLeaks(t)
    const redis = await started(t)
    const store = open(t, redis.url)
    await store.create(newSession('one'))
    await command(redis, 'CONFIG', 'SET', 'maxmemory', '1')
    t.match(await fails(() => store.create(newSession('two'))), { ...UNAVAILABLE, message: /OOM/ })
    const before = await store.get('one')
    await pause(2)
    t.equal(await store.touch('one'), true)
    t.ok((await store.get('one'))!.lastSeenAt > before!.lastSeenAt)
    t.ok(await store.delete('one'), 'what makes room is done')
    await command(redis, 'CONFIG', 'SET', 'maxmemory', '0')
    t.ok(await store.create(newSession('two')))
  })

  t.test('another password than it wants', async t => {
    trackLeaks(t)
    const redis = await started(t, [['requirepass', 'geheim']])
    const wrong = open(t, redis.url.replace('//', '//:nicht-geheim@'))
    const error = await fails(() => wrong.get('one'))
    t.match(error, UNAVAILABLE)
    t.notMatch(String(error), /geheim/)
    const right = open(t, redis.url.replace('//', '//:geheim@'))
    t.ok(await right.create(newSession('one')))
  })

  t.test('Sentinel makes the replica the master: it goes on there', async t => {
    trackLeaks(t)
    const group = await startSentinels()
    t.teardown(() => group.stop())
    const store = open(t, group.url)
    await store.create(newSession('one'))
    await command(group.master, 'WAIT', '1', '2000')
    await group.master.kill()
    await again(store)
    t.match(await store.get('one'), { id: 'one' })
    t.ok(await store.create(newSession('two')))
  })

  t.test('the master becomes a replica under our feet: the new one is asked', async t => {
    trackLeaks(t)
    const group = await startSentinels()
    t.teardown(() => group.stop())
    const store = open(t, group.url)
    await store.create(newSession('one'))
    const sentinel = group.servers.at(-1)!
    await command(sentinel, 'SENTINEL', 'FAILOVER', 'main')
    while ((await role(group.replica)) !== 'master') await pause(20)
    for (let n = 0; ; n++) {
      const error = await fails(() => store.create(newSession(`n${n}`)))
      if (!error && (await role(group.master)) === 'slave') break
      if (error) t.match(error, UNAVAILABLE)
      await pause(20)
    }
    t.match(await store.get('one'), { id: 'one' })
  })

  t.test('one node of a cluster is gone: the sessions of the others go on', async t => {
    trackLeaks(t)
    const group = await startCluster()
    t.teardown(() => group.stop())
    const store = open(t, group.url, { timeout: 1_000, maxSessions: 1_000 })
    const ids = Array.from({ length: 30 }, (_, n) => `s${n}`)
    for (const id of ids) await store.create(newSession(id))
    await group.servers[2]!.kill()
    const errors = await Promise.all(ids.map(id => fails(() => store.get(id))))
    const lost = errors.filter(error => error !== undefined)
    t.ok(lost.length > 0 && lost.length < ids.length, `${lost.length} of ${ids.length}`)
    for (const error of lost) t.match(error, UNAVAILABLE)
  })
})

async function started(t: Test, more: readonly (readonly string[])[] = []): Promise<RedisServer> {
  const redis = await startRedis(more)
  t.teardown(() => redis.stop())
  return redis
}

function open(t: Test, url: string, more: StoreSettings = {}): StoreOfItsOwn {
  const store = new StoreOfItsOwn(url, { timeout: 2_000, cacheFor: 0, touchEvery: 0, ...more })
  t.teardown(() => store.close())
  return store
}

/** Until it answers again. */
async function again(store: SessionStore): Promise<void> {
  while (await fails(() => store.count())) await pause(20)
}

async function command(redis: RedisServer, name: string, ...args: string[]): Promise<unknown> {
  const client = new Redis(redis.port, '127.0.0.1')
  client.on('error', () => {})
  try {
    return await client.call(name, ...args)
  } finally {
    client.disconnect()
  }
}

async function role(redis: RedisServer): Promise<string | undefined> {
  const [name] = (await command(redis, 'ROLE').catch(() => [])) as string[]
  return name
}
