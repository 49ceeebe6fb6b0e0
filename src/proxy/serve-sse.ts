import type { IncomingMessage } from 'node:http'
import { asCatflapError, CatflapError } from '../errors.ts'
import { accepts, getHeader } from '../protocol/headers.ts'
import type { Message } from '../protocol/message.ts'
import { encodeMessageEvent } from '../protocol/sse.ts'
import { QueueNode } from '../queue.ts'
import type { Session } from '../session/session.ts'
import type { HttpReply } from '../transport/downstream/http-reply.ts'
import type { Leg } from '../transport/upstream.ts'
import type { Deadline } from './deadlines.ts'
import type { Exchange } from './exchange.ts'
import { WentElsewhere } from './handover.ts'
import { InOrder } from './in-order.ts'
import type { Answer } from './interceptor.ts'
import { PipeConnection } from './pipe-connection.ts'
import { PipeReply } from './pipe-reply.ts'
import { classify, readPost, refuse } from './serve-http.ts'

/** Where clients of the old transport connect: both paths lie beside the endpoint's. */
export interface SsePaths {
  readonly stream: string
  readonly messages: string
}

/** For `/mcp`: `/sse` and `/messages`. */
export function ssePaths(endpoint: string): SsePaths {
  const folder = endpoint.slice(0, endpoint.lastIndexOf('/') + 1)
  return { stream: `${folder}sse`, messages: `${folder}messages` }
}

/** On a route: beside an endpoint that is called `mcp`, below any other, as routes may share a folder. */
export function routeSsePaths(endpoint: string): SsePaths {
  return endpoint.endsWith('/mcp') ? ssePaths(endpoint) : ssePaths(`${endpoint.replace(/\/$/, '')}/`)
}

/** Names the session in the query of what is posted. */
export const SESSION_PARAM = 'sessionId'

/** `GET /sse`: opens a session, and the stream on which its client hears everything. */
export function openStream(x: Exchange, reply: HttpReply, paths: SsePaths): void {
  x.transport = 'sse'
  x.kind = 'listen'
  if (x.client!.method !== 'GET') {
    reply.extra.push('Allow', 'GET')
    return refuse(x, new CatflapError('method_not_allowed'))
  }
  if (!accepts(getHeader(x.client!.headers, 'accept'), 'text/event-stream'))
    return refuse(x, new CatflapError('not_acceptable'))
  x.received = { bytes: undefined }
  x.opens = new SseConnection(x, paths)
  void x.run()
}

/** `POST /messages?sessionId=…`: one message; its answer, if any, comes on the stream. */
export function postMessage(x: Exchange, req: IncomingMessage, reply: HttpReply): void {
  x.transport = 'sse'
  if (x.client!.method !== 'POST') {
    reply.extra.push('Allow', 'POST')
    return refuse(x, new CatflapError('method_not_allowed'))
  }
  const id = new URLSearchParams(x.query).get(SESSION_PARAM)
  if (id === null)
    return refuse(
      x,
      new CatflapError('session_required', `The URL lacks ${SESSION_PARAM}: POST where the stream said.`)
    )
  readPost(x, req, (parsed, body) => {
    const go = (session: Session | undefined): void => received(x, reply, session, parsed, body)
    const failed = (error: unknown): void => x.fail(asCatflapError(error))
    try {
      const found = x.core.sessions.find(id, x.principal)
      if (!(found instanceof Promise)) return go(found)
      found.then(go).catch(failed)
    } catch (error) {
      failed(error)
    }
  })
}

function received(
  x: Exchange,
  reply: HttpReply,
  session: Session | undefined,
  parsed: Message | readonly Message[],
  body: Buffer
): void {
  if (session?.remote !== undefined && x.core.handOver && !x.fromPeer) return elsewhere(x, session, parsed, body)
  const connection = session?.pipe
  if (!(connection instanceof SseConnection)) return x.fail(streamGone())
  if (x.ended) return
  connection.whenFree(x, body.length, () => {
    // Its stream may have gone while it waited.
    if (connection.closed) return x.fail(streamGone())
    x.session = session
    if (x.core.bus.active) x.tellRequest()
    connection.accept(x, reply, parsed, body)
  })
}

