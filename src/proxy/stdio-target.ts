import { setTimeout as sleep } from 'node:timers/promises'
import { CatflapError } from '../errors.ts'
import type { Era } from '../protocol/versions.ts'
import { shortEnvironment, withoutOwn } from '../transport/upstream/child-environment.ts'
import { ChildRoom } from '../transport/upstream/child-room.ts'
import { SharedChild, type SharedChildEvents } from '../transport/upstream/shared-child.ts'
import { Starts } from '../transport/upstream/starts.ts'
import { StdioLeg } from '../transport/upstream/stdio.ts'
import type { Leg, LegEvents } from '../transport/upstream.ts'
import type { MemberHealth, Target, TargetStats } from './core.ts'
import type { Settings } from './options.ts'
import type { CommandRoute } from './reverse-options.ts'
import type { CommandTarget, OpenTarget } from './target.ts'

/** What a route says of its command besides how it is started. */
type CommandLimits = Partial<Pick<CommandRoute, 'inheritEnv' | 'maxChildren' | 'maxMemory'>>

/** A command, and the children that run it. */
export class StdioTarget implements Target {
  readonly kind = 'stdio'
  readonly name: string
  readonly label: string
  readonly era: Era | undefined
  readonly sessionless = undefined
  giveUpSession: (() => boolean) | undefined
  readonly #options: CommandTarget & CommandLimits
  readonly #settings: Settings
  readonly #scrub: OpenTarget['scrub']
  readonly #legs = new Set<StdioLeg>()
  readonly #starts: Starts
  readonly #room: ChildRoom
  #started = 0
  #lost = 0
  #shared: SharedChild | undefined
  /** Ends whatever waits for a start. */
  readonly #closing = new AbortController()

  constructor(
    name: string,
    options: CommandTarget & CommandLimits,
    settings: Settings,
    { scrub, childLimit }: Pick<OpenTarget, 'scrub' | 'childLimit'> = {}
  ) {
    this.name = name
    // Arguments can hold secrets, so a command is called by its name alone.
    this.label = options.command
    this.era = options.era === 'auto' ? undefined : options.era
    this.#options = options
    this.#settings = settings
    this.#scrub = scrub
    this.#starts = new Starts(this.label)
    this.#room = new ChildRoom(childLimit ?? options.maxChildren ?? Number.POSITIVE_INFINITY, this.#legs, {
      unused: () => this.#shared?.giveUpIdle() === true,
      session: () => this.giveUpSession?.() === true
    })
  }

  /** At once, whatever is to be said against it: for the one child that a client on stdio has. */
  open(events: LegEvents): Leg {
    const { command, args = [], cwd, maxMemory } = this.#options
    const { maxMessage, maxExchangeQueue, killAfter } = this.#settings
    const startedAt = performance.now()
    const leg = new StdioLeg(
      {
        label: this.label,
        command,
        args,
        cwd,
        env: this.#environment(),
        maxLine: maxMessage,
        maxInput: maxExchangeQueue,
        maxMemory,
        scrub: this.#scrub,
        killGrace: { stdin: killAfter, term: killAfter }
      },
      {
        ...events,
        answered: () => {
          this.#starts.worked()
          events.answered?.()
        },
        lost: (error, facts) => {
          this.#legs.delete(leg)
          this.#room.freed()
          if (facts.expected !== 1) {
            this.#lost++
            if (!leg.answered) this.#starts.failed(startedAt, error)
          }
          events.lost(error, facts)
        }
      }
    )
    this.#starts.begun()
    this.#legs.add(leg)
    this.#started++
    return leg
  }

  async start(events: LegEvents, signal?: AbortSignal): Promise<Leg> {
    const { refusal } = this.#starts
    if (refusal) throw refusal
    const closing = this.#closing.signal
    const over = signal ? AbortSignal.any([closing, signal]) : closing
    for (let ms = this.#starts.pause; ms > 0; ms = this.#starts.pause) {
      await sleep(ms, undefined, { signal: over }).catch(() => {})
      if (closing.aborted) throw new CatflapError('shutting_down')
      if (over.aborted) throw new CatflapError('too_many_children')
      // Whoever went first may have had no luck.
      const parked = this.#starts.refusal
      if (parked) throw parked
    }
    await this.#room.take(signal)
    this.#room.taken()
    return this.open(events)
  }

  #environment(): Record<string, string | undefined> {
    const { inheritEnv, env } = this.#options
    const own = inheritEnv ? shortEnvironment(process.env, inheritEnv) : withoutOwn(process.env)
    return { ...own, ...env }
  }

  /** A child cannot be found again by a name: whoever made it holds it. */
  resume(): undefined {
    return undefined
  }

  shared(events?: () => SharedChildEvents): SharedChild | undefined {
    if (this.#shared || !events) return this.#shared
    this.#shared = new SharedChild(
      {
        label: this.label,
        open: legEvents => this.open(legEvents),
        era: this.#options.era,
        maxQueue: this.#settings.maxExchangeQueue,
        probeTimeout: this.#settings.probeTimeout,
        maxExclusive: this.#settings.maxLogChildren,
        exclusiveIdle: this.#settings.logChildIdle,
        idle: this.#settings.childIdle,
        starts: this.#starts,
        room: this.#room,
        makeRoom: () => this.#room.makeRoom()
      },
      events()
    )
    return this.#shared
  }

  stats(): TargetStats {
    const restarted = this.#shared?.restarts ?? 0
    return { children: { alive: this.#legs.size, started: this.#started, lost: this.#lost, restarted } }
  }

  health(): readonly MemberHealth[] {
    const parked = this.#starts.parked
    let inFlight = 0
    for (const leg of this.#legs) inFlight += leg.inFlight
    const { name: member, label } = this
    return [{ member, label, inFlight, ...(parked ? { state: 'parked', ...parked } : { state: 'up' }) }]
  }

  async close(): Promise<void> {
    this.#closing.abort()
    this.#room.close()
    await Promise.all([this.#shared?.close(), ...[...this.#legs].map(leg => leg.close())])
  }
}
