/** What one process has of Redis: its connections, what they tell, and how it knows that Redis does its work. */
import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { createLog, SILENT } from '../../../src/log.ts'
import type { RedisBackend } from '../../../src/session/redis/backend.ts'
import { openShared } from '../../../src/session/redis/shared.ts'
import { RedisSessionStore } from '../../../src/session/redis/store.ts'
import type { Shared, SharedStoreOptions } from '../../../src/session/shared.ts'
import { fails, newSession } from '../../contract/session-store-harness.ts'
import { freePort, type RedisServer, skipWithoutRedis, startRedis } from '../../fixtures/servers/redis.ts'
import { startCluster } from '../../fixtures/servers/redis-groups.ts'
import { CA } from '../../fixtures/tls/certificates.ts'
import { trackLeaks } from '../../helpers/leaks.ts'
import { backendAt } from '../../helpers/redis-stores.ts'

const TLS = new URL('../../fixtures/tls/', import.meta.url)
const LIMITS = { maxSessions: 100, idleTtl: 60_000, maxTtl: 600_000 }
const UNAVAILABLE = { code: 'session_store_unavailable' }

t.test('an address or a key that is none is refused, without what may be secret', async t => {
  t.throws(() => openShared({ url: 'http://u:geheim@h' }, SILENT), /^(?!.*geheim)./)
  t.throws(() => openShared({ url: 'redis://h', keys: [randomBytes(16)] }, SILENT), RangeError)
})

