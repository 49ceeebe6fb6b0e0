import { CatflapError } from '../errors.ts'
import { idKey, roundedKey } from '../protocol/id.ts'
import { Message } from '../protocol/message.ts'

/** A stream that can carry what the server says on its own account. */
export interface Listener {
  /** False: it cannot take the message (it ended, or is full); another one is tried. */
  deliver(message: Message): boolean
  /** The channel has ended, and with it the stream's purpose. */
  channelClosed?(): void
}

export interface ChannelOptions {
  /** Messages that may wait for a stream. */
  readonly maxMailbox: number
  /** How long they may, in ms. */
  readonly mailboxTtl: number
  /** The server's requests that may wait for the client's answers. */
  readonly maxServerRequests: number
}

export interface ChannelEvents {
  /** Something for the server: the client's answer, or (`own`) an error in its place. */
  toServer(message: Message, own: boolean): void
  /** A message reached nobody. */
  undelivered(message: Message, why: string): void
}

interface Letter {
  readonly message: Message
  readonly until: number
}

/** Servers that use one id several times at once are wrong, but each of their requests is passed on, and so is each answer. */
interface Asked {
  times: number
  /** The stream that carried it last. */
  carrier: Listener | undefined
  /** With no stream left that the client could have it from: how long an answer is still waited for. */
  until: number
  readonly message: Message
}

/**
 * What one leg's server says on its own account, and who is to hear it: the exchange it belongs to where that is known, else
 * the only one in flight, else the newest open stream, else it waits, bounded in time and number. Each message goes to exactly
 * one stream (spec 2025-11-25 basic/transports, "Multiple Connections").
 *
 * A channel lives as long as its leg, or is renewed with it: an answer that comes after the leg was lost finds no request
 * waiting for it.
 */
export class Channel {
  readonly #options: ChannelOptions
  readonly #events: ChannelEvents
  readonly #streams: Listener[] = []
  readonly #exchanges = new Set<Listener>()
  /** The server's requests by id. */
  readonly #pending = new Map<string, Asked>()
  /** `performance.now()` of the client's last answer to a request of the server's. */
  answeredAt = Number.NEGATIVE_INFINITY
  #awaiting = 0
  #mailbox: Letter[] = []
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(options: ChannelOptions, events: ChannelEvents) {
    this.#options = options
    this.#events = events
  }

  /** The server's requests that the client has not answered. */
  get awaiting(): number {
    return this.#awaiting
  }

  get waiting(): number {
    return this.#mailbox.length
  }

