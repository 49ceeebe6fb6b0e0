import type { CatflapError } from '../errors.ts'
import type { ContentType } from '../protocol/headers.ts'
import type { Message } from '../protocol/message.ts'
import type { Era } from '../protocol/versions.ts'

/**
 * What every upstream (HTTP server, stdio child, HTTP+SSE, tape) offers: open a leg, make calls on it, close it.
 * An upstream knows nothing of clients: it is handed a message, and tells a receiver what comes back.
 */

/** Everything a client does is one of these. */
export type ExchangeKind = 'request' | 'notify' | 'batch' | 'listen' | 'terminate'

export interface ReplyHead {
  readonly status: number
  readonly statusText: string
  /** End-to-end headers, name, value, name, value …; hooks may change the list. */
  readonly headers: string[]
  readonly type: ContentType
  /** Of the content, in bytes, where the server said it. */
  readonly length: number | undefined
  /** `gzip` and the like; undefined for identity. */
  readonly encoding: string | undefined
  /** Which of several servers answered, where there are several. */
  readonly member?: string
}

export interface CallInput {
  readonly kind: ExchangeKind
  readonly era: Era
  /** The message, or the elements of a batch; none for `listen` and `terminate`. */
  readonly message: Message | undefined
  readonly batch: readonly Message[] | undefined
  /** The bytes as they go out over HTTP. */
  readonly body: Buffer | undefined
  /** What the client's URL had behind its path (`?…`), for HTTP. */
  readonly query?: string
  /** End-to-end headers to send over HTTP; the leg adds what is its own. */
  readonly headers: readonly string[]
  /** Where this is a request over HTTP that no client made as it is. */
  readonly watch?: HttpWatch
  /** The one of several servers that is not to be asked. */
  readonly avoid?: string
}

/** Asked at each request over HTTP, with path and headers as they leave; undefined while nobody wants to know. */
export type HttpWatch = (method: string, path: string, headers: readonly string[]) => WatchedRequest | undefined

/** What became of it. Once, at the end: how. */
export interface WatchedRequest {
  head(head: ReplyHead): void
  end(outcome: string): void
}

/**
 * Hears what a call brings. HTTP upstreams say onHead, onData…, onEnd; upstreams without heads say onMessage…, onEnd.
 * Exactly one onEnd or onError comes, nothing after it.
 */
export interface CallReceiver {
  onHead(head: ReplyHead): void
  onData(chunk: Buffer): void
  /** `last` with the response that answers the call. */
  onMessage(message: Message, last: boolean): void
  onEnd(): void
  onError(error: CatflapError): void
  /** The server speaks another transport than this leg: nothing was done, and nothing else comes. */
  onOtherTransport?(): void
  /** The client itself has cancelled this call: an answer may never come. */
  onCancelled?(): void
  /** Nothing of the call has been processed, for which `error` is the cause. True: it is made elsewhere, and nothing more is told here. */
  onUnsent?(reason: RetryReason, error: CatflapError): boolean
  /** How often it was made elsewhere before. */
  readonly attempts?: number
  /** The call, which was not processed, is made once more. */
  onAgain?(reason: RetryReason, error: CatflapError | undefined): void
  /** A message of the server's own that belongs to this call. False: nobody is there to hear it. */
  deliver?(message: Message): boolean
}

/**
 * Why a server is asked once more. `not_sent`: there was no connection to write to. `refused_stream`: the server said, by
 * HTTP/2, that it has not looked at the request. `session_lost`: the server did not know the session, which was begun anew.
 */
export type RetryReason =
  | 'stream_resumed'
  | 'tool_headers'
  | 'other_transport'
  | 'not_sent'
  | 'refused_stream'
  | 'session_lost'

export type CancelReason = 'client-gone' | 'client-cancelled' | 'timeout' | 'shutdown'

export interface UpstreamCall {
  /** False: nothing of it has left. Absent where that is not known. */
  readonly sent?: boolean
  /** Stops the flow of onData/onMessage soon; what is under way may still arrive. */
  pause(): void
  resume(): void
  /** Nothing is told to the receiver afterwards. */
  cancel(reason: CancelReason): void
}

export interface Leg {
  /** What the server calls this leg (its Mcp-Session-Id); undefined where it has no name. */
  readonly upstreamId: string | undefined
  /** Which of several servers it leads to, where there are several. */
  readonly member?: string
  /** The server has answered something on it. Of pipes only. */
  readonly answered?: boolean
  /** Calls that are not answered yet. Of pipes only. */
  readonly inFlight?: number
  call(input: CallInput, receiver: CallReceiver): UpstreamCall
  /** Legs that one client owns whole (a pipe): stop and go on with everything the server says. */
  pause?(): void
  resume?(): void
  /** The client has nothing more to say; the server may finish. */
  endInput?(): void
  /** Ends the leg on the server's side as well, with these headers over HTTP. Resolves when that is done or was given up; never rejects. */
  close(headers?: readonly string[]): Promise<void>
}

/** What happens on a leg outside any call. */
export interface LegEvents {
  /** A request or notification of the server's own. `call` is the receiver it belongs to, where that is known. */
  message(message: Message, call: CallReceiver | undefined): void
  /** An answer that belongs to no call in flight. */
  late(message: Message): void
  noise(bytes: Buffer): void
  stderr(line: string): void
  /** The server has given its first answer on a pipe. */
  answered?(): void
  /** The leg is gone by itself. */
  lost(error: CatflapError, facts: Readonly<Record<string, string | number | null>>): void
  /** A message had to differ on the two sides (a remapped id or token): what the client knows, what the server knows. */
  changed?(client: Message, server: Message, dir: 'up' | 'down'): void
  /** catflap said something to the server on its own account. */
  own?(message: Message): void
  /** Something worth a line in the log: a tool left out, a stream taken up again. */
  note?(text: string): void
  /** The server is asked once more. */
  again?(reason: RetryReason): void
  /** Whoever calls is answered each on its own, and can be told a status and headers. */
  readonly heads?: true
  /** A request over HTTP on this client's behalf, where the client itself makes none like it. */
  readonly http?: HttpWatch
  /** The server does not read as fast as it is written to; and there is room again. */
  full?(): void
  drain?(): void
}
