import { randomBytes } from 'node:crypto'
import t from 'tap'
import { redisAddress } from '../../../src/session/redis/address.ts'
import { openRedis } from '../../../src/session/redis/client.ts'
import { Seal } from '../../../src/session/redis/seal.ts'
import { RedisSessionStore, type RedisStoreOptions } from '../../../src/session/redis/store.ts'
import { sessionStoreContract } from '../../contract/session-store.ts'
import type { MakeStore } from '../../contract/session-store-harness.ts'
import { sessionStoreModel } from '../../contract/session-store-model.ts'
import { type RedisServer, skipWithoutRedis, startRedis } from '../../fixtures/servers/redis.ts'

let stores = 0

const skip = skipWithoutRedis()
if (skip) t.pass(skip)
else await tests()

async function tests(): Promise<void> {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const seal = new Seal([randomBytes(32)])
  sessionStoreContract('Redis, one node', storeAt(redis))
  sessionStoreContract('Redis, one node, sealed', storeAt(redis, { seal }))
  sessionStoreModel('Redis, one node', alone(storeAt(redis)), { numRuns: 40 })
}

/** Each test's own prefix; no record is remembered and each touch is told, as the contract's clock is not Redis's. */
function storeAt(redis: RedisServer, more: Partial<RedisStoreOptions> = {}): MakeStore {
  return settings => {
    let time = 1_800_000_000_000
    const prefix = `test-${++stores}:`
    const open = (): RedisSessionStore =>
      new RedisSessionStore({
        client: openRedis(redisAddress(redis.url), { timeout: 5_000, connectTimeout: 5_000 }),
        label: redis.url,
        prefix,
        now: () => time,
        cacheFor: 0,
        touchEvery: 0,
        ...settings,
        ...more
      })
    return {
      store: open(),
      peer: open(),
      advance: ms => {
        time += ms
      }
    }
  }
}

function alone(makeStore: MakeStore): MakeStore {
  return async settings => {
    const { store, peer, advance } = await makeStore(settings)
    await peer?.close()
    return { store, advance }
  }
}
