import type { Waiting } from './sequence.ts'

/** Somebody's place on the tape: there, it has something to tell that others come behind. */
export class Standing {
  /** `Infinity`: it keeps nobody waiting. */
  at: number = Number.POSITIVE_INFINITY
  /** The last place at which anything comes of it. */
  readonly until: number
  #waiting: Set<Waiting> | undefined
  /** The lowest place of those that wait. */
  #lowest = Number.POSITIVE_INFINITY

  constructor(until: number = Number.POSITIVE_INFINITY) {
    this.until = until
  }

  /** It stands before that place; whoever has it goes on when it does so no more. */
  keeps(one: Waiting, place: number): void {
    this.#waiting ??= new Set()
    this.#waiting.add(one)
    if (place < this.#lowest) this.#lowest = place
  }

  /** It waits no more. */
  forget(one: Waiting): void {
    this.#waiting?.delete(one)
  }

  /** It has moved. Returns those that may have waited for that. */
  take(): Iterable<Waiting> {
    const all = this.#waiting
    if (!all || this.at < this.#lowest) return NOBODY
    this.#waiting = undefined
    this.#lowest = Number.POSITIVE_INFINITY
    return all
  }
}

const NOBODY: readonly Waiting[] = []

/** What has things to tell, in the order of the tape. Whoever waits does so behind the nearest, so that a move is of concern to few. */
export class Line {
  readonly #standing: Standing[] = []
  /** Those before it have left. */
  #from = 0
  readonly #wake: (one: Waiting) => void

  /** `wake`: whoever waited for something that has moved may look again. It may not move anything at once. */
  constructor(wake: (one: Waiting) => void) {
    this.#wake = wake
  }

  move(one: Standing, to: number): void {
    if (to === one.at) return
    if (!this.#stays(one, to)) {
      if (one.at !== Number.POSITIVE_INFINITY) this.#remove(this.#placeOf(one))
      if (to !== Number.POSITIVE_INFINITY) this.#standing.splice(this.#indexOf(to), 0, one)
    }
    one.at = to
    for (const waiting of one.take()) this.#wake(waiting)
  }

  /** Between the same neighbours: the line may be long. */
  #stays(one: Standing, to: number): boolean {
    if (one.at === Number.POSITIVE_INFINITY || to === Number.POSITIVE_INFINITY || to < one.at) return false
    const behind = this.#standing[this.#placeOf(one) + 1]
    return behind === undefined || behind.at >= to
  }

  #remove(index: number): void {
    if (index > this.#from) return void this.#standing.splice(index, 1)
    this.#from++
    if (this.#from < this.#standing.length / 2) return
    this.#standing.splice(0, this.#from)
    this.#from = 0
  }

  #placeOf(one: Standing): number {
    return this.#standing.indexOf(one, this.#indexOf(one.at))
  }

  leave(one: Standing): void {
    this.move(one, Number.POSITIVE_INFINITY)
  }

  /** The nearest that stands before that place, of those that nothing comes of before `from` is reached. */
  before(place: number, from: number = 0): Standing | undefined {
    for (let i = this.#indexOf(place) - 1; i >= this.#from; i--)
      if (this.#standing[i]!.until >= from) return this.#standing[i]
    return undefined
  }

  /** Where those begin that do not stand before it. */
  #indexOf(place: number): number {
    let high = this.#standing.length
    // Most come last, and there are few.
    if (high === this.#from || this.#standing[high - 1]!.at < place) return high
    let low = this.#from
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#standing[middle]!.at < place) low = middle + 1
      else high = middle
    }
    return low
  }
}
