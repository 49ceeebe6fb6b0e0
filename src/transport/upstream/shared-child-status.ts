import { METHOD_NOT_FOUND, MODERN_ERRORS } from '../../protocol/error-codes.ts'
import type { Message } from '../../protocol/message.ts'
import type { CallInput, CallReceiver, Leg, ReplyHead, UpstreamCall } from '../upstream.ts'
import type { SharedServer } from './shared-server.ts'

/**
 * What a modern server on a pipe answers, as HTTP says it: some errors have a status (spec 2026-07-28
 * basic/transports/streamable-http). By that, too, clients tell such a server from one of the legacy era.
 */
export class WithStatus implements Leg {
  readonly upstreamId = undefined
  readonly #leg: Leg
  readonly #tools: SharedServer['tools']
  readonly #commit: () => boolean

  /** `commit`: the status is about to be another than 200. False where that has been told already, or is about to be. */
  constructor(leg: Leg, tools: SharedServer['tools'], commit: () => boolean) {
    this.#leg = leg
    this.#tools = tools
    this.#commit = commit
  }

  call(input: CallInput, receiver: CallReceiver): UpstreamCall {
    const lists = input.message?.method === 'tools/list'
    return this.#leg.call(input, new StatusReceiver(receiver, lists ? this.#tools : undefined, this.#commit))
  }

  async close(): Promise<void> {}
}

class StatusReceiver implements CallReceiver {
  readonly #receiver: CallReceiver
  readonly #commit: () => boolean
  /** What the client learns of tools, we learn as well: its headers will say it. */
  readonly #tools: Pick<SharedServer['tools'], 'learn'> | undefined
  #begun = false

  constructor(receiver: CallReceiver, tools: SharedServer['tools'] | undefined, commit: () => boolean) {
    this.#receiver = receiver
    this.#tools = tools
    this.#commit = commit
  }

  onMessage(message: Message, last: boolean): void {
    if (last && !message.isError) this.#tools?.learn(message)
    const status = last && message.isError && !this.#begun ? statusOf(message) : 200
    if (status === 200 || !this.#commit()) return this.#receiver.onMessage(message, last)
    this.#receiver.onHead(headOf(status, message.bytes.length))
    this.#receiver.onData(message.bytes)
  }

  deliver(message: Message): boolean {
    const told = this.#receiver.deliver?.(message) ?? false
    if (told) this.#begun = true
    return told
  }

  onHead(head: ReplyHead): void {
    this.#receiver.onHead(head)
  }

  onData(chunk: Buffer): void {
    this.#receiver.onData(chunk)
  }

  onEnd(): void {
    this.#receiver.onEnd()
  }

  onError(...[error]: Parameters<CallReceiver['onError']>): void {
    this.#receiver.onError(error)
  }

  onCancelled(): void {
    this.#receiver.onCancelled?.()
  }
}

function statusOf(answer: Message): number {
  const { error } = answer.json as { error?: { code?: unknown } | null }
  if (error?.code === METHOD_NOT_FOUND) return 404
  return MODERN_ERRORS.has(error?.code) ? 400 : 200
}

function headOf(status: number, length: number): ReplyHead {
  const headers = ['Content-Type', 'application/json', 'Content-Length', String(length)]
  return { status, statusText: '', headers, type: 'json', length, encoding: undefined }
}
