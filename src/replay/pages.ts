/** Objects that were made for each other's company. */
export type Page<T> = (T | undefined)[]

const PAGE_BITS = 6
const PAGE = 1 << PAGE_BITS

/**
 * Objects that are made of rows when they are asked for: the same for one row as long as it is in use, so that others may put it into
 * sets. Each holds its page, and with it all that were made there.
 */
export class Pages<T> {
  readonly #pages: (WeakRef<Page<T>> | undefined)[] = []
  readonly #make: (row: number, page: Page<T>) => T

  constructor(make: (row: number, page: Page<T>) => T) {
    this.#make = make
  }

  at(row: number): T {
    const number = row >>> PAGE_BITS
    let page = this.#pages[number]?.deref()
    if (!page) {
      page = new Array<T | undefined>(PAGE).fill(undefined)
      // From one to the next, so that the list has no holes.
      while (this.#pages.length < number) this.#pages.push(undefined)
      this.#pages[number] = new WeakRef(page)
    }
    return (page[row & (PAGE - 1)] ??= this.#make(row, page))
  }
}
