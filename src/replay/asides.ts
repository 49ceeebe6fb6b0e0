import type { Said } from './recording.ts'
import { type Cue, Sequence, type Stage, type Waiting } from './sequence.ts'

export interface AsidesEvents {
  tell(said: Said): void
  /** An answer that is still to be told comes before it. */
  holds(cue: Cue): boolean
}

/** What the server says that belongs to no request, as far as it is not told yet. */
export class Asides {
  readonly #stage: Stage
  readonly #events: AsidesEvents
  readonly #open = new Set<Sequence<Said>>()
  readonly #goOn: () => void

  constructor(stage: Stage, events: AsidesEvents, goOn: () => void) {
    this.#stage = stage
    this.#events = events
    this.#goOn = goOn
  }

  get size(): number {
    return this.#open.size
  }

  /** From a time on the tape, which is now. */
  add(said: readonly Said[], from: number, waits?: (order: number) => boolean): void {
    const done = (): void => {
      this.#open.delete(aside)
      this.#goOn()
    }
    const aside: Sequence<Said> = new Sequence<Said>(this.#stage, said, from, { ...this.#events, done }, waits)
    this.#open.add(aside)
    aside.advance()
  }

  /** One of them, other than who asks, has something to tell that comes before this. */
  before(order: number, by: Waiting): boolean {
    for (const aside of this.#open) if (aside !== by && aside.next < order) return true
    return false
  }

  stop(): void {
    for (const aside of this.#open) aside.stop()
  }
}
