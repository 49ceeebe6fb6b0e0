/** Sessions that were sealed by a key that is not here. */
import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import { asCatflapError } from '../../../src/errors.ts'
import { Seal } from '../../../src/session/redis/seal.ts'
import { fails, newSession } from '../../contract/session-store-harness.ts'
import { skipWithoutRedis, startRedis } from '../../fixtures/servers/redis.ts'
import { trackLeaks } from '../../helpers/leaks.ts'
import { StoreOfItsOwn, type StoreSettings } from '../../helpers/redis-stores.ts'
import { command } from './local-store.ts'

const [OURS, THEIRS] = [randomBytes(32), randomBytes(32)]
const SEALED = { code: 'session_store_sealed', message: /--store-key/ }

const skip = skipWithoutRedis()
if (skip) t.test('Redis', { skip }, async () => {})
else {
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  t.beforeEach(() => command(redis, 'FLUSHALL'))

  const open = (t: Test, keys: readonly Buffer[], more: StoreSettings = {}): StoreOfItsOwn => {
    const store = new StoreOfItsOwn(redis.url, { seal: new Seal(keys), cacheFor: 0, touchEvery: 0, ...more })
    t.teardown(() => store.close())
    return store
  }

  for (const [who, keys] of [
    ['with another key', [OURS]],
    ['without a key', []]
  ] as const)
    t.test(`${who}: what cannot be read is not changed`, async t => {
      trackLeaks(t)
      const [here, there] = [open(t, keys), open(t, [THEIRS])]
      const record = await there.create(newSession('one', { facts: { x: 1 } }))
      const uses = [() => here.get('one'), () => here.update('one', 1, { facts: { x: 2 } }), () => here.delete('one')]
      for (const use of uses) {
        const error = await fails(use)
        t.match(error, SEALED)
        const told = asCatflapError(error)
        t.match([told.code, told.status, told.message], ['store_unavailable', 503, /--store-key/])
      }
      t.same(await there.get('one'), record)
      t.match(await there.update('one', 1, { facts: {} }), { ok: true })
      t.match(await there.delete('one'), { id: 'one' })
    })

  t.test('what lies in the clear is not changed where there are keys', async t => {
    trackLeaks(t)
    const [here, there] = [open(t, [OURS]), open(t, [])]
    await there.create(newSession('one'))
    t.match(await fails(() => here.update('one', 1, { facts: { x: 2 } })), SEALED)
    t.match(await fails(() => here.delete('one')), SEALED)
    t.match(await there.get('one'), { version: 1 })
  })

  t.test('while keys are exchanged each part is opened by any of them', async t => {
    trackLeaks(t)
    const [old, both] = [open(t, [THEIRS]), open(t, [OURS, THEIRS])]
    await old.create(newSession('one'))
    t.match(await both.update('one', 1, { facts: { x: 1 } }), { ok: true })
    t.match(await fails(() => old.delete('one')), SEALED, 'a part of it is sealed by the new one')
    t.match(await both.delete('one'), { facts: { x: 1 } })
  })

  t.test('those that have expired do not hold up the reaper, and who can read them gets them later', async t => {
    trackLeaks(t)
    let time = 1_800_000_000_000
    const settings = { idleTtl: 1_000, claimTtl: 60_000, now: () => time }
    const [here, there] = [open(t, [OURS], settings), open(t, [THEIRS], settings)]
    const unreadable = Array.from({ length: 600 }, (_, n) => newSession(`theirs-${n}`))
    await Promise.all(unreadable.map(session => there.create(session)))
    time += 500
    await Promise.all(Array.from({ length: 20 }, (_, n) => here.create(newSession(`ours-${n}`))))
    time += 5_000
    const ended = await here.expired(20)
    t.ok(ended.length === 20 && ended.every(({ id }) => id.startsWith('ours-')), 'in one pass')
    for (const { id } of ended) await here.delete(id)
    time += 60_000
    t.same(await here.expired(20), [])
    time += 600_000
    t.equal((await there.expired(1_000)).length, 600)
  })
}
