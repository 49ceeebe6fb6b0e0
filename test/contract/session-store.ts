/**
 * What every session store must do. A store is tested by calling `sessionStoreContract` from its own test file; what is
 * particular to it (memory, Redis) is tested there.
 */
import t from 'tap'
import { expiryTests, reaperTests } from './session-store-expiry.ts'
import { DEFAULTS, fails, listAll, type MakeStore, newSession, type Setup, type Test } from './session-store-harness.ts'

export function sessionStoreContract(name: string, makeStore: MakeStore): void {
  const setup: Setup = async (t, settings = {}) => {
    const { store, peer = store, advance } = await makeStore({ ...DEFAULTS, ...settings })
    t.teardown(() => store.close())
    if (peer !== store) t.teardown(() => peer.close())
    return { store, peer, advance: async ms => advance(ms) }
  }
  t.test(`${name}: the session store contract`, async t => {
    recordTests(t, setup)
    updateTests(t, setup)
    expiryTests(t, setup)
    reaperTests(t, setup)
    listTests(t, setup)
    limitTests(t, setup)
  })
}

function recordTests(t: Test, setup: Setup): void {
  t.test('what was created is found as it was given', async t => {
    const { store, peer } = await setup(t)
    const legs = {
      everything: { upstreamId: 'u-1', initialize: '{ "id":9007199254740993}', epoch: 1 },
      'a b': { epoch: 0 }
    }
    const facts = {
      logLevel: 'debug',
      subscriptions: ['file:///ä', '\u{1f408}'],
      nested: { n: 1, none: null, yes: true }
    }
    const created = await store.create(newSession('one', { protocolVersion: '2025-06-18', legs, facts }))
    t.match(created, { id: 'one', handle: 's-one', version: 1, principal: 'ann', protocolVersion: '2025-06-18' })
    t.same(created.legs, legs)
    t.same(created.facts, facts)
    t.type(created.createdAt, 'number')
    t.equal(created.lastSeenAt, created.createdAt)
    t.same(await peer.get('one'), created)
    t.same(JSON.parse(JSON.stringify(created)), created, 'it is JSON')
  })

  t.test('what was not given is empty or absent', async t => {
    const { store } = await setup(t)
    const created = await store.create(newSession('one'))
    t.same(created.legs, {})
    t.same(created.facts, {})
    t.notOk('protocolVersion' in created)
  })

  t.test('an unknown id is nothing, and no error', async t => {
    const { store } = await setup(t)
    t.equal(await store.get('none'), undefined)
    t.equal(await store.touch('none'), false)
    t.equal(await store.delete('none'), undefined)
    t.same(await store.update('none', 1, {}), { ok: false, current: undefined })
    for (const id of ['__proto__', 'constructor', '', ' ', '*']) t.equal(await store.get(id), undefined)
  })

  t.test('an id exists once', async t => {
    const { store, peer } = await setup(t)
    await store.create(newSession('secret-id', { principal: 'ann' }))
    const again = newSession('secret-id', { principal: 'bob', handle: 's-2' })
    const error = (await fails(() => peer.create(again))) as Error & { code?: string }
    t.equal(error.code, 'session_exists')
    t.notMatch(error.message, /secret-id/, 'the message tells no id')
    t.match(await store.get('secret-id'), { principal: 'ann' })
  })

  t.test('one that is made again goes on from its version', async t => {
    const { store, peer } = await setup(t)
    t.equal((await store.create(newSession('one', { version: 7 }))).version, 7)
    t.equal((await peer.get('one'))?.version, 7)
    t.match(await peer.update('one', 7, { facts: { x: 1 } }), { ok: true, record: { version: 8 } })
  })

  t.test('a record is a snapshot', async t => {
    const { store } = await setup(t)
    const legs = { a: { epoch: 1 } }
    const given = { ...newSession('one'), legs }
    const created = await store.create(given)
    legs.a.epoch = 7
    t.equal(created.legs.a?.epoch, 1, 'the caller keeps its own objects')
    t.throws(() => Object.assign(created.legs.a as object, { epoch: 8 }))
    t.throws(() => Object.assign(created, { principal: 'eve' }))
    await store.update('one', 1, { facts: { x: 1 } })
    t.same(created.facts, {}, 'later changes do not show')
    t.equal(created.version, 1)
  })

  t.test('deleting gives the record, once', async t => {
    const { store, peer } = await setup(t)
    await store.create(newSession('one', { legs: { a: { upstreamId: 'u', epoch: 1 } } }))
    const results = await Promise.all([store.delete('one'), peer.delete('one')])
    const given = results.filter(record => record !== undefined)
    t.equal(given.length, 1)
    t.equal(given[0]?.legs.a?.upstreamId, 'u')
    t.equal(await store.get('one'), undefined)
    t.equal((await store.create(newSession('one'))).version, 1, 'the id is free again')
  })
}

