import type { Dispatcher } from 'undici'
import { CatflapError } from '../../errors.ts'
import { addVia, contentTypeOf, forwardableResponseHeaders, getHeader, setHeader } from '../../protocol/headers.ts'
import type { CallInput, CallReceiver, CancelReason, Leg, ReplyHead, UpstreamCall } from '../upstream.ts'
import { type OriginPools, openPools, type PoolOptions, upstreamError } from './http-pool.ts'

export interface HttpUpstreamOptions extends PoolOptions {
  /** Name, value, name, value …: set on every request, in place of what the client sent. */
  readonly headers: readonly string[]
  /** Our name in the Via header of answers; undefined: none is added. */
  readonly via?: string
  /** Calls that may wait for a free connection. */
  readonly maxPending: number
  /** How long ending a session upstream may take, in ms. */
  readonly closeTimeout: number
}

const MAX_REDIRECTS = 5

/** A server on Streamable HTTP. Its legs are sessions of the server's, or the one leg without a session. */
export class HttpUpstream {
  readonly label: string
  readonly url: URL
  readonly path: string
  readonly origin: string
  readonly options: HttpUpstreamOptions
  readonly pools: OriginPools
  /** The leg of requests that belong to no session: all of the modern era, `initialize`, stateless servers. */
  readonly sessionless: Leg
  #active = 0

  constructor(url: URL, options: HttpUpstreamOptions) {
    this.url = new URL(url)
    const credentials = basicCredentials(this.url)
    this.url.username = ''
    this.url.password = ''
    this.origin = this.url.origin
    this.label = `${this.origin}${this.url.pathname}`
    this.path = `${this.url.pathname}${this.url.search}`
    this.options = credentials ? { ...options, headers: ['Authorization', credentials, ...options.headers] } : options
    this.pools = openPools(this.url, options)
    this.sessionless = new HttpLeg(this, undefined)
  }

  sessionLeg(upstreamId: string): Leg {
    return new HttpLeg(this, upstreamId)
  }

  /** Calls in flight, those that wait for a connection included. */
  get active(): number {
    return this.#active
  }

