import type { CatflapError } from '../errors.ts'
import { Message } from '../protocol/message.ts'
import type { Reply, ReplyListener } from '../transport/reply.ts'

/** Where everything for one client on a pipe is written. */
export interface PipeWriter {
  write(message: Message): boolean
  writeBatch(messages: readonly Message[]): void
}

/** An answer on a pipe: there is no head, and silence is an answer to notifications. */
export class PipeReply implements Reply {
  state: Reply['state'] = 'pending'
  extra: string[] = []
  listener: ReplyListener | undefined
  readonly queued = 0
  readonly #connection: PipeWriter
  readonly #idText: string | undefined
  /** A batch gets one reply (spec 2025-03-26 basic/transports): its answers are gathered. */
  readonly #gather: Message[] | undefined
  readonly #asks: boolean

  constructor(connection: PipeWriter, asked: Message | readonly Message[]) {
    this.#connection = connection
    this.#idText = asked instanceof Message && asked.kind === 'request' ? asked.idText : undefined
    this.#gather = asked instanceof Message ? undefined : []
    this.#asks = [asked].flat().some(m => m.kind === 'request')
  }

  head(): void {}

  data(): boolean {
    return true
  }

  message(message: Message, last: boolean): boolean {
    if (this.state === 'ended') return true
    if (this.#gather && message.kind === 'response') {
      this.#gather.push(message)
      if (last) this.end()
      return true
    }
    if (last) this.state = 'ended'
    return this.#connection.write(message)
  }

  farewell(message: Message): boolean {
    if (this.state === 'ended') return false
    this.message(message, true)
    return true
  }

  end(): void {
    if (this.state === 'ended') return
    this.state = 'ended'
    if (this.#gather && this.#gather.length > 0) this.#connection.writeBatch(this.#gather)
  }

  fail(error: CatflapError, idText: string | undefined): void {
    if (this.state === 'ended') return
    this.state = 'ended'
    const id = idText ?? this.#idText
    // What is no batch is refused as a whole, whatever is in it (JSON-RPC 2.0 §6).
    const refused = this.#gather !== undefined && error.code === 'invalid_request'
    // A notification gets no answer, not even an error; a client that cancelled wants none any more.
    const told = error.code !== 'cancelled' && (this.#asks || refused)
    // Whatever a batch has gathered tells the error too, where it is for one of its requests.
    if (this.#gather && this.#gather.length > 0) this.#connection.writeBatch(this.#gather)
    else if (told) this.#connection.write(Message.parse(error.toJsonRpc(id)))
  }

  /** There is no status, so this is silence. Who waits for an answer is told an error instead. */
  answer(): void {
    this.state = 'ended'
  }
}
