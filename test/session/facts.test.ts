import t from 'tap'
import { factsOf, withFacts, withLogLevel, withSubscription } from '../../src/session/facts.ts'
import { MemorySessionStore } from '../../src/session/memory-store.ts'
import { epochOf, recordedLeg } from '../../src/session/recorded-leg.ts'
import type { JsonValue, SessionRecord } from '../../src/session/store.ts'

const record = (facts: Readonly<Record<string, JsonValue>> = {}): SessionRecord =>
  new MemorySessionStore().create({ id: 'id', handle: 's-1', principal: 'ann', facts })

t.test('what others have written into a record is taken for nothing it is not', async t => {
  const strange = record({ server: 1, logLevel: ['x'], subscriptions: ['a', 2, 'b'], untold: 'no', renewing: 'soon' })
  t.same(factsOf(strange), {
    server: undefined,
    logLevel: undefined,
    subscriptions: ['a', 'b'],
    untold: undefined,
    renewing: undefined
  })
})

t.test('a change keeps what it does not name, also what this version does not know', async t => {
  const before = record({ other: { a: 1 }, logLevel: 'info', renewing: 5 })
  t.same(withFacts(before, { logLevel: 'error', renewing: undefined }), { other: { a: 1 }, logLevel: 'error' })
})

t.test('subscriptions: each once, gone when they are taken back, and no more than there is room for', async t => {
  const with2 = record({ subscriptions: ['a', 'b'] })
  t.equal(withSubscription(with2, 'a', true), undefined)
  t.equal(withSubscription(with2, 'c', false), undefined)
  t.same(withSubscription(with2, 'c', true)?.subscriptions, ['a', 'b', 'c'])
  t.same(withSubscription(with2, 'a', false)?.subscriptions, ['b'])
  t.notOk('subscriptions' in withSubscription(record({ subscriptions: ['a'] }), 'a', false)!)
  const many = record({ subscriptions: Array.from({ length: 1_000 }, (_, i) => `${i}`) })
  t.equal(withSubscription(many, 'one more', true), undefined)
  t.equal(withSubscription(with2, 'x'.repeat(64 * 1024), true), undefined)
  t.equal(withSubscription(with2, 7, true), undefined)
})

t.test('a log level is a short text', async t => {
  t.same(withLogLevel(record(), 'debug'), { logLevel: 'debug' })
  t.equal(withLogLevel(record({ logLevel: 'debug' }), 'debug'), undefined)
  t.equal(withLogLevel(record(), 'x'.repeat(100)), undefined)
  t.equal(withLogLevel(record(), 3), undefined)
})

t.test('a leg stands under the name of its target, or of one of several servers', async t => {
  const store = new MemorySessionStore()
  const legs = (name: string) => ({ [name]: { upstreamId: 'u', epoch: 3 } })
  const one = store.create({ id: '1', handle: 's-1', principal: 'ann', legs: legs('default') })
  const member = store.create({ id: '2', handle: 's-2', principal: 'ann', legs: legs('http://b/mcp') })
  t.match(recordedLeg(one, 'default'), { upstreamId: 'u', member: undefined })
  t.match(recordedLeg(member, 'default'), { upstreamId: 'u', member: 'http://b/mcp' })
  t.same([epochOf(one), epochOf(record())], [3, 0])
  t.equal(recordedLeg(record(), 'default'), undefined)
})
