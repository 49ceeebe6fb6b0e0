/** Between two failures a server may have been there: of a time in which nobody asked no more counts than this, in ms. */
const LONGEST_PAUSE = 10_000

/** For how long a server could not be reached, as those tell who tried. */
export class OutOfReach {
  #failedAt = 0
  /** In ms, by the last failure. */
  time = 0

  failed(now: number): void {
    if (this.#failedAt > 0) this.time += Math.min(now - this.#failedAt, LONGEST_PAUSE)
    this.#failedAt = now
  }

  /** False: so it was before. */
  reached(): boolean {
    if (this.#failedAt === 0) return false
    this.#failedAt = this.time = 0
    return true
  }
}
