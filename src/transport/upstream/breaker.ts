import { CatflapError, type ErrorCode } from '../../errors.ts'
import { AnswerShare } from './answer-share.ts'
import { BusyTime } from './busy-time.ts'
import { OutOfReach } from './out-of-reach.ts'
import type { Peers } from './peers.ts'

export interface BreakerOptions {
  /** Calls in a row that get no connection, or no answer though none else does, after which the server is left out for a while; 0: never. */
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
/** A server that could not be reached for so long, in ms, has lost its sessions, as far as their clients are concerned. */
const LOST_AFTER = 30_000

/**
 * How one server is doing, as its calls tell, and how gladly it is to be asked: a circuit breaker. After so many failures the
 * server is left out for a while (ejected); then one call is let through on trial, whose outcome decides. It does no I/O and
 * has no timers.
 *
 * One client can make any server fail its calls. So an ejection keeps away only what others can answer: what has nowhere else
 * to go (a session's calls, and all of them where there is one server) is refused only where an active check fails. And a
 * server that has no others is ejected for nothing but connections that cannot be made.
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
  /** Since when as many calls as it takes have been silent. */
  #hangsSince = 0
  #probeAt = 0
  #inRow = 0
  /** In a row, without a whole answer in between. */
  #ejections = 0
  #outSince = 0
  /** When a trial is due; 0: it is not ejected. */
  #until = 0
  #ejectedFor = 0
  #reason = ''
  readonly #share = new AnswerShare()
  #lastHeadAt = Number.NEGATIVE_INFINITY
  readonly #busyTime = new BusyTime()
  #trial: object | undefined
  #trialUntil = 0
  /** Why its active check fails. */
  #down: string | undefined
  #downSince = 0
  /** Alone and down, it still gets a call now and then. */
  #downTrialAt = 0
  readonly #gone = new OutOfReach()

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

  /** When its ejection ends, by the clock that it was given; 0: it is not ejected. */
  get endsAt(): number {
    return this.#until
  }

