import type { Dispatcher } from 'undici'
import { CatflapError, type ErrorCode } from '../../errors.ts'
import { addVia, contentTypeOf, forwardableResponseHeaders, getHeader, SESSION_HEADER } from '../../protocol/headers.ts'
import type { QueueNode } from '../../queue.ts'
import type {
  CallInput,
  CallReceiver,
  CancelReason,
  ReplyHead,
  RetryReason,
  UpstreamCall,
  WatchedRequest
} from '../upstream.ts'
import type { Breaker } from './breaker.ts'
import type { HttpUpstream } from './http.ts'
import { byName, type ReceivedFields, receivedFields } from './http-fields.ts'
import { sameOriginPath } from './http-path.ts'
import { isNoHttp, isRefusal, type RefusableHandler, upstreamError } from './http-pool.ts'
import type { QueuedCall } from './http-queue.ts'
import { MAX_ATTEMPTS, retryAfter, retryDelay, unprocessed } from './http-retry.ts'

const MAX_REDIRECTS = 5
const NO_HEADERS: readonly string[] = []

/** What has an answer to wait for, and takes one of the connections for that. */
export function isCall({ kind, message }: CallInput): boolean {
  return (kind === 'request' && message?.method !== 'subscriptions/listen') || kind === 'batch'
}

/** False: it still waits for a connection. Cancelled now, it never leaves. */
export function isSent(call: UpstreamCall & { readonly sent?: boolean }): boolean {
  return call.sent ?? true
}

/** Meant to stay open: its head may come with its first event. */
export function isLasting({ kind, message }: CallInput): boolean {
  return kind === 'listen' || message?.method === 'subscriptions/listen'
}

const METHODS = { request: 'POST', notify: 'POST', batch: 'POST', listen: 'GET', terminate: 'DELETE' } as const

