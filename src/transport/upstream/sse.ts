import { CatflapError } from '../../errors.ts'
import { idKey } from '../../protocol/id.ts'
import type { Message } from '../../protocol/message.ts'
import type { SseEvent } from '../../protocol/sse.ts'
import type { CallInput, LegEvents } from '../upstream.ts'
import type { HttpUpstream } from './http.ts'
import { errorFor, errorIn } from './http-client-refusal.ts'
import { sameOriginPath } from './http-path.ts'
import type { PipeCall } from './pipe-call.ts'
import { PipeLeg, type PipeLegOptions } from './pipe-leg.ts'
import { Outbox, type OutboxOptions } from './sse-outbox.ts'
import type { PostOutcome } from './sse-post.ts'
import { EventStream } from './sse-stream.ts'
import { statusError } from './status-error.ts'

export interface SseLegOptions extends Omit<PipeLegOptions, 'label'>, Pick<OutboxOptions, 'orderWait' | 'unheardWait'> {
  /** How long the server may take to open the stream and to name its endpoint, in ms. */
  readonly connectTimeout: number
  /** End-to-end headers of the GET; without them it has those of the first call. */
  readonly headers?: readonly string[]
  /** What the client's URL had behind its path; without it, that of the first call. */
  readonly query?: string
}

/**
 * One session at a server on HTTP+SSE (spec 2024-11-05 basic/transports): a GET opens a stream, whose first event says where
 * to POST, and everything the server has to say comes on that stream. It lives as long as the stream does: this transport
 * cannot take one up again. The stream is opened at the first call.
 */
export class SseLeg extends PipeLeg {
  readonly #upstream: HttpUpstream
  readonly #options: SseLegOptions
  readonly #outbox: Outbox
  #stream: EventStream | undefined
  #timer: NodeJS.Timeout | undefined
  #connected = false
  #paused = false
  /** The newest of the client's: what it did not say itself goes with its credentials all the same. */
  #headers: readonly string[] = []

  constructor(upstream: HttpUpstream, options: SseLegOptions, events: LegEvents) {
    super({ ...options, label: upstream.label }, events)
    this.#upstream = upstream
    this.#options = options
    this.#outbox = new Outbox(
      upstream,
      { ...options, maxBytes: options.maxInput },
      {
        done: (message, outcome) => this.#posted(message, outcome),
        drained: () => this.drained(),
        watch: events.http
      }
    )
  }

  pause(): void {
    this.#paused = true
    // Whoever waits for a session must not keep it from coming about.
    if (this.#connected) this.#stream?.pause()
  }

  resume(): void {
    this.#paused = false
    this.#stream?.resume()
  }

  /** The server may finish what it was asked, and needs the stream for that. */
  endInput(): void {}

  override forget(call: PipeCall): void {
    super.forget(call)
    this.#outbox.unheard(call.wireKey)
  }

  override abandon(call: PipeCall): void {
    super.abandon(call)
    this.#outbox.unheard(call.wireKey)
  }

  override outlive(call: PipeCall): void {
    super.outlive(call)
    this.#outbox.unheard(call.wireKey)
  }

  protected transmit(message: Message, input: CallInput | undefined): boolean {
    if (input && input.headers.length > 0) this.#headers = input.headers
    if (!this.#stream) this.#open(input)
    return this.#outbox.push(message, this.#headers)
  }

  /** In this transport the end of the stream is the end of the session. */
  protected async end(): Promise<void> {
    this.#drop(new CatflapError('session_not_found', 'The session has ended.'))
  }

  #open(first: CallInput | undefined): void {
    const { connectTimeout, maxLine, headers = this.#headers, query = first?.query } = this.#options
    this.#timer = setTimeout(() => this.#late(), connectTimeout)
    this.#stream = new EventStream(
      this.#upstream,
      { headers, query, maxData: maxLine, watch: this.events.http },
      {
        event: event => this.#event(event),
        oversize: (info, event) => isMessage(event) && this.oversize(info),
        ended: error => this.#ended(error)
      }
    )
  }

  #event({ event = '', data }: SseEvent): void {
    if (data === undefined || data.length === 0) return
    if (event === 'endpoint') this.#endpoint(data.toString())
    else if (isMessage(event)) this.line(data)
  }

  #endpoint(text: string): void {
    const { url, label } = this.#upstream
    if (this.#connected) return this.events.note?.(`${label} named an endpoint again, which changes nothing.`)
    const path = sameOriginPath(text, url)
    if (path === undefined) {
      const origin = URL.canParse(text, url.href) ? new URL(text, url).origin : 'no URL at all'
      const why = `${label} is at ${url.origin}, but its endpoint is at ${origin}. catflap sends messages to the same origin only.`
      return this.#drop(new CatflapError('upstream_protocol', why, { data: { target: label } }))
    }
    clearTimeout(this.#timer)
    this.#connected = true
    if (this.#paused) this.#stream?.pause()
    this.#outbox.open(path)
  }

  #late(): void {
    const { label } = this.#upstream
    const data = { target: label }
    const error = this.#stream?.opened
      ? new CatflapError('upstream_protocol', `${label} opened a stream, but did not name its endpoint in time.`, {
          data
        })
      : new CatflapError('upstream_connect_timeout', `${label} opened no stream in time (--connect-timeout).`, { data })
    this.#drop(error)
  }

  #ended(error: CatflapError): void {
    if (!this.#connected) return this.#drop(error)
    this.#lost('its stream ended, which HTTP+SSE cannot take up again', error)
  }

  /** What became of a POST. That its message was taken is no answer yet. */
  #posted(message: Message, outcome: PostOutcome): void {
    if ('error' in outcome) return this.#refused(message, outcome.error)
    const { status, body } = outcome
    if (status >= 200 && status < 300) return
    const answer = message.kind === 'request' ? answerIn(body, message.idText!) : undefined
    if (answer) this.line(answer.bytes)
    if (status === 404) this.#lost('it does not know the session any more', statusError(this.#upstream.label, status))
    else if (!answer) this.#refused(message, statusError(this.#upstream.label, status))
  }

  #refused(message: Message, error: CatflapError): void {
    if (message.kind === 'request') return this.undelivered(message, error)
    const what = message.kind === 'response' ? 'An answer' : (message.method ?? 'A notification')
    this.events.note?.(`${what} did not reach the server: ${error.message}`)
  }

  #lost(why: string, cause: CatflapError): void {
    const { label } = this.#upstream
    const text = `The session at ${label} is lost: ${why}. ${cause.message}`
    this.#drop(new CatflapError('upstream_session_lost', text, { cause, data: { target: label } }))
  }

  #drop(error: CatflapError): void {
    clearTimeout(this.#timer)
    this.#stream?.close()
    this.#outbox.close()
    this.lose(error, { reason: error.code })
  }
}

/** Events without a name are messages too (WHATWG HTML §9.2.6). */
function isMessage(event: string): boolean {
  return event === '' || event === 'message'
}

/** A JSON-RPC error that came with the status, as the answer to that request; one without an id gets it. */
function answerIn(body: Buffer, idText: string): Message | undefined {
  const error = errorIn(body)
  if (!error) return undefined
  if (error.idText === undefined) return errorFor(error, idText)
  return idKey(error.idText) === idKey(idText) ? error : undefined
}
