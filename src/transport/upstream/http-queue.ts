import { Queue, QueueNode } from '../../queue.ts'

/** A call that may have to wait until the server has a connection for it. */
export interface QueuedCall {
  /** Its turn has come: it holds a slot now, which it gives back with `leave`. */
  start(): void
}

export interface CallQueueOptions {
  /** Calls under way at once. */
  readonly connections: number
  /** Calls that wait besides. */
  readonly maxPending: number
}

/**
 * Calls on their way to one server. undici would queue them as well, but nothing can be taken out of its queue again: a call
 * that was cancelled there keeps its place, with its whole body, until a connection comes free. So what reaches undici has one.
 */
export class CallQueue {
  readonly #waiting = new Queue<QueuedCall>()
  readonly #maxPending: number
  #limit: number
  #running = 0

  constructor({ connections, maxPending }: CallQueueOptions) {
    this.#limit = connections
    this.#maxPending = maxPending
  }

  get waiting(): number {
    return this.#waiting.size
  }

  /** Calls under way and waiting. */
  get size(): number {
    return this.#running + this.#waiting.size
  }

  /** Takes a slot, if one is free and nobody was here before. */
  enter(): boolean {
    if (this.#running >= this.#limit || this.#waiting.size > 0) return false
    this.#running++
    return true
  }

  /** A place in the queue; undefined when it is full. */
  wait(call: QueuedCall): QueueNode<QueuedCall> | undefined {
    if (this.#waiting.size >= this.#maxPending) return undefined
    const place = new QueueNode(call)
    this.#waiting.push(place)
    return place
  }

  giveUp(place: QueueNode<QueuedCall>): void {
    this.#waiting.remove(place)
  }

  leave(): void {
    this.#running--
    this.#next()
  }

  /** The server speaks HTTP/2, where one connection carries many calls: how many, undici knows. */
  multiplexed(connections: number): void {
    if (this.#limit > connections) return
    this.#limit = connections + this.#maxPending
    this.#next()
  }

  #next(): void {
    while (this.#running < this.#limit) {
      const next = this.#waiting.head
      if (!next) return
      this.#waiting.remove(next)
      this.#running++
      next.value.start()
    }
  }
}
