/** What is ended while the store is away. */
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { SILENT } from '../../src/log.ts'
import { SessionManager } from '../../src/session/manager.ts'
import { openShared } from '../../src/session/redis/shared.ts'
import { startHttpServer } from '../fixtures/servers/http-server.ts'
import { skipWithoutRedis, startRedis } from '../fixtures/servers/redis.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawRequest } from '../helpers/raw-client.ts'
import { legacyHeaders, rpc } from '../helpers/rpc.ts'
import { ask, clusterDoors, storeAt } from './cluster-door.ts'
import { pipeSession } from './pipe-door.ts'

const skip = skipWithoutRedis()

t.test('a session that its client ended while the store was away stays ended, everywhere', { skip }, async t => {
  const server = await startHttpServer()
  t.teardown(() => server.close())
  const { redis, open } = await clusterDoors(t, { url: server.url }, { instances: 0, sessionLoss: 'reinitialize' })
  const own = { sharedStore: { ...storeAt(redis.port), timeout: 500 } }
  const [a, b] = [await open(own), await open(own)]
  const { id } = await pipeSession(a.url)
  for (const door of [a, b]) t.equal((await ask(door, id, rpc(1, 'ping'))).status, 200)
  redis.pause()
  const ended = await rawRequest(a.url, { method: 'DELETE', headers: legacyHeaders(id) })
  redis.resume()
  t.equal(ended.status, 200)
  t.equal((await ask(a, id, rpc(2, 'ping'))).status, 404)
  let there = await ask(b, id, rpc(3, 'ping'))
  for (let tries = 0; there.status !== 404 && tries < 50; tries++) {
    await pause(200)
    there = await ask(b, id, rpc(3, 'ping'))
  }
  t.equal(there.status, 404, there.text)
  t.equal((await ask(a, id, rpc(4, 'ping'))).status, 404)
})

t.test('a store that hangs is waited for once where many sessions are let go of', { skip }, async t => {
  trackLeaks(t)
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const shared = openShared({ ...storeAt(redis.port), timeout: 1_000 }, SILENT)
  const sessions = new SessionManager({
    store: shared.store('main', { maxSessions: 10_000, idleTtl: 3_600_000, maxTtl: 3_600_000 }),
    target: 'main',
    openLeg: () => undefined,
    log: SILENT,
    reapEvery: 3_600_000,
    membership: shared.membership,
    outlives: () => true
  })
  const leg = { upstreamId: undefined, call: () => ({ pause() {}, resume() {}, cancel() {} }), close: async () => {} }
  for (let n = 0; n < 20; n++)
    await Promise.all(Array.from({ length: 100 }, () => sessions.start({ principal: 'ann', leg, initialize: '{}' })))
  redis.pause()
  const from = performance.now()
  await sessions.close()
  const took = performance.now() - from
  redis.resume()
  await shared.close()
  t.ok(took < 8_000, `${Math.round(took)} ms`)
})
