import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { type Duplex, PassThrough, Transform, type TransformCallback } from 'node:stream'
import { CatflapError, type ErrorCode } from '../errors.ts'
import { contentTypeOf } from '../protocol/headers.ts'
import { upstreamError } from '../transport/upstream/http-pool.ts'
import type { Outcome } from './interceptor.ts'
import { breakOff, ifWhole, isWhole, responseOn, whenClosed, writeError, writeHead } from './passage-answer.ts'

/** What the passages of one route share. */
export interface PassageRules {
  /** The target, for people. */
  readonly label: string
  /** Milliseconds until the status line must be there, and that an answer may be silent after it; 0: for ever. */
  readonly headTimeout: number
  readonly silence: number
  readonly maxBody: number
  /** End-to-end headers of an answer, as the client is to see them. */
  responseHeaders(answer: IncomingMessage, path: string): string[]
}

export type PassageEnded = (outcome: Outcome) => void

/**
 * One request that goes through to the target as it is, and its answer; or one WebSocket. http-proxy-3 makes the request and
 * joins the streams. This says what is in the heads, and how it all ends.
 */
export class Passage {
  readonly req: IncomingMessage
  /** The client's name for what it asks. */
  readonly path: string
  /** Of the server that is asked. */
  rules: PassageRules
  readonly #ended: PassageEnded | undefined
  readonly #forget: (passage: Passage) => void
  readonly #startedAt = performance.now()
  /** The connection, where it may become a WebSocket's. */
  readonly #socket: Socket | undefined
  #res: ServerResponse | undefined
  /** The request to the target. */
  #upstream: ClientRequest | undefined
  #tunnel: Duplex | undefined
  #headTimer: NodeJS.Timeout | undefined
  #body: Transform | undefined
  #answered = false
  #endless = false
  #over = false

