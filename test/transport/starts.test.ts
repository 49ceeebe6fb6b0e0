import t from 'tap'
import { CatflapError } from '../../src/errors.ts'
import { Starts } from '../../src/transport/upstream/starts.ts'

const end = (n: number) =>
  new CatflapError('child_exited', `end ${n}`, { data: { target: 'x', exitCode: n, stderr: ['l'] } })

const clock = { now: 1_000 }

function failing(times: number): Starts {
  const starts = new Starts('x', () => clock.now)
  for (let n = 1; n <= times; n++) {
    starts.begun()
    starts.failed(clock.now + 1, end(n))
  }
  return starts
}

t.test('pauses double', async t => {
  const pauses = [1, 2, 3, 4].map(n => failing(n).pause)
  t.same(pauses, [100, 200, 400, 800])
  t.equal(failing(0).pause, 0)
  t.equal(failing(4).refusal, undefined)
})

t.test('after five in a row nothing is started for a while, and calls are told why', async t => {
  const starts = failing(5)
  t.match(starts.parked, { reason: 'end 5' })
  const { code, status, message, data } = starts.refusal!
  t.same([code, status], ['command_parked', 503])
  t.match(message, /5 times.*end 5/)
  t.match(data, { retryAfter: 2, exitCode: 5, stderr: ['l'] })
  t.same(
    [60, 2_000].map(n => failing(n).pause),
    [30_000, 30_000]
  )
})

t.test('one that answers ends all that', async t => {
  const starts = failing(9)
  starts.worked()
  t.same([starts.pause, starts.parked, starts.refusal], [0, undefined, undefined])
})

t.test('several that were started together and end together count as one', async t => {
  const starts = new Starts('x', () => clock.now)
  const at = clock.now
  for (let n = 0; n < 20; n++) starts.failed(at, end(n))
  t.equal(starts.refusal, undefined)
  t.ok(starts.pause <= 100)
})

t.test('while it is parked there is one start after each pause', async t => {
  const starts = failing(5)
  clock.now += 1_600
  t.equal(starts.parked, undefined)
  starts.begun()
  t.ok(starts.parked)
  clock.now += 1_600
  t.equal(starts.refusal, undefined)
  starts.begun()
  starts.failed(clock.now, end(6))
  t.equal(starts.pause, 3_200)
})
