import { CatflapError, type ErrorCode } from '../../errors.ts'
import type { Peers } from './peers.ts'

export interface BreakerOptions {
  /** In a row, after which the server is left out for a while; 0: never. */
  readonly failures: number
  /** How long it is left out at first, and at most, in ms. Each time in a row twice as long. */
  readonly ejection: number
  readonly maxEjection: number
  /** Shared with the servers that can answer in its place; undefined: there are none. */
  readonly peers?: Peers
  readonly onChange?: (change: BreakerChange) => void
  /** In ms; default `performance.now`. */
  readonly now?: () => number
}

export interface BreakerChange {
  readonly state: BreakerState
  /** Why it is not up. */
  readonly reason?: string
  /** `ejected`: for how long at first; `up`: how long it was out, in ms. */
  readonly ms?: number
}

export type BreakerState = 'up' | 'ejected' | 'down'

/** How gladly a server is given a call: less is better. */
export const RANK = { trial: 0, fit: 1, busy: 2, quiet: 3, lastResort: 4, none: 5 } as const
export type Rank = (typeof RANK)[keyof typeof RANK]

/** So many calls since the last head, and another server gets the next one. */
const BUSY_CALLS = 4
/** Two calls and so long without any head, in ms: even one that is busy goes before it. */
const QUIET_AFTER = 250
/** Such a server gets one call so often, in ms: it may only have been given slow ones. */
const PROBE_EVERY = 1_000
/** A server that has said nothing for so long, in ms, while others answered, hangs. */
const HANGS_AFTER = 2_000
/** Part by which a time is longer or shorter, so that what fell ill together is not asked again together. */
const JITTER = 0.1

/**
 * How one server is doing, as its calls tell, and whether it is to be asked: a circuit breaker. After so many failures in a
 * row the server is left out for a while (ejected); then one call is let through on trial, whose outcome decides. It does no
 * I/O and has no timers.
 *
 * Calls that are meant to last (streams) are not counted, as their heads may come with their first event.
 */
export class Breaker {
  /** Counted calls that are not over. */
  inFlight = 0
  /** Of these, the ones made since the last head of any, where others can answer in its place. */
  silent = 0
  readonly timed: boolean
  readonly #options: BreakerOptions
  readonly #now: () => number
  /** Counted calls without a head. */
  #waiting = 0
  /** When the server last said something, or was first asked since it had nothing to do. */
  #quietSince = 0
  #probeAt = 0
  #inRow = 0
  /** In a row, without a whole answer in between. */
  #ejections = 0
  #outSince = 0
  /** When a trial is due; 0: it is not ejected. */
  #until = 0
  #ejectedFor = 0
  #reason = ''
  /** No connection could be made: to try costs nothing. */
  #refuses = false
  #trial: object | undefined
  #trialUntil = 0
  /** Why its active check fails. */
  #down: string | undefined

  constructor(options: BreakerOptions) {
    this.#options = options
    this.timed = options.peers !== undefined
    this.#now = options.now ?? monotonic
  }

