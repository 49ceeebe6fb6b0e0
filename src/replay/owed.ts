import type { Hit } from './matching.ts'

/** Requests that may be made once more. Beyond, the oldest is forgotten. */
const MAX_OWED = 256

/** Recordings that nobody was told, since something else was in their place: whoever asks for such again gets them. */
export class Owed {
  readonly #byKind = new Map<number, Hit[]>()
  #count = 0

  get any(): boolean {
    return this.#count > 0
  }

  /** `kind`: that the matcher gives to all requests that get the same recordings. */
  give(kind: number, owed: Hit): void {
    const list = this.#byKind.get(kind)
    if (list) list.push(owed)
    else this.#byKind.set(kind, [owed])
    if (++this.#count > MAX_OWED) for (const oldest of this.#byKind.keys()) return void this.take(oldest)
  }

  take(kind: number): Hit | undefined {
    const list = this.#byKind.get(kind)
    const first = list?.shift()
    if (first) this.#count--
    if (list?.length === 0) this.#byKind.delete(kind)
    return first
  }
}
