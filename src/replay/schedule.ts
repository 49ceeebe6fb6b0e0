/** Something that goes on at a time of `performance.now()`. */
export interface Timed {
  /** When; undefined: it is not on the schedule. */
  due: number | undefined
  onTime(): void
}

/** Everything that waits for a time, on one timer, however much it is. */
export class Schedule {
  /** The last one is due first. */
  readonly #waiting: Timed[] = []
  #timer: NodeJS.Timeout | undefined
  #timerFor = Number.POSITIVE_INFINITY

  add(one: Timed, due: number): void {
    one.due = due
    this.#waiting.splice(this.#behind(due), 0, one)
    this.#set()
  }

  remove(one: Timed): void {
    if (one.due === undefined) return
    for (let at = this.#behind(one.due); at < this.#waiting.length; at++) {
      if (this.#waiting[at] !== one) continue
      this.#waiting.splice(at, 1)
      break
    }
    one.due = undefined
    this.#set()
  }

  /** All that waits goes on, as far as it is not to wait any longer. */
  hurry(): void {
    const waiting = this.#waiting.splice(0).reverse()
    for (const one of waiting) one.due = undefined
    this.#set()
    for (const one of waiting) one.onTime()
  }

  close(): void {
    for (const one of this.#waiting.splice(0)) one.due = undefined
    this.#set()
  }

  /** Where one that is due then belongs: before those that are due at the same time, which came first and go first. */
  #behind(due: number): number {
    let low = 0
    let high = this.#waiting.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#waiting[middle]!.due! > due) low = middle + 1
      else high = middle
    }
    return low
  }

  #set(): void {
    const next = this.#waiting.at(-1)?.due ?? Number.POSITIVE_INFINITY
    if (next === this.#timerFor) return
    clearTimeout(this.#timer)
    this.#timerFor = next
    const left = Math.min(MAX_TIMER, Math.max(0, next - performance.now()))
    this.#timer = next === Number.POSITIVE_INFINITY ? undefined : setTimeout(this.#fire, Math.ceil(left))
  }

  readonly #fire = (): void => {
    this.#timerFor = Number.POSITIVE_INFINITY
    const now = performance.now()
    // Timers may fire a little early; what is not due yet is set anew.
    while (this.#waiting.length > 0 && this.#waiting.at(-1)!.due! <= now) {
      const one = this.#waiting.pop()!
      one.due = undefined
      one.onTime()
    }
    this.#set()
  }
}

/** Longer ones fire at once. */
const MAX_TIMER = 2 ** 31 - 1
