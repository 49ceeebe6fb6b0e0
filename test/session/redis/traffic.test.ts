/** What sessions cost Redis: commands, and bytes; and that what is remembered is not stale. */
import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { Seal } from '../../../src/session/redis/seal.ts'
import { newSession } from '../../contract/session-store-harness.ts'
import { type RedisServer, skipWithoutRedis, startRedis } from '../../fixtures/servers/redis.ts'
import { trackLeaks } from '../../helpers/leaks.ts'
import { StoreOfItsOwn, type StoreSettings } from '../../helpers/redis-stores.ts'

const skip = skipWithoutRedis()
if (skip) t.test('Redis', { skip }, async () => {})
else {
  const redis = await startRedis()
  t.teardown(() => redis.stop())

  t.test('steady traffic reads no more than once in the time that a record is remembered', async t => {
    trackLeaks(t)
    const [maker, store] = [
      open(t, redis, { cacheFor: 0, touchEvery: 0 }),
      open(t, redis, { cacheFor: 60_000, touchEvery: 60_000 })
    ]
    await maker.create(newSession('steady'))
    // The scripts are sent to a server once.
    await maker.get('steady')
    await maker.touch('steady')
    const commands = await counting(redis, async () => {
      for (let n = 0; n < 1_000; n++) {
        await store.get('steady')
        await store.touch('steady')
      }
    })
    t.equal(commands, 2, 'one read, one touch')
  })

  t.test('uses of a session are told in time, however they are put together', async t => {
    trackLeaks(t)
    const store = open(t, redis, { cacheFor: 0, touchEvery: 40 })
    const { createdAt } = await store.create(newSession('used'))
    await store.touch('used')
    await pause(5)
    t.equal(store.touch('used'), true, 'at once')
    const touchedAt = Date.now()
    // The clock of Redis and ours are the same machine's.
    while ((await store.get('used'))!.lastSeenAt < touchedAt - 2) await pause(5)
    t.ok((await store.get('used'))!.lastSeenAt > createdAt)
  })

  t.test('what another process changes or ends is known at once, though it is remembered for long', async t => {
    trackLeaks(t)
    const [here, there] = [open(t, redis, { cacheFor: 60_000 }), open(t, redis, { cacheFor: 60_000 })]
    await here.create(newSession('shared'))
    await listening(redis, 2)
    t.equal((await there.get('shared'))?.version, 1)
    await here.update('shared', 1, { facts: { x: 1 } })
    while ((await there.get('shared'))?.version !== 2) await pause(1)
    t.same((await there.get('shared'))?.facts, { x: 1 })
    await here.delete('shared')
    while (await there.get('shared')) await pause(1)
    t.equal(await here.get('shared'), undefined)
  })

  t.test('two that update from one version: one wins', async t => {
    trackLeaks(t)
    const stores = [open(t, redis), open(t, redis), open(t, redis)]
    await stores[0]!.create(newSession('contested'))
    for (let version = 1; version <= 20; version++) {
      const results = await Promise.all(stores.map((store, i) => store.update('contested', version, { facts: { i } })))
      t.equal(results.filter(({ ok }) => ok).length, 1)
    }
  })

  t.test('a session takes at most 2 KB, sealed and with all that is usual in it', async t => {
    trackLeaks(t)
    const store = open(t, redis, { seal: new Seal([randomBytes(32)]), maxSessions: 100_000 })
    const initialize =
      '{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"sampling":{},"elicitation":{"form":{},"url":{}},"roots":{"listChanged":true}},"clientInfo":{"name":"an-editor-of-today","title":"An editor of today","version":"1.107.2"}}}'
    const before = await usedMemory(redis)
    const count = 2_000
    for (let n = 0; n < count; n++)
      await store.create(
        newSession(randomBytes(24).toString('base64url'), {
          protocolVersion: '2025-11-25',
          legs: { everything: { upstreamId: randomBytes(24).toString('base64url'), initialize, epoch: 1 } },
          facts: { server: 'example-servers/everything 2.0.0', logLevel: 'info' }
        })
      )
    const each = ((await usedMemory(redis)) - before) / count
    t.comment(`${Math.round(each)} bytes a session`)
    t.ok(each <= 2_048, `${Math.round(each)} bytes`)
  })

  t.test('nothing secret lies there in the clear', async t => {
    trackLeaks(t)
    const store = open(t, redis, { prefix: 'sealed:', seal: new Seal([randomBytes(32)]) })
    const session = newSession('SECRET-ID', {
      handle: 's-1',
      legs: { a: { upstreamId: 'SECRET-UPSTREAM', initialize: '{"SECRET":"INITIALIZE"}', epoch: 1 } },
      facts: { untold: ['SECRET-FACT'] }
    })
    await store.create(session)
    await store.update('SECRET-ID', 1, { facts: { untold: ['SECRET-MORE'] } })
    t.notMatch(await everythingIn(redis, 'sealed:'), /SECRET/)
    t.match(await store.get('SECRET-ID'), { legs: session.legs, facts: { untold: ['SECRET-MORE'] } })
  })

  t.test('a session that nobody ends goes by itself, behind its grace', async t => {
    trackLeaks(t)
    const store = open(t, redis, { prefix: 'grace:', idleTtl: 20, grace: 50, cacheFor: 0, touchEvery: 0 })
    await store.create(newSession('left'))
    const client = new Redis(redis.port, '127.0.0.1')
    t.teardown(() => client.disconnect())
    while ((await client.exists(...(await keysIn(client, 'grace:', '*:s:*')), 'none')) > 0) await pause(5)
    t.same(await store.expired(10), [], 'nobody has to end it any more')
    t.same(await keysIn(client, 'grace:', '*'), [], 'and nothing of it is left')
  })
}