  /** False when the queue is full. */
  enter(): boolean {
    if (this.#active >= this.options.connections + this.options.maxPending) return false
    this.#active++
    return true
  }

  leave(): void {
    this.#active--
  }

  async close(): Promise<void> {
    await this.pools.destroy()
  }
}

function basicCredentials(url: URL): string | undefined {
  if (url.username === '' && url.password === '') return undefined
  const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`
  return `Basic ${Buffer.from(pair).toString('base64')}`
}

const METHODS = { request: 'POST', notify: 'POST', batch: 'POST', listen: 'GET', terminate: 'DELETE' } as const

class HttpLeg implements Leg {
  readonly upstreamId: string | undefined
  readonly #upstream: HttpUpstream

  constructor(upstream: HttpUpstream, upstreamId: string | undefined) {
    this.#upstream = upstream
    this.upstreamId = upstreamId
  }

  call(input: CallInput, receiver: CallReceiver): UpstreamCall {
    const call = new HttpCall(this.#upstream, input, this.#headers(input.headers), receiver)
    call.send(withQuery(this.#upstream.path, input.query))
    return call
  }

  async close(headers: readonly string[] = []): Promise<void> {
    if (this.upstreamId === undefined) return
    const input: CallInput = {
      kind: 'terminate',
      era: 'legacy',
      message: undefined,
      batch: undefined,
      body: undefined,
      headers
    }
    // The server may be gone, hang, or not allow clients to end sessions: nobody waits longer than the timeout for it.
    await new Promise<void>(resolve => {
      const timer = setTimeout(() => {
        call.cancel('timeout')
        resolve()
      }, this.#upstream.options.closeTimeout)
      const done = (): void => {
        clearTimeout(timer)
        resolve()
      }
      const call = this.call(input, { onHead() {}, onData() {}, onMessage() {}, onEnd: done, onError: done })
    })
  }

  #headers(from: readonly string[]): string[] {
    const headers = [...from]
    const extra = this.#upstream.options.headers
    for (let i = 0; i < extra.length; i += 2) setHeader(headers, extra[i]!, extra[i + 1]!)
    // Identity is asked for: what an observer or a hook has to see need not be unpacked first.
    headers.push('Accept-Encoding', 'identity')
    if (this.upstreamId !== undefined) headers.push('Mcp-Session-Id', this.upstreamId)
    return headers
  }
}

/** The target's own query stays; what the client added comes behind it. */
function withQuery(path: string, query: string | undefined): string {
  if (query === undefined || query.length < 2) return path
  return path.includes('?') ? `${path}&${query.slice(1)}` : path + query
}

/** One HTTP request to the server; also undici's handler for it, so that no closure is made per request. */
class HttpCall implements UpstreamCall, Dispatcher.DispatchHandler {
  readonly #upstream: HttpUpstream
  readonly #input: CallInput
  readonly #headers: readonly string[]
  #receiver: CallReceiver | undefined
  #controller: Dispatcher.DispatchController | undefined
  #paused = false
  #redirects = 0
  #redirectTo: string | undefined
  #counted = false

  constructor(upstream: HttpUpstream, input: CallInput, headers: readonly string[], receiver: CallReceiver) {
    this.#upstream = upstream
    this.#input = input
    this.#headers = headers
    this.#receiver = receiver
  }

  send(path: string): void {
    const { kind, body, message } = this.#input
    // Answers and notifications never queue behind the calls that wait for them.
    const isCall = (kind === 'request' && message?.method !== 'subscriptions/listen') || kind === 'batch'
    if (isCall && !this.#counted) {
      if (!this.#upstream.enter()) {
        const label = this.#upstream.label
        const error = new CatflapError(
          'upstream_queue_full',
          `${label}: too many calls wait for a connection. Try again later.`
        )
        queueMicrotask(() => this.#fail(error))
        return
      }
      this.#counted = true
    }
    const pool = isCall ? this.#upstream.pools.calls : this.#upstream.pools.streams
    try {
      pool.dispatch(
        {
          origin: this.#upstream.origin,
          path,
          method: METHODS[kind],
          headers: this.#upstream.pools.proxy === undefined ? (this.#headers as string[]) : byName(this.#headers),
          body: body ?? null,
          // undici must never send a POST twice on its own account.
          idempotent: false,
          // Nothing is pipelined, so there is nothing to hold back.
          blocking: false
        },
        this
      )
    } catch (error) {
      queueMicrotask(() => this.#fail(upstreamError(error, this.#upstream.label)))
    }
  }

  pause(): void {
    this.#paused = true
    this.#controller?.pause()
  }

  resume(): void {
    this.#paused = false
    this.#controller?.resume()
  }

  cancel(_reason: CancelReason): void {
    if (!this.#receiver) return
    this.#finish()
    this.#controller?.abort(new Error('cancelled'))
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    // Cancelled while it waited for a connection: it must not be sent at all.
    if (!this.#receiver) controller.abort(new Error('cancelled'))
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    parsed: unknown,
    statusText?: string
  ): void {
    if (status < 200 || !this.#receiver) return
    const raw = rawHeaders(controller.rawHeaders ?? parsed)
    this.#redirectTo = this.#sameOriginRedirect(status, raw.list)
    if (this.#redirectTo !== undefined || !this.#receiver) return
    const headers = forwardableResponseHeaders(raw.list)
    if (this.#upstream.options.via !== undefined) addVia(headers, raw.protocol, this.#upstream.options.via)
    const length = getHeader(headers, 'content-length')
    const encoding = getHeader(headers, 'content-encoding')?.trim().toLowerCase()
    const head: ReplyHead = {
      status,
      statusText: statusText ?? '',
      headers,
      type: contentTypeOf(getHeader(headers, 'content-type')),
      length: length !== undefined && /^\d+$/.test(length) ? Number(length) : undefined,
      encoding: encoding === 'identity' ? undefined : encoding
    }
    this.#receiver.onHead(head)
    if (this.#paused) controller.pause()
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#redirectTo === undefined) this.#receiver?.onData(chunk)
  }

  onResponseEnd(): void {
    const to = this.#redirectTo
    if (to !== undefined && this.#receiver) {
      this.#redirectTo = undefined
      this.#redirects++
      this.send(to)
      return
    }
    const receiver = this.#receiver
    this.#finish()
    receiver?.onEnd()
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    this.#fail(upstreamError(error, this.#upstream.label))
  }

  #fail(error: CatflapError): void {
    const receiver = this.#receiver
    this.#finish()
    receiver?.onError(error)
  }

  #finish(): void {
    this.#receiver = undefined
    if (this.#counted) this.#upstream.leave()
    this.#counted = false
  }

  /** 307 and 308 keep method and body; to the same origin they cost nothing to follow. Any other redirect is the client's matter. */
  #sameOriginRedirect(status: number, raw: readonly string[]): string | undefined {
    if (
      status !== 307 &&
      status !== 308 &&
      !(METHODS[this.#input.kind] === 'GET' && (status === 301 || status === 302))
    )
      return undefined
    const location = getHeader(raw, 'location')
    const to =
      location !== undefined && URL.canParse(location, this.#upstream.url.href)
        ? new URL(location, this.#upstream.url)
        : undefined
    if (!to || to.origin !== this.#upstream.url.origin) return undefined
    if (this.#redirects >= MAX_REDIRECTS) {
      const error = new CatflapError(
        'upstream_redirect',
        `${this.#upstream.label}: redirects more than ${MAX_REDIRECTS} times.`
      )
      this.#fail(error)
      this.#controller?.abort(error)
      return undefined
    }
    return `${to.pathname}${to.search}`
  }
}

interface ReceivedHeaders {
  readonly list: string[]
  /** As Via names it. */
  readonly protocol: '1.1' | '2'
}

function rawHeaders(headers: unknown): ReceivedHeaders {
  const out: string[] = []
  if (Array.isArray(headers)) {
    for (const part of headers as (Buffer | string)[])
      out.push(typeof part === 'string' ? part : part.toString('latin1'))
    return { list: out, protocol: '1.1' }
  }
  // HTTP/2 hands over an object; pseudo-headers are no fields.
  for (const [name, value] of Object.entries(headers as Record<string, string | string[] | undefined>)) {
    if (name.startsWith(':') || value === undefined) continue
    for (const one of Array.isArray(value) ? value : [value]) out.push(name, one)
  }
  return { list: out, protocol: '2' }
}

/** undici's proxy agent turns a list into an object and would keep only the last of several equal names. */
function byName(list: readonly string[]): Record<string, string | string[]> {
  const out: Record<string, string | string[]> = {}
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i]!
    const before = out[name]
    if (before === undefined) out[name] = list[i + 1]!
    else if (Array.isArray(before)) before.push(list[i + 1]!)
    else out[name] = [before, list[i + 1]!]
  }
  return out
}
