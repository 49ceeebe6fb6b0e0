import type { CatflapError } from '../../errors.ts'
import type { Starts } from './starts.ts'

/** Who lives so long has started well. */
const STEADY = 10_000
/** One client that makes children end must not keep the others waiting for longer. */
const MAX_DELAY = 1_000

/** How soon a command may be started again: one that ends as soon as it is started is not started as fast as clients ask. */
export class RestartDelay {
  readonly #first: number
  readonly #starts: Starts | undefined
  #early = 0
  #endedAt = 0

  /**
   * `first`: after one child that ended soon, in ms; twice as long after each further one. `starts`: how those went that never
   * answered anything, whoever they were for.
   */
  constructor(first: number, starts?: Starts) {
    this.#first = first
    this.#starts = starts
  }

  /** Why nothing is started now. */
  get refusal(): CatflapError | undefined {
    return this.#starts?.refusal
  }

  /** Children in a row that ended soon after their start. */
  get early(): number {
    return this.#early
  }

  /** How long to wait now, in ms. */
  get left(): number {
    const others = this.#starts?.pause ?? 0
    if (this.#early === 0) return others
    const wait = Math.min(this.#first * 2 ** (this.#early - 1), MAX_DELAY)
    return Math.max(others, this.#endedAt + wait - performance.now())
  }

  /** A child ended by itself. */
  ended(startedAt: number): void {
    this.#endedAt = performance.now()
    this.#early = this.#endedAt - startedAt < STEADY ? this.#early + 1 : 0
  }

  /** What ended was no fault. */
  forgive(): void {
    this.#early = 0
  }
}
