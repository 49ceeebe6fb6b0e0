/** A session's uses are told at once, and then no more often than so. */
export class Touches {
  readonly #every: number
  readonly #tell: (id: string, ago: number) => Promise<boolean>
  readonly #known = new Map<string, { toldAt: number; usedAt: number }>()
  readonly #timer: NodeJS.Timeout | undefined

  /** `every` in ms; 0: each is told. `tell` says that a session was used so many ms ago, and whether it is there. */
  constructor(every: number, tell: (id: string, ago: number) => Promise<boolean>) {
    this.#every = every
    this.#tell = tell
    if (every > 0) this.#timer = setInterval(() => void this.#tellLate(), every).unref()
  }

  touch(id: string): true | Promise<boolean> {
    if (this.#every === 0) return this.#tell(id, 0)
    const now = performance.now()
    const known = this.#known.get(id)
    if (known && now - known.toldAt < this.#every) {
      known.usedAt = now
      return true
    }
    this.#known.set(id, { toldAt: now, usedAt: now })
    return this.#first(id)
  }

  async #first(id: string): Promise<boolean> {
    let there = false
    try {
      there = await this.#tell(id, 0)
    } finally {
      if (!there) this.#known.delete(id)
    }
    return there
  }

  forget(id: string): void {
    this.#known.delete(id)
  }

  /** What was used since it was told. */
  async #tellLate(): Promise<void> {
    const now = performance.now()
    const late: Promise<unknown>[] = []
    for (const [id, known] of this.#known) {
      if (known.usedAt > known.toldAt) {
        known.toldAt = now
        // Who asks next finds out that it is gone, or that Redis is.
        late.push(this.#tell(id, now - known.usedAt).catch(() => {}))
      } else if (now - known.toldAt >= this.#every) this.#known.delete(id)
    }
    await Promise.all(late)
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#tellLate()
    this.#known.clear()
  }
}
