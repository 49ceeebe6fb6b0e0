import { CatflapError } from '../../errors.ts'
import { EVENT_ID_HEADER, removeHeader, SESSION_HEADER, setHeader } from '../../protocol/headers.ts'
import type { Message } from '../../protocol/message.ts'
import { QueueNode } from '../../queue.ts'
import type { CallInput, CallReceiver, HttpWatch, ReplyHead } from '../upstream.ts'
import { DecodedCall } from './decoded-call.ts'
import type { HttpUpstream } from './http.ts'

/** Bytes of a body that are read. */
const MAX_BODY = 64 * 1024

/** What became of it: the server's status, or why there is none. */
export type PostOutcome = { readonly status: number; readonly body: Buffer } | { readonly error: CatflapError }

export interface PostHandlers {
  /** How long a POST that nobody waits for may take, in ms. A server that never answers one would else collect sockets. */
  readonly unheardWait: number
  readonly watch: HttpWatch | undefined
  /** The server has taken or refused it. */
  arrived(post: Post): void
  /** Once. Without `arrived` before it the message may not have reached the server. */
  done(post: Post, outcome: PostOutcome): void
}

/** One message on its way to the server. */
export class Post implements CallReceiver {
  readonly place: QueueNode<Post> = new QueueNode<Post>(this)
  readonly message: Message
  readonly #headers: readonly string[]
  readonly #handlers: PostHandlers
  #label = ''
  #call: DecodedCall | undefined
  #timer: NodeJS.Timeout | undefined
  #status: number | undefined
  #body: Buffer[] = []
  #size = 0
  #done = false

  constructor(message: Message, headers: readonly string[], handlers: PostHandlers) {
    this.message = message
    this.#headers = headers
    this.#handlers = handlers
  }

  get sent(): boolean {
    return this.#call !== undefined
  }

  send(upstream: HttpUpstream, path: string): void {
    const { message } = this
    this.#label = upstream.label
    const input: CallInput = {
      kind: message.kind === 'request' ? 'request' : 'notify',
      era: 'legacy',
      message,
      batch: undefined,
      body: message.bytes,
      headers: postHeaders(this.#headers),
      watch: this.#handlers.watch
    }
    this.#call = new DecodedCall(upstream.label, this, receiver => upstream.call(input, receiver, path))
    if (message.kind !== 'request') this.unheard()
  }

  /** Nobody waits for what comes of it any more. */
  unheard(): void {
    if (this.#done || this.#timer || !this.sent) return
    this.#timer = setTimeout(() => this.#expired(), this.#handlers.unheardWait)
  }

  onHead(head: ReplyHead): void {
    this.#status = head.status
    this.unheard()
    this.#handlers.arrived(this)
  }

  onData(chunk: Buffer): void {
    this.#size += chunk.length
    if (this.#size > MAX_BODY) return this.#finish()
    if (!this.#accepted) this.#body.push(chunk)
  }

  onMessage(): void {}

  onEnd(): void {
    this.#finish()
  }

  onError(error: CatflapError): void {
    // A status is an outcome, however its body ended.
    if (this.#status === undefined) this.#finish(error)
    else this.#finish()
  }

  cancel(): void {
    this.#done = true
    clearTimeout(this.#timer)
    this.#call?.cancel('shutdown')
  }

  get #accepted(): boolean {
    return this.#status !== undefined && this.#status >= 200 && this.#status < 300
  }

  #expired(): void {
    if (this.#status !== undefined) return this.#finish()
    const text = `${this.#label} did not take a message within ${this.#handlers.unheardWait / 1000} s.`
    this.#finish(new CatflapError('upstream_timeout', text))
  }

  #finish(error?: CatflapError): void {
    if (this.#done) return
    this.cancel()
    if (error) this.#handlers.done(this, { error })
    else this.#handlers.done(this, { status: this.#status ?? 0, body: Buffer.concat(this.#body) })
  }
}

function postHeaders(from: readonly string[]): string[] {
  const headers = [...from]
  // A session of this transport is named by the path alone.
  for (const name of [SESSION_HEADER, EVENT_ID_HEADER]) removeHeader(headers, name)
  setHeader(headers, 'Content-Type', 'application/json')
  setHeader(headers, 'Accept', '*/*')
  return headers
}
