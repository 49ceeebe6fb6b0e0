import t from 'tap'
import { trackLeaks } from '../helpers/leaks.ts'
import {
  aboveFloor,
  belowFloor,
  type Check,
  compare,
  type ExpectedDifference,
  REVISIONS,
  type Run,
  type Status
} from './compare.ts'
import { compareMeasured, EXPECTED, FLOORS, gateRevision, measure, Pool } from './gate.ts'
import { MUTATIONS } from './mutants/mutations.ts'
import { faultsOf, tableOf } from './report.ts'
import { gateTaped, TAPED } from './taped.ts'
import { direct, mutant, THROUGH } from './targets.ts'

const REVISION = '2025-03-26'

function run(...checks: [id: string, status: Status, message?: string][]): Run {
  const all: Check[] = checks.map(([id, status, message]) => ({ scenario: 's', id, name: 'N', status, message }))
  return { scenarios: ['s'], checks: all }
}

t.test('what succeeded directly and does not through a relay is lost, with the words of the suite', async t => {
  const through = run(['a', 'FAILURE', 'it broke'], ['b', 'WARNING'], ['d', 'SUCCESS'])
  const { lost } = compare(run(['a', 'SUCCESS'], ['b', 'SUCCESS'], ['c', 'SUCCESS'], ['d', 'SUCCESS']), through)
  t.strictSame(lost, [
    { check: 's > a (N)', direct: 'SUCCESS', through: 'FAILURE', message: 'it broke' },
    { check: 's > b (N)', direct: 'SUCCESS', through: 'WARNING' },
    { check: 's > c (N)', direct: 'SUCCESS', through: 'absent' }
  ])
})

t.test(
  'a failure that was none directly is lost too, as scenarios that give up make checks of another name',
  async t => {
    const { lost } = compare(run(['a', 'WARNING']), run(['a', 'FAILURE'], ['gave-up', 'FAILURE', 'no answer']))
    t.strictSame(
      lost.map(loss => [loss.check, loss.direct]),
      [
        ['s > a (N)', 'WARNING'],
        ['s > gave-up (N)', 'absent']
      ]
    )
  }
)

t.test('what was no success directly, or is better through the relay, is not lost', async t => {
  const before = run(['a', 'INFO'], ['b', 'SKIPPED'], ['c', 'WARNING'], ['d', 'FAILURE'])
  const { lost } = compare(before, run(['a', 'SUCCESS'], ['c', 'SKIPPED'], ['d', 'FAILURE'], ['e', 'INFO']))
  t.strictSame(lost, [])
})

t.test('checks of the same name are compared turn by turn', async t => {
  const before = run(['a', 'SUCCESS'], ['a', 'SUCCESS'], ['a', 'SUCCESS'])
  t.strictSame(
    compare(before, run(['a', 'SUCCESS'], ['a', 'FAILURE'])).lost.map(({ check, through }) => [check, through]),
    [
      ['s > a (N) #2', 'FAILURE'],
      ['s > a (N) #3', 'absent']
    ]
  )
})

t.test('an expected difference excuses itself only, and is stale once it is none', async t => {
  const expected: ExpectedDifference = {
    target: 'stdio',
    revision: REVISION,
    scenario: 's',
    id: 'a',
    through: 'INFO',
    reason: 'a reason'
  }
  const before = run(['a', 'SUCCESS'], ['b', 'SUCCESS'])
  const excused = compare(before, run(['a', 'INFO'], ['b', 'INFO']), [expected])
  t.strictSame([excused.lost.length, excused.excused.length, excused.stale.length], [1, 1, 0])
  const worse = compare(before, run(['a', 'FAILURE'], ['b', 'SUCCESS']), [expected])
  t.strictSame([worse.lost.length, worse.excused.length, worse.stale.length], [1, 0, 1])
  t.strictSame(compare(before, before, [expected]).stale, [expected])
})

t.test('a suite that came to no end has lost, whatever it found', async t => {
  const { lost } = compare(run(['a', 'SUCCESS']), { ...run(['a', 'SUCCESS']), problem: 'it hung' })
  t.match(lost, [{ check: 'the run itself', message: 'it hung' }])
})

