/** So many answers say something of a server; fewer may all be those of one client. */
const ENOUGH = 10
/** How long an answer counts, in ms: at least so long, and less than twice as long. */
const WINDOW = 15_000

/** How many of a server's latest answers were failures. In two halves, so that it takes no more room the more there are. */
export class AnswerShare {
  #since = 0
  #all = 0
  #bad = 0
  #allBefore = 0
  #badBefore = 0

  good(now: number): void {
    this.#turn(now)
    this.#all++
  }

  /** `begun`: it had counted as a good one already. */
  bad(now: number, begun: boolean): void {
    this.#turn(now)
    if (!begun || this.#all === this.#bad) {
      // It counted in the half before, or so long ago that it does not any more.
      if (begun && this.#allBefore > this.#badBefore) this.#allBefore--
      this.#all++
    }
    this.#bad++
  }

  get all(): number {
    return this.#all + this.#allBefore
  }

  get failures(): number {
    return this.#bad + this.#badBefore
  }

  /** More than half of enough of them, `least` or more. */
  isBad(least: number): boolean {
    return this.all >= Math.max(ENOUGH, least) && this.failures * 2 > this.all
  }

  clear(): void {
    this.#all = this.#bad = this.#allBefore = this.#badBefore = 0
  }

  #turn(now: number): void {
    const age = now - this.#since
    if (age < WINDOW) return
    this.#allBefore = age < 2 * WINDOW ? this.#all : 0
    this.#badBefore = age < 2 * WINDOW ? this.#bad : 0
    this.#all = this.#bad = 0
    this.#since = now
  }
}
