/** Numbers in columns, sets of numbers, and keys in tables: what goes in comes out. */
import fc from 'fast-check'
import t from 'tap'
import { Bits } from '../../src/replay/bits.ts'
import { BucketsBuilder } from '../../src/replay/buckets.ts'
import { uint16s, uint32s } from '../../src/replay/column.ts'
import { KeyTable } from '../../src/replay/key-table.ts'
import { NearColumn } from '../../src/replay/near-column.ts'

/** Digests that begin at one place, at few, or at the last, behind which the table begins again. */
const CROWDED = [() => 0, (digest: Buffer) => digest[0]! & 1, () => -1, undefined]

t.test('keys are told apart however many of them share a place in the table', async () => {
  const keys = fc.array(fc.oneof(fc.string({ maxLength: 2 }), fc.nat(200).map(String)), { maxLength: 400 })
  for (const slotOf of CROWDED)
    fc.assert(
      fc.property(keys, fc.array(fc.string({ maxLength: 3 })), (keys, others) => {
        const table = new KeyTable(slotOf && { slotOf })
        const numbers = new Map<string, number>()
        for (const key of keys) {
          if (!numbers.has(key)) numbers.set(key, numbers.size)
          if (table.add(key) !== numbers.get(key)) return false
        }
        return table.size === numbers.size && [...keys, ...others].every(key => table.get(key) === numbers.get(key))
      }),
      { numRuns: 40 }
    )
})

t.test('a request whose key falls in with others finds its own recordings, and none where it has none', async () => {
  for (const slotOf of CROWDED)
    fc.assert(
      fc.property(
        fc.array(fc.record({ key: fc.nat(8), other: fc.option(fc.nat(4)), none: fc.boolean() }), { maxLength: 300 }),
        requests => {
          const builder = new BucketsBuilder(new KeyTable(slotOf && { slotOf }))
          const expected = new Map<string, number[]>()
          const expect = (key: string, position: number): void => {
            expected.set(key, [...(expected.get(key) ?? []), position])
          }
          for (const [position, { key, other, none }] of requests.entries()) {
            if (none) continue
            builder.put(`k${key}`, position)
            expect(`k${key}`, position)
            if (other === null) continue
            builder.putAlternative(`o${other}`, position)
            expect(`o${other}`, position)
          }
          const buckets = builder.build(requests.length, true)
          for (const key of ['k0', 'k1', 'k8', 'o0', 'o4', 'nothing', ...expected.keys()]) {
            const found = buckets.get(key)?.positions
            if (JSON.stringify(found && [...found]) !== JSON.stringify(expected.get(key))) return false
          }
          return requests.every(({ key, none }, i) => buckets.keyAt(i) === (none ? undefined : buckets.idOf(`k${key}`)))
        }
      ),
      { numRuns: 60 }
    )
})

t.test('numbers come back exactly, in whatever order and however far apart', async t => {
  const times = fc.oneof(
    fc.nat(10_000_000).map(us => us / 1000),
    fc.double({ noNaN: true }),
    fc.constantFrom(0, -1, 1e15, 2 ** 32 / 1000, Number.MAX_SAFE_INTEGER, 1e300)
  )
  fc.assert(
    fc.property(fc.array(times, { maxLength: 300 }), fc.constantFrom(1, 1000), (numbers, perUnit) => {
      const column = new NearColumn(perUnit)
      for (const [i, number] of numbers.entries()) column.set(i, number)
      return numbers.every((number, i) => column.get(i) === number)
    })
  )
  const near = new NearColumn(1000)
  const whole = uint32s()
  const small = uint16s()
  const bits = new Bits()
  for (let i = 0; i < 60_000; i++) {
    near.set(i, (i * 137) / 1000)
    whole.set(i, 2 ** 32 - 1 - i)
    small.set(i, i)
    if (i % 3 === 0) bits.add(i)
  }
  let wrong = 0
  for (let i = 0; i < 60_000; i++)
    if (
      near.get(i) !== (i * 137) / 1000 ||
      whole.get(i) !== 2 ** 32 - 1 - i ||
      small.get(i) !== i ||
      bits.has(i) !== (i % 3 === 0)
    )
      wrong++
  t.equal(wrong, 0)
  t.equal(bits.size, 20_000)
  t.equal(uint32s().get(1_000_000), 0, 'what was never set')
})
