import { CatflapError } from '../../errors.ts'
import { EVENT_ID_HEADER, removeHeader, SESSION_HEADER, setHeader } from '../../protocol/headers.ts'
import type { SseEvent } from '../../protocol/sse.ts'
import type { OversizeLine } from '../lines.ts'
import type { CallInput, CallReceiver, HttpWatch, ReplyHead } from '../upstream.ts'
import { DecodedCall } from './decoded-call.ts'
import type { HttpUpstream } from './http.ts'
import { EventSplitter } from './sse-events.ts'
import { statusError } from './status-error.ts'

export interface EventStreamOptions {
  /** The client's end-to-end headers. */
  readonly headers: readonly string[]
  /** What the client's URL had behind its path. */
  readonly query?: string
  readonly watch?: HttpWatch
  /** Bytes of one event's data. */
  readonly maxData: number
}

export interface EventStreamHandlers {
  /** The server has answered with a stream. */
  opened?(): void
  event(event: SseEvent): void
  oversize(info: OversizeLine, event: string): void
  /** It is over, or could not be opened. Nothing comes afterwards. */
  ended(error: CatflapError): void
}

/** How servers refuse a GET that know no HTTP+SSE. */
const NO_SUCH_STREAM = new Set([400, 404, 405, 406])
const ADVICE = ' Is this the URL of an HTTP+SSE stream? --upstream-transport says what the server speaks.'

/** The stream that a GET to the target's URL opens. */
export class EventStream implements CallReceiver {
  readonly #label: string
  readonly #handlers: EventStreamHandlers
  readonly #events: EventSplitter
  readonly #call: DecodedCall
  #closed = false
  /** The server has answered with a stream. */
  opened = false

  constructor(upstream: HttpUpstream, options: EventStreamOptions, handlers: EventStreamHandlers) {
    this.#label = upstream.label
    this.#handlers = handlers
    this.#events = new EventSplitter(options.maxData, {
      event: event => this.#closed || handlers.event(event),
      oversize: (info, event) => this.#closed || handlers.oversize(info, event)
    })
    const input: CallInput = {
      kind: 'listen',
      era: 'legacy',
      message: undefined,
      batch: undefined,
      body: undefined,
      query: options.query,
      watch: options.watch,
      headers: withoutBody(options.headers)
    }
    this.#call = new DecodedCall(this.#label, this, receiver => upstream.call(input, receiver))
  }

  onHead(head: ReplyHead): void {
    if (head.status !== 200) {
      const advice = NO_SUCH_STREAM.has(head.status) ? ADVICE : undefined
      return this.#end(statusError(this.#label, head.status, advice))
    }
    if (head.type !== 'sse')
      return this.#end(
        new CatflapError('upstream_protocol', `${this.#label} answered a GET with no event stream.${ADVICE}`)
      )
    this.opened = true
    this.#handlers.opened?.()
  }

  onData(chunk: Buffer): void {
    if (!this.#closed) this.#events.push(chunk)
  }

  onMessage(): void {}

  onEnd(): void {
    this.#end(new CatflapError('upstream_reset', `${this.#label} has ended its event stream.`))
  }

  onError(error: CatflapError): void {
    this.#end(error)
  }

  pause(): void {
    this.#call.pause()
  }

  resume(): void {
    this.#call.resume()
  }

  close(): void {
    this.#closed = true
    this.#call.cancel('shutdown')
  }

  #end(error: CatflapError): void {
    if (this.#closed) return
    this.close()
    this.#handlers.ended(error)
  }
}

function withoutBody(from: readonly string[]): string[] {
  const headers = [...from]
  for (const name of ['content-type', SESSION_HEADER, EVENT_ID_HEADER]) removeHeader(headers, name)
  setHeader(headers, 'Accept', 'text/event-stream')
  return headers
}