t.test('with a real Redis', { skip: skipWithoutRedis() }, async t => {
  t.test('a process has two connections, whatever number of stores it has', async t => {
    trackLeaks(t)
    const redis = await started(t)
    const shared = opened(t, { url: redis.url })
    const stores = [shared.store('one', LIMITS), shared.store('two', LIMITS)]
    for (const store of stores) await store.create(newSession('same'))
    stores[0]!.follow!('same', () => {})
    await shared.membership.confirm()
    await listening(redis, 1)
    t.equal(await connections(redis), 2)
    await stores[0]!.close()
    t.match(await stores[1]!.get('same'), { id: 'same' }, 'one store that closes is not the end of the others')
    t.match(await fails(() => stores[0]!.get('same')), { code: 'session_store_closed' })
    await shared.close()
    t.match(await fails(() => stores[1]!.count()), { code: 'session_store_closed' })
    while ((await connections(redis)) > 0) await pause(5)
    const leases = await keys(redis, '*@*')
    t.equal(leases.length, 1)
    t.equal(await command(redis, 'GET', leases[0]!), '-', 'its lease is let go')
  })

  t.test('what the client library has to say to people is not printed', async t => {
    trackLeaks(t)
    const redis = await started(t, [['user', 'app', 'on', '>geheim', '~*', '&*', '+@all', '-info']])
    const printed = t.capture(console, 'warn')
    for (const who of ['app:geheim@', ':geheim@']) {
      const shared = opened(t, { url: redis.url.replace('//', `//${who}`) })
      const store = shared.store('one', LIMITS)
      t.ok(
        await store.create(newSession(who)),
        'without the right to ask for INFO, and with a password that none asks for'
      )
      store.follow!(who, () => {})
      await listening(redis, 1)
      await shared.close()
      while ((await connections(redis)) > 0) await pause(5)
    }
    t.same(
      printed().map(({ args }) => args),
      []
    )
  })

  t.test('stores of two names do not see what is in the other', async t => {
    trackLeaks(t)
    const redis = await started(t)
    const shared = opened(t, { url: redis.url })
    const [one, two] = [shared.store('one', LIMITS), shared.store('two', LIMITS)]
    await one.create(newSession('a'))
    t.equal(await two.get('a'), undefined)
    t.equal(await two.count(), 0)
    await two.create(newSession('a', { principal: 'bob' }))
    t.match(await one.get('a'), { principal: 'ann' })
    await one.delete('a')
    t.match(await two.get('a'), { principal: 'bob' })
    t.throws(() => shared.store('a b', LIMITS), RangeError)
  })

  t.test('without a key it warns of what lies in the clear', async t => {
    trackLeaks(t)
    const redis = await started(t)
    const lines: string[] = []
    const log = createLog({ level: 'warn', format: 'text', write: line => lines.push(line) })
    const clear = openShared({ url: redis.url }, log)
    t.teardown(() => clear.close())
    for (const name of ['one', 'two']) clear.store(name, LIMITS)
    t.equal(lines.length, 1)
    t.match(lines[0], /session ids.*--store-key FILE/)
    const sealed = openShared({ url: redis.url, keys: [randomBytes(32)] }, log)
    t.teardown(() => sealed.close())
    t.equal(lines.length, 1)
  })

  t.test('nobody was ever there: it opens, says so, and goes on when Redis comes', async t => {
    trackLeaks(t)
    const before = await startRedis()
    await before.stop()
    const shared = opened(t, { url: before.url, timeout: 500 })
    t.same(shared.state.ok, true, 'it was not asked yet')
    const store = shared.store('one', LIMITS)
    t.match(await fails(() => store.get('a')), UNAVAILABLE)
    t.match(shared.state, { ok: false, reason: /\S/ })
    t.equal(shared.membership.holds, false)
    const redis = await startRedis([], before.port)
    t.teardown(() => redis.stop())
    while (!shared.state.ok || !shared.membership.holds) await pause(5)
    t.ok(await store.create(newSession('a')))
  })

  t.test('over TLS: with its authority, without verification, and not at all', async t => {
    trackLeaks(t)
    const port = await freePort()
    const redis = await startRedis([
      ['tls-port', String(port)],
      ['tls-cert-file', fileURLToPath(new URL('server.pem', TLS))],
      ['tls-key-file', fileURLToPath(new URL('server.key', TLS))],
      ['tls-ca-cert-file', fileURLToPath(new URL('ca.pem', TLS))],
      ['tls-auth-clients', 'no']
    ])
    t.teardown(() => redis.stop())
    const url = `rediss://127.0.0.1:${port}`
    const one = opened(t, { url, ca: CA }).store('one', LIMITS)
    await one.create(newSession('a'))
    await listening(redis, 1)
    t.match(await opened(t, { url, insecure: true }).store('one', LIMITS).get('a'), { id: 'a' })
    const unknown = opened(t, { url, timeout: 1_000 })
    t.match(await fails(() => unknown.store('one', LIMITS).get('a')), UNAVAILABLE)
    t.equal(unknown.state.ok, false)
  })

  for (const where of ['one node', 'a cluster'])
    t.test(`${where}: who follows a session hears what others do to it`, async t => {
      trackLeaks(t)
      const group = where === 'a cluster' ? await startCluster() : await startRedis()
      t.teardown(() => group.stop())
      const [here, there] = [opened(t, group).store('one', LIMITS), opened(t, group).store('one', LIMITS)]
      const ids = Array.from({ length: 8 }, (_, n) => `s${n}`)
      for (const id of ids) await here.create(newSession(id))
      const heard = new Map(ids.map(id => [id, 0]))
      const stops = ids.map(id => here.follow!(id, () => heard.set(id, heard.get(id)! + 1)))
      const servers = 'servers' in group ? group.servers : [group]
      while (sum(await Promise.all(servers.map(subscribed))) < 2) await pause(5)
      const first = new Map(heard)
      for (const id of ids) await there.update(id, 1, { facts: { x: 1 } })
      while (ids.some(id => heard.get(id) === first.get(id))) await pause(5)
      t.match(await here.get('s0'), { version: 2 })
      const second = new Map(heard)
      stops[0]!()
      for (const id of ids) await there.delete(id)
      while (ids.slice(1).some(id => heard.get(id) === second.get(id))) await pause(5)
      t.equal(heard.get('s0'), second.get('s0'), 'not any more')
    })

  t.test('when the connection that listens was lost, all who follow are told once that it is there again', async t => {
    trackLeaks(t)
    const redis = await started(t)
    const [store, other] = [opened(t, redis).store('one', LIMITS), opened(t, redis).store('one', LIMITS)]
    const counts = [0, 0]
    store.follow!('a', () => counts[0]!++)
    store.follow!('b', () => counts[1]!++)
    while (counts.join() !== '1,1') await pause(5)
    await command(redis, 'CLIENT', 'KILL', 'TYPE', 'pubsub')
    while (counts.join() !== '2,2') await pause(5)
    await other.create(newSession('a'))
    await other.update('a', 1, {})
    while (counts[0] !== 3) await pause(5)
    t.same(counts, [3, 2])
  })

  t.test('in a cluster the node is gone at which it was listened: another one is taken', async t => {
    trackLeaks(t)
    const group = await startCluster()
    t.teardown(() => group.stop())
    const store = opened(t, group).store('one', LIMITS)
    let count = 0
    store.follow!('a', () => count++)
    while (count === 0) await pause(5)
    const listened = await Promise.all(
      group.servers.map(async server => ((await subscribed(server)) > 0 ? server : []))
    )
    await (listened.flat()[0] as RedisServer).kill()
    while (count === 1) await pause(5)
    t.equal(count, 2)
  })

  t.test('a mark is known to others, and gone with its session', async t => {
    trackLeaks(t)
    const redis = await started(t)
    const [one, other] = [opened(t, redis).store('one', LIMITS), opened(t, redis).store('one', LIMITS)]
    await one.create(newSession('a'))
    await one.create(newSession('b'))
    const long = 'x'.repeat(10_000)
    for (const mark of ['GEHEIM', long]) await one.mark!('a', mark)
    t.equal(await other.marked!('a', 'GEHEIM'), true)
    t.equal(await other.marked!('a', long), true)
    t.equal(await other.marked!('a', 'other'), false)
    t.equal(await other.marked!('b', 'GEHEIM'), false)
    const [key] = await keys(redis, '*:m:*')
    const ttl = Number(await command(redis, 'PTTL', key!))
    t.ok(ttl > 200_000 && ttl <= 300_000, `${ttl} ms`)
    t.notMatch(JSON.stringify(await command(redis, 'ZRANGE', key!, '0', '-1')), /GEHEIM|xxx/)
    await other.delete('a')
    t.equal(await one.marked!('a', 'GEHEIM'), false)
    await one.mark!('a', 'GEHEIM')
    t.same(await keys(redis, '*:m:*'), [], 'of what is gone nothing is kept')
  })

  t.test('of a session the latest marks are known, and for some minutes', async t => {
    trackLeaks(t)
    const redis = await started(t)
    const backend = backendOf(t, redis)
    let now = 1_800_000_000_000
    const store = new RedisSessionStore({ backend, name: 'one', now: () => now, idleTtl: 3_600_000 })
    t.teardown(() => store.close())
    await store.create(newSession('a'))
    for (let n = 0; n < 310; n++) {
      now++
      await store.mark('a', `m${n}`)
    }
    t.equal(await store.marked('a', 'm0'), false)
    t.equal(await store.marked('a', 'm10'), true)
    t.equal(await store.marked('a', 'm309'), true)
    now += 299_999
    t.equal(await store.marked('a', 'm309'), true)
    now += 1
    t.equal(await store.marked('a', 'm309'), false)
  })
})

