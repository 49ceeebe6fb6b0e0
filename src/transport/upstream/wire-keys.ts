import { roundedKey } from '../../protocol/id.ts'

/**
 * What is in use on one wire, by id or token key. A server that reads numbers as doubles echoes big integers rounded
 * (`9007199254740993` as `9007199254740992`): those are found by either, and what would be echoed alike collides.
 */
export class WireKeys<T> {
  readonly #exact = new Map<string, T>()
  readonly #rounded = new Map<string, T>()

  get size(): number {
    return this.#exact.size
  }

  values(): IterableIterator<T> {
    return this.#exact.values()
  }

  keys(): IterableIterator<string> {
    return this.#exact.keys()
  }

  /** Only for keys that do not collide. */
  set(key: string, value: T): void {
    this.#exact.set(key, value)
    const rounded = roundedKey(key)
    if (rounded !== undefined) this.#rounded.set(rounded, value)
  }

  find(key: string): T | undefined {
    return this.#exact.get(key) ?? this.#rounded.get(key)
  }

  /** Could an answer to `key` be taken for one to a key in use, or the other way round? */
  collides(key: string): boolean {
    if (this.find(key) !== undefined) return true
    const rounded = roundedKey(key)
    return rounded !== undefined && this.find(rounded) !== undefined
  }

  delete(key: string): void {
    if (!this.#exact.delete(key)) return
    const rounded = roundedKey(key)
    if (rounded !== undefined) this.#rounded.delete(rounded)
  }
}
