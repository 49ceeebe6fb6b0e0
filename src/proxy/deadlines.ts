/**
 * Deadlines that are all equally far away, kept in one ordered set under one timer: starting, restarting and ending one is
 * O(1) and makes no timer of its own.
 */
export class Deadlines {
  readonly #after: number
  readonly #waiting = new Set<Deadline>()
  #timer: NodeJS.Timeout | undefined

  constructor(afterMs: number) {
    this.#after = afterMs
  }

  /** `expired` is called once, unless the deadline is ended before. 0 ms means never. */
  start(deadline: Deadline): void {
    if (this.#after === 0) return
    this.#waiting.delete(deadline)
    deadline.at = performance.now() + this.#after
    this.#waiting.add(deadline)
    this.#timer ??= setTimeout(this.#tick, this.#after)
  }

  end(deadline: Deadline): void {
    this.#waiting.delete(deadline)
  }

  get size(): number {
    return this.#waiting.size
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#waiting.clear()
  }

  readonly #tick = (): void => {
    this.#timer = undefined
    const now = performance.now()
    for (const deadline of this.#waiting) {
      if (deadline.at > now) {
        this.#timer = setTimeout(this.#tick, Math.ceil(deadline.at - now))
        return
      }
      this.#waiting.delete(deadline)
      deadline.expired()
    }
  }
}

export interface Deadline {
  /** `performance.now()` at which it expires; written by Deadlines. */
  at: number
  expired(): void
}
