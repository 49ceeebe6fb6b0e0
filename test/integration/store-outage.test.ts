/** Redis is away under real clients: what they are told, what goes on without it, and what Redis knows afterwards. */
import t, { type Test } from 'tap'
import type { StoreFailure } from '../../src/session/shared.ts'
import type { SessionRecord } from '../../src/session/store.ts'
import { type HttpServer, startHttpServer } from '../fixtures/servers/http-server.ts'
import { type RedisServer, skipWithoutRedis, startRedis } from '../fixtures/servers/redis.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost, rawRequest } from '../helpers/raw-client.ts'
import { StoreOfItsOwn } from '../helpers/redis-stores.ts'
import { initialize, legacyHeaders, rpc } from '../helpers/rpc.ts'
import { callTool, client, openDoor, rawSession } from './http-door.ts'
import { losingServer } from './losing-server.ts'
import { LogInbox } from './pipe-door.ts'
import { openReverse, to } from './reverse-door.ts'

const skip = skipWithoutRedis()
/** Milliseconds for one operation of the store. */
const TIMEOUT = 1_000
/** What a busy machine takes for the rest, in ms. */
const PATIENCE = 3_000

interface Stage {
  readonly redis: RedisServer
  readonly server: HttpServer
  readonly log: LogInbox
  readonly url: string
}

async function stage(t: Test, onFailure: StoreFailure): Promise<Stage> {
  trackLeaks(t)
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const server = await startHttpServer()
  t.teardown(() => server.close())
  const log = new LogInbox('lines of the log')
  const { url } = await openDoor(t, server.url, { log, sharedStore: { url: redis.url, timeout: TIMEOUT, onFailure } })
  return { redis, server, log, url }
}

async function startedAgain(t: Test, { port }: RedisServer): Promise<void> {
  const redis = await startRedis([], port)
  t.teardown(() => redis.stop())
}

/** All sessions that are in Redis. */
async function kept({ url }: RedisServer, name = 'default'): Promise<readonly SessionRecord[]> {
  const store = new StoreOfItsOwn(url, { name, cacheFor: 0 })
  try {
    const records: SessionRecord[] = []
    let cursor: string | undefined
    do {
      const page = await store.list({ cursor, limit: 100 })
      records.push(...page.records)
      cursor = page.cursor
    } while (cursor !== undefined)
    return records
  } finally {
    await store.close()
  }
}

async function until(isSo: () => Promise<boolean>, what: string): Promise<void> {
  for (const end = performance.now() + 15_000; !(await isSo()); await new Promise(r => setTimeout(r, 20)))
    if (performance.now() > end) throw new Error(`waited 15 s for ${what}`)
}

/** What it gave, and after how many ms. */
async function timed<T>(work: () => Promise<T>): Promise<readonly [T, number]> {
  const begun = performance.now()
  return [await work(), performance.now() - begun]
}

const UP = { event: 'store-up' }
const isUp = (line: { event: string }): boolean => line.event === UP.event

t.test('fail: while Redis hangs clients are told in time to try again, and then all is well', { skip }, async t => {
  const { redis, log, url } = await stage(t, 'fail')
  const c = await client(t, url)
  t.equal(await callTool(c, 'count'), '1')
  const id = await rawSession(url)
  redis.pause()
  // What was read a moment ago may still be known.
  await until(async () => (await rawPost(url, rpc(1, 'ping'), legacyHeaders(id))).status === 503, 'the outage to show')
  for (const ask of [
    () => rawPost(url, rpc(2, 'ping'), legacyHeaders(id)),
    () => rawPost(url, initialize(0)),
    () => rawRequest(url, { method: 'DELETE', headers: legacyHeaders(id) })
  ]) {
    const [answer, ms] = await timed(ask)
    t.equal(answer.status, 503)
    t.equal(answer.headers['retry-after'], '1')
    t.match(answer.text, /"code":"store_unavailable"/)
    t.ok(ms < TIMEOUT + PATIENCE, `${Math.round(ms)} ms`)
  }
  await t.rejects(callTool(c, 'count'), /session store/)
  redis.resume()
  await log.until(isUp)
  t.equal(await callTool(c, 'count'), '2')
  t.equal((await rawPost(url, rpc(3, 'ping'), legacyHeaders(id))).status, 200)
  t.equal(log.of('store-down').length, 1, 'one line, whatever was asked')
  t.equal(log.of('store-up').length, 1)
  t.same(
    log.items.filter(line => line.level === 'error'),
    []
  )
})

t.test('fail: Redis comes back without its data: clients begin anew', { skip }, async t => {
  const { redis, log, url } = await stage(t, 'fail')
  const id = await rawSession(url)
  await redis.kill()
  await log.until(line => line.event === 'store-down')
  t.equal((await rawPost(url, initialize(0))).status, 503)
  await startedAgain(t, redis)
  await log.until(isUp)
  t.equal((await rawPost(url, rpc(1, 'ping'), legacyHeaders(id))).status, 404)
  t.equal((await rawPost(url, rpc(1, 'ping'), legacyHeaders(await rawSession(url)))).status, 200)
})

