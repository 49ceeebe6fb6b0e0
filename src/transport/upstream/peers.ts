/** What the servers of one group know of each other: how long answers take, and when one came. Times in ms. */
export class Peers {
  /** The longest that a head took lately: it fades as shorter ones come. */
  slowest = 0
  /** `performance.now()` of the newest head, whoever sent it. */
  lastHeadAt = 0
  /** Who sent the newest answer that shows a server to be well, when, and when the newest one of any other came. */
  #wellOne: object | undefined
  #wellAt = Number.NEGATIVE_INFINITY
  #otherWellAt = Number.NEGATIVE_INFINITY

  head(ms: number, now: number): void {
    const took = Math.min(ms, LONGEST)
    this.lastHeadAt = now
    this.slowest = took >= this.slowest ? took : this.slowest - (this.slowest - took) / FADING
  }

  well(one: object, now: number): void {
    if (one !== this.#wellOne) this.#otherWellAt = this.#wellAt
    this.#wellOne = one
    this.#wellAt = now
  }

  /** One is not well any more, whichever it is: who is, soon shows again. */
  forgetWell(): void {
    this.#wellOne = undefined
    this.#wellAt = this.#otherWellAt = Number.NEGATIVE_INFINITY
  }

  /** Another than this one is known to be well. */
  isOtherWell(one: object, now: number): boolean {
    return now - (one === this.#wellOne ? this.#otherWellAt : this.#wellAt) < WELL_FOR
  }
}

/** After so many short answers about a third of a long one is left. */
const FADING = 64
/** What took longer, in ms, may have been a server that hung, and must not make all look fast that come after it. */
const LONGEST = 30_000
/** A server that answered as it should counts as well for so long, in ms. */
const WELL_FOR = 10_000
