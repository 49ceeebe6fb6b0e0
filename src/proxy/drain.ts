import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '../log.ts'
import type { Session } from '../session/session.ts'
import type { Core } from './core.ts'
import type { Exchange } from './exchange.ts'

export interface DrainOptions {
  /** Everything that exchanges run on; asked again and again, as routes may come to their end meanwhile. */
  readonly cores: () => Iterable<Core>
  /** Where clients connect. */
  readonly listeners: readonly { stopAccepting(): void }[]
  /** How long calls in flight may take, in ms. */
  readonly timeout: number
  /** From the beginning (when readiness should say no) until nothing new is accepted, in ms. Default 0. */
  readonly grace?: number
  /** What is in flight beside exchanges: pages. */
  readonly others?: () => Iterable<Passing>
  readonly log: Log
  readonly onBegin?: (progress: DrainProgress) => void
  readonly onEnd?: (progress: DrainProgress) => void
}

/** Requests that are no exchanges. */
export interface Passing {
  /** That somebody waits for. */
  readonly calls: number
  /** Ends all, and takes no more. */
  stop(): void
}

export interface DrainProgress {
  /** `grace`: all goes on as before, but whoever asks is told that we are not ready. */
  readonly phase: 'grace' | 'draining' | 'drained'
  /** Epoch ms. */
  readonly startedAt: number
  /** Epoch ms at which calls in flight are cut. */
  readonly deadline: number
  /** In flight now. */
  readonly calls: number
  /** Open now. */
  readonly streams: number
  /** Calls that were cut because they did not end in time. */
  readonly cut: number
}

/** How often it is seen which streams may end now, in ms. */
const SWEEP = 100
/** How often it is told what is left, in ms. */
const TELL = 1_000

/**
 * Empties a running proxy: nothing new is accepted, streams end the way their server would end them, calls in flight finish,
 * for a time. What comes after (sessions, connections, children) is for whoever closes the proxy.
 */
export class Drain {
  readonly #options: DrainOptions
  readonly #startedAt = performance.now()
  readonly #epoch = Date.now()
  #deadline: number
  #graceEnd: number
  #wake: (() => void) | undefined
  #phase: DrainProgress['phase'] = 'grace'
  #cut = 0
  #running: Promise<boolean> | undefined

  constructor(options: DrainOptions) {
    this.#options = options
    this.#graceEnd = this.#startedAt + (options.grace ?? 0)
    this.#deadline = this.#graceEnd + options.timeout
  }

  get progress(): DrainProgress {
    const { calls, streams } = this.#left()
    const deadline = this.#epoch + Math.round(this.#deadline - this.#startedAt)
    return { phase: this.#phase, startedAt: this.#epoch, deadline, calls, streams, cut: this.#cut }
  }

  /** Of the time that calls in flight may take, in ms; not below 0. */
  get timeLeft(): number {
    return Math.max(0, this.#deadline - performance.now())
  }

  /** Resolves when nothing is in flight any more, and says whether all calls could finish. Never rejects. */
  run(): Promise<boolean> {
    this.#running ??= this.#run()
    return this.#running
  }

  /** From now on there is less time: no more grace, and at most `timeout` ms for calls. */
  hurry(timeout: number): void {
    const now = performance.now()
    this.#graceEnd = Math.min(this.#graceEnd, now)
    this.#deadline = Math.min(this.#deadline, now + timeout)
    this.#wake?.()
  }

  async #run(): Promise<boolean> {
    const { onBegin, onEnd } = this.#options
    onBegin?.(this.progress)
    // A timer counts whole ms, by a clock of its own: it may come a little too early.
    for (let left = this.#graceLeft(); left > 0; left = this.#graceLeft()) await this.#pastGrace(left)
    this.#phase = 'draining'
    this.#stopAccepting()
    await this.#finishing()
    this.#end()
    this.#phase = 'drained'
    onEnd?.(this.progress)
    return this.#cut === 0
  }

  #graceLeft(): number {
    return this.#graceEnd - performance.now()
  }

  /** Load balancers need a moment to see that we are not ready: until then, what they send is served. */
  async #pastGrace(grace: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>(resolve => {
      this.#wake = resolve
      timer = setTimeout(resolve, grace)
    })
    clearTimeout(timer)
    this.#wake = undefined
  }

  #stopAccepting(): void {
    for (const core of this.#options.cores()) {
      core.draining = true
      core.target.hurry?.()
      core.handOver?.releaseIdle(core)
    }
    for (const listener of this.#options.listeners) listener.stopAccepting()
  }

  async #finishing(): Promise<void> {
    let told = performance.now()
    for (;;) {
      endStreams(this.#options.cores())
      const now = performance.now()
      const left = this.#left()
      if (left.calls === 0 || now >= this.#deadline) return
      if (now - told >= TELL) {
        told = now
        this.#tell(left)
      }
      await this.#turn(Math.max(1, Math.min(SWEEP, this.#deadline - now)))
    }
  }

  /** Until all calls have ended, at most `ms`. */
  async #turn(ms: number): Promise<void> {
    const waits: Promise<unknown>[] = [...this.#options.cores()].map(core => core.drained(ms))
    if (this.#passing() > 0) waits.push(sleep(ms))
    await Promise.all(waits)
  }

  #tell({ calls, streams }: { calls: number; streams: number }): void {
    const seconds = Math.max(0, Math.round((this.#deadline - performance.now()) / 1000))
    const text = `draining: ${calls} calls and ${streams} streams are left, for ${seconds} s at most`
    this.#options.log.info('drain-progress', text, { calls, streams, seconds })
  }

  /** What has not finished gets an error; over HTTP+SSE errors go out on the streams, so these end last. */
  #end(): void {
    const { cores, log, timeout } = this.#options
    this.#cut = this.#left().calls
    if (this.#cut > 0 && timeout > 0)
      log.warn('drain', `${this.#cut} requests were still in flight after ${Math.round(this.#age())} ms`)
    for (const core of cores()) {
      const all = [...core.inFlight]
      for (const x of all) if (!x.longLived) x.abandon('shutdown')
      for (const x of all) if (x.longLived) x.finish()
      core.cancelAll('shutdown')
    }
    for (const other of this.#options.others?.() ?? []) other.stop()
  }

  #passing(): number {
    let calls = 0
    for (const other of this.#options.others?.() ?? []) calls += other.calls
    return calls
  }

  #age(): number {
    return performance.now() - this.#startedAt
  }

  #left(): { calls: number; streams: number } {
    let calls = this.#passing()
    let streams = 0
    for (const core of this.#options.cores())
      for (const x of core.inFlight)
        if (isCall(x)) calls++
        else if (x.longLived) streams++
    return { calls, streams }
  }
}

/** Somebody waits for it: not for what its client has cancelled. */
function isCall(x: Exchange): boolean {
  return !x.longLived && !x.cancelled
}

/**
 * Ends streams that no call needs any more. A modern subscription stands for itself. On a legacy stream the server may ask
 * something that a call in flight waits for: it goes on as long as its session (or, without one, anybody) has a call.
 */
export function endStreams(cores: Iterable<Core>, wanted?: (x: Exchange) => boolean): void {
  for (const core of cores) {
    const busy = new Set<Session | undefined>()
    for (const x of core.inFlight) if (isCall(x)) busy.add(x.session).add(undefined)
    for (const x of [...core.inFlight]) {
      if (!x.longLived || (x.era === 'legacy' && busy.has(x.session))) continue
      if (wanted?.(x) ?? true) x.finish()
    }
  }
}
