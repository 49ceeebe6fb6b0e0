/** Why something stands still. Each reason has one who holds and releases it. */
export type BrakeReason =
  /** Whoever reads is full. */
  | 'reader'
  /** A hook has not decided yet, and what follows waits. */
  | 'hook'
  /** Of an answer that is taken apart: a hook has one of its messages. */
  | 'message'
  /** A tape that must not lose anything has no room. */
  | 'tape'

/** Stops a source for as long as any reason is left: the end of one wait says nothing about the others. */
export class Brake {
  readonly #reasons = new Set<BrakeReason>()
  readonly #pause: () => void
  readonly #resume: () => void

  constructor(pause: () => void, resume: () => void) {
    this.#pause = pause
    this.#resume = resume
  }

  get held(): boolean {
    return this.#reasons.size > 0
  }

  hold(reason: BrakeReason): void {
    this.#reasons.add(reason)
    // Each time: a source that was just opened may have missed the first.
    this.#pause()
  }

  release(reason: BrakeReason): void {
    if (this.#reasons.delete(reason) && this.#reasons.size === 0) this.#resume()
  }

  /** For a holder that says it in one word. */
  set(reason: BrakeReason, held: boolean): void {
    if (held) this.hold(reason)
    else this.release(reason)
  }

  /** Holds until the promise is settled. Nothing happens if the reason holds already: its first wait will end it. */
  holdUntil(reason: BrakeReason, settled: Promise<unknown>): void {
    if (this.#reasons.has(reason)) return
    this.hold(reason)
    const release = (): void => this.release(reason)
    settled.then(release, release)
  }
}
