import t from 'tap'
import { sessionStoreContract } from '../../contract/session-store.ts'
import { skipWithoutRedis } from '../../fixtures/servers/redis.ts'
import { startCluster } from '../../fixtures/servers/redis-groups.ts'
import { localAt } from './local-store.ts'

const skip = skipWithoutRedis()
if (skip) t.test('Redis', { skip }, async () => {})
else {
  const group = await startCluster()
  t.teardown(() => group.stop())
  sessionStoreContract('Redis Cluster, and without it', localAt(group.url))
}
