/** One retry for so many calls. */
const CALLS_A_RETRY = 5
/** Besides, so many a second. */
const A_SECOND = 3
/** More are never saved up. */
const MOST = 100
const AT_FIRST = 10

/**
 * How often calls to one target may be made once more: a part of what is asked anyway, so that retries can never become the
 * load that keeps a server down.
 */
export class RetryBudget {
  #left = AT_FIRST
  #at = performance.now()

  /** A call is made for the first time. */
  call(): void {
    if (this.#left < MOST) this.#left += 1 / CALLS_A_RETRY
  }

  /** Takes one retry, if there is one. */
  take(): boolean {
    const now = performance.now()
    this.#left = Math.min(MOST, this.#left + ((now - this.#at) / 1000) * A_SECOND)
    this.#at = now
    if (this.#left < 1) return false
    this.#left--
    return true
  }
}
