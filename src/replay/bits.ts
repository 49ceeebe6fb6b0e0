/** A set of whole numbers that lie close to each other: a few bytes for each hundred of them, and next to nothing for none. */
export class Bits {
  size = 0
  readonly #pages = new Map<number, Uint32Array>()

  has(n: number): boolean {
    const page = this.#pages.get(Math.floor(n / PAGE))
    return page !== undefined && (page[(n % PAGE) >>> 5]! & (1 << (n & 31))) !== 0
  }

  add(n: number): void {
    const number = Math.floor(n / PAGE)
    let page = this.#pages.get(number)
    if (!page) this.#pages.set(number, (page = new Uint32Array(PAGE / 32)))
    const word = (n % PAGE) >>> 5
    const bit = 1 << (n & 31)
    if ((page[word]! & bit) !== 0) return
    page[word]! |= bit
    this.size++
  }
}

const PAGE = 1024
