import { CatflapError } from '../../errors.ts'
import type { CallInput, CallReceiver, CancelReason, Leg, UpstreamCall } from '../upstream.ts'

export interface FairInputOptions {
  /** For people. */
  readonly label: string
  /** Bytes of one client that may wait while the child does not read; of all together `CROWD` times as many. */
  readonly maxQueue: number
}

/** Those who do not know of each other may be many, but what they say has to fit into memory. */
const CROWD = 4

/** What a waiting call costs besides its message. */
const OVERHEAD = 256

/**
 * The input of one child, for many clients: while the child does not read, what waits is queued for each client apart, and
 * written in turn once it reads again. Who sends more than may wait harms nobody else.
 */
export class FairInput {
  readonly #leg: Leg
  readonly #options: FairInputOptions
  /** By client, in the order of their turns. */
  readonly #queues = new Map<string, ClientQueue>()
  #full = false
  /** Of all queues. */
  #bytes = 0

  constructor(leg: Leg, options: FairInputOptions) {
    this.#leg = leg
    this.#options = options
  }

  /** Nothing waits here. */
  get empty(): boolean {
    return this.#queues.size === 0
  }

  call(client: string, input: CallInput, receiver: CallReceiver): UpstreamCall {
    if (!this.#full && this.#queues.size === 0) return this.#leg.call(input, receiver)
    const queue = this.#queueOf(client)
    const waiting = new WaitingCall(input, receiver, call => this.#forget(client, queue, call))
    const why = this.#noRoom(queue, waiting.size)
    if (why !== undefined) {
      if (queue.calls.size === 0) this.#queues.delete(client)
      const text = `${this.#options.label} does not read its input, and too much ${why} waits for it. Try again later.`
      queueMicrotask(() => receiver.onError(new CatflapError('upstream_queue_full', text)))
      waiting.cancel()
      return waiting
    }
    queue.bytes += waiting.size
    this.#bytes += waiting.size
    queue.calls.add(waiting)
    return waiting
  }

  /** The child does not read as fast as it is written to. */
  full(): void {
    this.#full = true
  }

  /** There is room again: each client's first call, then each one's second, until it is full again. */
  drain(): void {
    this.#full = false
    while (!this.#full) {
      const next = this.#queues.entries().next()
      if (next.done) return
      const [client, queue] = next.value
      this.#queues.delete(client)
      const [call] = queue.calls
      if (!call) continue
      this.#remove(queue, call)
      // Behind the others; before it is written, as that can fill the pipe or end the child.
      if (queue.calls.size > 0) this.#queues.set(client, queue)
      call.start(this.#leg)
    }
  }

  /** The child is gone: so is what waited for it. */
  fail(error: CatflapError): void {
    const calls = [...this.#queues.values()].flatMap(queue => [...queue.calls])
    this.#queues.clear()
    this.#bytes = 0
    for (const call of calls) call.fail(error)
  }

  #queueOf(client: string): ClientQueue {
    let queue = this.#queues.get(client)
    if (!queue) this.#queues.set(client, (queue = new ClientQueue()))
    return queue
  }

  /** Whose waiting is too much already. */
  #noRoom(queue: ClientQueue, size: number): string | undefined {
    const { maxQueue } = this.#options
    if (queue.bytes + size > maxQueue) return 'of this client'
    return this.#bytes + size > CROWD * maxQueue ? 'of all clients' : undefined
  }

  #remove(queue: ClientQueue, call: WaitingCall): void {
    if (!queue.calls.delete(call)) return
    queue.bytes -= call.size
    this.#bytes -= call.size
  }

  #forget(client: string, queue: ClientQueue, call: WaitingCall): void {
    if (this.#queues.get(client) !== queue) return
    this.#remove(queue, call)
    if (queue.calls.size === 0) this.#queues.delete(client)
  }
}

class ClientQueue {
  readonly calls = new Set<WaitingCall>()
  bytes = 0
}

class WaitingCall implements UpstreamCall {
  readonly size: number
  readonly #input: CallInput
  readonly #receiver: CallReceiver
  readonly #forget: (call: WaitingCall) => void
  #call: UpstreamCall | undefined
  #over = false

  constructor(input: CallInput, receiver: CallReceiver, forget: (call: WaitingCall) => void) {
    this.#input = input
    this.#receiver = receiver
    this.#forget = forget
    this.size = OVERHEAD + (input.message?.bytes.length ?? 0)
  }

  start(leg: Leg): void {
    if (!this.#over) this.#call = leg.call(this.#input, this.#receiver)
  }

  fail(error: CatflapError): void {
    if (this.#over) return
    this.#over = true
    this.#receiver.onError(error)
  }

  pause(): void {
    this.#call?.pause()
  }

  resume(): void {
    this.#call?.resume()
  }

  /** What was not written yet never will be, so there is nothing to cancel at the server. */
  cancel(reason: CancelReason = 'client-gone'): void {
    this.#over = true
    if (this.#call) this.#call.cancel(reason)
    else this.#forget(this)
  }
}
