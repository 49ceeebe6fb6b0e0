import { inTime } from '../in-time.ts'
import type { CheckSettings } from './health-settings.ts'

/** Asks one server whether it is up, on connections of its own. */
export interface HealthProbe {
  /** Why it is not up; undefined where it is. Ends early, with any value, when the signal says so. */
  ask(signal: AbortSignal): Promise<string | undefined>
  close(): Promise<void>
}

/** A server that is not up is asked at least so often, in ms: nobody should wait for one that is back. */
const AGAIN_AFTER = 1_000
/** Part by which an interval is longer or shorter, so that many checkers do not ask at one time. */
const JITTER = 0.1
/** How long a check that was given up may take to end, in ms. */
const CLOSING = 1_000

/** Asks a server again and again, and tells that it is down when that was found often enough in a row to count, and that it is up. */
export class HealthChecker {
  readonly #settings: CheckSettings
  readonly #probe: HealthProbe
  readonly #abort = new AbortController()
  #tell: (down: string | undefined) => void = () => {}
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> | undefined
  /** Answers in a row that say something else than what was told. */
  #others = 0
  #down = false

  constructor(settings: CheckSettings, probe: () => HealthProbe) {
    this.#settings = settings
    this.#probe = probe()
  }

  /** Begins at once. `tell`: why the server is down, once; or undefined, as often as it is found to be up. */
  start(tell: (down: string | undefined) => void): void {
    this.#tell = tell
    this.#next(0)
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer)
    this.#abort.abort()
    const ended = inTime(Promise.resolve(this.#running), CLOSING, () => new Error('late')).catch(() => {})
    await ended
    await this.#probe.close()
  }

  #next(after: number): void {
    if (this.#abort.signal.aborted) return
    this.#timer = setTimeout(() => {
      this.#running = this.#check()
    }, after)
    this.#timer.unref()
  }

  async #check(): Promise<void> {
    const why = await this.#ask()
    if (this.#abort.signal.aborted) return
    this.#count(why)
    const { interval } = this.#settings
    const pause = this.#down || why !== undefined ? Math.min(interval, AGAIN_AFTER) : interval
    this.#next(pause * (1 + JITTER * (2 * Math.random() - 1)))
  }

  async #ask(): Promise<string | undefined> {
    const { timeout } = this.#settings
    const late = AbortSignal.timeout(timeout)
    try {
      const why = await this.#probe.ask(AbortSignal.any([this.#abort.signal, late]))
      return late.aborted ? `no answer within ${timeout} ms` : why
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
  }

  #count(why: string | undefined): void {
    const { unhealthyAfter, healthyAfter } = this.#settings
    if ((why !== undefined) === this.#down) {
      this.#others = 0
      // Its calls may have said otherwise meanwhile.
      if (!this.#down) this.#tell(undefined)
      return
    }
    if (++this.#others < (this.#down ? healthyAfter : unhealthyAfter)) return
    this.#others = 0
    this.#down = why !== undefined
    this.#tell(why === undefined ? undefined : `its check fails: ${why}`)
  }
}
