import { Line, Standing } from './line.ts'
import type { Said } from './recording.ts'
import { type Cue, Sequence, type Stage, type Waiting } from './sequence.ts'

export interface AsidesEvents {
  tell(said: Said): void
  /** An answer that is still to be told comes before it. */
  ahead(cue: Cue): Standing | undefined
  /** It may tell what it has, in its turn. */
  wake(one: Waiting): void
}

/** What the server says that belongs to no request, as far as it is not told yet. */
export class Asides {
  readonly #stage: Stage
  readonly #events: AsidesEvents
  readonly #open = new Set<Sequence<Said>>()
  readonly #line: Line

  constructor(stage: Stage, events: AsidesEvents) {
    this.#stage = stage
    this.#events = events
    this.#line = new Line(one => events.wake(one))
  }

  get size(): number {
    return this.#open.size
  }

  /** From a time on the tape, which is now. `waitsFor`: the place that the client has to come to before one of them. */
  add(said: readonly Said[], from: number, waitsFor?: (order: number) => number): void {
    const { tell, ahead, wake } = this.#events
    const place = new Standing()
    const aside: Sequence<Said> = new Sequence<Said>(this.#stage, said, from, {
      tell,
      ahead,
      waitsFor,
      moved: () => this.#line.move(place, aside.next),
      done: () => void this.#open.delete(aside)
    })
    this.#open.add(aside)
    this.#line.move(place, aside.next)
    wake(aside)
  }

  /** One of them has something to tell that comes before this. */
  before(order: number): Standing | undefined {
    return this.#line.before(order)
  }

  stop(): void {
    for (const aside of this.#open) aside.stop()
  }
}
