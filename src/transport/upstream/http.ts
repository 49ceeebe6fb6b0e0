import type { Dispatcher } from 'undici'
import { CatflapError } from '../../errors.ts'
import { addVia, contentTypeOf, forwardableResponseHeaders, getHeader, setHeader } from '../../protocol/headers.ts'
import type { QueueNode } from '../../queue.ts'
import type {
  CallInput,
  CallReceiver,
  CancelReason,
  HttpWatch,
  Leg,
  ReplyHead,
  UpstreamCall,
  WatchedRequest
} from '../upstream.ts'
import { basicCredentials, byName, receivedFields } from './http-fields.ts'
import { sameOriginPath, withQuery } from './http-path.ts'
import { type OriginPools, openPools, type PoolOptions, upstreamError } from './http-pool.ts'
import { CallQueue, type QueuedCall } from './http-queue.ts'

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
const NO_HEADERS: readonly string[] = []

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
  readonly queue: CallQueue

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
    this.queue = new CallQueue(options)
    this.sessionless = new HttpLeg(this, undefined)
  }

  /** `watch` hears of the request that ends the session. */
  sessionLeg(upstreamId: string, watch?: HttpWatch): Leg {
    return new HttpLeg(this, upstreamId, watch)
  }

  /** One request past all legs: to this path (and query) of the same origin instead of the target's. */
  call(input: CallInput, receiver: CallReceiver, path?: string): UpstreamCall {
    return this.start(input, receiver, this.headersFrom(input.headers), path)
  }

  /** `headers` are sent as they are. */
  start(input: CallInput, receiver: CallReceiver, headers: readonly string[], path?: string): UpstreamCall {
    const call = new HttpCall(this, input, headers, receiver, path ?? withQuery(this.path, input.query))
    call.begin()
    return call
  }

  /** A copy, with what is the same for all requests to this server. */
  headersFrom(from: readonly string[]): string[] {
    const headers = [...from]
    const extra = this.options.headers
    for (let i = 0; i < extra.length; i += 2) setHeader(headers, extra[i]!, extra[i + 1]!)
    // Identity is asked for: what an observer or a hook has to see need not be unpacked first.
    headers.push('Accept-Encoding', 'identity')
    return headers
  }

  async close(): Promise<void> {
    await this.pools.destroy()
  }
}

/** What has an answer to wait for, and takes one of the connections for that. */
export function isCall({ kind, message }: CallInput): boolean {
  return (kind === 'request' && message?.method !== 'subscriptions/listen') || kind === 'batch'
}

/** False: it still waits for a connection. Cancelled now, it never leaves. */
export function isSent(call: UpstreamCall): boolean {
  return !(call instanceof HttpCall) || call.sent
}

const METHODS = { request: 'POST', notify: 'POST', batch: 'POST', listen: 'GET', terminate: 'DELETE' } as const

class HttpLeg implements Leg {
  readonly upstreamId: string | undefined
  readonly #upstream: HttpUpstream
  readonly #watch: HttpWatch | undefined

  constructor(upstream: HttpUpstream, upstreamId: string | undefined, watch?: HttpWatch) {
    this.#upstream = upstream
    this.upstreamId = upstreamId
    this.#watch = watch
  }

  call(input: CallInput, receiver: CallReceiver): UpstreamCall {
    const headers = this.#upstream.headersFrom(input.headers)
    if (this.upstreamId !== undefined) headers.push('Mcp-Session-Id', this.upstreamId)
    return this.#upstream.start(input, receiver, headers)
  }

