import type { Message } from '../protocol/message.ts'
import { newHandle } from '../session/new-session.ts'
import type { Frame } from '../tape/frame.ts'
import type { TapeAppender } from './tape-appender.ts'

/** One call that is written down. */
export interface TapedCall {
  said(message: Message): void
  answered(message: Message): void
  failed(code: string): void
}

const POST = { method: 'POST', path: '/mcp', headers: ['Content-Type', 'application/json'] }
const JSON_HEAD = { status: 200, headers: ['Content-Type', 'application/json'] }
const SSE_HEAD = { status: 200, headers: ['Content-Type', 'text/event-stream'] }

/**
 * Writes down what one replay session and the real server say, as a session of its own on the tape: as a client over HTTP would have
 * had it, which says of each message whose it is.
 */
export class LiveTape {
  readonly #appender: TapeAppender
  readonly #session = newHandle()
  #listening: string | undefined

  constructor(appender: TapeAppender) {
    this.#appender = appender
  }

  call(request: Message, modern: boolean): TapedCall {
    const stream = this.#appender.stream('post')
    const session = modern ? undefined : this.#session
    let streaming = false
    const put = (facts: Pick<Frame, 'kind' | 'dir'> & Partial<Frame>): void =>
      this.#put({ ...facts, stream, ...(session !== undefined && { session }) })
    put({ kind: 'message', dir: 'up', http: POST, bytes: request.bytes })
    return {
      said(message) {
        if (!streaming) put({ kind: 'head', dir: 'down', http: SSE_HEAD })
        streaming = true
        put({ kind: 'message', dir: 'down', bytes: message.bytes })
      },
      answered(message) {
        put({ kind: 'message', dir: 'down', bytes: message.bytes, ...(!streaming && { http: JSON_HEAD }) })
        if (streaming) put({ kind: 'end', dir: 'down', outcome: 'complete' })
      },
      failed: code => put({ kind: 'end', dir: 'down', outcome: code })
    }
  }

  /** The client's notification, or its answer to a question. */
  told(message: Message): void {
    const at = { session: this.#session, stream: this.#appender.stream('post') }
    this.#put({ ...at, kind: 'message', dir: 'up', http: POST, bytes: message.bytes })
    this.#put({ ...at, kind: 'head', dir: 'down', http: { status: 202, headers: [] } })
  }

  /** What the server says that belongs to no call. */
  said(message: Message): void {
    if (this.#listening === undefined) {
      this.#listening = this.#appender.stream('get')
      const at = { session: this.#session, stream: this.#listening }
      this.#put({ ...at, kind: 'open', dir: 'up', http: { method: 'GET', path: '/mcp', headers: [] } })
      this.#put({ ...at, kind: 'head', dir: 'down', http: SSE_HEAD })
    }
    const at = { session: this.#session, stream: this.#listening }
    this.#put({ ...at, kind: 'message', dir: 'down', bytes: message.bytes })
  }

  #put(frame: Omit<Frame, 'time' | 'side'>): void {
    this.#appender.append({ ...frame, time: 0, side: 'client' })
  }
}
