import { Queue, QueueNode } from '../../queue.ts'

/** What a message means for those behind it. */
export type OrderKind =
  /** Nobody waits for it. It is not begun before there is room for its answer. */
  | 'call'
  /** Meant to stay open: nobody waits for it, and it takes nobody's room. */
  | 'stream'
  /** What follows waits until the server has accepted it, if that does not take too long. */
  | 'note'
  /** The same. The server may have asked for it before it answers `initialize`. */
  | 'answer'
  /** What follows waits for its answer, which names the session that everything behind it belongs to. */
  | 'initialize'

/** A message on its way out. */
interface Waiting {
  readonly size: number
  readonly kind: OrderKind
  readonly start: (accepted: () => void) => void
}

export interface OrderOptions {
  /** How long the server may take to accept a message that others wait behind, in ms. */
  readonly patience: number
  /** Bytes that may wait. */
  readonly maxWaiting: number
  /** Calls that may wait for room, as long as the client reads what it gets. */
  readonly maxCalls: number
  /** One more call may begin. */
  readonly room: () => boolean
  /** The client does not read. */
  readonly paused: () => boolean
  /** The client should say no more for now; and again. */
  readonly full: () => void
  readonly drain: () => void
}

/** Messages that wait until the client is held: small ones weigh more than their bytes. */
const MANY = 256

/**
 * A pipe has an order, which requests over HTTP do not have. A server that has not seen a notification or an answer yet would
 * take the request behind it for something else, so that request waits until the server has accepted what came before.
 */
export class MessageOrder {
  readonly #options: OrderOptions
  readonly #waiting = new Queue<Waiting>()
  /** Calls whose turn has come, and which wait for room. Notifications and answers pass them: a call may be waiting for these. */
  readonly #calls = new Queue<Waiting>()
  #bytes = 0
  #full: 'unaccepted' | 'unread' | undefined
  #timer: NodeJS.Timeout | undefined
  #turn: object | undefined
  /** The answer to `initialize` takes long: those to the server's own requests go first. */
  #late = false

  constructor(options: OrderOptions) {
    this.#options = options
  }

  /** Starts the message when its turn has come. Returns how to take it out before that, or undefined when too much waits. */
  enter(size: number, kind: OrderKind, start: Waiting['start']): (() => void) | undefined {
    const message = { size, kind, start }
    const inTurn = (!this.#turn && this.#waiting.size === 0) || (this.#late && kind === 'answer')
    if (inTurn && this.#hasRoom(message)) {
      this.#start(message)
      return () => {}
    }
    const { maxWaiting, maxCalls, paused } = this.#options
    if (this.#bytes + size > maxWaiting || (this.#calls.size >= maxCalls && !paused())) return undefined
    const place = new QueueNode<Waiting>(message)
    if (inTurn) this.#calls.push(place)
    else this.#waiting.push(place)
    this.#count(size)
    return () => this.#leave(place)
  }

  /** There may be room for calls again. */
  roomAgain(): void {
    for (let place = this.#calls.head; place && this.#options.room(); place = this.#calls.head) {
      this.#leave(place)
      this.#start(place.value)
    }
    this.#count(0)
  }

  /** Forgets what waits, and waits for nothing. */
  close(): void {
    clearTimeout(this.#timer)
    this.#turn = {}
    for (const queue of [this.#waiting, this.#calls])
      for (let place = queue.head; place; place = queue.head) this.#leave(place)
  }

  #start({ kind, start }: Waiting): void {
    if (kind === 'call' || kind === 'stream' || this.#turn) return start(() => {})
    const turn = {}
    this.#turn = turn
    const accepted = (): void => {
      if (this.#turn !== turn) return
      clearTimeout(this.#timer)
      this.#late = false
      this.#turn = undefined
      this.#next()
    }
    this.#timer = setTimeout(kind === 'initialize' ? () => this.#answersFirst() : accepted, this.#options.patience)
    start(accepted)
  }

  #next(): void {
    for (let place = this.#waiting.head; place && !this.#turn; place = this.#waiting.head) {
      if (!this.#hasRoom(place.value)) {
        this.#calls.push(place)
        continue
      }
      this.#leave(place)
      this.#start(place.value)
    }
  }

  #answersFirst(): void {
    this.#late = true
    for (let place = this.#waiting.head; place; ) {
      const { next, value } = place
      if (value.kind === 'answer') {
        this.#leave(place)
        this.#start(value)
      }
      place = next
    }
  }

  #hasRoom({ kind }: Waiting): boolean {
    return kind !== 'call' || (this.#calls.size === 0 && this.#options.room())
  }

  #leave(place: QueueNode<Waiting>): void {
    if (!place.queue) return
    place.queue.remove(place)
    this.#count(-place.value.size)
  }

  #count(bytes: number): void {
    this.#bytes += bytes
    const { paused, full, drain } = this.#options
    if (this.#full) {
      const over =
        this.#full === 'unread' ? !paused() || this.#calls.size === 0 : this.#waiting.size === 0 && !this.#heavy
      if (!over) return
      this.#full = undefined
      return drain()
    }
    if (this.#heavy || this.#waiting.size > MANY) this.#full = 'unaccepted'
    else if (this.#calls.size > MANY && paused()) this.#full = 'unread'
    if (this.#full) full()
  }

  get #heavy(): boolean {
    return this.#bytes > this.#options.maxWaiting / 2
  }
}
