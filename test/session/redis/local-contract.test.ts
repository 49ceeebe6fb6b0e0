import t from 'tap'
import { sessionStoreContract } from '../../contract/session-store.ts'
import { sessionStoreModel } from '../../contract/session-store-model.ts'
import { skipWithoutRedis, startRedis } from '../../fixtures/servers/redis.ts'
import { alone } from '../../helpers/redis-stores.ts'
import { localAt } from './local-store.ts'

const skip = skipWithoutRedis()
if (skip) t.test('Redis', { skip }, async () => {})
else {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  sessionStoreContract('Redis, one node, and without it', localAt(redis.url))
  sessionStoreModel('Redis, one node, and without it', alone(localAt(redis.url)), { numRuns: 20 })
}
