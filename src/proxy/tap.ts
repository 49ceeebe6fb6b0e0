import type { Message } from '../protocol/message.ts'
import type { SseEvent } from '../protocol/sse.ts'
import { Session } from '../session/session.ts'
import type { FrameBus } from '../tape/bus.ts'
import type { Direction, Frame, NoteKind, Side } from '../tape/frame.ts'
import type { ReplyHead, WatchedRequest } from '../transport/upstream.ts'
import type { Exchange } from './exchange.ts'
import type { Observed } from './observe.ts'

/** JSON without it is no message: an OAuth answer, an error page of a gateway. */
const JSONRPC = '"jsonrpc"'

/**
 * Turns what happens into frames. Every method is called only while `bus.active`, so that unwatched traffic pays for one
 * test of a flag. The client side is told in full; the server side where it differs.
 */
export class Tap {
  readonly bus: FrameBus
  readonly #watching = new Set<Promise<void>>()
  readonly #strangers = new WeakSet<Exchange>()
  #upstreamRequests = 0

  constructor(bus: FrameBus) {
    this.bus = bus
  }

  /** Who asks was refused before anybody knew who it is. */
  stranger(x: Exchange): void {
    this.#strangers.add(x)
  }

  /** Something is still being watched although its exchange has ended. */
  goesOn(watching: Promise<void>): void {
    this.#watching.add(watching)
    void watching.then(() => this.#watching.delete(watching))
  }

  /** Resolves when all that happened has been told. */
  async settled(): Promise<void> {
    await Promise.all(this.#watching)
  }

  /** What the client sent, as it sent it. */
  request(x: Exchange, bytes: Buffer | undefined, truncated?: Frame['truncated']): void {
    const http = x.client ? { method: x.client.method, path: x.client.path, headers: x.client.headers } : undefined
    this.#put(x, 'client', 'up', { kind: bytes ? (x.wellFormed ? 'message' : 'body') : 'open', http, bytes, truncated })
  }

  /** What went to the server, where that is something else. */
  changedUp(x: Exchange, message: Message): void {
    this.#put(x, 'server', 'up', { kind: 'message', bytes: message.bytes })
  }

  /** What the server answered, where it is not clear whether the client will get that. */
  refusal(x: Exchange, head: ReplyHead): void {
    this.#put(x, 'server', 'down', { kind: 'head', http: { status: head.status, headers: head.headers } })
  }

  head(x: Exchange, head: ReplyHead): void {
    this.#put(x, 'client', 'down', { kind: 'head', http: { status: head.status, headers: head.headers } })
  }

  content(x: Exchange, head: ReplyHead, content: Observed): void {
    const empty = content.bytes.length === 0
    const kind = empty ? 'head' : head.type === 'json' && content.bytes.includes(JSONRPC) ? 'message' : 'body'
    this.#put(x, 'client', 'down', {
      kind,
      http: { status: head.status, headers: head.headers },
      bytes: empty ? undefined : content.bytes,
      truncated: content.truncated
    })
  }

  event(x: Exchange, event: SseEvent): void {
    const sse = { id: event.id, event: event.event, retry: event.retry }
    if (event.data && event.data.length > 0) this.#put(x, 'client', 'down', { kind: 'message', sse, bytes: event.data })
    else if (event.id !== undefined || event.retry !== undefined) this.#put(x, 'client', 'down', { kind: 'event', sse })
  }

  /** Where a client of HTTP+SSE is told to POST. */
  endpoint(x: Exchange, path: string): void {
    this.#put(x, 'client', 'down', { kind: 'event', sse: { event: 'endpoint' }, bytes: Buffer.from(path), own: true })
  }

  /** A message to the client that came without a head (stdio). */
  message(x: Exchange, message: Message, side: Side = 'client'): void {
    this.#put(x, side, 'down', { kind: 'message', bytes: message.bytes })
  }

  /** An answer of our own making. */
  own(x: Exchange, status: number | undefined, headers: readonly string[], body: Buffer | undefined): void {
    const http = status === undefined ? undefined : { status, headers }
    this.#put(x, 'client', 'down', { kind: body ? 'message' : 'head', http, bytes: body, own: true })
  }

  /** Over HTTP+SSE a POST is answered at once, and what it brought on the stream. */
  accepted(x: Exchange): void {
    const frame = { kind: 'head', http: { status: 202, headers: [] }, own: true } as const
    this.#put(x, 'client', 'down', { ...frame, stream: x.stream })
  }

  end(x: Exchange, outcome: string): void {
    this.#put(x, 'client', 'down', { kind: 'end', outcome })
  }

  note(
    at: Exchange | Session | undefined,
    note: NoteKind,
    text: string,
    data?: Frame['data'],
    side: Side = 'server'
  ): void {
    const dir: Direction = side === 'server' ? 'down' : 'up'
    const place =
      at === undefined
        ? {}
        : at instanceof Session
          ? { session: at.handle }
          : { session: at.session?.handle ?? at.handle, stream: at.stream, ...this.#trust(at) }
    this.bus.publish({ time: performance.now(), side, dir, kind: 'note', ...place, note, text, data })
  }

  /** A message outside any exchange (a server's own, on a pipe), or on the other side of one that was changed. */
  loose(
    session: Session | undefined,
    stream: string,
    side: Side,
    dir: Direction,
    message: Message,
    own?: boolean
  ): void {
    const frame: Frame = {
      time: performance.now(),
      side,
      dir,
      kind: 'message',
      session: session?.handle,
      stream,
      bytes: message.bytes,
      own
    }
    this.bus.publish(frame)
  }

  /**
   * A request over HTTP to the server, where the client made none like it. Its messages did not change, and stand on the
   * client's side.
   */
  upstreamRequest(
    session: Session | undefined,
    method: string,
    path: string,
    headers: readonly string[]
  ): WatchedRequest {
    const stream = `${method.toLowerCase()}-${++this.#upstreamRequests}`
    const tell = (dir: Direction, rest: Partial<Frame> & Pick<Frame, 'kind'>): void => {
      if (!this.bus.active) return
      this.bus.publish({ time: performance.now(), side: 'server', dir, session: session?.handle, stream, ...rest })
    }
    tell('up', { kind: 'open', http: { method, path, headers } })
    return {
      head: ({ status, headers }) => tell('down', { kind: 'head', http: { status, headers } }),
      end: outcome => tell('down', { kind: 'end', outcome })
    }
  }

  #trust(x: Exchange): Pick<Frame, 'unproven'> | undefined {
    return this.#strangers.has(x) ? { unproven: true } : undefined
  }

  #put(x: Exchange, side: Side, dir: Direction, rest: Partial<Frame> & Pick<Frame, 'kind'>): void {
    this.bus.publish({
      time: performance.now(),
      side,
      dir,
      session: x.session?.handle ?? x.handle,
      stream: dir === 'down' ? x.downStream : x.stream,
      ...this.#trust(x),
      ...rest
    })
  }
}
