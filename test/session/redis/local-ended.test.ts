/** Redis loses what it held: sessions that have ended, whoever ended them, are not made again. */
import t, { type Test } from 'tap'
import { nameOf, shardOf } from '../../../src/session/redis/keys.ts'
import { type RedisServer, skipWithoutRedis } from '../../fixtures/servers/redis.ts'
import { trackLeaks } from '../../helpers/leaks.ts'
import { startWire, type Wire } from '../../helpers/tcp-wire.ts'
import { command, direct, type LocalStore, local, overHttp, seen, started, startedAgain } from './local-store.ts'

interface Wired extends LocalStore {
  readonly wire: Wire
}

/** Two that hear of each other, each over a wire of its own. */
async function two(t: Test, redis: RedisServer): Promise<[Wired, Wired]> {
  const wired = async (): Promise<Wired> => {
    const wire = await startWire(redis.port)
    t.teardown(() => wire.close())
    return { wire, ...local(t, `redis://127.0.0.1:${wire.port}`) }
  }
  const stores: [Wired, Wired] = [await wired(), await wired()]
  while (((await command(redis, 'PUBSUB', 'NUMSUB', 'catflap:1:store:changes')) as unknown[])[1] !== 2)
    await new Promise(setImmediate)
  return stores
}

t.test('ended sessions stay ended', { skip: skipWithoutRedis() }, async t => {
  t.test('while all was well, by another process', async t => {
    trackLeaks(t)
    const redis = await started(t)
    const [one, other] = await two(t, redis)
    for (const id of ['ended', 'left']) {
      await one.store.create(overHttp(id))
      await other.store.get(id)
    }
    const told = new Promise<void>(resolve => one.store.follow!('ended', () => resolve()))
    await other.store.delete('ended')
    await told
    await redis.kill()
    await one.store.get('left')
    await startedAgain(t, redis)
    await one.log.until(line => line.event === 'store-told')
    const there = direct(t, redis.url)
    t.match(await there.get('left'), { id: 'left' })
    t.equal(await there.get('ended'), undefined)
  })

  for (const first of ['who ended it', 'who does not know'])
    t.test(`while Redis was away; ${first} is first to see it again`, async t => {
      trackLeaks(t)
      const redis = await started(t)
      const [ender, other] = await two(t, redis)
      await ender.store.create(overHttp('ended'))
      await other.store.get('ended')
      await redis.kill()
      t.match(await ender.store.delete('ended'), { id: 'ended' })
      t.match(await other.store.get('ended'), { id: 'ended' }, 'nobody knows yet')
      const order = first === 'who ended it' ? [ender, other] : [other, ender]
      for (const { wire } of order) wire.cut()
      await startedAgain(t, redis)
      for (const { wire, log } of order) {
        wire.join()
        await log.until(line => line.event === 'store-told')
      }
      t.equal(await seen(direct(t, redis.url), 'ended', r => r === undefined), undefined)
      for (const { store } of order) t.equal(await seen(store, 'ended', r => r === undefined), undefined)
    })

  t.test('after the loss, by one who found nothing to end', async t => {
    trackLeaks(t)
    const redis = await started(t)
    const [one, other] = await two(t, redis)
    await one.store.create(overHttp('ended'))
    await command(redis, 'FLUSHALL')
    await other.store.delete('ended')
    await one.store.get('ended')
    await one.log.until(line => line.event === 'store-told')
    t.equal(await direct(t, redis.url).get('ended'), undefined)
    t.equal(await one.store.get('ended'), undefined)
    const name = nameOf('ended')
    const ttl = Number(await command(redis, 'PTTL', `catflap:1:store:{${shardOf(name)}}:e:${name}`))
    t.ok(ttl > 0, 'that is known for a while only')
  })
})