/** One HTTP request to the server; also undici's handler for it, so that no closure is made per request. */
export class HttpCall implements UpstreamCall, QueuedCall, RefusableHandler {
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
  #watched: WatchedRequest | undefined
  /** Holds a slot of the queue. */
  #running = false
  /** While it waits for one. */
  #place: QueueNode<QueuedCall> | undefined
  /** What the breaker, if there is one, knows of it: nothing (any more), that it waits, that it has a head, that it has failed. */
  #known: 'nothing' | 'waits' | 'answered' | 'failed' = 'nothing'
  /** Where the breaker wants to know. */
  #enteredAt = 0
  #attempts = 1
  /** Undici does not send it as it is. */
  refused = false
  /** Until it is made once more. */
  #retry: NodeJS.Timeout | undefined

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
    const { breaker, retries } = this.#upstream.options
    if (breaker && !this.#enter(breaker)) {
      const error = breaker.refusal(this.#upstream.label)
      return queueMicrotask(() => this.#fail(error))
    }
    retries?.call()
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

  /** That a session ends is said whatever the state of the server. */
  #enter(breaker: Breaker): boolean {
    if (this.#input.kind === 'terminate') return true
    if (!breaker.enter(this, !isLasting(this.#input))) return false
    this.#known = 'waits'
    if (breaker.timed) this.#enteredAt = performance.now()
    return true
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

  cancel(reason: CancelReason): void {
    if (!this.#receiver) return
    this.#receiver = undefined
    this.#watched?.end('closed')
    this.#judged(false, reason === 'timeout' ? 'upstream_timeout' : undefined)
    if (this.#retry) {
      clearTimeout(this.#retry)
      this.#leave()
    } else if (this.#place) this.#upstream.queue.giveUp(this.#place)
    else if (this.#controller) this.#abort(this.#controller)
    // Else undici still holds it, body and all, until there is a connection: so long it also holds its slot.
  }

  #abort(controller: Dispatcher.DispatchController): void {
    controller.abort(new Error('cancelled'))
    this.#leave()
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // Undici itself sends on another stream of HTTP/2 what the server has said not to have looked at.
    if (this.#controller !== undefined) this.#receiver?.onAgain?.('refused_stream', undefined)
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
    const { via, member, breaker } = this.#upstream.options
    const head = replyHead(status, statusText, raw, via, member)
    if (breaker && this.#known === 'waits') this.#headKnown(breaker, head)
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
    this.#judged(true)
    this.#finish()
    if (receiver) this.#watched?.end('complete')
    receiver?.onEnd()
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    const begun = this.#controller !== undefined
    const failure = upstreamError(error, this.#upstream.label, begun)
    if (!begun && isRefusal(error)) {
      this.refused = true
      // The pool is in the midst of it: the next call begins when it knows that the connection is still free.
      return queueMicrotask(() => this.#fail(failure))
    }
    const reason = this.#mayRetry ? unprocessed(error, begun) : undefined
    if (reason) this.#unsent(reason, failure)
    else this.#fail(failure)
  }

  /** It is whole and at hand, and nobody has been told anything of an answer. */
  get #mayRetry(): boolean {
    const { kind } = this.#input
    if (this.#receiver === undefined || this.#headers === NO_HEADERS || this.#redirects > 0) return false
    return kind !== 'listen' && kind !== 'terminate' && !this.#upstream.closed
  }

  /** Nothing of it has been processed: it is made elsewhere, or here once more. */
  #unsent(reason: RetryReason, failure: CatflapError): void {
    this.#judged(false, blamed(failure))
    if (this.#receiver?.onUnsent?.(reason, failure)) {
      this.#watched?.end(failure.code)
      return this.#finish()
    }
    const delay = retryDelay(failure, this.#attempts)
    const made = this.#attempts + (this.#receiver?.attempts ?? 0)
    if (made >= MAX_ATTEMPTS || delay === undefined || !this.#upstream.options.retries?.take())
      return this.#fail(failure)
    this.#watched?.end(failure.code)
    this.#watched = undefined
    this.#retry = setTimeout(() => this.#again(reason, failure), delay)
  }

  #again(reason: RetryReason, failure: CatflapError): void {
    const { breaker } = this.#upstream.options
    this.#retry = undefined
    if (this.#upstream.closed || (breaker && !this.#enter(breaker))) return this.#fail(failure)
    this.#attempts++
    this.#controller = undefined
    this.#receiver?.onAgain?.(reason, failure)
    this.#watched = this.#input.watch?.(METHODS[this.#input.kind], this.#path, this.#headers)
    this.#send()
  }

  #headKnown(breaker: Breaker, { status, headers }: ReplyHead): void {
    const wait = status === 503 ? retryAfter(getHeader(headers, 'retry-after')) : 0
    const well = breaker.head(this, !isLasting(this.#input), this.#enteredAt, status, wait)
    this.#known = well ? 'answered' : 'failed'
  }

  /** The breaker learns that it is over. */
  #judged(whole: boolean, error?: ErrorCode): void {
    const known = this.#known
    if (known === 'nothing') return
    this.#known = 'nothing'
    const { breaker } = this.#upstream.options
    const counts = !isLasting(this.#input)
    if (error && known !== 'failed') breaker?.failed(this, counts, error, known === 'answered', this.#enteredAt)
    breaker?.left(this, counts, known !== 'waits', whole && known === 'answered')
  }

  #fail(error: CatflapError): void {
    const receiver = this.#receiver
    this.#judged(false, blamed(error))
    const lost = !this.sent && this.#upstream.options.breaker?.lost && this.#isOfSession
    const told = lost ? withLoss(error) : error
    this.#finish()
    if (receiver) this.#watched?.end(error.code)
    receiver?.onError(told)
  }

  /** Asked only where a connection failed: after an answer it is not known any more. */
  get #isOfSession(): boolean {
    return getHeader(this.#headers, SESSION_HEADER) !== undefined
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

/** What the server is judged by; undefined: it was the request that could not be sent. */
function blamed({ code, cause }: CatflapError): ErrorCode | undefined {
  return code === 'upstream_protocol' && !isNoHttp(cause) ? undefined : code
}

/** The session's server could not be reached for so long that it counts as having lost it, and has seen nothing of the call. */
function withLoss(error: CatflapError): CatflapError {
  if (!UNREACHED.has(error.code)) return error
  const { code, message, cause } = error
  // Not enumerable: it is for those who can send the call elsewhere, and no part of what a client is told.
  const data = Object.defineProperty({ ...error.data }, 'lost', { value: true })
  return new CatflapError(code, message, { data, cause })
}

const UNREACHED: ReadonlySet<ErrorCode> = new Set([
  'upstream_unreachable',
  'upstream_connect_timeout',
  'target_unavailable'
])

function replyHead(
  status: number,
  statusText: string | undefined,
  raw: ReceivedFields,
  via: string | undefined,
  member: string | undefined
): ReplyHead {
  const headers = forwardableResponseHeaders(raw.list)
  if (via !== undefined) addVia(headers, raw.protocol, via)
  const length = getHeader(headers, 'content-length')
  const encoding = getHeader(headers, 'content-encoding')?.trim().toLowerCase()
  return {
    status,
    statusText: statusText ?? '',
    headers,
    type: contentTypeOf(getHeader(headers, 'content-type')),
    length: length !== undefined && /^\d+$/.test(length) ? Number(length) : undefined,
    encoding: encoding === 'identity' ? undefined : encoding,
    member
  }
}
