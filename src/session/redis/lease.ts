export interface Moment {
  readonly steady: number
  readonly wall: number
}

/** A name that is good for a while, and then again. */
export class Lease {
  readonly id: string
  /** Who knows it may renew it. */
  readonly token: string
  readonly #time: number
  #from: Moment | undefined

  /** `time`: so many ms behind the moment at which a renewal was begun. */
  constructor(id: string, token: string, time: number) {
    this.id = id
    this.token = token
    this.#time = time
  }

  /** To be told to `renewed`: the time begins to run when Redis is asked, not when it has answered. */
  begin(): Moment {
    return { steady: performance.now(), wall: Date.now() }
  }

  renewed(from: Moment): void {
    this.#from = from
  }

  /** By the later of two clocks: the steady one stands still while the machine sleeps, the other one may be set. */
  get holds(): boolean {
    const from = this.#from
    if (from === undefined) return false
    return performance.now() - from.steady < this.#time && Date.now() - from.wall < this.#time
  }
}