/** Its stream is another process's: so is what is posted to it. */
function elsewhere(x: Exchange, session: Session, parsed: Message | readonly Message[], body: Buffer): void {
  const { handOver } = x.core
  classify(x, parsed, body)
  // Whatever was said, the answer is a 202.
  x.kind = 'notify'
  x.transport = 'http'
  x.session = session
  x.posted = true
  let again = false
  x.relay(async () => {
    const refused = await handOver!.choose(x, session, again).catch(unlessGone)
    again = true
    // Nobody can take over a stream.
    return refused ?? (x.peer === undefined ? { error: streamGone() } : undefined)
  })
}

function unlessGone(error: unknown): Answer {
  if (error instanceof WentElsewhere) return { error: streamGone() }
  throw error
}

/** In this transport a session is its stream. */
function streamGone(): CatflapError {
  return new CatflapError('session_not_found', 'The session is unknown, or its stream has ended. Open the stream anew.')
}

/** A client of HTTP+SSE (spec 2024-11-05 basic/transports, "HTTP with SSE"): its stream, and the leg it has for itself. */
export class SseConnection extends PipeConnection {
  leg!: Leg
  readonly stream: string
  closed = false
  readonly #x: Exchange
  readonly #paths: SsePaths
  readonly #query: string | undefined
  #reply: HttpReply | undefined
  /** What was posted is handed over in the order of its 202s, whatever a hook takes its time for. */
  readonly #input = new InOrder(error => this.fault(error))
  #queued = 0
  /** The server does not read. */
  #held = false
  #waiting: WaitingPost[] = []
  #lost = false

  constructor(x: Exchange, paths: SsePaths) {
    super(x.core)
    this.#x = x
    this.#paths = paths
    this.#query = x.query
    this.stream = x.stream
  }