  fromServer(message: Message, owner: Listener | undefined): void {
    // A child that is told to end may still have something to say.
    if (this.#closed) return this.#events.undelivered(message, 'the session ended')
    if (message.kind === 'request') {
      if (this.#awaiting >= this.#options.maxServerRequests)
        return this.#unheard(message, 'too many requests of the server are unanswered')
      this.#asked(message)
    }
    if (message.method === 'notifications/cancelled') return this.#withdrawn(message, owner)
    if (!this.#deliver(message, owner)) this.#keep(message)
  }

  /** A GET stream opens; what waited goes there. Returns the function that takes it away again. */
  openStream(listener: Listener): () => void {
    this.#streams.push(listener)
    // The client is there again: it may still answer what it was asked on a stream that broke.
    for (const asked of this.#pending.values()) if (asked.until < NEVER) carry(asked, listener)
    this.#flush()
    return () => {
      const at = this.#streams.indexOf(listener)
      if (at >= 0) this.#streams.splice(at, 1)
      this.#gone(listener)
    }
  }

  /** An exchange begins, which may carry messages beside its answer. */
  enter(listener: Listener): () => void {
    this.#exchanges.add(listener)
    this.#onlyOne()
    return () => {
      this.#gone(listener)
      if (this.#exchanges.delete(listener)) this.#onlyOne()
    }
  }

  /** The client's answer to a request of the server's. False: nothing waits for it (any more), so it goes nowhere. */
  answer(message: Message): boolean {
    if (message.idText === undefined || !this.#settled(idKey(message.idText))) return false
    this.answeredAt = performance.now()
    this.#events.toServer(message, false)
    return true
  }

  /** A request that was handed over will not reach the client after all: the server hears why. */
  refuse(request: Message, error: CatflapError): void {
    if (!this.#settled(idKey(request.idText!))) return
    this.#events.undelivered(request, error.message)
    this.#events.toServer(Message.parse(error.toJsonRpc(request.idText)), true)
  }

  /** Another leg takes the place of the one that is gone: what the server before has asked, nobody wants to know any more. */
  renew(): void {
    this.#pending.clear()
    this.#awaiting = 0
    const letters = this.#mailbox
    this.#mailbox = letters.filter(letter => letter.message.kind !== 'request')
    for (const { message } of letters)
      if (message.kind === 'request') this.#events.undelivered(message, 'its server has ended')
  }

  /** The leg is gone: nobody waits for answers, nobody reads what is left. */
  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#pending.clear()
    this.#awaiting = 0
    for (const letter of this.#mailbox) this.#events.undelivered(letter.message, 'the session ended')
    this.#mailbox = []
    const streams = this.#streams.splice(0)
    this.#exchanges.clear()
    for (const stream of streams) stream.channelClosed?.()
  }

  #deliver(message: Message, owner: Listener | undefined): boolean {
    for (const listener of this.#candidates(owner)) {
      if (!listener.deliver(message)) continue
      const asked = message.kind === 'request' ? this.#pending.get(idKey(message.idText!)) : undefined
      if (asked) carry(asked, listener)
      return true
    }
    return false
  }

  *#candidates(owner: Listener | undefined): Generator<Listener> {
    if (owner) yield owner
    if (this.#exchanges.size === 1) yield* this.#exchanges
    for (let i = this.#streams.length - 1; i >= 0; i--) yield this.#streams[i]!
  }

  /** A single exchange in flight is the one that what waits belongs to. */
  #onlyOne(): void {
    if (this.#exchanges.size === 1 && this.#mailbox.length > 0) this.#flush()
  }

  #asked(message: Message): void {
    const key = idKey(message.idText!)
    this.#awaiting++
    const asked = this.#pending.get(key)
    if (asked) asked.times++
    else this.#pending.set(key, { times: 1, carrier: undefined, until: NEVER, message })
  }

  /**
   * What this stream carried may still be answered, as answers come by requests of their own; but a client that has no stream
   * any more may as well be gone. A call may wait for the answer, and while it does its deadline does not pass.
   */
  #gone(listener: Listener): void {
    const until = performance.now() + this.#options.mailboxTtl
    for (const asked of this.#pending.values()) {
      if (asked.carrier !== listener) continue
      asked.carrier = this.#streams.at(-1)
      if (!asked.carrier) asked.until = until
    }
    this.#schedule()
  }

  /** False: there was no such request. Clients that read numbers as doubles echo big ids rounded. */
  #settled(key: string): boolean {
    const exact = this.#pending.has(key) ? key : [...this.#pending.keys()].find(k => roundedKey(k) === key)
    const asked = exact === undefined ? undefined : this.#pending.get(exact)
    if (exact === undefined || !asked) return false
    this.#awaiting--
    if (--asked.times === 0) this.#pending.delete(exact)
    return true
  }

  /**
   * The server takes its own request back: whoever carried it hears that, and a late answer goes nowhere. One that nobody
   * has heard yet is taken out of the mailbox, and nobody need hear that it was there.
   */
  #withdrawn(message: Message, owner: Listener | undefined): void {
    const key = message.requestIdText === undefined ? undefined : idKey(message.requestIdText)
    const asked = key === undefined ? undefined : this.#pending.get(key)
    if (key === undefined || !asked) {
      if (!this.#deliver(message, owner)) this.#keep(message)
      return
    }
    this.#settled(key)
    const unheard = this.#mailbox.findIndex(l => l.message.kind === 'request' && idKey(l.message.idText!) === key)
    if (unheard >= 0) this.#mailbox.splice(unheard, 1)
    else if (!this.#deliver(message, owner ?? asked.carrier)) this.#keep(message)
  }

  #keep(message: Message): void {
    if (this.#mailbox.length >= this.#options.maxMailbox)
      this.#giveUp(this.#mailbox.shift()!, 'too many messages wait for a stream')
    this.#mailbox.push({ message, until: performance.now() + this.#options.mailboxTtl })
    this.#schedule()
  }

  #flush(): void {
    const letters = this.#mailbox
    this.#mailbox = []
    for (const [i, letter] of letters.entries()) {
      if (this.#deliver(letter.message, undefined)) continue
      // A stream that could not take it may have ended, which has been told to this channel meanwhile.
      this.#mailbox = [...letters.slice(i), ...this.#mailbox]
      return
    }
  }

  readonly #expire = (): void => {
    this.#timer = undefined
    const now = performance.now()
    while (this.#mailbox.length > 0 && this.#mailbox[0]!.until <= now)
      this.#giveUp(this.#mailbox.shift()!, 'no stream was open to carry it')
    for (const asked of [...this.#pending.values()])
      for (let left = asked.until <= now ? asked.times : 0; left > 0; left--)
        this.#giveUp({ message: asked.message, until: now }, 'the client left without an answer')
    this.#schedule()
  }

  /** One timer for all that waits, set to what is due first. A timer that comes too early sets itself anew. */
  #schedule(): void {
    if (this.#timer) return
    let due = this.#mailbox[0]?.until ?? NEVER
    for (const asked of this.#pending.values()) due = Math.min(due, asked.until)
    if (due < NEVER) this.#timer = setTimeout(this.#expire, Math.max(1, Math.ceil(due - performance.now())))
  }

  #giveUp(letter: Letter, why: string): void {
    if (letter.message.kind === 'request') {
      this.#settled(idKey(letter.message.idText!))
      this.#unheard(letter.message, why)
    } else this.#events.undelivered(letter.message, why)
  }

  #unheard(message: Message, why: string): void {
    this.#events.undelivered(message, why)
    const error = new CatflapError('server_request_unheard', `The client could not be asked: ${why}.`)
    this.#events.toServer(Message.parse(error.toJsonRpc(message.idText)), true)
  }
}

const NEVER = Number.POSITIVE_INFINITY

function carry(asked: Asked, listener: Listener): void {
  asked.carrier = listener
  asked.until = NEVER
}