  get state(): BreakerState {
    if (this.#down !== undefined) return 'down'
    return this.#until > 0 ? 'ejected' : 'up'
  }

  /** Why it is not up. */
  get reason(): string | undefined {
    return this.#down ?? (this.#until > 0 ? this.#reason : undefined)
  }

  /** Epoch ms at which it is asked again. */
  get until(): number | undefined {
    if (this.#down !== undefined || this.#until === 0) return undefined
    return Math.round(Date.now() + Math.max(0, this.#until - this.#now()))
  }

  /** May be asked now; and how gladly, seen beside others. */
  rank(now: number): Rank {
    if (this.#down !== undefined) return RANK.none
    if (this.#until === 0) return this.#upRank(now)
    if (this.#trialDue(now)) return RANK.trial
    return this.#refuses ? RANK.lastResort : RANK.none
  }

  /** It was chosen for its rank of `trial`. */
  probed(now: number): void {
    if (this.#probeAt > 0) this.#probeAt = now + PROBE_EVERY
  }

  /** May this call be made? If so it is counted until `left` (where it is one that counts). */
  enter(call: object, counts: boolean): boolean {
    if (!this.#admits(call, counts)) return false
    if (!counts) return true
    this.inFlight++
    if (!this.timed) return true
    if (this.#waiting++ === 0) this.#quietSince = this.#now()
    this.silent++
    return true
  }

  /** The head of an answer is there, `enteredAt` known where the breaker is `timed`. False: it says that the server has failed. */
  head(call: object, counts: boolean, enteredAt: number, status: number): boolean {
    if (this.timed) this.#alive(counts, enteredAt)
    if (status >= 502 && status <= 504) {
      this.#failure(call, `status ${status}`, false)
      return false
    }
    if (this.#until > 0) this.#back()
    if (!counts) this.#succeeded()
    return true
  }

  /** The call is over. `answered`: it had a head. `whole`: and all that belongs to it. */
  left(call: object, counts: boolean, answered: boolean, whole: boolean): void {
    if (this.#trial === call) this.#trial = undefined
    if (whole && counts) this.#succeeded()
    if (!counts) return
    this.inFlight--
    if (!this.timed || answered) return
    this.#waiting--
    if (this.silent > 0) this.silent--
  }

  /**
   * The call has failed; to be told before `left`. Errors that say nothing of the server do not count, nor does it that a
   * stream broke: whatever stands in between may close streams that have been silent for long.
   */
  failed(call: object, counts: boolean, code: ErrorCode): void {
    const why = (counts ? FAILURES : NO_CONNECTION).get(code)
    if (why !== undefined) this.#failure(call, why, code === 'upstream_unreachable')
  }

  /** An active check has found that it is down, and why; undefined: that it is up. */
  checked(down: string | undefined): void {
    const before = this.#down
    this.#down = down
    if (before === undefined && down !== undefined) this.#options.onChange?.({ state: 'down', reason: down })
    else if (before !== undefined && down === undefined && this.#until === 0) this.#options.onChange?.({ state: 'up' })
  }

  /** What a call is told that may not be made. */
  refusal(label: string): CatflapError {
    const seconds = Math.max(1, Math.ceil((this.#until - this.#now()) / 1000))
    const text = `${label} is not asked now: ${this.reason ?? 'it has failed'}. Try again in ${seconds} s.`
    return new CatflapError('target_unavailable', text, { data: { target: label, retryAfter: seconds } })
  }

  #admits(call: object, counts: boolean): boolean {
    if (this.#down !== undefined) return false
    if (this.#until === 0) return true
    const now = this.#now()
    if (!this.#trialDue(now)) return this.#refuses
    if (!counts) return true
    this.#trial = call
    this.#trialUntil = now + Math.max(this.#ejectedFor, this.#options.ejection)
    return true
  }

  /** A trial without an answer is one that has failed, however long its call goes on waiting. */
  #trialDue(now: number): boolean {
    if (now < this.#until) return false
    if (this.#trial === undefined) return true
    if (now >= this.#trialUntil) this.#eject(this.#reason, this.#refuses)
    return false
  }

  #upRank(now: number): Rank {
    const { peers } = this.#options
    if (!peers || this.silent < 2) return RANK.fit
    const quiet = now - this.#quietSince >= QUIET_AFTER + 2 * peers.slowest
    if (!quiet && this.silent < BUSY_CALLS) return RANK.fit
    if (this.#hangs(now)) return RANK.none
    if (this.#probeAt === 0) this.#probeAt = now + PROBE_EVERY
    if (now >= this.#probeAt) return RANK.trial
    return quiet ? RANK.quiet : RANK.busy
  }

  #hangs(now: number): boolean {
    const { failures, peers } = this.#options
    if (!peers || failures === 0 || this.silent < Math.max(2, failures)) return false
    const quietFor = now - this.#quietSince
    if (quietFor < HANGS_AFTER + 4 * peers.slowest || peers.lastHeadAt <= this.#quietSince) return false
    this.#eject(`no answer to ${this.silent} calls for ${Math.round(quietFor / 1000)} s, while others answer`, false)
    return true
  }

  #alive(counts: boolean, enteredAt: number): void {
    const now = this.#now()
    if (counts) {
      this.#waiting--
      this.#options.peers?.head(now - enteredAt, now)
    }
    this.silent = 0
    this.#probeAt = 0
    this.#quietSince = now
  }

  #failure(call: object, why: string, refused: boolean): void {
    const { failures } = this.#options
    // A server that is being restarted is asked as soon as it is there, where nobody else could be asked meanwhile.
    if (refused && !this.timed) return
    if (this.#until > 0) {
      if (this.#trial === call) this.#eject(`its trial failed: ${why}`, refused)
      return
    }
    if (failures === 0 || ++this.#inRow < failures) return
    this.#eject(failures === 1 ? why : `${failures} failures in a row, the last: ${why}`, refused)
  }

  #succeeded(): void {
    if (this.#until > 0) this.#back()
    this.#inRow = 0
    this.#ejections = 0
  }

  #eject(reason: string, refuses: boolean): void {
    const { ejection, maxEjection } = this.#options
    // Where nobody else can answer, nobody gains by a longer pause.
    const most = this.timed ? Math.max(ejection, maxEjection) : ejection
    this.#ejectedFor =
      Math.min(most, ejection * 2 ** Math.min(this.#ejections++, 30)) * (1 + JITTER * (2 * Math.random() - 1))
    const now = this.#now()
    const before = this.#until
    this.#until = now + this.#ejectedFor
    this.#reason = reason
    this.#refuses = refuses
    this.#trial = undefined
    if (before > 0) return
    this.#outSince = now
    this.#options.onChange?.({ state: 'ejected', reason, ms: Math.round(this.#ejectedFor) })
  }

  /** One more failure, before a whole answer has come, ejects it again. */
  #back(): void {
    this.#until = 0
    this.#trial = undefined
    this.#inRow = Math.max(0, this.#options.failures - 1)
    if (this.#down !== undefined) return
    this.#options.onChange?.({ state: 'up', ms: Math.round(this.#now() - this.#outSince) })
  }
}

const monotonic = (): number => performance.now()

/** What a server has done that has failed. Nothing that a client can bring about by what it asks for. */
const NO_CONNECTION: ReadonlyMap<ErrorCode, string> = new Map([
  ['upstream_unreachable', 'no connection could be made'],
  ['upstream_connect_timeout', 'no connection in time']
])
const FAILURES: ReadonlyMap<ErrorCode, string> = new Map([
  ...NO_CONNECTION,
  ['upstream_reset', 'it broke the connection'],
  ['upstream_timeout', 'no answer in time']
])