  /** Begins its session. Rejects with too_many_sessions. */
  async begin(): Promise<void> {
    const { core, principal } = this.#x
    try {
      await core.sessions.admit(core.settings.maxSessions)
      if (this.closed) return
      const { target } = core
      const from = { headers: this.#x.headers, query: this.#query }
      this.leg = target.start ? await target.start(this.legEvents()) : target.open(this.legEvents(), from)
      // What the server says before the client has its stream waits.
      this.serverBrake.hold('reader')
      const session = await core.sessions.start({ principal, leg: this.leg, initialize: undefined, held: true })
      this.session = session
      this.#x.session = session
      session.pipe = this
      // A command that cannot be started is known in the next turn: the client is told so, while it still can be.
      await new Promise(resolve => setImmediate(resolve))
    } catch (error) {
      // A leg without a session is ended with the exchange.
      this.close()
      throw error
    }
    if (this.#x.ended) this.#endSession()
  }

  /** The exchange of the GET was let in. */
  opened(x: Exchange): void {
    const reply = x.reply as HttpReply
    this.#reply = reply
    const base = `${this.#paths.messages}?${SESSION_PARAM}=${this.session!.id}`
    reply.openStream()
    if (this.core.bus.active) {
      this.core.tap.own(x, 200, [], undefined)
      this.core.tap.endpoint(x, base)
    }
    if (reply.data(Buffer.from(`event: endpoint\ndata: ${base}\n\n`), true)) this.drained()
  }

  accept(x: Exchange, reply: HttpReply, parsed: Message | readonly Message[], body: Buffer): void {
    // What follows is told on the stream.
    x.join(this, new PipeReply(this, parsed))
    if (this.core.bus.active) this.core.tap.accepted(x)
    reply.answer({ status: 202, headers: [], body: undefined })
    classify(x, parsed, body)
    x.version ??= this.session?.record.protocolVersion
    x.query = this.#query
    for (const m of x.batch ?? [x.message]) if (m?.kind === 'response') this.answered(m.idText)
    this.#queued++
    this.#input.run(() => {
      if (this.#queued-- === MAX_WAITING) this.#letIn()
      if (!x.ended) return x.run()
    })
  }

  /** `go` at once, or when there is room for what is posted. Meanwhile it waits for its 202, as long as a call would. */
  whenFree(x: Exchange, size: number, go: () => void): void {
    this.#letIn()
    if (!this.#full) return go()
    this.#waiting = this.#waiting.filter(post => !post.gone)
    const bytes = this.#waiting.reduce((sum, post) => sum + post.size, 0)
    if (this.#waiting.length >= MAX_WAITING || bytes > this.core.settings.maxExchangeQueue) return x.fail(this.#why())
    const post = new WaitingPost(x, size, go, () => x.fail(this.#why()))
    this.#waiting.push(post)
    this.core.deadlines.start(post)
  }

  /** The stream has ended, whoever ended it, and with it the session. */
  close(): void {
    if (this.closed) return
    this.closed = true
    this.#letIn()
    for (const x of this.#exchanges()) x.abandon('client-gone')
    this.#endSession()
  }

  #endSession(): void {
    const why = this.#lost ? 'lost' : this.core.draining ? 'shutdown' : 'client'
    if (this.session) void this.core.sessions.end(this.session, why)
    else void this.leg?.close()
  }

  /** The session was ended by other means: expired, or its server is gone. */
  sessionEnded(): void {
    if (this.closed) return
    for (const x of this.#exchanges()) x.broken(new CatflapError('session_not_found', 'The session has ended.'))
    this.#x.finish()
    this.close()
  }

  /** The client has room again. */
  roomAgain(): void {
    this.drained()
    this.#letIn()
  }

  protected override get left(): boolean {
    return this.closed
  }

  protected transmit(line: Buffer): boolean {
    return this.#reply?.data(encodeMessageEvent(line), true) ?? true
  }

  protected holdClient(held: boolean): void {
    this.#held = held
    this.#letIn()
  }

  protected lost(error: CatflapError): void {
    if (this.closed) return
    this.core.log.warn('server-lost', error.message)
    this.#lost = true
    // Nothing was promised yet: the client can be told why.
    if (!this.#reply) this.#x.fail(error)
    else if (this.session) void this.core.sessions.end(this.session, 'lost')
  }

  #exchanges(): Exchange[] {
    return [...this.core.inFlight].filter(x => x.connection === this)
  }

  /** Either side takes nothing more: the server does not read, a hook has too much in hand, or the client reads no answers. */
  get #full(): boolean {
    return this.#held || this.#queued >= MAX_WAITING || this.#clientIsSlow
  }

  get #clientIsSlow(): boolean {
    return (this.#reply?.queued ?? 0) > this.core.settings.maxExchangeQueue
  }

  #why(): CatflapError {
    if (this.#clientIsSlow) return new CatflapError('slow_client')
    const text = `${this.core.target.label} does not read what was sent to it. Try again later.`
    return new CatflapError('upstream_queue_full', text)
  }

  #letIn(): void {
    while (this.#waiting.length > 0 && (this.closed || !this.#full)) {
      const post = this.#waiting.shift()!
      this.core.deadlines.end(post)
      if (!post.gone) post.go()
    }
  }
}

/** A POST that waits for its 202. */
class WaitingPost implements Deadline {
  at = 0
  readonly place: QueueNode<Deadline> = new QueueNode<Deadline>(this)
  readonly size: number
  readonly go: () => void
  readonly expired: () => void
  readonly #x: Exchange

  constructor(x: Exchange, size: number, go: () => void, expired: () => void) {
    this.#x = x
    this.size = size
    this.go = go
    this.expired = expired
  }

  get gone(): boolean {
    return this.#x.ended
  }
}

/** Messages of one client that may wait, before and behind their 202. */
const MAX_WAITING = 256
