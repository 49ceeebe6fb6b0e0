import { EVENT_ID_HEADER, removeHeader, SESSION_HEADER, setHeader, VERSION_HEADER } from '../../protocol/headers.ts'
import type { Message } from '../../protocol/message.ts'
import type { Era } from '../../protocol/versions.ts'
import type { CallInput, HttpWatch, Leg, RetryReason } from '../upstream.ts'
import type { HttpUpstream } from './http.ts'
import { isCall } from './http-call.ts'
import { type Cursor, ReplyReader, type ReplySink } from './reply-reader.ts'

/** One server, or several. */
export interface ClientUpstream extends Pick<HttpUpstream, 'label' | 'sessionless'> {
  /** `member` is the one that made the session, where there are several. */
  sessionLeg(upstreamId: string, watch: HttpWatch | undefined, member: string | undefined): Leg
}

export interface WireOptions {
  readonly upstream: ClientUpstream
  readonly maxMessage: number
  readonly watch?: HttpWatch
  /** A request did not reach the server, and is made once more. */
  readonly again?: (reason: RetryReason) => void
  /** Takes secrets out of what the client is told of the server's words. */
  readonly scrub?: (text: string) => string
}

/** A POST: one message, or the elements of a batch. */
export interface Outgoing {
  readonly message: Message | undefined
  readonly batch: readonly Message[] | undefined
  /** As the client wrote it, where that is known. */
  readonly body?: Buffer
  readonly era: Era
  /** End-to-end headers of the client's; none: those it sent last. */
  readonly headers: readonly string[]
  /** Derived from the message: name, value, name, value … */
  readonly derived: readonly string[]
}

const ACCEPT_BOTH = 'application/json, text/event-stream'
/** Servers should end a stream behind its response (spec 2025-11-25 basic/transports); this is what they get for it, in ms. */
const LINGER = 2_000

/** The session as the server knows it, and every request over HTTP that is under way for it. */
export class HttpClientWire {
  /** As the answer to `initialize` named them. */
  sessionId: string | undefined
  /** Which of several servers made the session. */
  member: string | undefined
  version: string | undefined
  /** The client has spoken the modern era, and names this version. */
  modernVersion: string | undefined
  readonly #options: WireOptions
  readonly #callOver: () => void
  readonly #open = new Map<ReplyReader, NodeJS.Timeout | undefined>()
  #headers: readonly string[] = []
  #query: string | undefined
  #paused = false
  #calls = 0
  #ending: Promise<unknown> = Promise.resolve()

  /** `callOver`: one of `calls` is no more. */
  constructor(options: WireOptions, callOver: () => void) {
    this.#options = options
    this.#callOver = callOver
  }

  /** Requests that take a connection for calls. */
  get calls(): number {
    return this.#calls
  }

  get paused(): boolean {
    return this.#paused
  }

  /** A text of the server's, as the client may see it: servers like to name the session or the credential that they refuse. */
  hide(text: string): string {
    const id = this.sessionId
    // A short one is no secret, but a word that may stand anywhere.
    const hidden = id !== undefined && id.length >= 8 ? text.replaceAll(id, '…') : text
    return this.#options.scrub?.(hidden) ?? hidden
  }

  get label(): string {
    return this.#options.upstream.label
  }

  /** Whatever a client authorizes itself with goes along with the requests that are made on its behalf. */
  remember(headers: readonly string[], query?: string): void {
    if (headers.length > 0) this.#headers = headers
    this.#query = query ?? this.#query
  }

