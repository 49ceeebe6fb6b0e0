import { CatflapError } from '../errors.ts'
import { idKey } from '../protocol/id.ts'
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

/**
 * What one leg's server says on its own account, and who is to hear it: the exchange it belongs to where that is known, else
 * the only one in flight, else the newest open stream, else it waits, bounded in time and number. Each message goes to exactly
 * one stream (spec 2025-11-25 basic/transports, "Multiple Connections").
 *
 * A channel lives as long as its leg: an answer that comes after the leg was lost finds no request waiting for it.
 */
export class Channel {
  readonly #options: ChannelOptions
  readonly #events: ChannelEvents
  readonly #streams: Listener[] = []
  readonly #exchanges = new Set<Listener>()
  /** The server's requests by id, with the stream that carried each. */
  readonly #pending = new Map<string, Listener | undefined>()
  #mailbox: Letter[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(options: ChannelOptions, events: ChannelEvents) {
    this.#options = options
    this.#events = events
  }

  /** The server's requests that the client has not answered. */
  get awaiting(): number {
    return this.#pending.size
  }

  get waiting(): number {
    return this.#mailbox.length
  }

  fromServer(message: Message, owner: Listener | undefined): void {
    if (message.kind === 'request') {
      if (this.#pending.size >= this.#options.maxServerRequests)
        return this.#refuse(message, 'too many requests of the server are unanswered')
      this.#pending.set(idKey(message.idText!), undefined)
    }
    const carrier = message.method === 'notifications/cancelled' ? this.#withdraw(message) : undefined
    if (!this.#deliver(message, owner ?? carrier)) this.#keep(message)
  }

  /** A GET stream opens; what waited goes there. Returns the function that takes it away again. */
  openStream(listener: Listener): () => void {
    this.#streams.push(listener)
    this.#flush()
    return () => {
      const at = this.#streams.indexOf(listener)
      if (at >= 0) this.#streams.splice(at, 1)
    }
  }

  /** An exchange begins, which may carry messages beside its answer. */
  enter(listener: Listener): () => void {
    this.#exchanges.add(listener)
    if (this.#exchanges.size === 1 && this.#streams.length === 0) this.#flush()
    return () => this.#exchanges.delete(listener)
  }

  /** The client's answer to a request of the server's. False: nothing waits for it (any more), so it goes nowhere. */
  answer(message: Message): boolean {
    if (message.idText === undefined || !this.#pending.delete(idKey(message.idText))) return false
    this.#events.toServer(message, false)
    return true
  }

  /** The leg is gone: nobody waits for answers, nobody reads what is left. */
  close(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#pending.clear()
    for (const letter of this.#mailbox) this.#events.undelivered(letter.message, 'the session ended')
    this.#mailbox = []
    const streams = this.#streams.splice(0)
    this.#exchanges.clear()
    for (const stream of streams) stream.channelClosed?.()
  }

  #deliver(message: Message, owner: Listener | undefined): boolean {
    for (const listener of this.#candidates(owner)) {
      if (!listener.deliver(message)) continue
      if (message.kind === 'request') this.#pending.set(idKey(message.idText!), listener)
      return true
    }
    return false
  }

  *#candidates(owner: Listener | undefined): Generator<Listener> {
    if (owner) yield owner
    if (this.#exchanges.size === 1) yield* this.#exchanges
    for (let i = this.#streams.length - 1; i >= 0; i--) yield this.#streams[i]!
  }

  /** The server takes its own request back: whoever carried it hears that, and a late answer goes nowhere. */
  #withdraw(message: Message): Listener | undefined {
    const requestId = message.requestIdText
    if (requestId === undefined) return undefined
    const key = idKey(requestId)
    const carrier = this.#pending.get(key)
    this.#pending.delete(key)
    return carrier
  }

  #keep(message: Message): void {
    if (this.#mailbox.length >= this.#options.maxMailbox)
      this.#giveUp(this.#mailbox.shift()!, 'too many messages wait for a stream')
    this.#mailbox.push({ message, until: performance.now() + this.#options.mailboxTtl })
    this.#timer ??= setTimeout(this.#expire, this.#options.mailboxTtl)
  }

  #flush(): void {
    const letters = this.#mailbox
    this.#mailbox = []
    for (const [i, letter] of letters.entries()) {
      if (this.#deliver(letter.message, undefined)) continue
      this.#mailbox = letters.slice(i)
      return
    }
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  readonly #expire = (): void => {
    this.#timer = undefined
    const now = performance.now()
    while (this.#mailbox.length > 0 && this.#mailbox[0]!.until <= now)
      this.#giveUp(this.#mailbox.shift()!, 'no stream was open to carry it')
    const next = this.#mailbox[0]
    if (next) this.#timer = setTimeout(this.#expire, Math.max(1, Math.ceil(next.until - now)))
  }

  #giveUp(letter: Letter, why: string): void {
    if (letter.message.kind === 'request') {
      this.#pending.delete(idKey(letter.message.idText!))
      this.#refuse(letter.message, why)
    } else this.#events.undelivered(letter.message, why)
  }

  #refuse(message: Message, why: string): void {
    this.#events.undelivered(message, why)
    const error = new CatflapError('server_request_unheard', `The client could not be asked: ${why}.`)
    this.#events.toServer(Message.parse(error.toJsonRpc(message.idText)), true)
  }
}
