import { randomBytes } from 'node:crypto'
import t from 'tap'
import { Seal } from '../../../src/session/redis/seal.ts'
import { sessionStoreContract } from '../../contract/session-store.ts'
import { sessionStoreModel } from '../../contract/session-store-model.ts'
import { skipWithoutRedis, startRedis } from '../../fixtures/servers/redis.ts'
import { alone, storesAt } from '../../helpers/redis-stores.ts'

const skip = skipWithoutRedis()
if (skip) t.test('Redis', { skip }, async () => {})
else {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  sessionStoreContract('Redis, one node', storesAt(redis))
  sessionStoreContract('Redis, one node, sealed', storesAt(redis, { seal: new Seal([randomBytes(32)]) }))
  sessionStoreModel('Redis, one node', alone(storesAt(redis)), { numRuns: 40 })
}
