import fc from 'fast-check'
import t from 'tap'
import { mergedFacts, toBeWritten } from '../../../src/session/redis/merge-records.ts'
import type { JsonValue, SessionRecord } from '../../../src/session/store.ts'

type Facts = Readonly<Record<string, JsonValue>>

function record(version: number, facts: Facts, epoch = 1): SessionRecord {
  const legs = { a: { upstreamId: `u${epoch}`, epoch } }
  return { id: 'one', handle: 's-1', version, principal: 'ann', createdAt: 1, lastSeenAt: 1, legs, facts }
}

t.test('what others have not touched is ours', async t => {
  const base = record(5, { logLevel: 'info', server: 'x' })
  const mine = record(5.5, { logLevel: 'debug', server: 'x', untold: ['a'] })
  t.match(toBeWritten(base, mine, base), { facts: mine.facts, legs: undefined })
  const stored = record(6, { logLevel: 'info', server: 'x', subscriptions: ['u'] })
  t.same(toBeWritten(stored, mine, base)?.facts, { ...stored.facts, logLevel: 'debug', untold: ['a'] })
})

t.test('where both have changed a value, theirs stays; lists get and lose what they got and lost here', async t => {
  const base = { logLevel: 'info', subscriptions: ['a', 'b'], untold: ['x'] }
  const mine = { logLevel: 'debug', subscriptions: ['b', 'c'] }
  const theirs = record(6, { logLevel: 'error', subscriptions: ['a', 'b', 'd'], untold: ['x', 'y'] })
  t.same(mergedFacts(theirs, mine, [base]), { logLevel: 'error', subscriptions: ['b', 'd', 'c'], untold: ['y'] })
})

t.test('what was sent from here is not taken for theirs, though nobody knew that it was written', async t => {
  const [base, sent, mine] = [{ logLevel: 'info' }, { logLevel: 'debug', untold: ['x'] }, { logLevel: 'error' }]
  t.same(mergedFacts(record(6, sent), mine, [base, sent]), mine)
  t.same(mergedFacts(record(6, sent), base, [base, sent]), base, 'also what was taken back')
})

t.test('who opens a new leg is not decided here', async t => {
  const stored = record(6, { renewing: 7 })
  t.equal(toBeWritten(stored, record(5.5, {}), record(5, { renewing: 3 })), undefined)
})

t.test('the legs that were begun last stay', async t => {
  const base = record(5, {})
  t.equal(toBeWritten(record(6, {}, 2), base, base), undefined, 'theirs')
  t.match(toBeWritten(record(3, {}, 1), record(5, { x: 1 }, 2), base), { legs: { a: { epoch: 2 } }, facts: { x: 1 } })
})

const texts = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e'), { maxLength: 5 })
const facts = fc.record(
  { logLevel: fc.constantFrom('debug', 'info', 'error'), subscriptions: texts, untold: texts },
  { requiredKeys: [] }
)

t.test('whatever happened', async () => {
  const textsOf = (value: JsonValue | undefined): readonly string[] => (value ?? []) as string[]
  fc.assert(
    fc.property(facts, facts, facts, (base: Facts, mine: Facts, theirs: Facts) => {
      const stored = record(6, theirs)
      const merged = mergedFacts(stored, mine, [base])
      // Merging once more changes nothing, and neither does what was not changed here.
      const again = mergedFacts(record(7, merged), mine, [base])
      if (again !== merged && JSON.stringify(again) !== JSON.stringify(merged)) return false
      if (mergedFacts(stored, base, [base]) !== theirs) return false
      return ['subscriptions', 'untold'].every(name => {
        const [b, m, s, r] = [base[name], mine[name], theirs[name], merged[name]].map(textsOf)
        const all = new Set([...b!, ...m!, ...s!])
        return [...all].every(text => {
          const isHere = m!.includes(text)
          const wanted = isHere === b!.includes(text) ? s!.includes(text) : isHere
          return r!.includes(text) === wanted
        })
      })
    })
  )
})
