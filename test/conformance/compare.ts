/** What was lost on the way: the checks of a run through a relay against those of a direct one. No I/O. */

export const REVISIONS = ['2025-03-26', '2025-06-18', '2025-11-25', '2026-07-28'] as const
export type Revision = (typeof REVISIONS)[number]

export type Status = 'SUCCESS' | 'FAILURE' | 'WARNING' | 'SKIPPED' | 'INFO'

export interface Check {
  readonly scenario: string
  readonly id: string
  readonly name: string
  readonly status: Status
  /** The suite's own words. */
  readonly message?: string
}

export interface Run {
  readonly scenarios: readonly string[]
  readonly checks: readonly Check[]
  /** Why the run itself came to no good end. */
  readonly problem?: string
}

/** A difference that lies in what stands behind, such as a pipe without event ids; never one that is merely inconvenient. */
export interface ExpectedDifference {
  readonly target: string
  readonly revision: Revision
  readonly scenario: string
  readonly id: string
  /** What the check is through the relay; `absent`: not made. A FAILURE is never expected. */
  readonly through: 'INFO' | 'WARNING' | 'SKIPPED' | 'absent'
  readonly reason: string
}

export interface Floor {
  readonly scenarios: number
  readonly checks: number
  readonly own: number
}

export interface Loss {
  /** `scenario > id (name)`, with `#2` and so on where a scenario makes the same check again. */
  readonly check: string
  readonly direct: Status | 'absent'
  readonly through: Status | 'absent'
  readonly message?: string
}

export interface Comparison {
  readonly lost: readonly Loss[]
  readonly excused: readonly Loss[]
  /** Expected differences that were none: to be deleted. */
  readonly stale: readonly ExpectedDifference[]
}

/** Lost is what succeeded directly and does not through the relay, and what fails there and did not directly. */
export function compare(direct: Run, through: Run, expected: readonly ExpectedDifference[] = []): Comparison {
  const [before, after] = [byKey(direct.checks), byKey(through.checks)]
  const lost: Loss[] = []
  const excused: Loss[] = []
  const used = new Set<ExpectedDifference>()
  for (const key of new Set([...before.keys(), ...after.keys()])) {
    const [was, is] = [before.get(key), after.get(key)]
    if (!isLoss(was?.status, is?.status)) continue
    const loss: Loss = {
      check: key,
      direct: was?.status ?? 'absent',
      through: is?.status ?? 'absent',
      ...(is?.message !== undefined && { message: is.message })
    }
    const { scenario, id } = (was ?? is)!
    const reason = expected.find(e => e.scenario === scenario && e.id === id && e.through === loss.through)
    if (reason) used.add(reason)
    ;(reason ? excused : lost).push(loss)
  }
  if (through.problem !== undefined) {
    lost.push({ check: 'the run itself', direct: 'SUCCESS', through: 'FAILURE', message: through.problem })
  }
  return { lost, excused, stale: expected.filter(e => !used.has(e)) }
}

/** What a direct run falls short of, in sentences; empty if it may serve as a measure. */
export function belowFloor(suite: Run, own: Run, floor: Floor): string[] {
  const failed = [...suite.checks, ...own.checks].filter(check => check.status === 'FAILURE')
  return [
    ...[suite, own].flatMap(run => run.problem ?? []),
    ...failed.map(check => `fails directly: ${nameOf(check)}: ${check.message ?? 'no message'}`),
    ...short('scenarios', suite.scenarios.length, floor.scenarios),
    ...short('successful checks', successes(suite), floor.checks),
    ...short('successful checks of our own', successes(own), floor.own)
  ]
}

/** Floors that could be higher, in sentences. */
export function aboveFloor(suite: Run, own: Run, floor: Floor): string[] {
  const counts: [keyof Floor, number][] = [
    ['scenarios', suite.scenarios.length],
    ['checks', successes(suite)],
    ['own', successes(own)]
  ]
  return counts.filter(([key, n]) => n > floor[key]).map(([key, n]) => `${key}: raise ${floor[key]} to ${n}`)
}

export function successes(run: Run): number {
  return run.checks.filter(check => check.status === 'SUCCESS').length
}

function isLoss(was: Status | undefined, is: Status | undefined): boolean {
  return (was === 'SUCCESS' && is !== 'SUCCESS') || (is === 'FAILURE' && was !== 'FAILURE')
}

/** Equal checks of a scenario are told apart by their turn: a loop makes them in the same order each time. */
function byKey(checks: readonly Check[]): Map<string, Check> {
  const keyed = new Map<string, Check>()
  for (const check of checks) {
    const name = nameOf(check)
    let key = name
    for (let turn = 2; keyed.has(key); turn++) key = `${name} #${turn}`
    keyed.set(key, check)
  }
  return keyed
}

function nameOf({ scenario, id, name }: Check): string {
  return `${scenario} > ${id} (${name})`
}

function short(what: string, got: number, floor: number): string[] {
  return got < floor ? [`${got} ${what}, where ${floor} are known to be possible`] : []
}
