/** One pass of the gate: each revision directly and through what stands in front, and what was lost in between. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  aboveFloor,
  belowFloor,
  type Comparison,
  compare,
  type ExpectedDifference,
  type Floor,
  type Revision,
  type Run,
  successes
} from './compare.ts'
import { runOwnChecks } from './own-checks.ts'
import { runSuite } from './suite.ts'
import { direct, type OpenTarget, type Target } from './targets.ts'

export interface GateOptions {
  readonly signal?: AbortSignal
  /** Folder for the suite's own results. */
  readonly keep?: string
  /** For each scenario of the suite. */
  readonly timeoutMs?: number
  /** Only this scenario of the suite. */
  readonly scenario?: string
}

export interface Measured {
  readonly suite: Run
  readonly own: Run
  readonly seconds: number
}

export interface Row extends Comparison {
  readonly revision: Revision
  readonly target: string
  readonly scenarios: number
  readonly successes: number
  readonly own: number
  readonly seconds: number
}

export interface RevisionResult {
  readonly rows: readonly Row[]
  /** Why the direct run is no measure; then nothing can be said of what was lost. */
  readonly below: readonly string[]
  readonly above: readonly string[]
}

export const FLOORS = readJson<Record<Revision, Floor>>('floors.json')
export const EXPECTED = readJson<ExpectedDifference[]>('expected-differences.json')

/** Has the suite and our own checks look at it, each with a server of its own. */
export async function measure(open: OpenTarget, revision: Revision, options: GateOptions = {}): Promise<Measured> {
  const start = performance.now()
  options.signal?.throwIfAborted()
  const suite = await using(open, url => runSuite(url, revision, options))
  const own = await using(open, url => runOwnChecks(url, revision, options.signal))
  return { suite, own, seconds: (performance.now() - start) / 1_000 }
}

/** `targets` by name; the runs go through `pool`, which bounds how many there are at a time. */
export async function gateRevision(
  revision: Revision,
  targets: Readonly<Record<string, OpenTarget>>,
  pool: Pool,
  options: GateOptions = {}
): Promise<RevisionResult> {
  const run = (name: string, open: OpenTarget) =>
    pool.run(() => measure(open, revision, { ...options, keep: options.keep && join(options.keep, revision, name) }))
  const names = Object.keys(targets)
  const through = names.map(name => run(name, targets[name]!))
  const runs = await settleAll([run('direct', direct), ...through])
  const [base, ...measured] = runs as [Measured, ...Measured[]]
  const floor = FLOORS[revision]
  return {
    below: belowFloor(base.suite, base.own, floor),
    above: aboveFloor(base.suite, base.own, floor),
    rows: [
      rowOf(revision, 'direct', base, { lost: [], excused: [], stale: [] }),
      ...measured.map((through, i) =>
        rowOf(revision, names[i]!, through, compareMeasured(base, through, revision, names[i]!))
      )
    ]
  }
}

export function compareMeasured(base: Measured, through: Measured, revision: Revision, target: string): Comparison {
  // What a pipe behind cannot have, it cannot have behind a reverse proxy either, nor behind several.
  const name = target.replace(/^(?:reverse|cluster)-(?=stdio$)/, '')
  const expected = EXPECTED.filter(e => e.revision === revision && e.target === name)
  return compare(together(base), together(through), expected)
}

/** Runs at most `width` tasks at a time, in the order they came. */
export class Pool {
  readonly #waiting: (() => void)[] = []
  #free: number

  constructor(width: number) {
    this.#free = width
  }

  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>(resolve => this.#waiting.push(resolve))
    try {
      return await task()
    } finally {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#free++
    }
  }
}

/** As Promise.all, but what still runs after a failure is awaited, so that nothing is left behind. */
export async function settleAll<T>(tasks: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(tasks)
  return Promise.all(tasks)
}

async function using<T>(open: OpenTarget, use: (url: string) => Promise<T>): Promise<T> {
  const target: Target = await open()
  try {
    return await use(target.url)
  } finally {
    await target.close()
  }
}

function together({ suite, own }: Measured): Run {
  const problem = suite.problem ?? own.problem
  return {
    scenarios: [...suite.scenarios, ...own.scenarios],
    checks: [...suite.checks, ...own.checks],
    ...(problem !== undefined && { problem })
  }
}

export function rowOf(revision: Revision, target: string, { suite, own, seconds }: Measured, found: Comparison): Row {
  const counts = { scenarios: suite.scenarios.length, successes: successes(suite), own: successes(own) }
  return { revision, target, ...counts, seconds, ...found }
}

function readJson<T>(name: string): T {
  return JSON.parse(readFileSync(join(import.meta.dirname, name), 'utf8')) as T
}