function updateTests(t: Test, setup: Setup): void {
  t.test('an update replaces the members it names and counts the version', async t => {
    const { store, peer } = await setup(t)
    await store.create(newSession('one', { legs: { a: { epoch: 1 } }, facts: { x: 1, y: 2 } }))
    const result = await store.update('one', 1, { facts: { x: 3 }, protocolVersion: '2025-11-25' })
    if (!result.ok) return t.fail('no conflict expected')
    t.match(result.record, { id: 'one', principal: 'ann', version: 2, protocolVersion: '2025-11-25' })
    t.same(result.record.facts, { x: 3 })
    t.same(result.record.legs, { a: { epoch: 1 } })
    t.same(await peer.get('one'), result.record)
    const again = await store.update('one', 2, { legs: {}, facts: undefined })
    t.match(again, { ok: true, record: { version: 3, protocolVersion: '2025-11-25' } })
    t.same(again.ok && again.record.legs, {})
    t.same(again.ok && again.record.facts, { x: 3 }, 'undefined is not given')
  })

  t.test('of two updates from one version one wins, and the other learns what is there', async t => {
    const { store, peer } = await setup(t)
    await store.create(newSession('one'))
    const both = [store.update('one', 1, { facts: { by: 'a' } }), peer.update('one', 1, { facts: { by: 'b' } })]
    const results = await Promise.all(both)
    const [won, lost] = results[0]?.ok ? results : [results[1], results[0]]
    if (!won?.ok || lost?.ok !== false) return t.fail('one must win, one must lose')
    t.same(lost.current, won.record)
    t.same(await store.get('one'), won.record)
  })

  t.test('a touch in between is no conflict, and an update is no touch', async t => {
    const { store, advance } = await setup(t, { idleTtl: 1000 })
    await store.create(newSession('one'))
    await advance(600)
    t.equal(await store.touch('one'), true)
    t.match(await store.update('one', 1, { facts: { x: 1 } }), { ok: true })
    await advance(600)
    t.match(await store.update('one', 2, { facts: { x: 2 } }), { ok: true })
    await advance(600)
    t.equal(await store.get('one'), undefined)
  })
}

function listTests(t: Test, setup: Setup): void {
  t.test('a listing gives every session once, at any page size', async t => {
    const { store } = await setup(t)
    t.same(await listAll(store, 10), [])
    for (let n = 0; n < 23; n++) await store.create(newSession(`s${n}`))
    const ids = (await listAll(store, 100)).map(r => r.id).sort()
    t.equal(new Set(ids).size, 23)
    for (const limit of [1, 7, 23]) t.same((await listAll(store, limit)).map(r => r.id).sort(), ids)
  })

  t.test('sessions that come and go during a listing neither hide others nor make it endless', async t => {
    const { store } = await setup(t)
    const staying = Array.from({ length: 20 }, (_, n) => `stay${n}`)
    for (const id of staying) {
      await store.create(newSession(id))
      await store.create(newSession(`go-${id}`))
    }
    const seen: string[] = []
    let cursor: string | undefined
    for (let page = 0; page < 200; page++) {
      const next = await store.list({ cursor, limit: 3 })
      seen.push(...next.records.map(r => r.id))
      cursor = next.cursor
      if (cursor === undefined) break
      await store.delete(`go-stay${page}`)
      await store.delete(`new${page - 2}`)
      await store.create(newSession(`new${page}`))
      await store.touch(`stay${(page * 7) % 20}`)
    }
    t.equal(cursor, undefined, 'it ended')
    t.same(seen.filter(id => id.startsWith('stay')).sort(), staying.sort(), 'each once')
  })

  t.test('a cursor that is none is refused', async t => {
    const { store } = await setup(t)
    for (const cursor of ['', 'x', '-1', '{}', '1e9']) {
      t.match(await fails(() => store.list({ cursor, limit: 1 })), { code: 'session_cursor_invalid' })
    }
  })
}

function limitTests(t: Test, setup: Setup): void {
  t.test('a full store says so and keeps what it has', async t => {
    const { store, peer, advance } = await setup(t, { maxSessions: 2, idleTtl: 1000 })
    await store.create(newSession('a'))
    await store.create(newSession('b'))
    t.match(await fails(() => peer.create(newSession('c'))), { code: 'session_store_full', maxSessions: 2 })
    t.equal(await store.count(), 2)
    await store.delete('a')
    t.ok(await store.create(newSession('c')), 'there is room again')
    await advance(1000)
    for (const { id } of await store.expired(10)) await store.delete(id)
    t.ok(await store.create(newSession('d')), 'and once the expired ones are reaped')
    t.equal(await peer.count(), 1)
  })

  t.test('after close nothing works but close', async t => {
    const { store } = await setup(t)
    await store.create(newSession('one'))
    await store.close()
    await store.close()
    const uses = [
      () => store.create(newSession('two')),
      () => store.get('one'),
      () => store.update('one', 1, {}),
      () => store.touch('one'),
      () => store.delete('one'),
      () => store.list({ limit: 1 }),
      () => store.count(),
      () => store.expired(1)
    ]
    for (const use of uses) t.match(await fails(use), { code: 'session_store_closed' })
  })
}
