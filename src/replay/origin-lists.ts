import type { Origin } from './on-tape.ts'

export type HeldLists = Pick<Origin, 'redacted' | 'headers'>

/** Headers and marks as they recur: each pair of them has a number. */
export class OriginLists {
  readonly #pairs: HeldLists[] = []
  readonly #numbers = new Map<HeldLists['redacted'], Map<HeldLists['headers'], number>>()

  numberOf({ redacted, headers }: HeldLists): number {
    let numbers = this.#numbers.get(redacted)
    if (!numbers) this.#numbers.set(redacted, (numbers = new Map()))
    let number = numbers.get(headers)
    if (number === undefined) {
      number = this.#pairs.push({ redacted, headers }) - 1
      numbers.set(headers, number)
    }
    return number
  }

  get(number: number): HeldLists {
    return this.#pairs[number]!
  }
}
