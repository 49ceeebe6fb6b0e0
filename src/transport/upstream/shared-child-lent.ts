import type { CatflapError } from '../../errors.ts'
import type { CallInput, CallReceiver, CancelReason, Leg, UpstreamCall } from '../upstream.ts'

/** What became of a call: its child may be well, or not. */
export type LentEnd = 'answered' | 'failed' | 'cancelled'

/** A call that has a child to itself, or waits for one. */
export class LentCall implements UpstreamCall {
  readonly #input: CallInput
  readonly #receiver: CallReceiver
  readonly #left: (call: LentCall, end: LentEnd) => void
  #call: UpstreamCall | undefined
  #over = false

  /** `left`: it needs its child, or its place among those who wait, no more. Told once. */
  constructor(input: CallInput, receiver: CallReceiver, left: (call: LentCall, end: LentEnd) => void) {
    this.#input = input
    this.#receiver = receiver
    this.#left = left
  }

  start(leg: Leg): void {
    const receiver = this.#receiver
    this.#call = leg.call(this.#input, {
      onHead: head => receiver.onHead(head),
      onData: chunk => receiver.onData(chunk),
      onMessage: (message, last) => receiver.onMessage(message, last),
      onEnd: () => {
        this.#leave('answered')
        receiver.onEnd()
      },
      onError: error => this.fail(error),
      onCancelled: () => receiver.onCancelled?.(),
      deliver: message => this.deliver(message)
    })
  }

  deliver: NonNullable<CallReceiver['deliver']> = message => this.#receiver.deliver?.(message) ?? false

  fail(error: CatflapError): void {
    if (this.#over) return
    this.#leave('failed')
    this.#receiver.onError(error)
  }

  pause(): void {
    this.#call?.pause()
  }

  resume(): void {
    this.#call?.resume()
  }

  cancel(reason: CancelReason): void {
    this.#call?.cancel(reason)
    this.#leave('cancelled')
  }

  #leave(end: LentEnd): void {
    if (this.#over) return
    this.#over = true
    this.#left(this, end)
  }
}