function open(t: Test, redis: RedisServer, more: StoreSettings = {}): StoreOfItsOwn {
  const store = new StoreOfItsOwn(redis.url, { prefix: `${t.name.slice(0, 12)}:`, ...more })
  t.teardown(() => store.close())
  return store
}

/** Scripts that `use` makes Redis run: all that a session costs, but for its beginning. */
async function counting(redis: RedisServer, use: () => Promise<void>): Promise<number> {
  const client = new Redis(redis.port, '127.0.0.1')
  try {
    await client.call('CONFIG', 'RESETSTAT')
    await use()
    const stats = await client.info('commandstats')
    const calls = [...stats.matchAll(/^cmdstat_(?:evalsha|eval):calls=(\d+)/gm)]
    return calls.reduce((sum, [, n]) => sum + Number(n), 0)
  } finally {
    client.disconnect()
  }
}

/** So many connections have subscribed. */
async function listening(redis: RedisServer, count: number): Promise<void> {
  const client = new Redis(redis.port, '127.0.0.1')
  while ((String(await client.call('CLIENT', 'LIST', 'TYPE', 'PUBSUB')).match(/ sub=1 /g)?.length ?? 0) < count)
    await pause(5)
  client.disconnect()
}

async function usedMemory(redis: RedisServer): Promise<number> {
  const client = new Redis(redis.port, '127.0.0.1')
  const info = await client.info('memory')
  client.disconnect()
  return Number(/^used_memory:(\d+)/m.exec(info)![1])
}

async function keysIn(client: Redis, prefix: string, pattern: string): Promise<string[]> {
  return (await client.keys(`${prefix}${pattern}`)).filter(key => key.startsWith(prefix))
}

async function everythingIn(redis: RedisServer, prefix: string): Promise<string> {
  const client = new Redis(redis.port, '127.0.0.1')
  const all: unknown[] = []
  for (const key of await keysIn(client, prefix, '*')) {
    const type = await client.type(key)
    all.push(key, type === 'hash' ? await client.hgetall(key) : await client.zrange(key, '0', '-1'))
  }
  client.disconnect()
  return JSON.stringify(all)
}
