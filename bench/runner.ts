/**
 * One scenario with all its peers: they run side by side and are loaded in turn, in another order each round, so that whatever
 * else the machine does meets all of them.
 */
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { Owner, reasonOf, within } from './owner.ts'
import type { Peer, PeerKind } from './peers/peer.ts'
import { NotInstalled } from './peers/process.ts'
import type { Plan } from './plan.ts'
import type { PeerResult, Round, ScenarioResult } from './report/results.ts'
import type { Context, Load, Scenario, Server } from './scenarios/scenario.ts'

export interface RunnerOptions {
  readonly plan: Plan
  readonly kinds: readonly PeerKind[]
  /** Only these, if given. */
  readonly peers?: readonly string[]
  readonly folder: string
  /** Of the run: ends this scenario too if the run is stopped. */
  readonly owner: Owner
  /** When the run began, by `performance.now()`. */
  readonly startedAt: number
  readonly say: (text: string) => void
  /** What there is after each round. */
  readonly save: (soFar: ScenarioResult) => Promise<void>
}

interface Entry {
  readonly kind: PeerKind
  readonly rounds: Round[]
  load?: Load
  peer?: Peer
  failed?: string
  skipped?: string
}

/** What the steps of a scenario share. */
interface Course {
  readonly scenario: Scenario
  readonly entries: readonly Entry[]
  readonly context: Context
  readonly options: RunnerOptions
}

export async function runScenario(scenario: Scenario, options: RunnerOptions): Promise<ScenarioResult> {
  const { plan, say } = options
  if (options.owner.ended) throw new Error('stopped')
  const owner = new Owner()
  options.owner.add(() => owner.end())
  const folder = path.join(options.folder, scenario.name)
  await mkdir(folder, { recursive: true })
  const course = { scenario, entries: await entriesOf(scenario, options), context: { plan, folder, owner }, options }
  const standing = course.entries.filter(stands)
  try {
    if (standing.length > 0) {
      const server = await scenario.server(course.context)
      await (scenario.fresh ? freshRounds(course, server) : sharedRounds(course, server))
    }
  } catch (error) {
    // Without a server nobody can be measured.
    for (const entry of standing) fail(entry, error, 'the server behind: ')
  } finally {
    const failures = await owner.end()
    if (failures.length > 0) say(` (${failures.join('; ')})`)
  }
  return resultOf(course)
}

function resultOf({ scenario, entries, options }: Course): ScenarioResult {
  const { name, title, says, metrics, notes, base } = scenario
  const results = entries.map(
    ({ kind, rounds, failed, skipped }): PeerResult => ({ peer: kind.name, rounds, failed, skipped })
  )
  return { name, title, says, metrics, notes, base, curve: scenario.curve?.(options.plan), results }
}

function stands(entry: Entry): boolean {
  return entry.failed === undefined && entry.skipped === undefined
}

/** Who takes part, whether it is there or not. */
export function takingPart(
  scenario: Scenario,
  { kinds, peers }: Pick<RunnerOptions, 'kinds' | 'peers'>
): readonly PeerKind[] {
  return kinds.filter(({ name: own, twinOf, only }) => {
    const name = twinOf ?? own
    if (peers && !peers.includes(name)) return false
    return scenario.peers ? scenario.peers.includes(name) : (only?.includes(scenario.name) ?? true)
  })
}

async function entriesOf(scenario: Scenario, options: RunnerOptions): Promise<Entry[]> {
  const entries: Entry[] = []
  for (const kind of takingPart(scenario, options)) {
    const skipped = await whyNot(kind, scenario)
    entries.push({ kind, rounds: [], ...(skipped !== undefined && { skipped }) })
  }
  return entries
}

async function whyNot(kind: PeerKind, { front }: Scenario): Promise<string | undefined> {
  if (!kind.fronts.includes(front))
    return front === 'http' ? 'cannot stand in front of a server over HTTP' : 'cannot stand in front of a stdio server'
  return kind.unable?.()
}

/**
 * Each round begins with another peer, and every second one goes backwards: nobody is always the first, nor always after the
 * same.
 */
