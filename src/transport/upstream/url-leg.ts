import type { CatflapError } from '../../errors.ts'
import type { Message } from '../../protocol/message.ts'
import type { CallInput, CallReceiver, CancelReason, Leg, ReplyHead, UpstreamCall } from '../upstream.ts'

/**
 * The leg of a client on a pipe to a URL whose transport is not known yet: an HTTP client of one transport, and where the
 * server turns out to speak another, of that.
 */
export class UrlLeg implements Leg {
  readonly #other: () => Leg
  #leg: Leg
  #settled = false
  /** Its answer shows which transport it is; what comes behind it waits within the first leg. */
  #opening: Opening | undefined
  #paused = false

  /**
   * `first` says `onOtherTransport` to an `initialize` that the server did not understand, and in their order to the calls
   * that it has kept until that was answered.
   */
  constructor(first: Leg, other: () => Leg) {
    this.#leg = first
    this.#other = other
  }

  get upstreamId(): string | undefined {
    return this.#leg.upstreamId
  }

  call(input: CallInput, receiver: CallReceiver): UpstreamCall {
    const opens = input.message?.method === 'initialize'
    if (this.#settled || (!opens && !this.#opening)) return this.#leg.call(input, receiver)
    const again = (): UpstreamCall => this.#switch().call(input, receiver)
    const opening: Opening = new Opening(receiver, again, () => this.#decided(opening))
    if (opens) this.#opening ??= opening
    return opening.begin(this.#leg.call(input, opening))
  }

  pause(): void {
    this.#paused = true
    this.#leg.pause?.()
  }

  resume(): void {
    this.#paused = false
    this.#leg.resume?.()
  }

  endInput(): void {
    this.#leg.endInput?.()
  }

  close(headers?: readonly string[]): Promise<void> {
    return this.#leg.close(headers)
  }

  #decided(opening: Opening): void {
    if (this.#opening === opening) this.#opening = undefined
  }

  #switch(): Leg {
    if (this.#settled) return this.#leg
    this.#settled = true
    const first = this.#leg
    this.#leg = this.#other()
    if (this.#paused) this.#leg.pause?.()
    // It has no session, so there is nothing to tell the server; but it still has calls to hand over.
    queueMicrotask(() => void first.close())
    return this.#leg
  }
}

/** A call made while it is not known which transport it is, on the one leg or the other. */
class Opening implements CallReceiver, UpstreamCall {
  readonly #receiver: CallReceiver
  readonly #again: () => UpstreamCall
  readonly #decided: () => void
  #call: UpstreamCall | undefined
  #paused = false
  /** The first leg has nothing more to say. */
  #over = false

  constructor(receiver: CallReceiver, again: () => UpstreamCall, decided: () => void) {
    this.#receiver = receiver
    this.#again = again
    this.#decided = decided
  }

  begin(call: UpstreamCall): UpstreamCall {
    this.#call ??= call
    return this
  }

  pause(): void {
    this.#paused = true
    this.#call?.pause()
  }

  resume(): void {
    this.#paused = false
    this.#call?.resume()
  }

  cancel(reason: CancelReason): void {
    this.#over = true
    this.#decided()
    this.#call?.cancel(reason)
  }

  onOtherTransport(): void {
    if (this.#over) return
    this.#over = true
    this.#decided()
    this.#call = this.#again()
    if (this.#paused) this.#call.pause()
  }

  onHead(head: ReplyHead): void {
    if (!this.#over) this.#receiver.onHead(head)
  }

  onData(chunk: Buffer): void {
    if (!this.#over) this.#receiver.onData(chunk)
  }

  onMessage(message: Message, last: boolean): void {
    if (!this.#over) this.#receiver.onMessage(message, last)
  }

  onEnd(): void {
    this.#decided()
    if (!this.#over) this.#receiver.onEnd()
  }

  onError(error: CatflapError): void {
    this.#decided()
    if (!this.#over) this.#receiver.onError(error)
  }

  onCancelled(): void {
    if (!this.#over) this.#receiver.onCancelled?.()
  }

  deliver(message: Message): boolean {
    return !this.#over && (this.#receiver.deliver?.(message) ?? false)
  }
}
