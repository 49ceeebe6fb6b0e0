/** One run: clients that go about their business while instances and Redis come and go, and what is to be said against it. */
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { faultsOf } from '../ledger.ts'
import { IDLE, LEASE } from '../settings.ts'
import { Stage, type StageOptions } from '../stage.ts'
import { Log } from './log.ts'
import { isOfConnection, losesSession } from './outcome.ts'
import { planOf } from './plan.ts'
import { Random } from './random.ts'
import { Troubles } from './troubles.ts'
import { type Noted, Visitor } from './visitor.ts'

export interface ChaosOptions extends StageOptions {
  readonly seed: number
  readonly seconds: number
  readonly clients: number
}

export interface Report {
  readonly seed: number
  /** What must not have happened, in sentences; empty: all is well. */
  readonly faults: readonly string[]
  /** How often what became of what: `work: answer`, `work: owner_lost` … */
  readonly counts: Readonly<Record<string, number>>
  readonly troubles: number
  readonly sessions: number
  readonly lost: number
  /** The largest of an instance at the end, in bytes. */
  readonly memory: number
  readonly log: readonly string[]
  readonly said: readonly string[]
}

/** More than that an instance has no use for, in bytes. */
const MEMORY = 400 * 1024 * 1024
/** Beyond what is told in so many sentences it is the same again. */
const MOST_FAULTS = 50
/** What a busy machine may add to any time, in ms. */
const SLACK = 15_000

export async function runChaos(options: ChaosOptions, say: (text: string) => void = () => {}): Promise<Report> {
  const log = new Log()
  const plan = planOf(options.seed, options.seconds * 1_000, options)
  const stage = await Stage.open(options)
  const troubles = new Troubles(stage, log)
  const tally = new Tally(options, troubles)
  const visitors = visitorsOf(stage, options, tally, log)
  let memory = 0
  const faults: string[] = []
  try {
    await Promise.all(visitors.map(visitor => visitor.calm(SLACK)))
    say(`${options.clients} clients are there; ${plan.length} troubles are planned`)
    const roaming = visitors.map(visitor => visitor.roam())
    await troubles.run(plan)
    for (const visitor of visitors) visitor.stop()
    await Promise.all(roaming)
    say('all is well again')
    log.add('all is well again')
    await delay(options.lease ?? LEASE)
    await Promise.all(visitors.map(visitor => visitor.calm(SLACK)))
    await Promise.all(visitors.map((visitor, i) => visitor.leave(i % 3 !== 0)))
    say('all clients are gone')
    memory = Math.max(...stage.instances.map(({ pid }) => residentOf(pid)))
    if (memory > MEMORY) faults.push(`an instance takes ${Math.round(memory / 1e6)} MB`)
    // Those who left without a word expire, and are then ended by somebody.
    faults.push(
      ...(await stage.settled(1.5 * (options.idle ?? IDLE) + SLACK)).map(left => `it does not settle: ${left}`)
    )
  } finally {
    for (const visitor of visitors) {
      visitor.stop()
      await visitor.leave(false)
    }
    faults.push(...faultsOf(stage.ledger.entries()))
    faults.push(...(await stage.close()))
  }
  faults.push(...troubles.faults, ...visitors.flatMap(visitor => visitor.faults), ...tally.faults)
  return {
    seed: options.seed,
    faults: faults.slice(0, MOST_FAULTS),
    counts: tally.counts(),
    troubles: troubles.count,
    sessions: visitors.reduce((sum, visitor) => sum + visitor.sessions, 0),
    lost: tally.lost,
    memory,
    log: log.lines(),
    said: stage.instances.flatMap((instance, i) => [`instance ${i}:`, ...instance.said()])
  }
}

function visitorsOf(stage: Stage, options: ChaosOptions, tally: Tally, log: Log): Visitor[] {
  const { lease = LEASE, timeout = 1_000, seed } = options
  // Paused instances and Redis hold up whoever waits for them; then somebody takes over, and starts what is behind anew.
  const patience = 3 * lease + 3 * timeout + 2 * SLACK
  return Array.from({ length: options.clients }, (_, index) => {
    const random = new Random(seed * 1_000 + index + 1)
    const name = `${seed}-${index}`
    return new Visitor({ url: stage.url, name, index, random, patience, log, note: noted => tally.add(noted) })
  })
}

/** Judges each outcome at the end, when it is known what was wrong at the time. */
class Tally {
  readonly #options: ChaosOptions
  readonly #troubles: Troubles
  readonly #counts = new Map<string, number>()
  readonly faults: string[] = []
  lost = 0

  constructor(options: ChaosOptions, troubles: Troubles) {
    this.#options = options
    this.#troubles = troubles
  }

  add({ client, what, outcome, from, to }: Noted): void {
    const { kind, what: said } = outcome
    const name = `${what}: ${said}`
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1)
    if (kind === 'answer' || kind === 'cancelled') return
    const who = `client ${client}, ${what}`
    if (kind === 'hung' || kind === 'unclear') return this.#fault(`${who}: ${said}`)
    const { lease = LEASE, timeout = 1_000 } = this.#options
    if (!this.#troubles.explain(from, to, 2 * lease + timeout + SLACK / 3, isOfConnection(outcome)))
      this.#fault(`${who}: ${said}, though nothing was wrong`)
    if (!losesSession(outcome)) return
    this.lost++
    if (!this.#mayLose()) this.#fault(`${who}: the session is lost (${said}), which the store should have kept`)
  }

  counts(): Record<string, number> {
    return Object.fromEntries([...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1)))
  }

  /** A replica that takes over has not all that its master had; and one does where the master is silent for a moment. */
  #mayLose(): boolean {
    const { store, loss, backend } = this.#options
    const { kinds } = this.#troubles
    if (store === 'memory' || (store === 'sentinel' && (kinds.has('failover') || kinds.has('redis')))) return true
    return loss === 'propagate' && (backend === 'command' || kinds.has('forget'))
  }

  #fault(text: string): void {
    if (this.faults.length < MOST_FAULTS) this.faults.push(text)
  }
}

/** In bytes; 0 where the platform does not say. */
function residentOf(pid: number | undefined): number {
  try {
    return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}
