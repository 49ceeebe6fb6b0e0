import { idKey, roundedKey } from '../../protocol/id.ts'
import type { Message } from '../../protocol/message.ts'

/**
 * The requests of one POST that have no answer yet. A batch may have tens of thousands of them, so an answer is never looked
 * for among all.
 */
export class OpenRequests {
  /** Of all that there were, each once. */
  readonly keys: readonly string[]
  readonly #byKey = new Map<string, SameId>()
  /** Servers that read numbers as doubles round big ids: what they would answer, and which ids that may mean, last first. */
  readonly #rounded = new Map<string, string[]>()
  #size = 0
  #cancelled = 0

  constructor(messages: readonly Message[]) {
    for (const m of messages) if (m.kind === 'request') this.#add(m)
    this.keys = [...this.#byKey.keys()]
    for (const key of this.keys.toReversed()) this.#addRounded(key)
  }

  get size(): number {
    return this.#size
  }

  /** The client has cancelled whatever is left. */
  get allCancelled(): boolean {
    return this.#cancelled === this.#size
  }

  /** Those left, but for the ones that the client has cancelled. */
  get wanted(): Message[] {
    return [...this.#byKey.values()].flatMap(same => same.wanted)
  }

  get left(): Message[] {
    return [...this.#byKey.values()].flatMap(same => [...same.wanted, ...same.cancelled])
  }

  awaits(key: string): boolean {
    return this.#byKey.get(key)?.waits ?? false
  }

  /** The request that an answer under this id is for; it is open no more. */
  take(key: string): Message | undefined {
    const exact = this.#take(key)
    if (exact) return exact
    const meant = this.#rounded.get(key)
    for (let one = meant?.at(-1); one !== undefined; one = meant?.at(-1)) {
      const request = this.#take(one)
      if (request) return request
      meant?.pop()
    }
    return undefined
  }

  /** The client has cancelled the newest request of that id. */
  cancel(key: string): void {
    if (this.#byKey.get(key)?.cancel()) this.#cancelled++
  }

  /** Nobody waits for the cancelled requests of that id any more. Returns whether there were any. */
  dropCancelled(key: string): boolean {
    const same = this.#byKey.get(key)
    const dropped = same?.cancelled.length ?? 0
    if (!same || dropped === 0) return false
    same.cancelled.length = 0
    this.#size -= dropped
    this.#cancelled -= dropped
    if (!same.waits) this.#byKey.delete(key)
    return true
  }

  #take(key: string): Message | undefined {
    const same = this.#byKey.get(key)
    if (!same) return undefined
    const wanted = same.next()
    const request = wanted ?? same.cancelled.pop()
    this.#size--
    if (!wanted) this.#cancelled--
    if (!same.waits && same.cancelled.length === 0) this.#byKey.delete(key)
    return request
  }

  #add(request: Message): void {
    const key = idKey(request.idText!)
    const same = this.#byKey.get(key)
    if (same) same.add(request)
    else this.#byKey.set(key, new SameId(request))
    this.#size++
  }

  #addRounded(key: string): void {
    const rounded = roundedKey(key)
    if (rounded === undefined) return
    const meant = this.#rounded.get(rounded)
    if (meant) meant.push(key)
    else this.#rounded.set(rounded, [key])
  }
}

/** Requests that share one id, as no batch should have them. */
class SameId {
  readonly cancelled: Message[] = []
  readonly #requests: Message[]
  #from = 0

  constructor(first: Message) {
    this.#requests = [first]
  }

  add(request: Message): void {
    this.#requests.push(request)
  }

  get wanted(): Message[] {
    return this.#requests.slice(this.#from)
  }

  get waits(): boolean {
    return this.#from < this.#requests.length
  }

  /** The oldest. */
  next(): Message | undefined {
    return this.waits ? this.#requests[this.#from++] : undefined
  }

  /** The newest. */
  cancel(): boolean {
    const request = this.waits ? this.#requests.pop() : undefined
    if (request) this.cancelled.push(request)
    return request !== undefined
  }
}
