import type { ServerHttp2Session } from 'node:http2'
import type { Socket } from 'node:net'
import { Queue, QueueNode } from '../../queue.ts'
import { Allowance } from './allowance.ts'
import type { Http2Response } from './http2-response.ts'

// Loaded with this module, which is loaded where HTTP/2 is asked for.
const { constants } = process.getBuiltinModule('node:http2')

/**
 * Streams that a client takes back, or has reset by breaking the rules, before they were answered: opening and resetting costs
 * it nothing (CVE-2023-44487). A gateway that gathers many users on one connection cancels now and then, not all the time.
 */
const RESETS = { burst: 200, perSecond: 20 }

/** Pings and settings: each makes an answer. nghttp2 ends a connection with 1,000 of these unsent, and does not say why. */
const CONTROL = { burst: 500, perSecond: 50 }

/** What a client may take to close a connection that is over, in ms. */
const LEAVING = 1_000

/** After this, in ms, a client has what it was sent, however slowly it reads. */
const READ_BY_NOW = 10_000

/** One connection of HTTP/2. */
export class Http2Connection {
  readonly socket: Socket
  readonly #session: ServerHttp2Session
  readonly #resets = new Allowance(RESETS.burst, RESETS.perSecond)
  readonly #control = new Allowance(CONTROL.burst, CONTROL.perSecond)
  readonly #onFlood: () => void
  readonly #open = new Queue<Http2Response>()
  /** Bytes of requests that are not answered yet. */
  #coming = 0
  #idleSince = performance.now()
  #draining = false
  #left = false
  #timer: NodeJS.Timeout | undefined

  constructor(socket: Socket, session: ServerHttp2Session, onFlood: () => void) {
    this.socket = socket
    this.#session = session
    this.#onFlood = onFlood
    const control = (): void => {
      if (!this.#control.take()) this.#calm()
    }
    session.on('ping', control)
    session.on('remoteSettings', control)
    socket.once('close', () => clearTimeout(this.#timer))
  }

  /** A request has begun; the place is for its end. */
  opened(response: Http2Response): QueueNode<Http2Response> {
    const place = new QueueNode(response)
    this.#open.push(place)
    return place
  }

  /** And is over. */
  closed(place: QueueNode<Http2Response>, reset: boolean): void {
    this.#open.remove(place)
    if (reset) this.reset()
    if (this.#open.size > 0) return
    this.#idleSince = performance.now()
    if (this.#draining) this.leave()
  }

  /** The client took a request back. */
  reset(): void {
    if (!this.#session.destroyed && !this.#resets.take()) this.#calm()
  }

  /** Bytes that its client has not taken yet. */
  get queued(): number {
    let bytes = 0
    for (let node = this.#open.head; node; node = node.next) bytes += node.value.writableLength
    return bytes
  }

  /** So many more have come of requests that are not answered yet (fewer: one is). Returns how many there are. */
  came(bytes: number): number {
    this.#coming += bytes
    return this.#coming
  }

  /** Since when nothing is asked, by `performance.now()`; undefined while something is. */
  get idleSince(): number | undefined {
    return this.#open.size > 0 ? undefined : this.#idleSince
  }

  /**
   * To be left as soon as nothing is asked any more. Not before: a client that was told so opens no stream, and its answer to
   * what a server asks in the middle of a call would find no way.
   */
  drain(): void {
    this.#draining = true
    if (this.#open.size === 0) this.leave()
  }

  /**
   * Left now, as its client can connect anew. nghttp2 can announce this and serve what is on its way meanwhile (RFC 9113 §6.8),
   * but Node does not have it do so: that is refused as never begun.
   */
  sendAway(): void {
    this.#draining = true
    if (!this.#left) this.leave()
  }

  /** GOAWAY: what was asked is answered, and nothing else. */
  leave(): void {
    this.#left = true
    this.#session.close()
    if (this.#open.size > 0) return
    // Where something was sent lately, its client may still be reading: closing on what it sends meanwhile, and be it that it has
    // room again, would reset the connection, and the rest of the answer with it. Its own end of the connection tells.
    const lately = performance.now() - this.#idleSince < READ_BY_NOW
    if (!(this.#draining && lately)) this.closeSoon()
  }

  /** Nothing is left to be said; the client has yet to take it and close its half. */
  get left(): boolean {
    return this.#left && !this.socket.destroyed
  }

  /** Whether its client closes it or not. */
  closeSoon(): void {
    this.#timer ??= setTimeout(() => this.socket.destroy(), LEAVING)
  }

  #calm(): void {
    if (this.#session.destroyed) return
    this.#onFlood()
    this.#session.destroy(new Error('a flood'), constants.NGHTTP2_ENHANCE_YOUR_CALM)
    this.closeSoon()
  }
}
