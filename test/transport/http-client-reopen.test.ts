/** How long a stream that has ended stays closed. */
import t from 'tap'
import { mayComeBack } from '../../src/transport/upstream/http-client-listen.ts'
import { Reopening } from '../../src/transport/upstream/http-client-reopen.ts'

const delays = { first: 1_000, max: 30_000 }
const waits = (r: Reopening, n: number) => Array.from({ length: n }, () => r.delay())

t.test('it grows while nothing comes, up to a limit, and begins anew when something does', async t => {
  const reopening = new Reopening(delays)
  t.same(waits(reopening, 8), [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000])
  reopening.cursor.events++
  t.same(waits(reopening, 3), [1_000, 1_000, 2_000])
})

t.test('what the server asks for counts, from almost nothing to almost for ever', async t => {
  const reopening = new Reopening(delays)
  const asked = (retry: number) => {
    reopening.cursor.retry = retry
    reopening.cursor.events++
    return reopening.delay()
  }
  t.equal(asked(250), 250)
  t.equal(asked(0), 10, 'but not in a loop')
  t.equal(asked(60_000), 60_000)
  t.equal(asked(1e15), 2 ** 31 - 1, 'and not more than a timer can wait')
  t.equal(reopening.delay(), 2 ** 31 - 1)
  reopening.cursor.retry = 60_000
  t.equal(reopening.delay(), 60_000, 'it does not grow beyond what was asked')
})

t.test('a silent stream that stood for long is no failure', async t => {
  const reopening = new Reopening({ first: 1, max: 0 })
  const stand = () => {
    reopening.opened()
    for (const since = performance.now(); performance.now() === since; );
  }
  const counts: number[] = []
  for (const stood of [false, false, true, false]) {
    if (stood) stand()
    counts.push(reopening.later(() => {}))
    reopening.stop()
  }
  t.same(counts, [1, 2, 0, 1])
})

t.test('which statuses mean that there is no stream, and which that there is none now', async t => {
  const statuses = [302, 400, 401, 403, 404, 405, 408, 409, 410, 429, 500, 501, 502, 503, 504]
  t.same(statuses.filter(mayComeBack), [408, 409, 429, 500, 502, 503, 504])
})
