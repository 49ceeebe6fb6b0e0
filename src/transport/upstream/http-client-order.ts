import { Queue, QueueNode } from '../../queue.ts'

/** A message on its way out. */
interface Waiting {
  readonly size: number
  /** What comes behind it waits until the server has it. */
  readonly first: boolean
  readonly start: (accepted: () => void) => void
}

export interface OrderOptions {
  /** How long the server may take to accept a message that others wait behind, in ms. */
  readonly patience: number
  /** Bytes that may wait. */
  readonly maxWaiting: number
  /** The client should say no more for now; and again. */
  readonly full: () => void
  readonly drain: () => void
}

/**
 * A pipe has an order, which requests over HTTP do not have. A server that has not seen a notification or an answer yet would
 * take the request behind it for something else, so that request waits until the server has accepted what came before.
 */
export class MessageOrder {
  readonly #options: OrderOptions
  readonly #waiting = new Queue<Waiting>()
  #bytes = 0
  #full = false
  #timer: NodeJS.Timeout | undefined
  #turn: object | undefined

  constructor(options: OrderOptions) {
    this.#options = options
  }

  /** Starts the message when its turn has come. Returns how to take it out before that, or undefined when too much waits. */
  enter(size: number, first: boolean, start: Waiting['start']): (() => void) | undefined {
    const message = { size, first, start }
    if (!this.#turn && this.#waiting.size === 0) {
      this.#start(message)
      return () => {}
    }
    if (this.#bytes + size > this.#options.maxWaiting) return undefined
    const place = new QueueNode<Waiting>(message)
    this.#waiting.push(place)
    this.#count(size)
    return () => this.#leave(place)
  }

  /** Forgets what waits, and waits for nothing. */
  close(): void {
    clearTimeout(this.#timer)
    this.#turn = {}
    for (let place = this.#waiting.head; place; place = this.#waiting.head) this.#leave(place)
  }

  #start(message: Waiting): void {
    if (!message.first) return message.start(() => {})
    const turn = {}
    this.#turn = turn
    const accepted = (): void => {
      if (this.#turn !== turn) return
      clearTimeout(this.#timer)
      this.#turn = undefined
      this.#next()
    }
    this.#timer = setTimeout(accepted, this.#options.patience)
    message.start(accepted)
  }

  #next(): void {
    for (let place = this.#waiting.head; place && !this.#turn; place = this.#waiting.head) {
      this.#leave(place)
      this.#start(place.value)
    }
  }

  #leave(place: QueueNode<Waiting>): void {
    if (place.queue !== this.#waiting) return
    this.#waiting.remove(place)
    this.#count(-place.value.size)
  }

  #count(bytes: number): void {
    this.#bytes += bytes
    if (!this.#full && this.#bytes > this.#options.maxWaiting / 2) {
      this.#full = true
      this.#options.full()
    } else if (this.#full && this.#bytes === 0) {
      this.#full = false
      this.#options.drain()
    }
  }
}
