/** Beyond twice that the oldest are forgotten. */
const MAX = 10_000

/** The latest of very many decisions, of which there are between `MAX` and twice that. Taking out one by one would be slow. */
export class Remembered<K> {
  #latest = new Map<K, boolean>()
  #earlier: ReadonlyMap<K, boolean> = new Map()

  get(key: K): boolean | undefined {
    return this.#latest.get(key) ?? this.#earlier.get(key)
  }

  set(key: K, value: boolean): void {
    this.#latest.set(key, value)
    if (this.#latest.size < MAX) return
    this.#earlier = this.#latest
    this.#latest = new Map()
  }
}
