import { InUse } from './bounded-maps.ts'
import type { ConversationBuilder } from './conversation-builder.ts'
import type { RequestOnTape } from './request-on-tape.ts'
import { doubleKey, keyOf } from './shared-strings.ts'

/** A request that has no answer yet. */
export interface Pending {
  readonly request: RequestOnTape
  readonly conversation: ConversationBuilder
  readonly key: string
  /** That a modern request names. */
  readonly version: string | undefined
  done: boolean
  cancelled: boolean
}

/** Requests that may wait at once. Beyond it the oldest are forgotten: a tape may hold millions that were never answered. */
const MAX_WAITING = 10_000

/**
 * Requests by id. Clients may use an id again while it is in use: the oldest is meant first, and those that were cancelled
 * last, as these need not be answered. Nothing here ever looks through all that waits.
 */
export class Waiting {
  readonly #queues = new InUse<Queue>(2 * MAX_WAITING, queue => queue.first() !== undefined)
  #count = 0

  add(pending: Pending): void {
    this.#queue(pending.key).push(pending)
    // A server that reads numbers as doubles answers under a rounded id.
    const rounded = doubleKey(pending.key)
    if (rounded !== undefined) this.#queue(`~${rounded}`).push(pending)
    if (++this.#count > MAX_WAITING) this.#forgetOldest()
  }

  /** Which request an answer with this id belongs to. */
  peek(id: string): Pending | undefined {
    const key = keyOf(id)
    return this.#queues.get(key)?.first() ?? this.#queues.get(`~${key}`)?.first()
  }

  /** It was answered, or cannot be any more. */
  remove(pending: Pending): void {
    if (pending.done) return
    pending.done = true
    this.#count--
    this.#queues.get(pending.key)?.first()
  }

  /** All that wait; nothing waits afterwards. */
  *takeAll(): Generator<Pending, void, void> {
    for (const queue of this.#queues.values()) yield* this.#taken(queue)
    this.#queues.clear()
  }

  #queue(key: string): Queue {
    let queue = this.#queues.get(key)
    if (!queue) this.#queues.set(key, (queue = new Queue()))
    return queue
  }

  #forgetOldest(): void {
    for (const queue of this.#queues.values()) {
      for (const _ of this.#taken(queue));
      if (this.#count < MAX_WAITING / 2) return
    }
  }

  *#taken(queue: Queue): Generator<Pending, void, void> {
    for (let next = queue.first(); next; next = queue.first()) {
      next.done = true
      this.#count--
      yield next
    }
  }
}

class Queue {
  #live: Pending[] = []
  #from = 0
  readonly #cancelled: Pending[] = []

  push(pending: Pending): void {
    this.#live.push(pending)
  }

  first(): Pending | undefined {
    for (; this.#from < this.#live.length; this.#from++) {
      const next = this.#live[this.#from]!
      if (next.done) continue
      if (!next.cancelled) return this.#trimmed(next)
      this.#cancelled.push(next)
    }
    if (this.#live.length > 0) {
      this.#live = []
      this.#from = 0
    }
    while (this.#cancelled.at(-1)?.done) this.#cancelled.pop()
    return this.#cancelled.at(-1)
  }

  /** What lies behind is given free from time to time. */
  #trimmed(next: Pending): Pending {
    if (this.#from > 1000 && this.#from * 2 > this.#live.length) {
      this.#live = this.#live.slice(this.#from)
      this.#from = 0
    }
    return next
  }
}
