import t from 'tap'
import { SILENT } from '../../../src/log.ts'
import { redisGenerations } from '../../../src/session/redis/generations.ts'
import { localOnFailure } from '../../../src/session/redis/local-on-failure.ts'
import { sessionStoreContract } from '../../contract/session-store.ts'
import type { MakeStore } from '../../contract/session-store-harness.ts'
import { sessionStoreModel } from '../../contract/session-store-model.ts'
import { skipWithoutRedis, startRedis } from '../../fixtures/servers/redis.ts'
import { alone, StoreOfItsOwn } from '../../helpers/redis-stores.ts'

let prefixes = 0

/** As `storesAt`, of those that go on without Redis: while it is there, nobody may notice. */
function localAt(url: string): MakeStore {
  return settings => {
    let time = 1_800_000_000_000
    const prefix = `local-${++prefixes}:`
    const open = () => {
      const below = new StoreOfItsOwn(url, { prefix, now: () => time, cacheFor: 0, touchEvery: 0, ...settings })
      return localOnFailure(below, { limits: settings, generations: redisGenerations(below.backend), log: SILENT })
    }
    return {
      store: open(),
      peer: open(),
      advance: ms => {
        time += ms
      }
    }
  }
}

const skip = skipWithoutRedis()
if (skip) t.test('Redis', { skip }, async () => {})
else {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  sessionStoreContract('Redis, one node, and without it', localAt(redis.url))
  sessionStoreModel('Redis, one node, and without it', alone(localAt(redis.url)), { numRuns: 20 })
}