  /** Makes a POST, not yet sent: `start()` sends it. */
  post(out: Outgoing, cursor: Cursor, sink: ReplySink): ReplyReader {
    const { message, batch, era, derived } = out
    const headers = withoutDerived(out.headers.length > 0 ? out.headers : this.#headers)
    const initialize = message?.method === 'initialize'
    if (era === 'modern' && this.modernVersion !== undefined) setHeader(headers, VERSION, this.modernVersion)
    else if (era === 'legacy' && !initialize && this.version !== undefined) setHeader(headers, VERSION, this.version)
    for (let i = 0; i < derived.length; i += 2) setHeader(headers, derived[i]!, derived[i + 1]!)
    setHeader(headers, 'Content-Type', 'application/json')
    setHeader(headers, 'Accept', ACCEPT_BOTH)
    const requests = message ? message.kind === 'request' : batch?.some(m => m.kind === 'request')
    const kind = !requests ? 'notify' : batch ? 'batch' : 'request'
    const body = out.body ?? (message ? message.bytes : arrayOf(batch ?? []))
    const leg = era === 'modern' || initialize ? this.#options.upstream.sessionless : this.#leg
    return this.#reader(leg, { kind, era, message, batch, body, headers, query: this.#query }, cursor, sink)
  }

  /** Makes a GET for a stream, from where its cursor stands. */
  get(cursor: Cursor, sink: ReplySink): ReplyReader {
    const headers = this.#ownHeaders()
    setHeader(headers, 'Accept', 'text/event-stream')
    // Ids are UTF-8, header values are bytes.
    if (cursor.lastEventId !== undefined)
      setHeader(headers, 'Last-Event-ID', Buffer.from(cursor.lastEventId).toString('latin1'))
    const input = { kind: 'listen', era: 'legacy', message: undefined, batch: undefined, body: undefined } as const
    return this.#reader(this.#leg, { ...input, headers, query: this.#query }, cursor, sink)
  }

  /** What is asked for has come; what still comes may, for a short while. */
  linger(reader: ReplyReader): void {
    if (this.#open.has(reader))
      this.#open.set(
        reader,
        setTimeout(() => reader.cancel(), LINGER)
      )
  }

  pause(): void {
    this.#paused = true
    for (const reader of this.#open.keys()) reader.hold('leg')
  }

  resume(): void {
    this.#paused = false
    for (const reader of this.#open.keys()) reader.release('leg')
  }

  /** Ends everything under way, and the session at the server. */
  async close(headers: readonly string[]): Promise<void> {
    this.remember(headers)
    for (const reader of [...this.#open.keys()]) reader.cancel()
    this.endSession()
    await this.#ending
  }

  /** Says so to the server; `close` waits for it. */
  endSession(): void {
    if (this.sessionId === undefined) return
    const leg = this.#leg
    const headers = this.#ownHeaders()
    this.sessionId = undefined
    this.#ending = Promise.all([this.#ending, leg.close(headers)])
  }

  get #leg(): Leg {
    const { upstream } = this.#options
    return this.sessionId === undefined
      ? upstream.sessionless
      : upstream.sessionLeg(this.sessionId, this.#options.watch, this.member)
  }

  #ownHeaders(): string[] {
    const headers = withoutDerived(this.#headers)
    removeHeader(headers, 'content-type')
    if (this.version !== undefined) setHeader(headers, VERSION, this.version)
    return headers
  }

  #reader(leg: Leg, input: CallInput, cursor: Cursor, sink: ReplySink): ReplyReader {
    const counts = isCall(input)
    const done = (): void => {
      clearTimeout(this.#open.get(reader))
      if (!this.#open.delete(reader) || !counts) return
      this.#calls--
      this.#callOver()
    }
    const { maxMessage, watch, again } = this.#options
    const reader = new ReplyReader(
      { leg, input: { ...input, watch }, label: this.label, maxMessage, cursor, done, again },
      sink
    )
    this.#open.set(reader, undefined)
    if (counts) this.#calls++
    if (this.#paused) reader.hold('leg')
    return reader
  }
}

const VERSION = 'MCP-Protocol-Version'

/** A client that came over HTTP itself may have sent its own: here they are catflap's to say. */
function withoutDerived(from: readonly string[]): string[] {
  const headers = [...from]
  for (const name of [SESSION_HEADER, VERSION_HEADER, EVENT_ID_HEADER, 'mcp-method', 'mcp-name', 'accept'])
    removeHeader(headers, name)
  for (let i = headers.length - 2; i >= 0; i -= 2)
    if (headers[i]!.toLowerCase().startsWith('mcp-param-')) headers.splice(i, 2)
  return headers
}

function arrayOf(batch: readonly Message[]): Buffer {
  const parts = batch.flatMap((m, i) => [Buffer.from(i === 0 ? '[' : ','), m.bytes])
  return Buffer.concat([...parts, Buffer.from(']')])
}
