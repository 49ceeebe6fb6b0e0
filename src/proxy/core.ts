import type { ErrorCode } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Era } from '../protocol/versions.ts'
import { Queue } from '../queue.ts'
import type { ReplaySummary } from '../replay/report.ts'
import type { SessionManager } from '../session/manager.ts'
import type { FrameBus } from '../tape/bus.ts'
import type { PoolCounts } from '../transport/upstream/http-pool.ts'
import type { SharedServer, SharedServerEvents } from '../transport/upstream/shared-server.ts'
import type { CallInput, CancelReason, Leg, LegEvents, RetryReason } from '../transport/upstream.ts'
import type { CallProbe } from './call.ts'
import { Deadlines } from './deadlines.ts'
import type { Exchange } from './exchange.ts'
import type { HandOver } from './handover.ts'
import type { Pipeline } from './interceptor.ts'
import type { Settings } from './options.ts'
import type { PageChoice } from './page-choice.ts'
import type { LossOutcome } from './renew-leg.ts'
import type { SessionLoss } from './reverse-options.ts'
import { Tap } from './tap.ts'

/** Where exchanges go. Today one; routes choose among several later. */
export interface Target {
  readonly name: string
  /** For people; no credentials. */
  readonly label: string
  /** `http` (Streamable HTTP, or not known yet): answers come each on its own. The others are pipes: one stream for all. */
  readonly kind: 'http' | 'sse' | 'stdio' | 'tape'
  /** The server's, where the user has said it. */
  readonly era?: Era
  /** The leg for requests outside any session; undefined where there is none (a pipe belongs to a session). */
  readonly sessionless: Leg | undefined
  /** Whether the last answer to `initialize` named a session; undefined until there was one. */
  assignsIds?: boolean
  /**
   * Opens a leg for one client alone, which hears everything on one stream: spawns a child, or becomes an HTTP client.
   * `headers` and `query` are what the client itself sent, where it is one of HTTP.
   */
  open(events: LegEvents, from?: Pick<CallInput, 'headers' | 'query'>): Leg
  /**
   * The same as soon as there may be one more, where that is limited. Rejects with `command_parked`, and with `too_many_children`, also
   * where the signal says that it takes too long.
   */
  start?(events: LegEvents, signal?: AbortSignal): Promise<Leg>
  /** Ends a session that has not been used for a while, as there is no room for another child. False: there is none. */
  giveUpSession?: (() => boolean) | undefined
  /** The leg behind a server's own session id; `member` is the one of several servers that it belongs to. */
  resume(upstreamId: string, member?: string): Leg | undefined
  /** What modern clients over HTTP share of a command or a tape; made at the first use, where `events` are given. Absent for a URL. */
  shared?(events?: () => SharedServerEvents): SharedServer | undefined
  /** What became of a replay so far. Of tapes only. */
  replayed?(): ReplaySummary
  /** Nothing new comes: whatever could come at once does. Of tapes, which make pauses. */
  hurry?(): void
  stats?(): TargetStats
  /** Which of its servers is asked for what is not MCP. Absent where there is one. */
  readonly pages?: PageChoice
  /** How its servers are doing. Absent where nobody watches. */
  health?(): readonly MemberHealth[]
  close(): Promise<void>
}

/** How one server is doing, as far as is known without asking it. */
export interface MemberHealth {
  /** Unique within its target. */
  readonly member: string
  /** For people; no credentials. */
  readonly label: string
  /** `up`: it is asked. `ejected`: it failed, and is left out for a while. `down`: its active check fails. `parked`: a command that keeps failing. */
  readonly state: 'up' | 'ejected' | 'down' | 'parked'
  /** Why it is not up; no secrets. */
  readonly reason?: string
  readonly inFlight: number
  /** Epoch ms at which it is asked again, where that is known. */
  readonly until?: number
}

