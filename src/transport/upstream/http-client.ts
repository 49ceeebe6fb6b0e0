import { CatflapError } from '../../errors.ts'
import { standardHeaders } from '../../protocol/header-rules.ts'
import { getHeader, SESSION_HEADER } from '../../protocol/headers.ts'
import { idKey } from '../../protocol/id.ts'
import type { Message } from '../../protocol/message.ts'
import type { Era } from '../../protocol/versions.ts'
import type { CallInput, CallReceiver, Leg, LegEvents, ReplyHead, UpstreamCall } from '../upstream.ts'
import { HttpClientCall } from './http-client-call.ts'
import type { ClientHost, InFlight } from './http-client-host.ts'
import { CallIndex } from './http-client-index.ts'
import { ListenStream } from './http-client-listen.ts'
import { MessageOrder, type OrderKind } from './http-client-order.ts'
import { HttpClientPost } from './http-client-post.ts'
import { SharedRefresh, ToolRefresh } from './http-client-refresh.ts'
import { sessionLost } from './http-client-refusal.ts'
import type { ReopenDelays } from './http-client-reopen.ts'
import { ToolHeaderBook } from './http-client-tools.ts'
import { type ClientUpstream, HttpClientWire, type Outgoing } from './http-client-wire.ts'
import { ended, failed } from './no-call.ts'

export interface HttpClientOptions {
  readonly upstream: ClientUpstream
  readonly maxMessage: number
  /** Bytes that may wait for the server to accept what the client said before. */
  readonly maxWaiting: number
  /** Before a stream is taken up again; default 1 s, growing to 30 s. */
  readonly delays?: ReopenDelays
  /** Calls that it may have under way at once, where others share the connections; default: any number. */
  readonly maxCalls?: number
  /** Calls that may wait for that; default: any number. */
  readonly maxPending?: number
  /** Takes secrets out of what the client is told of the server's words. */
  readonly scrub?: (text: string) => string
  /** How long the server may take to accept a notification: what follows waits so long, in ms; default 5 s. */
  readonly patience?: number
}

const DELAYS: ReopenDelays = { first: 1_000, max: 30_000 }
const PATIENCE = 5_000
/** While the client does not read, calls are begun only up to so many. */
const MAX_UNREAD = 4

/**
 * The leg of one client on a pipe, in front of a server on Streamable HTTP. The client knows nothing of HTTP, so that catflap
 * owes the server all that the specification asks of an HTTP client, in either era.
 */
export class HttpClientLeg implements Leg, ClientHost {
  readonly wire: HttpClientWire
  readonly tools: ToolHeaderBook
  readonly events: LegEvents
  readonly delays: ReopenDelays
  readonly #patience: number
  readonly #order: MessageOrder
  readonly #inFlight = new Set<InFlight>()
  readonly #byId = new CallIndex<HttpClientCall>()
  readonly #refresh: SharedRefresh
  #listen: ListenStream | undefined
  #over: CatflapError | undefined
  #closed: Promise<void> | undefined
  #minted = 0
  /** The client has sent `initialize`: what does not say otherwise is legacy. */
  #initialized = false