t.test('how Redis is doing', { skip: skipWithoutRedis() }, async t => {
  t.test('it hangs and goes on: both are known without anybody who asks', async t => {
    trackLeaks(t)
    const redis = await started(t)
    const backend = backendOf(t, redis, 300)
    await backend.do(client => client.ping())
    const { since } = backend.state
    const changes: boolean[] = []
    backend.onState(({ ok }) => changes.push(ok))
    redis.pause()
    while (backend.state.ok) await pause(20)
    t.match(backend.state.reason, /300 ms|\S/)
    t.ok(backend.state.since > since)
    redis.resume()
    while (!backend.state.ok) await pause(20)
    t.notOk('reason' in backend.state)
    t.same(changes, [false, true])
  })

  t.test('one that is full is not well, though it answers what is read', async t => {
    trackLeaks(t)
    const redis = await started(t)
    const backend = backendOf(t, redis)
    await command(redis, 'CONFIG', 'SET', 'maxmemory', '1')
    await fails(() => backend.do(client => client.set('x', 'y')))
    for (let n = 0; n < 50; n++) {
      await backend.do(client => client.get('x'))
      t.match(backend.state, { ok: false, reason: /OOM/ })
      await pause(10)
    }
    await command(redis, 'CONFIG', 'SET', 'maxmemory', '0')
    while (!backend.state.ok) await pause(5)
    t.same(await keys(redis, '*'), [], 'nothing is left of how it was asked')
  })

  t.test('with one node of a cluster gone it is not well for as long as that lasts', async t => {
    trackLeaks(t)
    const group = await startCluster()
    t.teardown(() => group.stop())
    const backend = backendOf(t, group, 1_000)
    await group.servers[2]!.kill()
    const use = (n: number): Promise<unknown> => fails(() => backend.do(client => client.get(`k${n}`)))
    let n = 0
    while (backend.state.ok) await use(n++)
    let worked = 0
    for (const end = performance.now() + 1_500; performance.now() < end; ) if (!(await use(n++))) worked++
    t.ok(worked > 0)
    t.equal(backend.state.ok, false)
  })

  t.test('no more than a bounded number of operations wait', async t => {
    trackLeaks(t)
    const redis = await started(t)
    const backend = backendOf(t, redis, 1_000)
    await backend.do(client => client.ping())
    redis.pause()
    const all = Array.from({ length: 10_001 }, () => fails(() => backend.do(client => client.get('x'))))
    t.match(await all[10_000], { ...UNAVAILABLE, message: /10000 operations/ })
    redis.resume()
    await Promise.all(all)
  })
})

