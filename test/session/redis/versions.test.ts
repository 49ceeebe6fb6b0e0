/** Redis has lost the last writes: a version number that was there comes again, with something else in it. */
import t, { type Test } from 'tap'
import { nameOf, shardOf } from '../../../src/session/redis/keys.ts'
import type { SessionRecord, SessionStore } from '../../../src/session/store.ts'
import { newSession } from '../../contract/session-store-harness.ts'
import { skipWithoutRedis, startRedis } from '../../fixtures/servers/redis.ts'
import { trackLeaks } from '../../helpers/leaks.ts'
import { StoreOfItsOwn } from '../../helpers/redis-stores.ts'
import { command } from './local-store.ts'

const NAME = nameOf('one')
const KEY = `catflap:1:store:{${shardOf(NAME)}}:s:${NAME}`

const skip = skipWithoutRedis()
if (skip) t.test('Redis', { skip }, async () => {})
else {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  t.beforeEach(() => command(redis, 'FLUSHALL'))

  const open = (t: Test, cacheFor: number): SessionStore => {
    const store = new StoreOfItsOwn(redis.url, { cacheFor, touchEvery: 0 })
    t.teardown(() => store.close())
    return store
  }
  /** What is remembered may not be taken for the present one without asking, but is known. */
  const remembering = (t: Test): SessionStore => open(t, Number.MIN_VALUE)
  /** Writes as one to whom a change is told, and reads what was written. */
  const written = async (t: Test, store: SessionStore, facts: SessionRecord['facts']): Promise<void> => {
    while (!((await command(redis, 'PUBSUB', 'NUMSUB', 'catflap:1:store:changes')) as unknown[])[1])
      await new Promise(setImmediate)
    const told = new Promise<void>(resolve => store.follow!('one', () => resolve()))
    t.match(await store.update('one', 1, { facts }), { ok: true })
    await told
    t.match(await store.get('one'), { version: 2, facts })
  }
  /** The same as a replica that had not got the last write. */
  const losing = async (write: () => Promise<void>): Promise<void> => {
    const before = (await command(redis, 'HGETALL', KEY)) as string[]
    await write()
    await command(redis, 'DEL', KEY)
    await command(redis, 'HSET', KEY, ...before)
  }
  /** Two of version 2, of which the first store has seen the lost one. */
  const forked = async (t: Test, here: SessionStore): Promise<void> => {
    await here.create(newSession('one'))
    await losing(() => written(t, here, { x: 'lost' }))
    // Of this nobody hears.
    await command(redis, 'HSET', KEY, 'v', '2', 'n', 'theirs', 'f', '{"x":"kept"}')
  }

  t.test('who has seen the lost one reads what is there', async t => {
    trackLeaks(t)
    const here = remembering(t)
    await forked(t, here)
    t.match(await here.get('one'), { version: 2, facts: { x: 'kept' } })
    t.match(await here.update('one', 2, {}), { ok: true, record: { version: 3, facts: { x: 'kept' } } })
  })

  t.test('who has seen the lost one does not write over what is there before it was read', async t => {
    trackLeaks(t)
    const here = remembering(t)
    await forked(t, here)
    const current = { version: 2, facts: { x: 'kept' } }
    t.match(await here.update('one', 2, { facts: { x: 'over' } }), { ok: false, current })
    t.match(await here.update('one', 2, { facts: { x: 'then' } }), { ok: true, record: { version: 3 } })
  })

  t.test('records of releases that did not tell their writes apart are read and written', async t => {
    trackLeaks(t)
    const store = remembering(t)
    await open(t, 0).create(newSession('one'))
    await command(redis, 'HDEL', KEY, 'n')
    for (let n = 0; n < 2; n++) t.match(await store.get('one'), { version: 1 })
    t.match(await store.update('one', 1, { facts: { x: 1 } }), { ok: true, record: { version: 2 } })
    // Of such a release.
    await command(redis, 'HINCRBY', KEY, 'v', '1')
    t.match(await store.get('one'), { version: 3, facts: { x: 1 } })
    t.match(await store.update('one', 3, {}), { ok: true, record: { version: 4 } })
  })
}
