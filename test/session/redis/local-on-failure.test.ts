/** Redis is away: sessions over HTTP that a process knows go on there, and Redis learns of it afterwards. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import t from 'tap'
import type { SessionRecord, SessionStore, UpdateResult } from '../../../src/session/store.ts'
import { fails, newSession } from '../../contract/session-store-harness.ts'
import { skipWithoutRedis } from '../../fixtures/servers/redis.ts'
import { trackLeaks } from '../../helpers/leaks.ts'
import { startWire } from '../../helpers/tcp-wire.ts'
import { command, direct, local, overHttp, seen, started, startedAgain, TIMEOUT, UNAVAILABLE } from './local-store.ts'

/** Of what is known: an answer, and no promise of one. */
function atOnce<T>(answer: T | Promise<T>): T {
  if (answer instanceof Promise) throw new Error('it is a promise')
  return answer
}

async function updated(
  store: SessionStore,
  record: SessionRecord,
  facts: SessionRecord['facts']
): Promise<SessionRecord> {
  const result = (await store.update(record.id, record.version, { facts })) as UpdateResult
  if (!result.ok) throw new Error(`not updated: ${JSON.stringify(result)}`)
  return result.record
}

t.test('going on without Redis', { skip: skipWithoutRedis() }, async t => {
  t.test('while Redis hangs, what is known goes on at once, and what is not fails in time', async t => {
    trackLeaks(t)
    const redis = await started(t)
    const { store } = local(t, redis.url)
    await store.create(overHttp('one'))
    await store.create(newSession('child', { legs: { main: { epoch: 1, owner: 'i-1' } } }))
    await store.create(newSession('both', { legs: { main: { epoch: 1, owner: 'i-1', upstreamId: 'x' } } }))
    redis.pause()
    const begun = performance.now()
    t.match(await store.get('one'), { id: 'one', version: 1 })
    const hiccup = performance.now() - begun
    t.ok(hiccup < TIMEOUT + 1_000, `${Math.round(hiccup)} ms`)
    t.match(atOnce(store.get('one')), { id: 'one' })
    t.equal(atOnce(store.touch('one')), true)
    t.same(await store.expired(10), [], 'nothing expires meanwhile')
    const uses = [
      () => store.get('child'),
      () => store.get('both'),
      () => store.get('unknown'),
      () => store.touch('child'),
      () => store.update('child', 1, { facts: {} }),
      () => store.create(overHttp('two')),
      () => store.list({ limit: 1 }),
      () => store.count()
    ]
    for (const error of await Promise.all(uses.map(use => fails(use)))) t.match(error, UNAVAILABLE)
    redis.resume()
    t.match(await seen(store, 'child', record => record !== undefined), { id: 'child' })
  })

  t.test('what needs the agreement of others is refused', async t => {
    trackLeaks(t)
    const redis = await started(t)
    const { store } = local(t, redis.url)
    const record = await store.create(overHttp('one'))
    redis.pause()
    await store.get('one')
    const legs = { main: { upstreamId: 'another', epoch: 2 } }
    t.match(await fails(() => store.update('one', record.version, { legs })), UNAVAILABLE)
    t.match(await fails(() => store.update('one', record.version, { facts: { renewing: 1 } })), UNAVAILABLE)
    t.match(atOnce(store.get('one')), { version: 1 })
    const same = await store.update('one', 1, { legs: record.legs, facts: { logLevel: 'debug' } })
    t.ok(same.ok, 'legs that stay as they are need none')
    t.match(await store.update('one', 1, { facts: {} }), { ok: false, current: { facts: { logLevel: 'debug' } } })
  })

  t.test('what was changed meanwhile is in Redis afterwards, and no version was ever seen twice', async t => {
    trackLeaks(t)
    const redis = await started(t)
    const { store, log } = local(t, redis.url)
    let record = await updated(store, await store.create(overHttp('one')), { logLevel: 'info' })
    redis.pause()
    const versions = [record.version]
    for (const logLevel of ['debug', 'error', 'warning']) {
      record = await updated(store, record, { logLevel })
      versions.push(record.version)
    }
    redis.resume()
    const other = direct(t, redis.url)
    const there = await seen(other, 'one', r => r?.facts.logLevel === 'warning')
    await log.until(line => line.event === 'store-told')
    versions.push(there!.version)
    t.same(
      versions,
      [...new Set(versions)].sort((a, b) => a - b)
    )
    t.same(await store.get('one'), await other.get('one'))
    t.ok((await store.update('one', there!.version, { facts: {} })).ok)
  })

  t.test('what was ended meanwhile is unknown at once, and is ended in Redis afterwards', async t => {
    trackLeaks(t)
    const redis = await started(t)
    const { store } = local(t, redis.url)
    await store.create(overHttp('one'))
    await store.create(newSession('child'))
    redis.pause()
    const [ended, read, used] = await Promise.all([store.delete('one'), store.get('one'), store.touch('one')])
    t.match(ended, { id: 'one' })
    t.same([read, used], [undefined, false], 'also for who asked while it was being ended')
    t.match(await fails(() => store.delete('child')), UNAVAILABLE)
    t.equal(atOnce(store.get('one')), undefined)
    t.equal(atOnce(store.get('child')), undefined)
    t.equal(atOnce(store.touch('one')), false)
    t.same(await store.update('one', 1, {}), { ok: false, current: undefined })
    t.match(await fails(() => store.delete('one')), UNAVAILABLE)
    redis.resume()
    const other = direct(t, redis.url)
    for (const id of ['one', 'child']) t.equal(await seen(other, id, r => r === undefined), undefined)
  })

  t.test('what others did meanwhile stays: they ended it, they began it anew, they changed it', async t => {
    trackLeaks(t)
    const redis = await started(t)
    const wire = await startWire(redis.port)
    t.teardown(() => wire.close())
    const { store, log } = local(t, `redis://127.0.0.1:${wire.port}`)
    const other = direct(t, redis.url)
    for (const id of ['ended', 'left', 'renewed', 'changed'])
      await store.create(overHttp(id, { facts: { logLevel: 'info', subscriptions: ['a'] } }))
    wire.cut()
    for (const id of ['ended', 'renewed', 'changed'])
      await updated(store, (await store.get(id))!, { logLevel: 'debug', subscriptions: ['a', 'ours'] })
    await other.delete('ended')
    await other.delete('left')
    await other.update('renewed', 1, { legs: { main: { upstreamId: 'new', epoch: 2 } } })
    await other.update('changed', 1, { facts: { logLevel: 'error', subscriptions: ['theirs'] } })
    t.match(await store.get('left'), { id: 'left' }, 'nobody knows yet')
    wire.join()
    await log.until(line => line.event === 'store-told')
    for (const id of ['ended', 'left']) t.same([await store.get(id), await other.get(id)], [undefined, undefined])
    t.match(await other.get('renewed'), {
      legs: { main: { upstreamId: 'new', epoch: 2 } },
      facts: { logLevel: 'debug', subscriptions: ['a', 'ours'] }
    })
    t.same((await other.get('changed'))?.facts, { logLevel: 'error', subscriptions: ['theirs', 'ours'] })
    for (const id of ['renewed', 'changed']) t.same(await store.get(id), await other.get(id))
  })

  t.test('Redis comes back without its data: what is known here is made again, by whoever knows it', async t => {
    trackLeaks(t)
    const redis = await started(t)
    const [one, two] = [local(t, redis.url), local(t, redis.url)]
    await one.store.create(overHttp('ours'))
    await one.store.create(overHttp('ended'))
    await one.store.create(newSession('child'))
    const both = await updated(one.store, await one.store.create(overHttp('both')), { subscriptions: ['a'] })
    await two.store.get('both')
    await redis.kill()
    for (const { store } of [one, two]) t.match(await store.get('both'), { version: 2 })
    await updated(one.store, both, { subscriptions: ['a', 'one'] })
    await updated(two.store, both, { subscriptions: ['two'] })
    await one.store.delete('ended')
    await startedAgain(t, redis)
    for (const { log } of [one, two]) {
      await log.until(line => line.event === 'store-told')
      t.match(log.of('store-lost'), [{ level: 'warn' }])
    }
    const other = direct(t, redis.url)
    t.match(await other.get('ours'), { handle: 's-ours', principal: 'ann', legs: overHttp('ours').legs })
    const there = (await other.get('both'))!
    t.same([...(there.facts.subscriptions as string[])].sort(), ['one', 'two'])
    t.ok(there.version > 2, 'nobody sees an older version than before')
    t.same([await other.get('ended'), await other.get('child')], [undefined, undefined])
    for (const { store } of [one, two]) t.same(await store.get('both'), there)
  })

  t.test('Redis loses its data while nobody looks: nothing is ended for that', async t => {
    trackLeaks(t)
    const redis = await started(t)
    const { store, log } = local(t, redis.url)
    const other = direct(t, redis.url)
    for (const id of ['read', 'changed', 'left']) await store.create(overHttp(id))
    await seen(other, 'left', r => r !== undefined)
    await command(redis, 'FLUSHALL')
    t.match(await store.get('read'), { id: 'read' })
    t.match(await store.update('changed', 1, { facts: { x: 1 } }), { ok: true })
    await log.until(line => line.event === 'store-told')
    for (const id of ['read', 'left']) t.match(await other.get(id), { id })
    t.match(await seen(other, 'changed', r => r?.facts.x === 1), { facts: { x: 1 } })
    await other.delete('read')
    t.equal(await store.get('read'), undefined, 'what has ended has ended')
  })

  t.test('Redis comes back with its data: it goes on, and learns what happened', async t => {
    trackLeaks(t)
    const dir = await mkdtemp(path.join(tmpdir(), 'catflap-aof-'))
    t.teardown(() => rm(dir, { recursive: true, force: true }))
    const kept = [
      ['dir', dir],
      ['appendonly', 'yes'],
      ['appendfsync', 'always']
    ]
    const redis = await started(t, kept)
    const { store, log } = local(t, redis.url)
    const record = await store.create(overHttp('one'))
    await store.create(overHttp('idle'))
    await redis.kill()
    await updated(store, record, { logLevel: 'debug' })
    await startedAgain(t, redis, kept)
    await log.until(line => line.event === 'store-told')
    const other = direct(t, redis.url)
    t.match(await other.get('one'), { version: 2, facts: { logLevel: 'debug' } })
    t.match(await other.get('idle'), { version: 1 })
    t.same(log.of('store-lost'), [])
  })

  t.test('Redis is full: what is there is read as before, and changes are kept until there is room', async t => {
    trackLeaks(t)
    const redis = await started(t)
    const { store } = local(t, redis.url)
    const other = direct(t, redis.url)
    await other.create(newSession('unknown'))
    const record = await store.create(overHttp('one'))
    await command(redis, 'CONFIG', 'SET', 'maxmemory', '1')
    t.match(await updated(store, record, { logLevel: 'debug' }), { facts: { logLevel: 'debug' } })
    t.match(await store.get('one'), { facts: { logLevel: 'debug' } })
    t.match(await store.get('unknown'), { id: 'unknown' }, 'not known here, and Redis answers')
    t.match(await fails(() => store.create(overHttp('two'))), UNAVAILABLE)
    t.match(await other.get('one'), { facts: {} })
    await command(redis, 'CONFIG', 'SET', 'maxmemory', '0')
    t.match(await seen(other, 'one', r => r?.facts.logLevel === 'debug'), { version: 2 })
  })

  t.test('Redis may only be read: what is known goes on, and is written when it may', async t => {
    trackLeaks(t)
    const redis = await started(t)
    const { store } = local(t, redis.url)
    const record = await store.create(overHttp('one'))
    await command(redis, 'REPLICAOF', '127.0.0.1', '1')
    const changed = await updated(store, record, { logLevel: 'debug' })
    t.match(await store.get('one'), { version: changed.version })
    await command(redis, 'REPLICAOF', 'NO', 'ONE')
    t.match(await seen(direct(t, redis.url), 'one', r => r?.facts.logLevel === 'debug'), { version: 2 })
  })

  t.test('a session that is not used expires here as well, and one that is used does not', async t => {
    trackLeaks(t)
    const redis = await started(t)
    const { store } = local(t, redis.url, { idleTtl: 3_000 })
    await store.create(overHttp('used'))
    await store.create(overHttp('idle'))
    redis.pause()
    await store.get('used')
    const end = performance.now() + 3_500
    while (performance.now() < end) {
      t.equal(await store.touch('used'), true)
      await new Promise(resolve => setTimeout(resolve, 100))
    }
    t.match(atOnce(store.get('used')), { id: 'used' })
    t.match(await fails(() => store.get('idle')), UNAVAILABLE)
  })

  t.test('no more sessions are known than there may be: the latest', async t => {
    trackLeaks(t)
    const redis = await started(t)
    const other = direct(t, redis.url)
    const { store } = local(t, redis.url, { maxSessions: 3 })
    for (const id of ['a', 'b', 'c', 'd', 'e']) {
      await other.create(overHttp(id))
      await store.get(id)
    }
    await store.get('c')
    redis.pause()
    t.match(await fails(() => store.get('a')), UNAVAILABLE)
    for (const id of ['c', 'd', 'e']) t.match(await store.get(id), { id })
    t.match(await fails(() => store.get('b')), UNAVAILABLE)
  })

  t.test('what is asked of the client counts as asked where nobody can know', async t => {
    trackLeaks(t)
    const redis = await started(t)
    const { store, log } = local(t, redis.url)
    await store.create(overHttp('one'))
    t.equal(await store.marked!('one', 'a'), false)
    await store.mark!('one', 'a')
    t.equal(await store.marked!('one', 'a'), true)
    redis.pause()
    t.equal(await store.marked!('one', 'b'), true)
    await store.mark!('one', 'c')
    redis.resume()
    await log.until(line => line.event === 'store-told')
    t.equal(await store.marked!('one', 'c'), true, 'nothing could be kept')
  })

  t.test('it closes while Redis hangs, and nothing is answered any more', async t => {
    trackLeaks(t)
    const redis = await started(t)
    const { store } = local(t, redis.url)
    await updated(store, await store.create(overHttp('one')), { x: 1 })
    redis.pause()
    await updated(store, (await store.get('one'))!, { x: 2 })
    const begun = performance.now()
    await store.close()
    t.ok(performance.now() - begun < 4 * TIMEOUT + 1_000)
    t.match(await fails(() => store.get('one')), { code: 'session_store_closed' })
  })

  t.test('what was changed is told before it closes', async t => {
    trackLeaks(t)
    const redis = await started(t)
    const { store } = local(t, redis.url)
    const record = await store.create(overHttp('one'))
    redis.pause()
    await updated(store, record, { x: 2 })
    redis.resume()
    await store.close()
    t.match(await direct(t, redis.url).get('one'), { facts: { x: 2 } })
  })

  t.test('while Redis does its work, nothing more is asked of it, and what is remembered is told at once', async t => {
    trackLeaks(t)
    const redis = await started(t)
    const { store } = local(t, redis.url, { cacheFor: 60_000, touchEvery: 60_000, timeout: 5_000 })
    await store.create(overHttp('one'))
    await store.get('one')
    await store.touch('one')
    await command(redis, 'CONFIG', 'RESETSTAT')
    let good = 0
    for (let n = 0; n < 1_000; n++) if (atOnce(store.get('one')) && atOnce(store.touch('one'))) good++
    t.equal(good, 1_000)
    t.notMatch(await command(redis, 'INFO', 'commandstats'), /cmdstat_eval/)
  })
})
