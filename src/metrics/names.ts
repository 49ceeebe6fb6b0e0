/** What stands in the place of names for which there is no room. */
export const OTHER = 'other'

/** Longer ones are nobody's to read in a table of metrics. */
const MAX_LENGTH = 128

/**
 * Names that come from outside, as far as they may become labels. Whoever asks for ten thousand tools that do not exist shall
 * neither fill the memory nor take the place of those that do: a name that never worked finds room in a quarter of it only.
 */
export class Names<T> {
  readonly #make: (name: string) => T
  readonly #max: number
  readonly #places = new Map<string, T>()
  readonly #fixed: ReadonlySet<string>
  #taken = 0
  #unproven = 0
  #other: T | undefined

  /** `fixed` names need no room. */
  constructor(max: number, make: (name: string) => T, fixed: ReadonlySet<string> = new Set()) {
    this.#max = max
    this.#make = make
    this.#fixed = fixed
  }

  get size(): number {
    return this.#places.size
  }

  find(name: string): T | undefined {
    return this.#places.get(name)
  }

  /**
   * For a name that was not found. `proven`: the server has answered to it without an error. `isName` is asked last, as it may
   * cost something.
   */
  admit(name: string, proven: boolean, isName: () => boolean): T {
    if (!this.#fixed.has(name)) {
      const room = this.#taken < this.#max && (proven || this.#unproven < this.#max / 4)
      if (!room || !isLegible(name) || !isName()) return (this.#other ??= this.#make(OTHER))
      this.#taken++
      if (!proven) this.#unproven++
    }
    const made = this.#make(name)
    this.#places.set(name, made)
    return made
  }
}

function isLegible(name: string): boolean {
  return name.length > 0 && name.length <= MAX_LENGTH && name !== OTHER && !/[\p{Cc}\p{Cs}]/u.test(name)
}
