import { Queue, type QueueNode } from '../queue.ts'

/**
 * Deadlines that are all equally far away, kept in one queue under one timer: starting, restarting and ending one is O(1) and
 * makes no timer of its own.
 */
export class Deadlines {
  readonly #after: number
  readonly #waiting = new Queue<Deadline>()
  #timer: NodeJS.Timeout | undefined

  constructor(afterMs: number) {
    this.#after = afterMs
  }

  /** `expired` is called once, unless the deadline is ended before. 0 ms means never. */
  start(deadline: Deadline): void {
    if (this.#after === 0) {
      deadline.at = Number.POSITIVE_INFINITY
      return
    }
    deadline.at = performance.now() + this.#after
    this.#waiting.push(deadline.place)
    this.#timer ??= setTimeout(this.#tick, this.#after)
  }

  end(deadline: Deadline): void {
    this.#waiting.remove(deadline.place)
  }

  get size(): number {
    return this.#waiting.size
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    for (const deadline of this.#waiting) this.end(deadline)
  }

  readonly #tick = (): void => {
    this.#timer = undefined
    const now = performance.now()
    // From the head each time: one that expires may end others.
    for (let next = this.#waiting.head; next; next = this.#waiting.head) {
      const deadline = next.value
      if (deadline.at > now) {
        // One that expired may have started anew, and with it a timer that is too late for this one.
        clearTimeout(this.#timer)
        this.#timer = setTimeout(this.#tick, Math.ceil(deadline.at - now))
        return
      }
      this.end(deadline)
      deadline.expired()
    }
  }
}

export interface Deadline {
  /** `performance.now()` at which it expires; written by Deadlines. */
  at: number
  readonly place: QueueNode<Deadline>
  expired(): void
}
