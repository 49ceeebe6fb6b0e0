import type { Cursor } from './reply-reader.ts'

export interface ReopenDelays {
  /** Before a stream is taken up again where the server asked for nothing, in ms. */
  readonly first: number
  readonly max: number
}

/** Longer waits would overflow the timer, which then fires at once. */
const LONGEST = 2 ** 31 - 1
/** A server that asks to come back at once is still not called in a loop. */
const SHORTEST = 10

/** When to take up a stream again that has ended: as the server asked, later and later while nothing new comes. */
export class Reopening {
  readonly cursor: Cursor = { lastEventId: undefined, retry: undefined, events: 0 }
  readonly #delays: ReopenDelays
  #timer: NodeJS.Timeout | undefined
  #seen = 0
  #openedAt: number | undefined
  #fruitless = 0

  constructor(delays: ReopenDelays) {
    this.#delays = delays
  }

  /** A connection stands. */
  opened(): void {
    this.#openedAt = performance.now()
  }

  /** Returns how many attempts in a row have brought nothing. */
  later(open: () => void): number {
    this.#timer = setTimeout(open, this.delay())
    return this.#fruitless
  }

  /** What the attempt that has just ended means for the wait until the next, in ms. */
  delay(): number {
    const { first, max } = this.#delays
    const { events, retry } = this.cursor
    // Proxies close silent streams after a while; that is no reason to come back ever later.
    const stood = this.#openedAt !== undefined && performance.now() - this.#openedAt > max
    this.#fruitless = events > this.#seen || stood ? 0 : this.#fruitless + 1
    this.#seen = events
    this.#openedAt = undefined
    const base = Math.max(SHORTEST, retry ?? first)
    const grown = Math.min(base * 2 ** Math.min(20, Math.max(0, this.#fruitless - 1)), Math.max(base, max))
    return Math.min(grown, LONGEST)
  }

  stop(): void {
    clearTimeout(this.#timer)
  }
}
