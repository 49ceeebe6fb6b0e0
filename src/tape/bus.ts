import type { Frame } from './frame.ts'

/**
 * One who watches frames. `frame` is called synchronously from the hot path: it must be short, as putting the frame aside is.
 * A subscriber that must not lose frames says `full` while it has no room; the traffic then waits for `whenReady`.
 */
export interface FrameSubscriber {
  frame(frame: Frame): void
  readonly full?: boolean
  whenReady?(): Promise<void>
}

/**
 * Hands frames to whoever watches. While nobody does, `active` is false and callers build no frames at all.
 * A subscriber that throws is dropped: observers never fail traffic.
 */
export class FrameBus {
  #subscribers: readonly FrameSubscriber[] = []
  #onError: (error: unknown) => void
  active = false

  constructor(onError: (error: unknown) => void = () => {}) {
    this.#onError = onError
  }

  /** Returns a function that ends the subscription. */
  subscribe(subscriber: FrameSubscriber): () => void {
    this.#set([...this.#subscribers, subscriber])
    return () => this.#set(this.#subscribers.filter(s => s !== subscriber))
  }

  publish(frame: Frame): void {
    for (const subscriber of this.#subscribers) {
      try {
        subscriber.frame(frame)
      } catch (error) {
        this.#set(this.#subscribers.filter(s => s !== subscriber))
        this.#onError(error)
      }
    }
  }

  /** Undefined when there is room; otherwise resolves when there is again. */
  blocked(): Promise<void> | undefined {
    for (const subscriber of this.#subscribers) if (subscriber.full) return this.#ready()
    return undefined
  }

  async #ready(): Promise<void> {
    for (;;) {
      const full = this.#subscribers.find(s => s.full)
      if (!full) return
      await full.whenReady?.()
    }
  }

  #set(subscribers: readonly FrameSubscriber[]): void {
    this.#subscribers = subscribers
    this.active = subscribers.length > 0
  }
}
