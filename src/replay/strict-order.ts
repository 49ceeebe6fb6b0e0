import type { RecordedRequest } from './recording.ts'
import type { RequestIndex } from './request-index.ts'

/** So many may be open at once, in a recording, and wait to be asked for. */
const MAX_WINDOW = 1000

/**
 * Recorded order: a request may come when all that were answered before it began have come. Those that overlapped may come in
 * any order among themselves. Pings have no place in it: clients send them when they like.
 */
export class StrictOrder {
  readonly #index: RequestIndex
  readonly #prefer: readonly [number, number]
  /** What may come now, in recorded order. */
  #window: number[] = []
  #ahead = 0
  /** How often it began anew. */
  laps = 0

  constructor(index: RequestIndex, prefer: readonly [number, number] = [0, 0]) {
    this.#index = index
    this.#prefer = prefer
    this.#fill()
  }

  /** Nothing is left that would have to come. */
  get isAtEnd(): boolean {
    return this.#ahead === this.#index.all.length && this.#window.length === 0
  }

  /** What has to come next. */
  get next(): number | undefined {
    return this.#window[0]
  }

  /** Earlier keys are better ones. */
  take(keys: readonly string[]): number | undefined {
    return this.#take(keys, i => this.#index.keyAt(i))
  }

  /** By what requests are but for what the client answers in them. */
  takeUnanswered(keys: readonly string[]): number | undefined {
    return this.#take(keys, i => this.#index.unansweredKeyAt(i))
  }

  #take(keys: readonly string[], keyOf: (position: number) => number | undefined): number | undefined {
    for (const key of this.#index.idsOf(keys)) {
      const at = this.#window.findIndex(i => keyOf(i) === key)
      if (at < 0) continue
      const [position] = this.#window.splice(at, 1)
      this.#fill()
      return position
    }
    return undefined
  }

  restart(): void {
    this.laps++
    this.#window = []
    this.#ahead = 0
    this.#fill()
  }

  #fill(): void {
    const { all } = this.#index
    let end = Number.POSITIVE_INFINITY
    for (const i of this.#window) end = Math.min(end, endOf(all.at(i)))
    for (; this.#ahead < all.length && this.#window.length < MAX_WINDOW; this.#ahead++) {
      const position = this.#nth(this.#ahead)
      // What cannot be asked for holds up nothing.
      if (this.#index.keyAt(position) === undefined) continue
      const request = all.at(position)
      if (request.method === 'ping') continue
      if (this.next !== undefined && (request.order > end || !this.#isOneConversation(position))) return
      end = Math.min(end, endOf(request))
      this.#window.push(position)
    }
  }

  /** The preferred conversation first, then all others. */
  #nth(n: number): number {
    const [from, to] = this.#prefer
    if (n < to - from) return from + n
    return n < to ? n - (to - from) : n
  }

  #isOneConversation(position: number): boolean {
    const { all } = this.#index
    return all.conversationOf(this.#window[0]!) === all.conversationOf(position)
  }
}

function endOf({ outcome }: RecordedRequest): number {
  return outcome.kind === 'open' ? Number.POSITIVE_INFINITY : outcome.order
}
