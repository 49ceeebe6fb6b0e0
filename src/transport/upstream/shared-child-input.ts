import { CatflapError } from '../../errors.ts'
import type { CallInput, CallReceiver, CancelReason, Leg, UpstreamCall } from '../upstream.ts'

export interface FairInputOptions {
  /** For people. */
  readonly label: string
  /** Bytes of one client that may wait while the child does not read. */
  readonly maxQueue: number
}

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

  constructor(leg: Leg, options: FairInputOptions) {
    this.#leg = leg
    this.#options = options
  }

  call(client: string, input: CallInput, receiver: CallReceiver): UpstreamCall {
    if (!this.#full && this.#queues.size === 0) return this.#leg.call(input, receiver)
    const queue = this.#queueOf(client)
    const waiting = new WaitingCall(input, receiver, call => this.#forget(client, queue, call))
    if (queue.bytes + waiting.size > this.#options.maxQueue) {
      if (queue.calls.size === 0) this.#queues.delete(client)
      const text = `${this.#options.label} does not read its input, and too much of this client waits for it. Try again later.`
      queueMicrotask(() => receiver.onError(new CatflapError('upstream_queue_full', text)))
      waiting.cancel()
      return waiting
    }
    queue.bytes += waiting.size
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
      queue.remove(call)
      // Behind the others; before it is written, as that can fill the pipe or end the child.
      if (queue.calls.size > 0) this.#queues.set(client, queue)
      call.start(this.#leg)
    }
  }

  /** The child is gone: so is what waited for it. */
  fail(error: CatflapError): void {
    const queues = [...this.#queues.values()]
    this.#queues.clear()
    for (const queue of queues) for (const call of queue.calls) call.fail(error)
  }

  #queueOf(client: string): ClientQueue {
    let queue = this.#queues.get(client)
    if (!queue) this.#queues.set(client, (queue = new ClientQueue()))
    return queue
  }

  #forget(client: string, queue: ClientQueue, call: WaitingCall): void {
    queue.remove(call)
    if (queue.calls.size === 0 && this.#queues.get(client) === queue) this.#queues.delete(client)
  }
}

class ClientQueue {
  readonly calls = new Set<WaitingCall>()
  bytes = 0

  remove(call: WaitingCall): void {
    if (this.calls.delete(call)) this.bytes -= call.size
  }
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
