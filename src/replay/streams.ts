import type { Room } from './room.ts'
import type { EndOnTape, ListenOnTape } from './steps.ts'
import type { Pending } from './waiting.ts'

/** One HTTP request and its answer, or a pipe. */
export class StreamOnTape {
  readonly room: Room
  /** What a GET or DELETE became. */
  readonly step: ListenOnTape | EndOnTape | undefined
  /** The stream that this one goes on with (`Last-Event-ID`). */
  readonly origin: StreamOnTape | undefined
  status: number | undefined
  isSse = false
  /** Nothing more comes there. */
  ended = false
  /** The answer has a `Mcp-Session-Id`. */
  assigns = false
  lastEventId: string | undefined
  readonly #requests: Pending[] = []
  #from = 0
  /** The last one first; made for batches only. */
  #byId: Map<string, Pending[]> | undefined

  constructor(room: Room, step?: ListenOnTape | EndOnTape, origin?: StreamOnTape) {
    this.room = room
    this.step = step
    this.origin = origin?.origin ?? origin
  }

  add(pending: Pending): void {
    this.#requests.push(pending)
  }

  /** What still comes there makes a difference. */
  get isAwaited(): boolean {
    return !this.ended && (this.step !== undefined || this.next !== undefined)
  }

  /** The requests that came with it and have no answer. */
  get waiting(): readonly Pending[] {
    if (!this.next) return []
    // One that is taken up and breaks off over and over must not be gone through as often.
    if (this.origin) return this.origin.#requests.slice(this.origin.#from, this.origin.#from + 100).filter(isWaiting)
    return this.#requests.filter(isWaiting)
  }

  /** The first of them. */
  get next(): Pending | undefined {
    if (this.origin) return this.origin.next
    while (this.#requests[this.#from]?.done) this.#from++
    return this.#requests[this.#from]
  }

  /** The last that came with it, answered or not. */
  get last(): Pending | undefined {
    return this.origin ? this.origin.last : this.#requests.at(-1)
  }

  find(key: string): Pending | undefined {
    if (this.origin) return this.origin.find(key)
    const next = this.next
    if (!next || next.key === key || this.#requests.length === 1) return next?.key === key ? next : undefined
    const same = this.#index().get(key)
    while (same?.at(-1)?.done) same.pop()
    return same?.at(-1)
  }

  #index(): Map<string, Pending[]> {
    if (this.#byId) return this.#byId
    this.#byId = new Map()
    for (const pending of this.#requests.toReversed()) {
      const same = this.#byId.get(pending.key)
      if (same) same.push(pending)
      else this.#byId.set(pending.key, [pending])
    }
    return this.#byId
  }
}

function isWaiting({ done }: Pending): boolean {
  return !done
}
