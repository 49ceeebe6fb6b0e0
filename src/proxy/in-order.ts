/** Runs steps one after another: each at once, as long as none before it is held up. */
export class InOrder {
  readonly #onError: (error: unknown) => void
  readonly #onHeld: ((held: boolean) => void) | undefined
  #tail: Promise<void> | undefined

  /** `onError` hears of every step that fails; those behind it run all the same. `onHeld` hears when waiting begins and ends. */
  constructor(onError: (error: unknown) => void, onHeld?: (held: boolean) => void) {
    this.#onError = onError
    this.#onHeld = onHeld
  }

  /** A step is being held up, and what comes now waits behind it. */
  get held(): boolean {
    return this.#tail !== undefined
  }

  /** Resolves when everything that was held up has run. */
  get settled(): Promise<void> | undefined {
    return this.#tail
  }

  run(step: () => void | Promise<void>): void {
    if (this.#tail) return this.#hold(this.#tail.then(step))
    try {
      const pending = step()
      if (pending) this.#hold(pending)
    } catch (error) {
      this.#onError(error)
    }
  }

  #hold(pending: Promise<void>): void {
    if (!this.#tail) this.#onHeld?.(true)
    const tail = pending.catch(this.#onError).then(() => {
      if (this.#tail !== tail) return
      this.#tail = undefined
      this.#onHeld?.(false)
    })
    this.#tail = tail
  }
}
