/** What waits until the client has come to some place of the tape. */
export interface Patient {
  /** It has. */
  reached(): void
}

interface Entry {
  readonly place: number
  readonly one: Patient
}

/** All that waits for the client, those that wait for the most first. */
export class Patience {
  readonly #waiting: Entry[] = []

  wait(one: Patient, place: number): void {
    let low = 0
    let high = this.#waiting.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#waiting[middle]!.place >= place) low = middle + 1
      else high = middle
    }
    this.#waiting.splice(low, 0, { place, one })
  }

  leave(one: Patient): void {
    for (let i = this.#waiting.length - 1; i >= 0; i--) if (this.#waiting[i]!.one === one) this.#waiting.splice(i, 1)
  }

  reached(place: number): void {
    while (this.#waiting.length > 0 && this.#waiting.at(-1)!.place <= place) this.#waiting.pop()!.one.reached()
  }
}
