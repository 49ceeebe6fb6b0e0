import type { IncomingMessage } from 'node:http'
import { CatflapError } from '../errors.ts'
import { accepts, getHeader } from '../protocol/headers.ts'
import type { Message } from '../protocol/message.ts'
import { encodeMessageEvent } from '../protocol/sse.ts'
import type { Session } from '../session/manager.ts'
import type { HttpReply } from '../transport/downstream/http-reply.ts'
import type { Leg } from '../transport/upstream.ts'
import type { Exchange } from './exchange.ts'
import { PipeConnection } from './pipe-connection.ts'
import { PipeReply } from './pipe-reply.ts'
import { classify, readPost, refuse } from './serve-http.ts'

/** Where clients of the old transport connect: both paths lie beside the endpoint's. */
export interface SsePaths {
  readonly stream: string
  readonly messages: string
}

/** For `/mcp`: `/sse` and `/messages`. Undefined where the endpoint itself has one of these names. */
export function ssePaths(endpoint: string): SsePaths | undefined {
  const folder = endpoint.slice(0, endpoint.lastIndexOf('/') + 1)
  const paths = { stream: `${folder}sse`, messages: `${folder}messages` }
  return endpoint === paths.stream || endpoint === paths.messages ? undefined : paths
}

const SESSION_PARAM = 'sessionId'

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
    const found = x.core.sessions.find(id, x.principal)
    const go = (session: Session | undefined): void => received(x, reply, session, parsed, body)
    if (!(found instanceof Promise)) return go(found)
    found.then(go).catch(error => x.fail(error instanceof CatflapError ? error : new CatflapError('internal')))
  })
}

function received(
  x: Exchange,
  reply: HttpReply,
  session: Session | undefined,
  parsed: Message | readonly Message[],
  body: Buffer
): void {
  const connection = session?.pipe
  if (!(connection instanceof SseConnection)) return x.fail(new CatflapError('session_not_found'))
  if (x.ended) return
  connection.whenFree(() => {
    if (x.ended) return
    // Its stream may have gone while it waited.
    if (connection.closed) return x.fail(new CatflapError('session_not_found'))
    x.session = session
    if (x.core.bus.active) x.tellRequest()
    connection.accept(x, reply, parsed, body)
  })
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
  #held = false
  #waiting: (() => void)[] = []

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
      this.leg = core.target.open(this.legEvents(), { headers: this.#x.headers, query: this.#query })
      const session = await core.sessions.start({ principal, leg: this.leg, initialize: undefined })
      this.session = session
      this.#x.session = session
      session.pipe = this
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
    if (this.core.bus.active) this.core.tap.own(x, 200, [], undefined)
    reply.data(Buffer.from(`event: endpoint\ndata: ${base}\n\n`), true)
  }

  accept(x: Exchange, reply: HttpReply, parsed: Message | readonly Message[], body: Buffer): void {
    // What follows is told on the stream.
    x.join(this, new PipeReply(this, parsed))
    if (this.core.bus.active) this.core.tap.accepted(x)
    reply.answer({ status: 202, headers: [], body: undefined })
    x.version ??= this.session?.record.protocolVersion
    classify(x, parsed, body)
    x.query = this.#query
    for (const m of x.batch ?? [x.message]) if (m?.kind === 'response') this.answered(m.idText)
    void x.run()
  }

  /** The server reads again; or at once. Whoever posts waits for its 202 meanwhile. */
  whenFree(go: () => void): void {
    if (this.#held) this.#waiting.push(go)
    else go()
  }

  /** The stream has ended, whoever ended it, and with it the session. */
  close(): void {
    if (this.closed) return
    this.closed = true
    this.holdClient(false)
    for (const x of [...this.core.inFlight]) if (x.connection === this) x.abandon('client-gone')
    this.#endSession()
  }

  #endSession(): void {
    if (this.session) void this.core.sessions.end(this.session, this.core.draining ? 'shutdown' : 'client')
    else void this.leg?.close()
  }

  /** The session was ended by other means: expired, or its server is gone. */
  sessionEnded(): void {
    this.#x.finish()
    this.close()
  }

  /** The client has room again. */
  roomAgain(): void {
    this.drained()
  }

  protected transmit(line: Buffer): boolean {
    return this.#reply?.data(encodeMessageEvent(line), true) ?? true
  }

  protected holdClient(held: boolean): void {
    this.#held = held
    if (held) return
    for (const go of this.#waiting.splice(0)) go()
  }

  protected lost(error: CatflapError): void {
    this.core.log.warn('server-lost', error.message)
    if (this.session) void this.core.sessions.end(this.session, 'lost')
    else this.close()
  }
}