async function started(t: Test, more: readonly (readonly string[])[] = []): Promise<RedisServer> {
  const redis = await startRedis(more)
  t.teardown(() => redis.stop())
  return redis
}

function opened(t: Test, { url, ...more }: SharedStoreOptions): Shared {
  const shared = openShared({ url, ...more }, SILENT)
  t.teardown(() => shared.close())
  return shared
}

function backendOf(t: Test, { url }: { readonly url: string }, timeout = 5_000): RedisBackend {
  const backend = backendAt(url, { timeout })
  t.teardown(() => backend.close())
  return backend
}

async function command(redis: RedisServer, name: string, ...args: string[]): Promise<unknown> {
  const client = new Redis(redis.port, '127.0.0.1')
  try {
    return await client.call(name, ...args)
  } finally {
    client.disconnect()
  }
}

async function keys(redis: RedisServer, pattern: string): Promise<string[]> {
  return (await command(redis, 'KEYS', pattern)) as string[]
}

/** Of processes like ours. */
async function connections(redis: RedisServer): Promise<number> {
  return String(await command(redis, 'CLIENT', 'LIST')).match(/ name=catflap /g)?.length ?? 0
}

async function subscribed(redis: RedisServer): Promise<number> {
  return String(await command(redis, 'CLIENT', 'LIST', 'TYPE', 'pubsub')).match(/ sub=[1-9]/g)?.length ?? 0
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, n) => all + n, 0)
}

async function listening(redis: RedisServer, count: number): Promise<void> {
  while ((await subscribed(redis)) < count) await pause(5)
}