  async close(headers: readonly string[] = []): Promise<void> {
    if (this.upstreamId === undefined) return
    const input: CallInput = {
      kind: 'terminate',
      era: 'legacy',
      message: undefined,
      batch: undefined,
      body: undefined,
      headers,
      watch: this.#watch
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
}

/** One HTTP request to the server; also undici's handler for it, so that no closure is made per request. */
class HttpCall implements UpstreamCall, QueuedCall, Dispatcher.DispatchHandler {
  readonly #upstream: HttpUpstream
  readonly #input: CallInput
  /** Of no use once there is an answer that is no redirect. */
  #headers: readonly string[]
  #receiver: CallReceiver | undefined
  /** With the query; changes with redirects. */
  #path: string
  #controller: Dispatcher.DispatchController | undefined
  #paused = false
  #redirects = 0
  #redirectTo: string | undefined
  readonly #watched: WatchedRequest | undefined
  /** Holds a slot of the queue. */
  #running = false
  /** While it waits for one. */
  #place: QueueNode<QueuedCall> | undefined

  constructor(
    upstream: HttpUpstream,
    input: CallInput,
    headers: readonly string[],
    receiver: CallReceiver,
    path: string
  ) {
    this.#path = path
    this.#upstream = upstream
    this.#input = input
    this.#headers = headers
    this.#receiver = receiver
    this.#watched = input.watch?.(METHODS[input.kind], path, headers)
  }

  begin(): void {
    // Answers and notifications never queue behind the calls that wait for them.
    if (!this.#isCall) return this.#send()
    const { queue, label } = this.#upstream
    if (queue.enter()) return this.start()
    this.#place = queue.wait(this)
    if (this.#place) return
    const error = new CatflapError('upstream_queue_full', `${label}: too many calls wait for a connection.`)
    queueMicrotask(() => this.#fail(error))
  }

  start(): void {
    this.#place = undefined
    this.#running = true
    this.#send()
  }

  /** Undici has begun to write it: from now on the server may have seen it. */
  get sent(): boolean {
    return this.#controller !== undefined || this.#redirects > 0
  }

  get #isCall(): boolean {
    return isCall(this.#input)
  }

  #send(): void {
    const { pools, origin, label } = this.#upstream
    const pool = this.#isCall ? pools.calls : pools.streams
    try {
      pool.dispatch(
        {
          origin,
          path: this.#path,
          method: METHODS[this.#input.kind],
          headers: pools.proxy === undefined ? (this.#headers as string[]) : byName(this.#headers),
          body: this.#input.body ?? null,
          // undici must never send a POST twice on its own account.
          idempotent: false,
          // Nothing is pipelined, so there is nothing to hold back.
          blocking: false
        },
        this
      )
    } catch (error) {
      queueMicrotask(() => this.#fail(upstreamError(error, label)))
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
    this.#receiver = undefined
    this.#watched?.end('closed')
    if (this.#place) this.#upstream.queue.giveUp(this.#place)
    else if (this.#controller) this.#abort(this.#controller)
    // Else undici still holds it, body and all, until there is a connection: so long it also holds its slot.
  }

  #abort(controller: Dispatcher.DispatchController): void {
    controller.abort(new Error('cancelled'))
    this.#leave()
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    // Cancelled while it waited for a connection: it must not be sent at all.
    if (!this.#receiver) this.#abort(controller)
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    parsed: unknown,
    statusText?: string
  ): void {
    if (status < 200 || !this.#receiver) return
    const raw = receivedFields(controller.rawHeaders ?? parsed)
    // undici would keep them, and the packet they came in, for as long as the answer lasts; a stream may last for days.
    controller.rawHeaders = null
    if (raw.protocol === '2') this.#upstream.queue.multiplexed(this.#upstream.options.connections)
    this.#redirectTo = this.#sameOriginRedirect(status, raw.list)
    if (this.#redirectTo !== undefined || !this.#receiver) return
    this.#headers = NO_HEADERS
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
    this.#watched?.head(head)
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
      this.#controller = undefined
      this.#path = to
      this.#send()
      return
    }
    const receiver = this.#receiver
    this.#finish()
    if (receiver) this.#watched?.end('complete')
    receiver?.onEnd()
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    this.#fail(upstreamError(error, this.#upstream.label))
  }

  #fail(error: CatflapError): void {
    const receiver = this.#receiver
    this.#finish()
    if (receiver) this.#watched?.end(error.code)
    receiver?.onError(error)
  }

  #finish(): void {
    this.#receiver = undefined
    this.#leave()
  }

  #leave(): void {
    if (!this.#running) return
    this.#running = false
    this.#upstream.queue.leave()
  }

  /** 307 and 308 keep method and body; to the same origin they cost nothing to follow. Any other redirect is the client's matter. */
  #sameOriginRedirect(status: number, raw: readonly string[]): string | undefined {
    if (
      status !== 307 &&
      status !== 308 &&
      !(METHODS[this.#input.kind] === 'GET' && (status === 301 || status === 302))
    )
      return undefined
    const to = sameOriginPath(getHeader(raw, 'location'), new URL(this.#upstream.origin + this.#path))
    if (to === undefined) return undefined
    if (this.#redirects >= MAX_REDIRECTS) {
      const error = new CatflapError(
        'upstream_redirect',
        `${this.#upstream.label}: redirects more than ${MAX_REDIRECTS} times.`
      )
      this.#fail(error)
      this.#controller?.abort(error)
      return undefined
    }
    return to
  }
}