/** What a target holds at this moment, as far as it has such things. */
export interface TargetStats {
  /** Calls that wait for a connection. */
  readonly queued?: number
  readonly pools?: { readonly calls: PoolCounts | undefined; readonly streams: PoolCounts | undefined }
  readonly children?: {
    readonly alive: number
    readonly started: number
    /** Ended by themselves, or could not be started. */
    readonly lost: number
    /** Started in the place of a lost one. */
    readonly restarted: number
  }
}

/** Counts what happens, where that is wanted. */
export interface Meter {
  /** A call of this exchange's begins. */
  call(x: Exchange): CallProbe
  /** Something was refused that never became an exchange. */
  refused(code: ErrorCode): void
  /** The server was asked once more. */
  again(reason: RetryReason): void
  /** The server had lost a session. */
  reinitialized(outcome: LossOutcome): void
}

export interface CoreParts {
  readonly meter?: Meter
  readonly settings: Settings
  readonly log: Log
  readonly bus: FrameBus
  readonly target: Target
  readonly sessions: SessionManager
  readonly pipeline: Pipeline
  /** Default: its own. */
  readonly deadlines?: Deadlines
  /** What becomes of a session that the server has lost. Default: `reinitialize` for URLs, else `propagate`. */
  readonly sessionLoss?: SessionLoss
  /** Where other processes serve the same sessions. */
  readonly handOver?: HandOver
  /** Its exchanges come from other instances: what is not this process's is sent back. */
  readonly forPeers?: boolean
}

/** What every exchange of one running proxy shares. */
export class Core {
  readonly settings: Settings
  readonly log: Log
  readonly bus: FrameBus
  readonly tap: Tap
  readonly target: Target
  readonly sessions: SessionManager
  readonly pipeline: Pipeline
  readonly deadlines: Deadlines
  readonly meter: Meter | undefined
  readonly sessionLoss: SessionLoss
  readonly handOver: HandOver | undefined
  readonly forPeers: boolean
  /** Exchanges that have begun and not ended. */
  readonly inFlight = new Queue<Exchange>()
  /** Streams that stay open by design; they never keep a drain waiting. */
  streams = 0
  draining = false
  #counter = 0
  readonly #idle = new Set<() => void>()

  constructor(parts: CoreParts) {
    this.settings = parts.settings
    this.log = parts.log
    this.bus = parts.bus
    this.tap = new Tap(parts.bus)
    this.target = parts.target
    this.sessions = parts.sessions
    if (parts.target.kind === 'stdio') parts.target.giveUpSession = () => parts.sessions.giveUpIdle()
    this.deadlines = parts.deadlines ?? new Deadlines(parts.settings.requestTimeout)
    this.pipeline = parts.pipeline
    this.meter = parts.meter
    this.handOver = parts.handOver
    this.forPeers = parts.forPeers === true
    this.sessionLoss = parts.sessionLoss ?? (isUrl(parts.target) ? 'reinitialize' : 'propagate')
  }

  nextNumber(): number {
    return ++this.#counter
  }

  enter(x: Exchange): void {
    this.inFlight.push(x.place)
  }

  leave(x: Exchange): void {
    this.inFlight.remove(x.place)
    if (this.#idle.size > 0 && this.#calls() === 0) for (const resolve of this.#idle) resolve()
  }

  /** Resolves when no call is in flight any more, or after `ms`. Says whether all had ended. */
  async drained(ms: number): Promise<boolean> {
    if (this.#calls() === 0) return true
    if (ms === 0) return false
    return await new Promise(resolve => {
      const done = (all: boolean): void => {
        clearTimeout(timer)
        this.#idle.delete(idle)
        resolve(all)
      }
      const idle = (): void => done(true)
      const timer = setTimeout(done, ms, false)
      this.#idle.add(idle)
    })
  }

  cancelAll(reason: CancelReason): void {
    for (const x of [...this.inFlight]) x.abandon(reason)
  }

  #calls(): number {
    let n = 0
    // Nobody waits for what the client has cancelled.
    for (const x of this.inFlight) if (!x.longLived && !x.cancelled) n++
    return n
  }
}

function isUrl({ kind }: Target): boolean {
  return kind === 'http' || kind === 'sse'
}