t.test('local: a client hardly notices, and what it wished meanwhile is in Redis afterwards', { skip }, async t => {
  const { redis, server, log, url } = await stage(t, 'local')
  const c = await client(t, url)
  await c.listening()
  t.equal(await callTool(c, 'count'), '1')
  redis.pause()
  let worst = 0
  for (let n = 2; n <= 40; n++) {
    const [count, ms] = await timed(() => callTool(c, 'count'))
    t.equal(count, String(n))
    worst = Math.max(worst, ms)
  }
  t.ok(worst < TIMEOUT + PATIENCE, `no call took longer than ${Math.round(worst)} ms`)
  await c.client.setLoggingLevel('error')
  server.changed('tools')
  await c.until('notifications/tools/list_changed')
  t.equal((await rawPost(url, initialize(0))).status, 503, 'nothing new')
  redis.resume()
  await log.until(isUp)
  await until(async () => (await kept(redis))[0]?.facts.logLevel === 'error', 'the log level in Redis')
  t.equal(await callTool(c, 'count'), '41')
  t.equal(log.of('store-down').length, 1)
  t.same(
    log.items.filter(line => line.level === 'error'),
    []
  )
})

t.test('local: what a client ends meanwhile has ended, everywhere', { skip }, async t => {
  const { redis, server, log, url } = await stage(t, 'local')
  const id = await rawSession(url)
  const other = await client(t, url)
  redis.pause()
  t.equal((await rawRequest(url, { method: 'DELETE', headers: legacyHeaders(id) })).status, 200)
  t.equal((await rawPost(url, rpc(1, 'ping'), legacyHeaders(id))).status, 404)
  t.equal(server.sessions.size, 1, 'the server was told')
  t.equal(await callTool(other, 'count'), '1')
  redis.resume()
  await log.until(isUp)
  await until(async () => (await kept(redis)).length === 1, 'the session to go')
  t.equal((await rawPost(url, rpc(1, 'ping'), legacyHeaders(id))).status, 404)
})

t.test(
  'local: Redis comes back without its data, and the sessions are there again, for others too',
  { skip },
  async t => {
    const { redis, server, log, url } = await stage(t, 'local')
    const c = await client(t, url)
    const id = await rawSession(url)
    await redis.kill()
    t.equal(await callTool(c, 'count'), '1')
    await startedAgain(t, redis)
    await log.until(line => line.event === 'store-lost')
    await until(async () => (await kept(redis)).length === 2, 'the sessions in Redis')
    const second = await openDoor(t, server.url, { sharedStore: { url: redis.url } })
    t.equal((await rawPost(second.url, rpc(1, 'ping'), legacyHeaders(id))).status, 200)
    t.equal(await callTool(c, 'count'), '2')
  }
)

t.test('local: each route of a reverse proxy goes on, and has its own sessions again', { skip }, async t => {
  trackLeaks(t)
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const server = await startHttpServer()
  t.teardown(() => server.close())
  const sharedStore = { url: redis.url, timeout: TIMEOUT, onFailure: 'local' } as const
  const proxy = await openReverse(t, { one: to(server), two: to(server) }, { sharedStore })
  const clients = await Promise.all(['one', 'two'].map(name => client(t, proxy.urlOf(name))))
  for (const c of clients) t.ok(await callTool(c, 'count'))
  await redis.kill()
  for (const c of clients) t.ok(await callTool(c, 'count'))
  await startedAgain(t, redis)
  for (const name of ['one', 'two']) await until(async () => (await kept(redis, name)).length === 1, name)
  for (const c of clients) t.ok(await callTool(c, 'count'))
})

t.test(
  'local: what the server loses meanwhile is begun anew when that can be agreed, and has not ended',
  { skip },
  async t => {
    trackLeaks(t)
    const redis = await startRedis()
    t.teardown(() => redis.stop())
    const losing = await losingServer()
    t.teardown(() => losing.server.close())
    const log = new LogInbox('lines of the log')
    const sharedStore = { url: redis.url, timeout: TIMEOUT, onFailure: 'local' } as const
    const { url } = await openDoor(t, losing.server.url, { log, sharedStore })
    const id = await rawSession(url)
    t.equal((await rawPost(url, rpc(1, 'count'), legacyHeaders(id))).status, 200)
    await redis.kill()
    await log.until(line => line.event === 'store-down')
    losing.lose()
    for (const n of [2, 3]) {
      const answer = await rawPost(url, rpc(n, 'count'), legacyHeaders(id))
      t.equal(answer.status, 503)
      t.match(answer.json(), { id: n, error: { data: { code: 'store_unavailable' } } })
    }
    await startedAgain(t, redis)
    await log.until(line => line.event === 'store-told')
    t.equal((await rawPost(url, rpc(4, 'count'), legacyHeaders(id))).status, 200)
    t.equal(losing.initializes.length, 2)
    t.equal(losing.accepted.filter(method => method === 'count').length, 2)
    t.same(
      (await kept(redis)).flatMap(({ legs }) => Object.values(legs).map(({ epoch }) => epoch)),
      [2]
    )
  }
)
