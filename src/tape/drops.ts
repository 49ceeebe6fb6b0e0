import type { Frame } from './frame.ts'

/** Sessions whose missing frames are counted apart; further ones share a count. */
const MAX_SESSIONS = 1024

/** Counts frames that were not recorded, so that the tape can say where they are missing: in each session's tape its own. */
export class Drops {
  readonly #missing = new Map<string | undefined, number>()
  total = 0

  get pending(): boolean {
    return this.#missing.size > 0
  }

  add(session: string | undefined): void {
    this.total++
    const key = this.#missing.has(session) || this.#missing.size < MAX_SESSIONS ? session : undefined
    this.#missing.set(key, (this.#missing.get(key) ?? 0) + 1)
  }

  /** The notes that say so, once. */
  take(time: number): Frame[] {
    const notes = [...this.#missing].map(([session, count]): Frame => {
      const text = `${count} ${count === 1 ? 'frame is' : 'frames are'} missing here: the recording queue was full`
      return { time, side: 'client', dir: 'up', kind: 'note', session, note: 'dropped', text, data: { count } }
    })
    this.#missing.clear()
    return notes
  }
}