  constructor(
    req: IncomingMessage,
    client: { readonly res: ServerResponse } | { readonly socket: Socket },
    given: {
      readonly path: string
      readonly rules: PassageRules
      readonly ended: PassageEnded | undefined
      readonly forget: (passage: Passage) => void
    }
  ) {
    this.req = req
    this.path = given.path
    this.rules = given.rules
    this.#ended = given.ended
    this.#forget = given.forget
    if ('res' in client) {
      this.#res = client.res
      whenClosed(client.res, () => this.#clientClosed())
    } else {
      this.#socket = client.socket
      client.socket.once('close', () => this.#clientClosed())
      client.socket.on('readable', this.#watch)
    }
    if (given.rules.headTimeout > 0)
      this.#headTimer = setTimeout(() => this.fail(this.#late()), given.rules.headTimeout)
  }

  /** Nobody reads the connection before it is joined, and a client's end shows only to who reads. What it sends stays there. */
  readonly #watch = (): void => {
    if (this.#socket?.readableLength === 0) this.#socket.destroy()
  }

  /** The request's content on its way up: no more than is allowed, and no other length than was announced. */
  body(declared: number | undefined): Transform {
    const { maxBody } = this.rules
    // Its end has been read for the server that was asked before.
    if (this.#body) return new PassThrough().end()
    let size = 0
    const fail = this.fail.bind(this)
    this.#body = new Transform({
      transform(chunk: Buffer, _encoding, done: TransformCallback) {
        size += chunk.length
        if (size > maxBody) fail(new CatflapError('body_too_large', `The body exceeds ${maxBody} bytes (--max-body).`))
        // What is too much would be read as a request of its own behind this one.
        else if (declared !== undefined && size > declared) fail(new CatflapError('bad_http'))
        else return done(null, chunk)
        done()
      },
      flush: done => {
        ifWhole(this.req, whole => {
          if (!whole) return this.#gone()
          if (declared !== undefined && size < declared) fail(new CatflapError('bad_http'))
          done()
        })
      }
    })
    return this.req.pipe(this.#body)
  }

  /** The request to the target has been made. */
  started(upstream: ClientRequest): void {
    this.#upstream = upstream
    if (this.#over) return void upstream.destroy()
    const { silence } = this.rules
    if (silence > 0) upstream.setTimeout(silence, () => this.fail(this.#late()))
    // Node says no more than this when the target switches to a protocol that nobody asked for.
    upstream.once('close', () => {
      if (!this.#answered && this.#upstream === upstream)
        this.fail(new CatflapError('upstream_protocol', `${this.rules.label}: the connection ended without an answer.`))
    })
  }

  /** The target answers, by HTTP. */
  answer(from: IncomingMessage): void {
    clearTimeout(this.#headTimer)
    if (this.#over || this.#answered) return void from.destroy()
    if ((from.statusCode ?? 0) < 200) {
      this.fail(
        new CatflapError('upstream_protocol', `${this.rules.label}: switched to something else than was asked.`)
      )
      return void from.destroy()
    }
    this.#answered = true
    this.#endless = contentTypeOf(from.headers['content-type']) === 'sse'
    const res = this.#response()
    try {
      writeHead(res, from, this.rules.responseHeaders(from, this.path))
    } catch (error) {
      // A header that Node refuses to write.
      const text = error instanceof Error ? error.message : String(error)
      return this.fail(new CatflapError('upstream_protocol', `The server's headers cannot be passed on: ${text}`))
    }
    from.on('error', () => {})
    from.once('close', () => {
      if (!from.complete) this.fail(new CatflapError('upstream_reset', `${this.rules.label}: the answer broke off.`))
    })
    res.on('error', () => {})
    // Node's HTTP/2 says so of streams that were reset, too.
    res.once('finish', () => isWhole(res) && this.#end({ result: 'answered', status: res.statusCode }))
    from.pipe(res)
  }

  /** The target has agreed to a WebSocket; http-proxy-3 joins the two connections after this. False: not to one. */
  opened(from: IncomingMessage, tunnel: Duplex): boolean {
    clearTimeout(this.#headTimer)
    this.#upstream?.setTimeout(0)
    this.#socket?.off('readable', this.#watch)
    this.#tunnel = tunnel
    tunnel.on('error', () => {})
    tunnel.once('close', () => this.#tunnelClosed())
    if (this.#over) {
      tunnel.destroy()
      return false
    }
    if (from.statusCode !== 101 || from.headers.upgrade?.toLowerCase() !== 'websocket') {
      this.fail(
        new CatflapError('upstream_protocol', `${this.rules.label}: switched to something else than was asked.`)
      )
      tunnel.destroy()
      return false
    }
    this.#answered = true
    return true
  }

  /** What http-proxy-3 has met. */
  failed(error: unknown): void {
    if (!this.#over) this.fail(this.#error(error))
  }

  /** The code of an error by which no connection came about; undefined for all others. */
  unreached(error: unknown): ErrorCode | undefined {
    if (this.#over || this.#answered) return undefined
    const { code } = this.#error(error)
    return code === 'upstream_unreachable' || code === 'upstream_connect_timeout' ? code : undefined
  }

  /** Another server is asked instead. False: it is too late for that. */
  again(): boolean {
    if (this.#over || this.#answered) return false
    this.#upstream?.destroy()
    this.#upstream = undefined
    return true
  }

  #error(error: unknown): CatflapError {
    const connect = (error as { code?: unknown }).code === 'ECONNECT_TIMEOUT'
    const known = connect ? Object.assign(new Error('no connection in time'), { code: 'ETIMEDOUT' }) : error
    return upstreamError(known, this.rules.label)
  }

  /** Answers with an error where that is still possible; otherwise breaks off, so that nobody takes a part for the whole. */
  fail(error: CatflapError): void {
    if (this.#over) return
    const begun = this.#upstream !== undefined
    const res = this.#tunnel && this.#answered ? undefined : this.#response()
    const told = res !== undefined && !res.headersSent
    const status = told ? error.status : res ? res.statusCode : 101
    this.#end({ result: begun ? 'failed' : 'refused', status, code: error.code })
    this.#upstream?.destroy()
    if (told) writeError(res, this.req, error)
    else if (res) breakOff(res)
    this.#tunnel?.destroy()
    if (!res) this.#socket?.destroy()
  }

  /** Everything that it holds of the target's has closed. */
  async closed(): Promise<void> {
    const open = [this.#upstream?.closed === false ? this.#upstream : undefined, this.#tunnel].filter(
      s => s !== undefined && !s.closed
    )
    await Promise.all(open.map(s => new Promise(resolve => s!.once('close', resolve))))
  }

  /** Its answer is a stream of events, which may go on for ever. */
  get endless(): boolean {
    return this.#endless
  }

  get upstream(): ClientRequest | undefined {
    return this.#upstream
  }

  #response(): ServerResponse {
    return (this.#res ??= responseOn(this.req, this.#socket!))
  }

  #clientClosed(): void {
    // What was told it past us, as that it was too slow, is no answer of the target; and to HEAD, Node's HTTP/2 has said
    // everything from the beginning.
    const whole = this.#answered && this.#res !== undefined && isWhole(this.#res)
    if (!whole && !this.#tunnel) return this.#gone()
    if (this.#tunnel) {
      this.#upstream?.destroy()
      this.#tunnel.destroy()
    }
    this.#end({ result: 'answered', status: this.#tunnel ? 101 : this.#res?.statusCode })
  }

  #gone(): void {
    this.#upstream?.destroy()
    this.#end({ result: 'gone' })
  }

  /** The target's side of a WebSocket is gone; the client gets what is on its way, within reason. */
  #tunnelClosed(): void {
    const socket = this.#socket
    if (!socket || socket.destroyed || !this.#answered) return
    const timer = setTimeout(() => socket.destroy(), LINGER)
    socket.once('close', () => clearTimeout(timer))
    socket.destroySoon()
  }

  #end(outcome: Omit<Outcome, 'duration'>): void {
    if (this.#over) return
    this.#over = true
    clearTimeout(this.#headTimer)
    if (this.#body) {
      // What nobody takes any more must not keep the connection from its next request.
      this.req.unpipe(this.#body)
      this.req.resume()
    }
    this.#forget(this)
    this.#ended?.({ ...outcome, duration: performance.now() - this.#startedAt })
  }

  #late(): CatflapError {
    return new CatflapError('upstream_timeout', `${this.rules.label}: no answer in time.`)
  }
}

/** How long a client may take to read the last of a WebSocket, in ms. */
const LINGER = 2_000
