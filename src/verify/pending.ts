/** What is under way, and when each was over on the tape. */
export class Pending {
  readonly #over = new Map<Promise<void>, number>()
  /** None was over before. */
  #first = Number.POSITIVE_INFINITY
  /** The first error: whoever waits next hears of it, and until then nobody has to. */
  #failed: { readonly error: unknown } | undefined

  add(one: Promise<void>, over: number): void {
    const failed = (error: unknown): void => void (this.#failed ??= { error })
    const done: Promise<void> = one.catch(failed).finally(() => this.#over.delete(done))
    this.#over.set(done, over)
    this.#first = Math.min(this.#first, over)
  }

  async all(): Promise<void> {
    await Promise.all(this.#over.keys())
    this.#check()
  }

  /** Waits for all that was over before. Asked at each step: with thousands under way, looking through them would cost. */
  async earlier(order: number): Promise<void> {
    this.#check()
    if (this.#first >= order) return
    await Promise.all([...this.#over].filter(([, over]) => over < order).map(([done]) => done))
    this.#first = Number.POSITIVE_INFINITY
    for (const over of this.#over.values()) this.#first = Math.min(this.#first, over)
    this.#check()
  }

  #check(): void {
    if (this.#failed) throw this.#failed.error
  }
}
