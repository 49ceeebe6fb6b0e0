import fc from 'fast-check'
import t from 'tap'
import { type Candidate, choose } from '../../src/proxy/balancer.ts'
import { RANK, type Rank } from '../../src/transport/upstream/breaker.ts'

interface One extends Candidate {
  inFlight: number
  readonly name: string
}

const one = (name: string, weight = 1, rank: Rank = RANK.fit): One => ({ name, weight, rank, inFlight: 0, owed: 0 })
const names = (all: readonly One[], n: number, balance: 'round-robin' | 'least-in-flight' = 'round-robin'): string =>
  Array.from({ length: n }, () => choose(all, balance)?.name ?? '-').join('')

t.test('round robin is smooth: a heavy one never gets all its calls in a row', async t => {
  t.equal(names([one('a', 5), one('b'), one('c')], 14), 'aabacaaaabacaa')
  t.equal(names([one('a'), one('b')], 6), 'ababab')
})

t.test('over a whole round each gets as much as its weight says', async () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 }), weights => {
      const all = weights.map((w, i) => one(String(i), w))
      const round = names(
        all,
        weights.reduce((a, b) => a + b)
      )
      for (const [i, w] of weights.entries()) if (round.split(String(i)).length - 1 !== w) return false
      return true
    })
  )
})

t.test('the best rank alone is considered, and none where there is none', async t => {
  const all = [one('a', 9, RANK.quiet), one('b', 1, RANK.fit), one('c', 1, RANK.none)]
  t.equal(names(all, 3), 'bbb')
  all[1]!.rank = RANK.none
  t.equal(names(all, 2), 'aa')
  all[0]!.rank = RANK.none
  t.equal(names(all, 1), '-')
})

t.test('who was left out is not owed what it missed', async t => {
  const all = [one('a'), one('b')]
  all[0]!.rank = RANK.none
  names(all, 100)
  all[0]!.rank = RANK.fit
  t.match(names(all, 6), /^(ab|ba){3}$/)
})

t.test('the fewest calls for its weight; among equals it goes round', async t => {
  const all = [one('a', 2), one('b'), one('c')]
  t.match(names(all, 4, 'least-in-flight'), /^(?=.*a.*a)(?=.*b)(?=.*c)/)
  all[0]!.inFlight = 3
  all[1]!.inFlight = 1
  all[2]!.inFlight = 2
  t.equal(names(all, 1, 'least-in-flight'), 'b')
  all[0]!.inFlight = 1
  t.equal(names(all, 1, 'least-in-flight'), 'a', 'one for a weight of two is half a call')
})
