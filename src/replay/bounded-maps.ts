/**
 * Maps that stay small while millions of entries come and go. Nothing is deleted from them one by one: V8 makes another table
 * for each deletion from a map that is nearly empty, and such tables keep each other alive until the next full collection.
 */

/** The last `max` entries are there for certain, and never more than twice as many. */
export class Recent<T> {
  #latest = new Map<string, T>()
  #before = new Map<string, T>()
  readonly #max: number

  constructor(max: number) {
    this.#max = max
  }

  get(key: string): T | undefined {
    return this.#latest.get(key) ?? this.#before.get(key)
  }

  set(key: string, value: T): void {
    this.#latest.set(key, value)
    if (this.#latest.size < this.#max) return
    this.#before = this.#latest
    this.#latest = new Map()
  }
}

const SMALL = 64

/** Entries go when they are no longer in use; of more than `max` that are, the oldest. */
export class InUse<T> {
  #entries = new Map<string, T>()
  #limit = SMALL
  readonly #max: number
  readonly #isUsed: (value: T) => boolean

  constructor(max: number, isUsed: (value: T) => boolean) {
    this.#max = max
    this.#isUsed = isUsed
  }

  /** It may be one that is no longer in use. */
  get(key: string): T | undefined {
    return this.#entries.get(key)
  }

  set(key: string, value: T): void {
    if (this.#entries.size >= this.#limit) this.#sweep()
    this.#entries.set(key, value)
  }

  values(): IterableIterator<T> {
    return this.#entries.values()
  }

  clear(): void {
    this.#entries = new Map()
  }

  #sweep(): void {
    const used = [...this.#entries].filter(([, value]) => this.#isUsed(value))
    this.#entries = new Map(used.length > this.#max ? used.slice(-this.#max / 2) : used)
    this.#limit = Math.max(SMALL, this.#entries.size * 2)
  }
}