  constructor(options: HttpClientOptions, events: LegEvents) {
    this.events = events
    this.delays = options.delays ?? DELAYS
    const { http: watch, again } = events
    this.wire = new HttpClientWire({ ...options, watch, again }, () => this.#order.roomAgain())
    this.tools = new ToolHeaderBook(text => events.note?.(text))
    this.#refresh = new SharedRefresh((call, headers, done) => this.#makeRefresh(call, headers, done))
    this.#patience = options.patience ?? PATIENCE
    const { maxCalls = Number.POSITIVE_INFINITY } = options
    this.#order = new MessageOrder({
      patience: this.#patience,
      maxWaiting: options.maxWaiting,
      maxCalls: options.maxPending ?? Number.POSITIVE_INFINITY,
      // Answers that nobody reads keep their connections from others.
      room: () => this.wire.calls < (this.wire.paused ? Math.min(maxCalls, MAX_UNREAD) : maxCalls),
      paused: () => this.wire.paused,
      full: () => events.full?.(),
      drain: () => events.drain?.()
    })
  }

  get upstreamId(): string | undefined {
    return this.wire.sessionId
  }

  call(input: CallInput, receiver: CallReceiver): UpstreamCall {
    const messages = input.batch ?? (input.message ? [input.message] : [])
    if (this.#over) return failed(receiver, this.#over)
    if (messages.length === 0 || input.kind === 'listen' || input.kind === 'terminate') return ended(receiver)
    this.wire.remember(input.headers, input.query)
    const era = this.#eraOf(input.era, messages)
    const out = { ...input, era, derived: era === 'modern' && input.message ? standardHeaders(input.message) : [] }
    const cancelled = messages.filter(m => m.method === 'notifications/cancelled')
    const told = cancelled.map(m => this.#clientCancels(m, era))
    // In the modern era a cancellation is a closed stream (spec 2026-07-28 basic/transports/streamable-http, "Cancellation").
    if (input.message && told[0] === false) return ended(receiver)
    for (const m of messages) if (m.kind === 'request') this.#supersede(idKey(m.idText!))
    const asks = messages.some(m => m.kind === 'request')
    const made = asks ? new HttpClientCall(this, out, receiver) : new HttpClientPost(this, out, receiver)
    return this.#enter(made, messages)
  }

  pause(): void {
    this.wire.pause()
  }

  resume(): void {
    this.wire.resume()
    this.#order.roomAgain()
  }

  /** A closed pipe says nothing over HTTP. */
  endInput(): void {}

  close(headers: readonly string[] = []): Promise<void> {
    this.#closed ??= this.#close(headers)
    return this.#closed
  }

  accepted(out: Outgoing, head: ReplyHead): void {
    if (out.era === 'modern') return
    const messages = out.batch ?? [out.message]
    if (out.message?.method === 'initialize')
      this.#begin(getHeader(head.headers, SESSION_HEADER) || undefined, head.member)
    if (messages.some(m => m?.method === 'notifications/initialized')) this.#openListen()
  }

  negotiated(answer: Message): void {
    this.wire.version = answer.protocolVersion
  }

  fromServer(message: Message, call: CallReceiver | undefined): void {
    if (message.method === 'notifications/tools/list_changed') this.tools.clear()
    this.events.message(message, call)
  }

  sessionLost(): void {
    if (this.#over) return
    // There is nothing left that could be ended.
    this.wire.sessionId = undefined
    const error = sessionLost(this.wire.label)
    this.#end(error)
    this.events.lost(error, {})
  }

  sendOwn(message: Message, headers: readonly string[]): void {
    if (this.#over) return
    this.events.own?.(message)
    const done = (): void => clearTimeout(timer)
    const receiver = { onHead() {}, onData() {}, onMessage() {}, onEnd: done, onError: done }
    const out = { message, batch: undefined, era: 'legacy', headers, derived: [] } as const
    const post = new HttpClientPost(this, out, receiver)
    // Nobody waits for the outcome, so nobody else would end it.
    const timer = setTimeout(() => post.cancel('timeout'), this.#patience)
    this.#inFlight.add(post)
    post.start(() => {})
  }

  otherTransport(): void {
    for (const one of [...this.#inFlight]) one.otherTransport()
  }

  refreshTools(call: Message, headers: readonly string[], done: () => void): () => void {
    return this.#refresh.join(call, headers, done)
  }

  forget(over: InFlight): void {
    this.#inFlight.delete(over)
    if (over instanceof HttpClientCall) this.#byId.delete(over)
  }

  #makeRefresh(call: Message, headers: readonly string[], done: () => void): ToolRefresh {
    return new ToolRefresh({
      wire: this.wire,
      tools: this.tools,
      call,
      headers,
      // An id that no request of the client's has.
      mintId: () => `catflap-tools-${++this.#minted}`,
      own: message => this.events.own?.(message),
      other: message => this.fromServer(message, undefined),
      done
    })
  }

  #enter(made: HttpClientCall | HttpClientPost, messages: readonly Message[]): UpstreamCall {
    this.#inFlight.add(made)
    if (made instanceof HttpClientCall) this.#byId.add(made)
    const size = messages.reduce((sum, m) => sum + m.bytes.length, 0)
    const leave = this.#order.enter(size, kindOf(messages), accepted => made.start(accepted))
    if (leave) {
      made.leave = leave
      return made
    }
    const text = `${this.wire.label} does not accept what was sent before. Try again later.`
    const error = new CatflapError('upstream_queue_full', text)
    queueMicrotask(() => made.fail(error))
    return made
  }

  /** Notifications of the modern era need not say that they are. */
  #eraOf(said: Era, messages: readonly Message[]): Era {
    const named = messages.find(m => m.metaVersion !== undefined)?.metaVersion
    if (named !== undefined) this.wire.modernVersion = named
    if (said === 'modern' || named !== undefined) return 'modern'
    const request = messages.find(m => m.kind === 'request')
    if (request?.method === 'initialize') this.#initialized = true
    return request || this.#initialized || this.wire.modernVersion === undefined ? 'legacy' : 'modern'
  }

  /** The client names its own id; of several calls under it, the newest is meant. Returns whether the server is told. */
  #clientCancels(message: Message, era: Era): boolean {
    const key = message.requestIdText === undefined ? undefined : idKey(message.requestIdText)
    const call = key === undefined ? undefined : this.#byId.newest(key)
    if (!call || key === undefined) return era === 'legacy'
    this.#byId.cancelled(key, call)
    return call.cancelledByClient(key)
  }

  /** An answer to what the client has cancelled under this id would be taken for one to the request that uses it now. */
  #supersede(key: string): void {
    for (const call of this.#byId.takeCancelled(key)) call.supersede(key)
  }

  /** A session begins; a client that begins anew leaves its old one. */
  #begin(sessionId: string | undefined, member: string | undefined): void {
    this.#listen?.close()
    this.#listen = undefined
    if (this.wire.sessionId !== sessionId) this.wire.endSession()
    this.wire.version = undefined
    this.wire.sessionId = sessionId
    this.wire.member = member
  }

  #openListen(): void {
    if (this.#listen || this.#over) return
    this.#listen = new ListenStream({
      wire: this.wire,
      delays: this.delays,
      message: m => (m.kind === 'response' ? this.events.late(m) : this.fromServer(m, undefined)),
      noise: bytes => this.events.noise(bytes),
      note: text => this.events.note?.(text),
      again: () => this.events.again?.('stream_resumed')
    })
    this.#listen.open()
  }

  async #close(headers: readonly string[]): Promise<void> {
    this.#end(new CatflapError('session_not_found', 'The session has ended.'))
    await this.wire.close(headers)
  }

  #end(error: CatflapError): void {
    this.#over ??= error
    this.#order.close()
    this.#listen?.close()
    for (const one of [...this.#inFlight]) one.fail(error)
  }
}

function kindOf(messages: readonly Message[]): OrderKind {
  if (messages.some(m => m.method === 'initialize')) return 'initialize'
  if (messages.every(m => m.kind === 'response')) return 'answer'
  if (messages.some(m => m.kind !== 'request')) return 'note'
  return messages.some(m => m.method !== 'subscriptions/listen') ? 'call' : 'stream'
}
