/** Who lives so long has started well. */
const STEADY = 10_000
/** One client that makes children end must not keep the others waiting for longer. */
const MAX_DELAY = 1_000

/** How soon a command may be started again: one that ends as soon as it is started is not started as fast as clients ask. */
export class RestartDelay {
  readonly #first: number
  #early = 0
  #endedAt = 0

  /** `first`: after one child that ended soon, in ms; twice as long after each further one. */
  constructor(first: number) {
    this.#first = first
  }

  /** Children in a row that ended soon after their start. */
  get early(): number {
    return this.#early
  }

  /** How long to wait now, in ms. */
  get left(): number {
    if (this.#early === 0) return 0
    const wait = Math.min(this.#first * 2 ** (this.#early - 1), MAX_DELAY)
    return Math.max(0, this.#endedAt + wait - performance.now())
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
