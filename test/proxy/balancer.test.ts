import fc from 'fast-check'
import t from 'tap'
import { type Candidate, choose } from '../../src/proxy/balancer.ts'
import { RANK, type Rank } from '../../src/transport/upstream/breaker.ts'

interface One extends Candidate {
  readonly name: string
}

const one = (name: string, weight = 1, rank: Rank = RANK.fit): One => ({ name, weight, rank, load: 0, owed: 0 })
const names = (all: readonly One[], n: number): string =>
  Array.from({ length: n }, () => choose(all)?.name ?? '-').join('')

t.test('the turns are smooth: a heavy one never gets all its calls in a row', async t => {
  t.equal(names([one('a', 5), one('b'), one('c')], 14), 'aabacaaaabacaa')
  t.equal(names([one('a'), one('b')], 6), 'ababab')
})

t.test('over a whole round each gets as much as its weight says', async () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 }), weights => {
      const all = weights.map((w, i) => one(String(i), w))
      const sum = weights.reduce((a, b) => a + b)
      const round = names(all, sum)
      return weights.every((w, i) => round.split(String(i)).length - 1 === w)
    })
  )
})

t.test('the best rank alone is considered, and none where there is none', async t => {
  const all = [one('a', 9, RANK.quiet), one('b', 1, RANK.fit), one('c', 1, RANK.none)]
  all[1]!.load = 100
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

t.test('of equal rank the least load goes first, and among equals each in turn', async t => {
  const all = [one('a', 2), one('b'), one('c')]
  t.equal(names(all, 4).split('a').length - 1, 2)
  all[0]!.load = 3
  all[1]!.load = 1
  all[2]!.load = 2
  t.equal(names(all, 2), 'bb')
  all[2]!.load = 1
  t.match(names(all, 4), /^(bc|cb){2}$/)
})