  /** It is one of several, and could not be reached for so long that its sessions should not wait for it any more. */
  get lost(): boolean {
    if (!this.timed) return false
    if (this.#down !== undefined && this.#now() - this.#downSince >= LOST_AFTER) return true
    return this.#gone.time >= LOST_AFTER
  }

  /** It has said that it is busy, and its time is not over. */
  isBusy(now: number): boolean {
    return this.#busyTime.is(now)
  }

  /**
   * May be asked now; and how gladly, seen beside others. `counts`: by a call that does. Others are no good as trials, as it may
   * be long until they tell anything.
   */
  rank(now: number, counts = true): Rank {
    if (this.#down !== undefined) return RANK.none
    if (this.#until === 0) return this.#upRank(now, counts)
    return this.#trialDue(now) && counts && now >= this.#probeAt ? RANK.trial : RANK.lastResort
  }

  /** It was chosen for its rank of `trial`. */
  probed(now: number): void {
    if (this.#probeAt > 0 || this.#until > 0) this.#probeAt = now + PROBE_EVERY
  }

  /** May this call be made? If so it is counted until `left` (where it is one that counts). */
  enter(call: object, counts: boolean): boolean {
    if (!this.#admits(call, counts)) return false
    if (!counts) return true
    this.inFlight++
    if (!this.timed) return true
    if (this.#waiting++ === 0) this.#quietSince = this.#now()
    if (++this.silent === this.#hangsWith) this.#hangsSince = this.#now()
    return true
  }

  /**
   * The head of an answer is there, `enteredAt` known where the breaker is `timed`. False: it does not show that the server is
   * well. `wait`: for how long it wants to be left alone, in ms.
   */
  head(call: object, counts: boolean, enteredAt: number, status: number, wait = 0): boolean {
    const now = this.#now()
    if (this.timed) this.#alive(counts, enteredAt, now)
    this.#gone.reached()
    if (status === 502 || status === 504) {
      this.#badAnswer(call, `status ${status}`, false)
      return false
    }
    if (status === 503 && this.timed) {
      this.#busy(call, now, wait)
      return false
    }
    this.#busyTime.well()
    this.#options.peers?.well(this, now)
    if (counts) this.#share.good(now)
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
   * stream broke: whatever stands in between may close streams that have been silent for long. `answered`: it had a head.
   */
  failed(call: object, counts: boolean, code: ErrorCode, answered = false, enteredAt = Number.POSITIVE_INFINITY): void {
    const unreached = NO_CONNECTION.get(code)
    if (unreached !== undefined) {
      this.#gone.failed(this.#now())
      return this.#failure(call, unreached, true)
    }
    // A client that asks for what breaks, or takes long, must not cost others their server where nobody could take its place.
    if (!counts || !this.timed) return
    const bad = BAD_ANSWER.get(code)
    if (bad !== undefined) return this.#badAnswer(call, bad, answered)
    // What others are answered meanwhile shows that it was the call, and not the server.
    if (code === 'upstream_timeout' && !answered && this.#lastHeadAt < enteredAt)
      return this.#failure(call, 'no answer in time')
    // Whatever else it was: each call that came now would be the next trial, and fail like this one.
    if (this.#trial === call) this.#eject('its trial failed')
  }

  /** What is no call was answered, which says of MCP no more than that the server can be reached. */
  reached(): void {
    if (!this.#gone.reached()) return
    if (this.#until > 0) this.#back()
    else this.#inRow = 0
  }

  /** An active check has found that it is down, and why; undefined: that it is up, which ends an ejection. */
  checked(down: string | undefined): void {
    const before = this.#down
    this.#down = down
    if (down === undefined) {
      this.#gone.reached()
      if (this.#until > 0) this.#back()
      else if (before !== undefined) this.#options.onChange?.({ state: 'up' })
    } else if (before === undefined) {
      this.#downSince = this.#now()
      this.#downTrialAt = this.#downSince + PROBE_EVERY
      this.#options.peers?.forgetWell()
      this.#options.onChange?.({ state: 'down', reason: down })
    }
  }

  /** What a call is told that may not be made. */
  refusal(label: string): CatflapError {
    const seconds = Math.max(1, Math.ceil((this.#until - this.#now()) / 1000))
    const text = `${label} is not asked now: ${this.reason ?? 'it has failed'}. Try again in ${seconds} s.`
    return new CatflapError('target_unavailable', text, { data: { target: label, retryAfter: seconds } })
  }

  #admits(call: object, counts: boolean): boolean {
    if (this.#down !== undefined) return this.#triedDown(counts)
    if (this.#until === 0 || !counts) return true
    const now = this.#now()
    if (!this.#trialDue(now)) return true
    this.#trial = call
    this.#trialUntil = now + Math.max(this.#ejectedFor, this.#options.ejection)
    return true
  }

  /** The check may be wrong, and there is no other server. */
  #triedDown(counts: boolean): boolean {
    const now = this.#now()
    if (this.timed || !counts || now < this.#downTrialAt) return false
    this.#downTrialAt = now + PROBE_EVERY
    return true
  }

  /** A trial without an answer is one that has failed, however long its call goes on waiting. */
  #trialDue(now: number): boolean {
    if (now < this.#until) return false
    if (this.#trial === undefined) return true
    if (now >= this.#trialUntil) this.#eject(this.#reason)
    return false
  }

  #upRank(now: number, counts: boolean): Rank {
    const { peers } = this.#options
    const fit = this.isBusy(now) ? RANK.busy : RANK.fit
    if (!peers || this.silent < 2) return fit
    const quiet = now - this.#quietSince >= QUIET_AFTER + 2 * peers.slowest
    if (!quiet && this.silent < BUSY_CALLS) return fit
    if (this.#hangs(now)) return RANK.lastResort
    if (this.#probeAt === 0) this.#probeAt = now + PROBE_EVERY
    if (counts && now >= this.#probeAt) return RANK.trial
    return quiet ? RANK.quiet : RANK.busy
  }

  /** A server that hangs has at least so many silent calls. */
  get #hangsWith(): number {
    return Math.max(2, this.#options.failures)
  }

  #hangs(now: number): boolean {
    const { failures, peers } = this.#options
    if (!peers || failures === 0 || this.silent < this.#hangsWith) return false
    // Not since it was last heard: one call may take a minute, and the others have just come.
    const hangsFor = now - this.#hangsSince
    if (hangsFor < HANGS_AFTER + 4 * peers.slowest || peers.lastHeadAt <= this.#hangsSince) return false
    this.#eject(`no answer to ${this.silent} calls for ${Math.round(hangsFor / 1000)} s, while others answer`)
    return true
  }

  /**
   * It may have much to do, or have nothing behind it, as gateways say. Only where most of its answers are like that while
   * another is well does it fail: the last one that answers is never left out for that.
   */
  #busy(call: object, now: number, wait: number): void {
    const { maxEjection, peers } = this.#options
    this.#busyTime.said(now, wait, maxEjection)
    if (this.#until === 0) this.#inRow = 0
    this.#badAnswer(call, 'status 503', false, peers?.isOtherWell(this, now), wait)
  }

  #alive(counts: boolean, enteredAt: number, now: number): void {
    this.#lastHeadAt = now
    if (counts) {
      this.#waiting--
      this.#options.peers?.head(now - enteredAt, now)
    }
    this.silent = 0
    this.#probeAt = 0
    this.#quietSince = now
  }

  /** `fresh`: it says how things are now, whenever the call was made. */
  #failure(call: object, why: string, fresh = false): void {
    const { failures } = this.#options
    if (this.#until > 0) {
      const due = this.#trial === undefined && this.#now() >= this.#until
      if (this.#trial === call || (fresh && due)) this.#eject(`its trial failed: ${why}`)
      return
    }
    if (failures === 0 || ++this.#inRow < failures) return
    this.#eject(failures === 1 ? why : `${failures} failures in a row, the last: ${why}`)
  }

  /** What one client can bring about: it is its part of all answers that counts. `wait`: it is to be left out for so long at least, in ms. */
  #badAnswer(call: object, why: string, begun: boolean, mayEject = true, wait = 0): void {
    if (!this.timed) return
    this.#share.bad(this.#now(), begun)
    const { failures } = this.#options
    if (this.#until > 0) {
      if (this.#trial === call) this.#eject(`its trial failed: ${why}`, wait)
    } else if (mayEject && failures > 0 && this.#share.isBad(failures))
      this.#eject(`${this.#share.failures} of its latest ${this.#share.all} answers failed, the last: ${why}`, wait)
  }

  #succeeded(): void {
    if (this.#until > 0) this.#back()
    this.#inRow = 0
    this.#ejections = 0
  }

  #eject(reason: string, atLeast = 0): void {
    const { ejection, maxEjection, peers } = this.#options
    // Where nobody else can answer, nobody gains by a longer pause.
    const most = this.timed ? Math.max(ejection, maxEjection) : ejection
    const time = Math.max(atLeast, ejection * 2 ** Math.min(this.#ejections++, 30))
    this.#ejectedFor = Math.min(most, time) * (1 + JITTER * (2 * Math.random() - 1))
    const now = this.#now()
    const before = this.#until
    this.#until = now + this.#ejectedFor
    this.#reason = reason
    this.#trial = undefined
    this.#probeAt = 0
    this.#share.clear()
    peers?.forgetWell()
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

/** Nothing that a client can bring about by what it asks for. */
const NO_CONNECTION: ReadonlyMap<ErrorCode, string> = new Map([
  ['upstream_unreachable', 'no connection could be made'],
  ['upstream_connect_timeout', 'no connection in time']
])
const BAD_ANSWER: ReadonlyMap<ErrorCode, string> = new Map([
  ['upstream_reset', 'it broke the connection'],
  ['upstream_protocol', 'what it says is no HTTP']
])
