/** Who stands where on the tape, and who waits for whom. */
import fc from 'fast-check'
import t from 'tap'
import { Line, Standing } from '../../src/replay/line.ts'
import { Patience } from '../../src/replay/patience.ts'

const AWAY = Number.POSITIVE_INFINITY
const place = fc.oneof({ weight: 5, arbitrary: fc.nat(20) }, { weight: 1, arbitrary: fc.constant(AWAY) })

t.test('the nearest is found wherever all have moved to, and whoever waits learns when it may have passed', async t => {
  const moves = fc.array(fc.record({ who: fc.nat(9), to: place, from: fc.nat(20) }), { maxLength: 60 })
  fc.assert(
    fc.property(fc.array(fc.nat(20), { minLength: 10, maxLength: 10 }), moves, (untils, all) => {
      const woken = new Set<number>()
      const line = new Line(one => void woken.add((one as { at: number } & typeof one).at))
      const standing = untils.map(until => new Standing(until))
      const waiting = new Map<number, Standing>()
      for (const { who, to, from } of all) {
        woken.clear()
        line.move(standing[who]!, to)
        for (const one of woken) waiting.delete(one)
        for (const [at, behind] of waiting) if (behind.at >= at) return false
        for (let at = 0; at <= 21; at++) {
          const before = standing.filter(one => one.at < at && one.until >= from)
          const nearest = Math.max(...before.map(one => one.at))
          const found = line.before(at, from)
          if (before.length === 0 ? found !== undefined : found?.at !== nearest) return false
          if (!found || waiting.has(at)) continue
          found.keeps({ at, advance() {} } as { at: number; advance(): void }, at)
          waiting.set(at, found)
        }
      }
      return true
    })
  )
  t.end()
})

t.test('who waits for a place that the client comes to is told once, unless it has left', async t => {
  const told: number[] = []
  const patience = new Patience()
  const all = [5, 3, 9, 3].map((at, i) => ({ at, reached: () => void told.push(i) }))
  for (const one of all) patience.wait(one, one.at)
  patience.leave(all[3]!)
  patience.reached(2)
  t.same(told, [])
  patience.reached(5)
  t.same(told, [1, 0])
  patience.reached(100)
  patience.reached(100)
  t.same(told, [1, 0, 2])
})
