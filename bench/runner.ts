/**
 * One scenario with all its peers: they run side by side and are loaded in turn (A B C A B C …), so that whatever else the
 * machine does meets all of them.
 */
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { Owner, reasonOf } from './owner.ts'
import type { Peer, PeerKind } from './peers/peer.ts'
import type { Plan } from './plan.ts'
import type { PeerResult, Round, ScenarioResult } from './report/results.ts'
import type { Context, Load, Scenario, Server } from './scenarios/scenario.ts'

export interface RunnerOptions {
  readonly plan: Plan
  readonly kinds: readonly PeerKind[]
  /** Only these, if given. */
  readonly peers?: readonly string[]
  /** The peer that takes part wherever catflap does. */
  readonly other?: string
  readonly folder: string
  /** Of the run: ends this scenario too if the run is stopped. */
  readonly owner: Owner
  readonly say: (text: string) => void
}

interface Entry {
  readonly kind: PeerKind
  readonly rounds: Round[]
  load?: Load
  peer?: Peer
  failed?: string
  skipped?: string
}

export async function runScenario(scenario: Scenario, options: RunnerOptions): Promise<ScenarioResult> {
  const { plan, say } = options
  if (options.owner.ended) throw new Error('stopped')
  const owner = new Owner()
  options.owner.add(() => owner.end())
  const folder = path.join(options.folder, scenario.name)
  await mkdir(folder, { recursive: true })
  const context = { plan, folder, owner }
  const entries = await entriesOf(scenario, options)
  say(`${scenario.name}:`)
  try {
    if (entries.some(stands)) {
      const server = await scenario.server(context)
      if (scenario.fresh) await freshRounds(scenario, entries, server, context, say)
      else await sharedRounds(scenario, entries, server, context, say)
    }
  } catch (error) {
    // Without a server nobody can be measured.
    for (const entry of entries.filter(stands)) entry.failed = `the server behind: ${reasonOf(error)}`
  } finally {
    const failures = await owner.end()
    if (failures.length > 0) say(` (${failures.join('; ')})`)
  }
  say('\n')
  const { name, title, says, metrics, base } = scenario
  const results = entries.map(
    ({ kind, rounds, failed, skipped }): PeerResult => ({ peer: kind.name, rounds, failed, skipped })
  )
  return { name, title, says, metrics, base, curve: scenario.curve?.(plan), results }
}

function stands(entry: Entry): boolean {
  return entry.failed === undefined && entry.skipped === undefined
}

async function entriesOf(scenario: Scenario, { kinds, peers, other }: RunnerOptions): Promise<Entry[]> {
  const entries: Entry[] = []
  for (const kind of kinds) {
    const isOther = kind.name === other
    if (scenario.peers && !scenario.peers.includes(isOther ? 'catflap' : kind.name)) continue
    if (!scenario.peers && ONLY_NAMED.test(kind.name)) continue
    if (peers && !isOther && !peers.includes(kind.name)) continue
    const skipped = await whyNot(kind, scenario)
    entries.push({ kind, rounds: [], ...(skipped !== undefined && { skipped }) })
  }
  return entries
}

/** Take part only where a scenario asks for them. */
const ONLY_NAMED = /^(?:node|catflap-recording|catflap-metrics|library.*)$/

async function whyNot(kind: PeerKind, { front }: Scenario): Promise<string | undefined> {
  if (!kind.fronts.includes(front))
    return front === 'http' ? 'cannot stand in front of a server over HTTP' : 'cannot stand in front of a stdio server'
  return kind.unable?.()
}

/** Notes why an entry failed, and lets the others go on. */
async function attempt(owner: Owner, entry: Entry, work: () => Promise<void>): Promise<void> {
  if (!stands(entry) || owner.ended) return
  try {
    await work()
  } catch (error) {
    entry.failed = reasonOf(error)
  }
}

async function open(entry: Entry, scenario: Scenario, server: Server, context: Context): Promise<void> {
  const { kind } = entry
  const own = path.join(context.folder, kind.name)
  const peer = kind.name === 'direct' && server.direct ? server.direct : await kind.start(server.target, own)
  context.owner.add(() => peer.stop())
  entry.peer = peer
  entry.load = await scenario.open(peer, kind, context)
}

async function sharedRounds(
  scenario: Scenario,
  entries: readonly Entry[],
  server: Server,
  context: Context,
  say: (text: string) => void
): Promise<void> {
  await Promise.all(entries.map(entry => attempt(context.owner, entry, () => open(entry, scenario, server, context))))
  for (const entry of entries) await attempt(context.owner, entry, async () => entry.load?.warm?.())
  for (let i = 1; i <= context.plan.rounds; i++) {
    for (const entry of entries)
      await attempt(context.owner, entry, async () => void entry.rounds.push(await entry.load!.round()))
    say(` ${i}`)
  }
  for (const entry of entries) {
    await attempt(context.owner, entry, async () => entry.load?.check?.())
    await attempt(context.owner, entry, async () => entry.peer?.stop())
    await attempt(context.owner, entry, async () => entry.load?.afterwards?.())
  }
}

async function freshRounds(
  scenario: Scenario,
  entries: readonly Entry[],
  server: Server,
  context: Context,
  say: (text: string) => void
): Promise<void> {
  for (let i = 1; i <= context.plan.rounds; i++) {
    for (const entry of entries) {
      await attempt(context.owner, entry, async () => {
        try {
          await open(entry, scenario, server, context)
          await entry.load!.warm?.()
          const round = await entry.load!.round()
          await entry.load!.check?.()
          entry.rounds.push(round)
        } finally {
          await entry.peer?.stop()
        }
      })
    }
    say(` ${i}`)
  }
}
