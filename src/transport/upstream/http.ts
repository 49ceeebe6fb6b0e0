import { setHeader } from '../../protocol/headers.ts'
import type { CallInput, CallReceiver, HttpWatch, Leg, UpstreamCall } from '../upstream.ts'
import type { Breaker } from './breaker.ts'
import { HttpCall } from './http-call.ts'
import { basicCredentials } from './http-fields.ts'
import { withQuery } from './http-path.ts'
import { type OriginPools, openPools, type PoolOptions } from './http-pool.ts'
import { CallQueue } from './http-queue.ts'
import type { RetryBudget } from './retry-budget.ts'
import { targetName } from './target-name.ts'

export interface HttpUpstreamOptions extends PoolOptions {
  /** Name, value, name, value …: set on every request, in place of what the client sent. */
  readonly headers: readonly string[]
  /** Our name in the Via header of answers; undefined: none is added. */
  readonly via?: string
  /** What people are told that it is. Default: its URL. */
  readonly label?: string
  /** Takes secrets out of what people are shown of the URL. */
  readonly scrub?: (text: string) => string
  /** Calls that may wait for a free connection. */
  readonly maxPending: number
  /** How long ending a session upstream may take, in ms. */
  readonly closeTimeout: number
  /** Its name where it is one of several. */
  readonly member?: string
  /** Whether it is to be asked at all; undefined: always. */
  readonly breaker?: Breaker
  /** For calls that did not reach it; undefined: they are not made again. */
  readonly retries?: RetryBudget
}

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
  closed = false

  constructor(url: URL, options: HttpUpstreamOptions) {
    this.url = new URL(url)
    const credentials = basicCredentials(this.url)
    this.url.username = ''
    this.url.password = ''
    this.origin = this.url.origin
    this.label = options.label ?? targetName(this.url, options.scrub)
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
    this.closed = true
    await this.pools.destroy()
  }
}

class HttpLeg implements Leg {
  readonly upstreamId: string | undefined
  readonly #upstream: HttpUpstream
  readonly #watch: HttpWatch | undefined

  constructor(upstream: HttpUpstream, upstreamId: string | undefined, watch?: HttpWatch) {
    this.#upstream = upstream
    this.upstreamId = upstreamId
    this.#watch = watch
  }

  get member(): string | undefined {
    return this.#upstream.options.member
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