t.test('a direct run below the floor is no measure, and one above it is told', async t => {
  const floor = { scenarios: 1, checks: 2, own: 1 }
  const good = run(['a', 'SUCCESS'], ['b', 'SUCCESS'])
  const own = run(['o', 'SUCCESS'])
  t.strictSame(belowFloor(good, own, floor), [])
  t.match(belowFloor({ ...good, scenarios: [] }, own, floor), [/^0 scenarios, where 1/])
  t.match(belowFloor(run(['a', 'SUCCESS']), own, floor), [/^1 successful checks, where 2/])
  t.match(belowFloor(good, run(), floor), [/of our own/])
  t.match(belowFloor(run(['x', 'FAILURE', 'why'], ['a', 'SUCCESS'], ['b', 'SUCCESS']), own, floor), [
    /fails directly: s > x \(N\): why/
  ])
  t.match(belowFloor({ ...good, problem: 'it hung' }, own, floor), ['it hung'])
  t.match(aboveFloor(run(['a', 'SUCCESS'], ['b', 'SUCCESS'], ['c', 'SUCCESS']), own, floor), [/raise 2 to 3/])
})

t.test('floors and expected differences are what they have to be', async t => {
  t.strictSame(Object.keys(FLOORS), [...REVISIONS])
  t.strictSame(
    REVISIONS.map(revision => FLOORS[revision].scenarios),
    [1, 27, 33, 40]
  )
  for (const difference of EXPECTED) {
    t.ok(difference.target in THROUGH || difference.target in TAPED, difference.target)
    t.ok((REVISIONS as readonly string[]).includes(difference.revision), difference.revision)
    t.ok(['INFO', 'WARNING', 'SKIPPED', 'absent'].includes(difference.through), 'a failure is never expected')
    t.ok(difference.reason.length > 20, `a reason for ${difference.id}`)
  }
})

t.test('the pool runs so many at a time, and goes on after a failure', async t => {
  const pool = new Pool(2)
  let [now, most] = [0, 0]
  const task = async (fails: boolean) => {
    most = Math.max(most, ++now)
    await new Promise(resolve => setImmediate(resolve))
    now--
    if (fails) throw new Error('as asked')
  }
  const results = await Promise.allSettled([true, false, true, false, false].map(fails => pool.run(() => task(fails))))
  t.strictSame([most, results.filter(({ status }) => status === 'fulfilled').length], [2, 3])
})

t.test('a real run: nothing is lost through catflap', { timeout: 60_000 }, async t => {
  trackLeaks(t)
  const result = await gateRevision(REVISION, { http: THROUGH.http! }, new Pool(2))
  t.strictSame(faultsOf(result), [])
  t.strictSame(
    result.rows.map(({ target, scenarios }) => [target, scenarios]),
    [
      ['direct', 1],
      ['http', 1]
    ]
  )
  t.match(tableOf(result.rows), /2025-03-26 {2}http +1 +3 /)
})

t.test(
  'real runs from the tape, of either era and recorded on either wire: nothing is lost',
  { timeout: 180_000 },
  async t => {
    trackLeaks(t)
    const pool = new Pool(2)
    const runs = [
      ['2025-11-25', 'replay'],
      ['2026-07-28', 'replay-stdio']
    ] as const
    const rows = await Promise.all(runs.map(([revision, name]) => pool.run(() => gateTaped(revision, name))))
    for (const row of rows) {
      const { scenarios, checks } = FLOORS[row.revision]
      t.strictSame(faultsOf({ rows: [row], below: [], above: [] }), [])
      t.equal(row.scenarios, scenarios)
      t.ok(row.successes + row.excused.length >= checks, `${row.successes} of ${checks} checks`)
    }
  }
)

t.test('a real mutant is caught, by the suite and by our own checks', { timeout: 60_000 }, async t => {
  trackLeaks(t)
  const base = await measure(direct, REVISION)
  const caught = async (name: string) => {
    const mutation = MUTATIONS.find(m => m.name === name)!
    const { lost } = compareMeasured(base, await measure(mutant(mutation), REVISION), REVISION, name)
    return lost.map(loss => loss.check)
  }
  t.ok(
    (await caught('swallow-delete')).includes(
      'server-session-lifecycle > server-session-terminated-returns-404 (SessionTerminatedReturns404)'
    )
  )
  t.ok((await caught('ids-as-strings')).includes('own > ids-keep-their-type (own)'))
})
