import type { CatflapError } from '../../errors.ts'
import type { Message } from '../../protocol/message.ts'
import type { CallReceiver, CancelReason, ReplyHead, UpstreamCall } from '../upstream.ts'
import type { ClientHost, InFlight } from './http-client-host.ts'
import { noMessage, tellsLoss } from './http-client-refusal.ts'
import type { Outgoing } from './http-client-wire.ts'
import { isSuccess, type ReplyEnd, type ReplyReader, type ReplySink } from './reply-reader.ts'

/** Notifications and answers of the client's: nothing comes back but that the server has them. */
export class HttpClientPost implements UpstreamCall, InFlight, ReplySink {
  readonly #host: ClientHost
  readonly #out: Outgoing
  #receiver: CallReceiver | undefined
  #accepted: () => void = () => {}
  #reader: ReplyReader | undefined
  #inSession = false
  /** Takes it out of the queue in which it waits for its turn. */
  leave: () => void = () => {}

  constructor(host: ClientHost, out: Outgoing, receiver: CallReceiver) {
    this.#host = host
    this.#out = out
    this.#receiver = receiver
  }

  start(accepted: () => void): void {
    const { wire } = this.#host
    this.#accepted = accepted
    this.#inSession = wire.sessionId !== undefined && this.#out.era === 'legacy'
    this.#reader = wire.post(this.#out, { lastEventId: undefined, retry: undefined, events: 0 }, this)
    this.#reader.start()
  }

  pause(): void {}
  resume(): void {}

  cancel(_reason: CancelReason): void {
    this.#over()
    this.#reader?.cancel()
  }

  fail(error: CatflapError): void {
    const receiver = this.#over()
    this.#reader?.cancel()
    receiver?.onError(error)
  }

  otherTransport(): void {
    const receiver = this.#over()
    receiver?.onOtherTransport?.()
  }

  head(head: ReplyHead): void {
    this.#accepted()
    if (!isSuccess(head)) return
    this.#host.accepted(this.#out, head)
    const receiver = this.#over()
    if (this.#reader) this.#host.wire.linger(this.#reader)
    receiver?.onEnd()
  }

  message(message: Message): void {
    if (message.kind === 'response') this.#host.events.late(message)
    else this.#host.fromServer(message, undefined)
  }

  noise(bytes: Buffer): void {
    this.#host.events.noise(bytes)
  }

  end(end: ReplyEnd): void {
    const receiver = this.#over()
    if (!receiver) return
    const { wire, events } = this.#host
    if (end.how === 'failed') {
      // Nothing is said to a client about what needs no answer, so this is all that anybody hears of it.
      events.note?.(`${this.#what} may not have reached the server: ${end.error.message}`)
      return receiver.onError(end.error)
    }
    if (end.how === 'refused') {
      const why = noMessage(wire.label, end.head, end.body, text => wire.hide(text)).message
      events.note?.(`${this.#what} was refused: ${why}`)
    }
    receiver.onEnd()
    // It asks for nothing, so that no body could answer it.
    if (end.how === 'refused' && this.#inSession && tellsLoss(end.head, end.body, [])) this.#host.sessionLost()
  }

  get #what(): string {
    return this.#out.message?.method ?? (this.#out.batch ? 'a batch' : "the client's answer")
  }

  #over(): CallReceiver | undefined {
    const receiver = this.#receiver
    this.#receiver = undefined
    this.leave()
    this.#accepted()
    if (receiver) this.#host.forget(this)
    return receiver
  }
}
