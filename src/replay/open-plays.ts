import { idKey } from '../protocol/id.ts'
import { Line, type Standing } from './line.ts'
import type { Play } from './play.ts'
import type { RecordedAnswer, Said } from './recording.ts'
import type { Cue, Waiting } from './sequence.ts'

/** The requests of one replay that are open, and how they wait for one another. */
export class OpenPlays {
  readonly #plays = new Set<Play>()
  /** By what comes of them next. */
  readonly #line: Line
  /** By what comes of them next that is of the session at large. */
  readonly #loose: Line

  constructor(wake: (one: Waiting) => void) {
    this.#line = new Line(wake)
    this.#loose = new Line(wake)
  }

  get size(): number {
    return this.#plays.size
  }

  get all(): Iterable<Play> {
    return this.#plays
  }

  add(play: Play): void {
    this.#plays.add(play)
    this.moved(play)
  }

  /** What comes of it next is another thing. One that is made again keeps nobody waiting. */
  moved(play: Play): void {
    if (play.again) return
    this.#line.move(play.place, play.next)
    if (play.loosePlace) this.#loose.move(play.loosePlace, play.nextLoose)
  }

  /** False: it was none of them. */
  delete(play: Play): boolean {
    if (!this.#plays.delete(play)) return false
    this.#line.leave(play.place)
    if (play.loosePlace) this.#loose.leave(play.loosePlace)
    return true
  }

  /** The last that the client calls so, of those that it has not cancelled. */
  called(idText: string): Play | undefined {
    const key = idKey(idText)
    let found: Play | undefined
    for (const play of this.#plays) if (!play.cancelled && idKey(play.idText) === key) found = play
    return found
  }

  /** The one that waits for this question's answer. */
  behind(said: Said): Play | undefined {
    for (const play of this.#plays) if (play.isBehind(said)) return play
    return undefined
  }

  rebase({ at }: RecordedAnswer): void {
    for (const play of this.#plays) play.rebase(at)
  }

  /** What was said at large between requests that were open at one time waits for all, and all wait for it. */
  ahead(play: Play, { order }: Cue, isLoose: boolean): Standing | undefined {
    return play.again ? undefined : (isLoose ? this.#line : this.#loose).before(order, play.recorded.order)
  }

  /** One of them has something to tell that comes first. */
  before({ order }: Cue): Standing | undefined {
    return this.#line.before(order)
  }
}
