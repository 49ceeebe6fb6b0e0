import { idKey } from '../protocol/id.ts'
import type { Play } from './play.ts'
import type { RecordedAnswer, Said } from './recording.ts'
import type { Cue } from './sequence.ts'

/** The requests of one replay that are open, and how they wait for one another. */
export class OpenPlays {
  readonly #plays = new Set<Play>()
  /** Those that bring something of the session at large. */
  readonly #loose = new Set<Play>()

  get size(): number {
    return this.#plays.size
  }

  get all(): Iterable<Play> {
    return this.#plays
  }

  add(play: Play): void {
    this.#plays.add(play)
    if (play.isLoose) this.#loose.add(play)
  }

  /** False: it was none of them. */
  delete(play: Play): boolean {
    if (!this.#plays.delete(play)) return false
    this.#loose.delete(play)
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
  holdsBack(play: Play, cue: Cue, isLoose: boolean): boolean {
    if (play.again) return false
    const { order } = play.recorded
    for (const other of isLoose ? this.#plays : this.#loose) {
      if (other === play || other.again || other.until < order) continue
      if ((isLoose ? other.next : other.nextLoose) < cue.order) return true
    }
    return false
  }

  /** One of them has something to tell that comes first. */
  before({ order }: Cue): boolean {
    for (const play of this.#plays) if (!play.again && play.next < order) return true
    return false
  }
}
