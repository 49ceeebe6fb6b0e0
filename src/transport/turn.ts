/**
 * Writes of one turn of the event loop, made together at its end. A write to a peer that sleeps has to wake it, which costs as
 * much again as the write; whom the first of several writes has woken is still awake at the next.
 */
export class Turn<T> {
  readonly #write: (item: T) => void
  readonly #atEnd = (): void => this.flush()
  #items: T[] = []

  constructor(write: (item: T) => void) {
    this.#write = write
  }

  add(item: T): void {
    if (this.#items.length === 0) setImmediate(this.#atEnd)
    this.#items.push(item)
  }

  /** Does not wait for the end of the turn. */
  flush(): void {
    const items = this.#items
    this.#items = []
    let done = 0
    try {
      for (const item of items) {
        done++
        this.#write(item)
      }
    } finally {
      // One that cannot be written keeps none back.
      for (const item of items.slice(done)) this.add(item)
    }
  }
}
