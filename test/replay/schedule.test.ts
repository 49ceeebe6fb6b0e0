/** One timer for all that waits, and sequences on it. */
import fc from 'fast-check'
import t from 'tap'
import { Line, Standing } from '../../src/replay/line.ts'
import { Schedule, type Timed } from '../../src/replay/schedule.ts'
import { type Cue, Sequence, type Stage, type Waiting } from '../../src/replay/sequence.ts'
import { trackLeaks } from '../helpers/leaks.ts'

t.test(
  'whatever is due comes in order, what was added first before what is due at the same time, and what was taken away never',
  async t => {
    trackLeaks(t)
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ due: fc.integer({ min: 0, max: 8 }), removed: fc.boolean() }), { maxLength: 30 }),
        async planned => {
          const schedule = new Schedule()
          const base = performance.now()
          const came: number[] = []
          let last: () => void = () => {}
          const over = new Promise<void>(resolve => {
            last = resolve
          })
          const all = planned.map(({ due }, i): Timed & { at: number } => ({
            at: base + due,
            due: undefined,
            onTime() {
              if (performance.now() < this.at) throw new Error('too early')
              came.push(i)
            }
          }))
          for (const one of all) schedule.add(one, one.at)
          for (const [i, { removed }] of planned.entries()) if (removed) schedule.remove(all[i]!)
          schedule.add({ due: undefined, onTime: last }, base + 9)
          await over
          const expected = planned
            .map(({ due, removed }, i) => ({ due, removed, i }))
            .filter(one => !one.removed)
            .sort((a, b) => a.due - b.due || a.i - b.i)
          t.same(
            came,
            expected.map(one => one.i)
          )
        }
      ),
      { numRuns: 30 }
    )
  }
)

class TestStage implements Stage {
  readonly schedule = new Schedule()
  readonly speed: number
  readonly place = 0
  paused = false
  readonly #waiting = new Set<Waiting>()
  readonly #line = new Line(one => void this.#waiting.add(one))
  readonly #held = new Standing()

  constructor(speed = Number.POSITIVE_INFINITY) {
    this.speed = speed
  }

  /** What came before this order on the tape has not come yet. */
  set heldFrom(order: number) {
    this.#line.move(this.#held, order - 1)
  }

  rests(one: Waiting): boolean {
    if (this.paused) this.#waiting.add(one)
    return this.paused
  }

  ahead(order: number): Standing | undefined {
    return this.#line.before(order)
  }

  wait(): void {}
  leave(): void {}

  /** So many waited. */
  goOn(): number {
    const all = [...this.#waiting]
    this.#waiting.clear()
    for (const one of all) one.advance()
    return all.length
  }
}

const cues = (...at: number[]): Cue[] => at.map((time, order) => ({ at: time, order }))

async function toEnd(stage: TestStage, all: readonly Cue[], from = 0): Promise<{ orders: number[]; times: number[] }> {
  const orders: number[] = []
  const times: number[] = []
  const began = performance.now()
  await new Promise<void>(resolve => {
    const tell = ({ order }: Cue): void => {
      orders.push(order)
      times.push(performance.now() - began)
    }
    new Sequence(stage, all, from, { tell, done: resolve }).advance()
  })
  return { orders, times }
}

t.test('instant: in order, without pauses, however long they were', async t => {
  trackLeaks(t)
  const { orders, times } = await toEnd(new TestStage(), cues(0, 3_600_000, 7_200_000))
  t.same(orders, [0, 1, 2])
  t.ok(times[2]! < 5_000)
})

t.test('real: no earlier than recorded, counted from the request', async t => {
  trackLeaks(t)
  const { orders, times } = await toEnd(new TestStage(1), cues(1_000_020, 1_000_060), 1_000_000)
  t.same(orders, [0, 1])
  t.ok(times[0]! >= 19 && times[1]! >= 59, String(times))
  t.ok(times[1]! < 5_000)
})

t.test('faster and slower', async t => {
  trackLeaks(t)
  const fast = await toEnd(new TestStage(100), cues(2_000))
  t.ok(fast.times[0]! >= 19 && fast.times[0]! < 1_500, String(fast.times))
  const slow = await toEnd(new TestStage(0.5), cues(20))
  t.ok(slow.times[0]! >= 39, String(slow.times))
})

t.test('what is held goes on when it may, and a pause holds all', async t => {
  trackLeaks(t)
  const stage = new TestStage()
  stage.heldFrom = 1
  const told: number[] = []
  const done = new Promise<void>(resolve => {
    const all = cues(0, 0, 0)
    new Sequence(stage, all, 0, { tell: ({ order }) => void told.push(order), done: resolve }).advance()
  })
  // Each is told in a turn of its own.
  await new Promise(resolve => setImmediate(() => setImmediate(resolve)))
  t.same(told, [0])
  stage.paused = true
  stage.heldFrom = Number.POSITIVE_INFINITY
  t.equal(stage.goOn(), 1)
  t.same(told, [0])
  stage.paused = false
  t.equal(stage.goOn(), 1)
  await done
  t.same(told, [0, 1, 2])
  t.equal(stage.goOn(), 0)
})

t.test('what is stopped says nothing more, and leaves nothing', async t => {
  trackLeaks(t)
  const stage = new TestStage(1)
  const told: number[] = []
  const sequence: Sequence<Cue> = new Sequence(stage, cues(0, 100_000), 0, {
    tell: ({ order }) => void told.push(order),
    done: () => t.fail('it was stopped')
  })
  sequence.advance()
  await new Promise(resolve => setImmediate(() => setImmediate(resolve)))
  t.same(told, [0])
  sequence.stop()
  sequence.advance()
  t.same(told, [0])
})
