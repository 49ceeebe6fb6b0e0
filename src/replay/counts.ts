/** Names that are counted. Those beyond count as never used. */
const MAX_NAMES = 1024

/** How often things came, by name. */
export class NamedCounts {
  readonly #times = new Map<string, number>()

  /** How often it came before; now it has once more. */
  next(name: string): number {
    const n = this.#times.get(name) ?? 0
    if (n > 0 || this.#times.size < MAX_NAMES) this.#times.set(name, n + 1)
    return n
  }
}
