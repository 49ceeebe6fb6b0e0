import { CatflapError } from '../../errors.ts'
import { Message } from '../../protocol/message.ts'
import type { CallReceiver, CancelReason, UpstreamCall } from '../upstream.ts'

/** The leg, as its calls know it. */
export interface CallKeeper {
  /** Answered, or failed: its id and token are free. */
  forget(call: PipeCall): void
  /** Nobody waits for it, but it may still be answered. */
  abandon(call: PipeCall): void
  /** Answered with a task that goes on: its progress still comes. */
  outlive(call: PipeCall): void
  sendOwn(message: Message): void
}

/** What a call is called by its client and on the wire. */
export interface Wire {
  readonly idText: string
  readonly wireText: string
  readonly wireKey: string
  readonly token: string | undefined
  readonly tokenKey: string | undefined
  readonly method: string
  /** The client wants a task (2025-11-25): the answer only says that it has begun. */
  readonly task: boolean
}

/** In the place of who has left: an abandoned call is remembered for long, and must not keep an exchange and its body with it. */
const NOBODY: CallReceiver = {
  onHead() {},
  onData() {},
  onMessage() {},
  onEnd() {},
  onError() {},
  deliver: () => false
}

export class PipeCall implements UpstreamCall {
  receiver: CallReceiver
  readonly idText: string
  readonly wireText: string
  readonly wireKey: string
  readonly token: string | undefined
  readonly tokenKey: string | undefined
  readonly method: string
  readonly #task: boolean
  readonly #leg: CallKeeper
  live = true
  /** By the client itself, which may all the same be answered. */
  cancelled = false

  constructor(leg: CallKeeper, receiver: CallReceiver, wire: Wire) {
    this.#leg = leg
    this.receiver = receiver
    this.idText = wire.idText
    this.wireText = wire.wireText
    this.wireKey = wire.wireKey
    this.token = wire.token
    this.tokenKey = wire.tokenKey
    this.method = wire.method
    this.#task = wire.task
  }

  // The pipe is shared: one slow reader must not stop it, so its queue is bounded elsewhere.
  pause(): void {}
  resume(): void {}

  answer(message: Message): void {
    if (!this.live) return
    this.live = false
    if (this.#task && this.token !== undefined && !message.isError) this.#leg.outlive(this)
    else this.#leg.forget(this)
    this.receiver.onMessage(message, true)
    this.receiver.onEnd()
  }

  fail(error: CatflapError): void {
    if (!this.live) return
    this.live = false
    this.#leg.forget(this)
    this.receiver.onError(error)
  }

  /** Its id is used again: an answer from now on would be taken for the newer call's. */
  supersede(): void {
    if (!this.live) return
    this.live = false
    this.#leg.abandon(this)
    const { receiver } = this
    this.receiver = NOBODY
    receiver.onError(new CatflapError('cancelled'))
  }

  /** `initialize` must not be cancelled (spec 2025-11-25 basic/utilities/cancellation); its leg is closed instead. */
  cancel(reason: CancelReason): void {
    if (!this.live) return
    this.live = false
    this.#leg.abandon(this)
    this.receiver = NOBODY
    if (this.method === 'initialize' || reason === 'shutdown' || this.cancelled) return
    const why = { 'client-gone': 'client disconnected', 'client-cancelled': 'cancelled', timeout: 'timed out' }[reason]
    const params = `{"requestId":${this.wireText},"reason":${JSON.stringify(why)}}`
    const text = `{"jsonrpc":"2.0","method":"notifications/cancelled","params":${params}}`
    this.#leg.sendOwn(Message.parse(Buffer.from(text)))
  }
}
