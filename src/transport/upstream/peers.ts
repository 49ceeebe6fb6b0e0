/** What the servers of one group know of each other: how long answers take, and when one came. Times in ms. */
export class Peers {
  /** The longest that a head took lately: it fades as shorter ones come. */
  slowest = 0
  /** `performance.now()` of the newest head, whoever sent it. */
  lastHeadAt = 0

  head(ms: number, now: number): void {
    const took = Math.min(ms, LONGEST)
    this.lastHeadAt = now
    this.slowest = took >= this.slowest ? took : this.slowest - (this.slowest - took) / FADING
  }
}

/** After so many short answers about a third of a long one is left. */
const FADING = 64
/** What took longer, in ms, may have been a server that hung, and must not make all look fast that come after it. */
const LONGEST = 30_000
