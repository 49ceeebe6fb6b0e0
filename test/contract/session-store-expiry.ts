/** The part of the session store contract that is about time. */
import { fails, listAll, newSession, type Setup, type Test } from './session-store-harness.ts'

export function expiryTests(t: Test, setup: Setup): void {
  t.test('a session nobody touches expires: it is gone for everybody', async t => {
    const { store, peer, advance } = await setup(t, { idleTtl: 1000 })
    await store.create(newSession('one'))
    await advance(999)
    t.ok(await peer.get('one'))
    await advance(1)
    for (const view of [store, peer]) {
      t.equal(await view.get('one'), undefined)
      t.equal(await view.touch('one'), false, 'a touch does not bring it back')
      t.same(await view.update('one', 1, { facts: {} }), { ok: false, current: undefined })
      t.same(await listAll(view, 10), [])
      t.equal(await view.count(), 0)
    }
    t.ok(await fails(() => store.create(newSession('one'))), 'its id is taken until it is reaped')
  })

  t.test('touched sessions live on, up to their absolute age', async t => {
    const { store, advance } = await setup(t, { idleTtl: 1000, maxTtl: 3000 })
    const { createdAt } = await store.create(newSession('one'))
    for (let age = 900; age < 3000; age += 900) {
      await advance(900)
      t.equal(await store.touch('one'), true)
    }
    const record = await store.get('one')
    t.ok(record && record.lastSeenAt > createdAt, 'the record tells when it was last used')
    t.equal(record?.createdAt, createdAt)
    await advance(300)
    t.equal(await store.get('one'), undefined)
    t.same(
      (await store.expired(10)).map(r => r.id),
      ['one']
    )
  })

  t.test('an old session expires although younger ones were used less lately', async t => {
    const { store, advance } = await setup(t, { idleTtl: 1000, maxTtl: 1500 })
    await store.create(newSession('old'))
    await advance(700)
    await store.create(newSession('young'))
    await advance(100)
    await store.touch('old')
    await advance(700)
    t.equal(await store.get('old'), undefined)
    t.ok(await store.get('young'))
    t.equal(await store.count(), 1)
    t.same(
      (await store.expired(10)).map(r => r.id),
      ['old']
    )
  })

  t.test('looking does not keep a session alive', async t => {
    const { store, advance } = await setup(t, { idleTtl: 1000 })
    await store.create(newSession('one'))
    await advance(600)
    await store.get('one')
    await listAll(store, 10)
    await advance(600)
    t.equal(await store.get('one'), undefined)
  })
}

export function reaperTests(t: Test, setup: Setup): void {
  t.test('expired sessions are handed to one reaper, with all it needs', async t => {
    const { store, peer, advance } = await setup(t, { idleTtl: 1000, claimTtl: 500 })
    for (let n = 0; n < 10; n++) {
      await store.create(newSession(`s${n}`, { legs: { a: { upstreamId: `u${n}`, epoch: 2 } } }))
    }
    t.same(await store.expired(100), [], 'none yet')
    await advance(1000)
    const batches = await Promise.all([store.expired(4), peer.expired(4), store.expired(4), peer.expired(4)])
    t.same(batches.map(b => b.length).sort(), [0, 2, 4, 4])
    const records = batches.flat()
    t.same(new Set(records.map(r => r.id)).size, 10, 'nobody got the same')
    for (const record of records) t.equal(record.legs.a?.upstreamId, record.id.replace('s', 'u'))
  })

  t.test('what a reaper did not finish is handed out again once its claim lapsed', async t => {
    const { store, peer, advance } = await setup(t, { idleTtl: 1000, claimTtl: 500 })
    await store.create(newSession('done'))
    await store.create(newSession('failed'))
    await advance(1000)
    t.equal((await store.expired(10)).length, 2)
    t.ok(await store.delete('done'), 'an expired session can be deleted')
    await advance(499)
    t.same(await peer.expired(10), [])
    await advance(1)
    t.same(
      (await peer.expired(10)).map(r => r.id),
      ['failed']
    )
    t.ok(await peer.delete('failed'))
    await advance(500)
    t.same(await store.expired(10), [])
  })
}