export function orderOf<T>(all: readonly T[], round: number, rounds: number): T[] {
  const first = (round * Math.max(1, Math.floor(all.length / rounds))) % all.length
  const turned = [...all.slice(first), ...all.slice(0, first)]
  return round % 2 === 0 ? turned : [...turned.slice(0, 1), ...turned.slice(1).toReversed()]
}

/** Notes why an entry failed, and lets the others go on, without it. */
async function attempt({ context, options }: Course, entry: Entry, work: () => Promise<void>): Promise<void> {
  const { owner, plan } = context
  if (!stands(entry) || owner.ended) return
  try {
    await within(plan.patience, 'this step', work())
  } catch (error) {
    // What fails because everything is being ended is no failure.
    if (options.owner.ended) return
    fail(entry, error)
    await entry.peer?.stop()
  }
}

function fail(entry: Entry, error: unknown, what = ''): void {
  if (error instanceof NotInstalled) entry.skipped = error.message
  else entry.failed = `${what}${reasonOf(error)}`
}

function noteRound(entry: Entry, round: Round, { options }: Course): void {
  const at = Math.round((performance.now() - options.startedAt) / 100) / 10
  entry.rounds.push({ ...round, at })
}

async function roundDone(round: number, course: Course): Promise<void> {
  course.options.say(` ${round + 1}`)
  await course.options.save(resultOf(course))
}

async function open(entry: Entry, server: Server, { scenario, context }: Course): Promise<void> {
  const { kind } = entry
  const own = path.join(context.folder, kind.name.replaceAll('/', '_'))
  const peer = kind.name === 'direct' && server.direct ? server.direct : await kind.start(server.target, own)
  context.owner.add(() => peer.stop())
  entry.peer = peer
  entry.load = await scenario.open(peer, kind, context)
}

async function sharedRounds(course: Course, server: Server): Promise<void> {
  const { entries, context } = course
  const each = async (work: (entry: Entry) => unknown): Promise<void> => {
    for (const entry of entries) await attempt(course, entry, async () => void (await work(entry)))
  }
  await Promise.all(entries.map(entry => attempt(course, entry, () => open(entry, server, course))))
  for (const entry of entries) {
    await quiet(entries)
    await attempt(course, entry, async () => entry.load?.warm?.())
  }
  const { rounds } = context.plan
  for (let i = 0; i < rounds; i++) {
    for (const entry of orderOf(entries.filter(stands), i, rounds)) {
      await quiet(entries)
      await attempt(course, entry, async () => noteRound(entry, await entry.load!.round(), course))
    }
    await roundDone(i, course)
  }
  await each(entry => entry.load?.check?.())
  await Promise.all(entries.map(entry => attempt(course, entry, async () => entry.peer?.stop())))
  await each(entry => entry.load?.afterwards?.())
}

/** What a load has left behind (processes that are still starting …) is not charged to whoever is next. */
async function quiet(entries: readonly Entry[]): Promise<void> {
  const used = (): number => entries.reduce((sum, { peer }) => sum + (peer?.cpu() ?? 0), 0)
  const until = performance.now() + LONGEST_WAIT
  for (let before = used(); performance.now() < until; ) {
    await setTimeout(LOOK)
    const after = used()
    if (after - before <= LOOK * QUIET) return
    before = after
  }
}

/** Of quiet: between two looks, and at most in all, in ms; the part of a core that all peers may use together. */
const LOOK = 50
const LONGEST_WAIT = 10_000
const QUIET = 0.25

async function freshRounds(course: Course, server: Server): Promise<void> {
  const { rounds } = course.context.plan
  const round = async (entry: Entry): Promise<void> => {
    try {
      await open(entry, server, course)
      await entry.load!.warm?.()
      const round = await entry.load!.round()
      await entry.load!.check?.()
      noteRound(entry, round, course)
    } finally {
      await entry.peer?.stop()
    }
  }
  for (let i = 0; i < rounds; i++) {
    for (const entry of orderOf(course.entries.filter(stands), i, rounds))
      await attempt(course, entry, () => round(entry))
    await roundDone(i, course)
  }
}
