/** So long at first, in ms; each time in a row twice as long. */
const FIRST = 1_000

/** Until when a server has said to be busy. Times in ms. */
export class BusyTime {
  #until = 0
  #inRow = 0

  is(now: number): boolean {
    return now < this.#until
  }

  /** `wait`: for so long at least; `most`: and at most. */
  said(now: number, wait: number, most: number): void {
    // What comes all at once says it once.
    if (this.is(now)) return
    const time = Math.max(wait, FIRST * 2 ** Math.min(this.#inRow++, 30))
    this.#until = now + Math.min(time, Math.max(FIRST, most))
  }

  /** It has answered as it should, some at least. */
  well(): void {
    this.#inRow = 0
  }
}
