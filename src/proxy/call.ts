import { CatflapError, type ErrorCode } from '../errors.ts'
import type { Message } from '../protocol/message.ts'
import { SseBoundary } from '../protocol/sse.ts'
import { QueueNode } from '../queue.ts'
import type {
  CallInput,
  CallReceiver,
  CancelReason,
  Leg,
  ReplyHead,
  RetryReason,
  UpstreamCall
} from '../transport/upstream.ts'
import type { Deadline, Deadlines } from './deadlines.ts'

/** The client's half as a call knows it: attached while somebody waits for what the server says. */
export interface Attached {
  onHead(head: ReplyHead): void
  onData(chunk: Buffer, atBoundary: boolean): void
  onMessage(message: Message, last: boolean): void
  onEnd(): void
  onError(error: CatflapError): void
  onOtherTransport(): void
  /** What the server has not processed is sent once more. */
  onAgain(reason: RetryReason, error: CatflapError | undefined): void
}

/**
 * Watches a call for its numbers. It changes nothing and keeps nothing waiting. `end` or `cancel` comes last, once; both say when
 * the call began (`performance.now()`).
 */
export interface CallProbe {
  /** What the server's answer, or its absence, amounted to; known at the end. */
  readonly failure?: { readonly type: string; readonly attributes: Readonly<Record<string, string>> }
  head(head: ReplyHead): void
  data(chunk: Buffer): void
  message(message: Message, last: boolean): void
  /** With the code of what went wrong. */
  end(startedAt: number, code?: ErrorCode): void
  cancel(startedAt: number, reason: CancelReason): void
  otherTransport(): void
}

export interface CallOptions {
  /** The target's, for errors. */
  readonly label: string
  readonly deadlines: Deadlines
  readonly cancelGrace: number
  readonly maxRequestTime: number
  /** Something runs for the client meanwhile (the server waits for its answer): the deadline does not pass. */
  readonly excused?: () => boolean
  /** catflap cancelled the call on its own account. */
  readonly onCancel?: (reason: CancelReason) => void
  readonly probe?: CallProbe
}

/**
 * The upstream half of an exchange. It owns the deadline and outlives the client where the detach policy says so: what comes
 * while nobody is attached goes nowhere. At most one exchange is attached at a time.
 */
export class Call implements CallReceiver, Deadline {
  at = 0
  /** The client has cancelled it; an answer may still come. */
  cancelled = false
  readonly place: QueueNode<Deadline> = new QueueNode<Deadline>(this)
  readonly input: CallInput
  readonly #leg: Leg
  readonly #options: CallOptions
  readonly #startedAt = performance.now()
  #attached: Attached | undefined
  #handle: UpstreamCall | undefined
  #boundary: SseBoundary | undefined
  #opaque = false
  #lastTimer: NodeJS.Timeout | undefined
  #done = false

  constructor(leg: Leg, input: CallInput, attached: Attached, options: CallOptions) {
    this.#leg = leg
    this.input = input
    this.#attached = attached
    this.#options = options
  }

  start(): void {
    if (!this.#exempt()) this.#startDeadline()
    this.#handle = this.#leg.call(this.input, this)
  }

  /** What has come so far is a stream that the client can take up again where it broke. */
  get resumable(): boolean {
    return this.#boundary?.hasIds ?? false
  }

  /** Surely nothing of it has left. */
  get unsent(): boolean {
    return !this.#done && this.#handle?.sent === false
  }

  get done(): boolean {
    return this.#done
  }

  /** A stream of events of which the last one is whole. */
  get betweenEvents(): boolean {
    return this.#boundary?.atBoundary ?? false
  }

  /** From now on this one hears what comes. */
  attach(attached: Attached): void {
    this.#attached = attached
  }

  detach(): void {
    this.#attached = undefined
  }

  pause(): void {
    this.#handle?.pause()
  }

  resume(): void {
    this.#handle?.resume()
  }

  cancel(reason: CancelReason): void {
    if (this.#done) return
    this.#finish()
    this.#options.probe?.cancel(this.#startedAt, reason)
    this.#options.onCancel?.(reason)
    this.#handle?.cancel(reason)
  }

  onHead(head: ReplyHead): void {
    // In compressed content no event can be told from another.
    if (head.type === 'sse' && head.encoding === undefined) this.#boundary = new SseBoundary()
    else if (head.type === 'sse') this.#opaque = true
    this.#options.probe?.head(head)
    this.#attached?.onHead(head)
  }

  onData(chunk: Buffer): void {
    this.#options.probe?.data(chunk)
    if (!this.#boundary) {
      if (this.#opaque) this.#restart()
      this.#attached?.onData(chunk, false)
      return
    }
    // Comments keep connections alive, not calls: only a field is a sign of progress.
    if (this.#boundary.feed(chunk)) this.#restart()
    this.#attached?.onData(chunk, this.#boundary.atBoundary)
  }

  onMessage(message: Message, last: boolean): void {
    if (!last) this.#restart()
    this.#options.probe?.message(message, last)
    this.#attached?.onMessage(message, last)
  }

  onEnd(): void {
    if (this.#done) return
    this.#finish()
    this.#options.probe?.end(this.#startedAt)
    this.#attached?.onEnd()
  }

  onError(error: CatflapError): void {
    if (this.#done) return
    this.#finish()
    this.#options.probe?.end(this.#startedAt, error.code)
    this.#attached?.onError(error)
  }

  onOtherTransport(): void {
    if (this.#done) return
    this.#finish()
    this.#options.probe?.otherTransport()
    this.#attached?.onOtherTransport()
  }

  onAgain(reason: RetryReason, error: CatflapError | undefined): void {
    this.#attached?.onAgain(reason, error)
  }

  deliver(message: Message): boolean {
    if (this.#done || !this.#attached) return false
    this.onMessage(message, false)
    return true
  }

  /** The client has cancelled: most servers then never answer, so the wait is short. */
  onCancelled(): void {
    if (this.cancelled || this.#done) return
    this.cancelled = true
    // In place of the timer that the hard maximum may have, which can be hours away.
    clearTimeout(this.#lastTimer)
    this.#lastTimer = setTimeout(
      () => this.#end(new CatflapError('cancelled'), 'client-cancelled'),
      Math.min(this.#options.cancelGrace, this.#left)
    )
  }

  /** The deadline has passed. */
  expired(): void {
    if (this.#options.excused?.() && !this.#tooOld()) return this.#restart()
    const seconds = Math.round((performance.now() - this.#startedAt) / 1000)
    this.#end(
      new CatflapError(
        'upstream_timeout',
        `${this.#options.label}: no answer within ${seconds} s (--request-timeout, --max-request-time).`,
        { data: { target: this.#options.label } }
      ),
      'timeout'
    )
  }

  #end(error: CatflapError, reason: CancelReason): void {
    if (this.#done) return
    const attached = this.#attached
    this.cancel(reason)
    attached?.onError(error)
  }

  #restart(): void {
    if (this.#done || this.#exempt() || this.#lastTimer) return
    this.#startDeadline()
  }

  #startDeadline(): void {
    const { maxRequestTime, deadlines } = this.#options
    deadlines.start(this)
    if (maxRequestTime === 0) return
    if (this.at <= this.#startedAt + maxRequestTime) return
    // The deadline would lie behind the hard maximum, so the call gets a timer of its own for what is left.
    deadlines.end(this)
    // Timers may fire up to two milliseconds early; one that did is followed by another.
    this.#lastTimer = setTimeout(() => {
      this.#lastTimer = undefined
      this.expired()
    }, this.#left)
  }

  /** Until the hard maximum, in ms; at least 1. */
  get #left(): number {
    const max = this.#options.maxRequestTime
    if (max === 0 || this.#exempt()) return Number.POSITIVE_INFINITY
    return Math.max(1, this.#startedAt + max - performance.now())
  }

  #tooOld(): boolean {
    const max = this.#options.maxRequestTime
    return max > 0 && performance.now() - this.#startedAt >= max - 1
  }

  /** Streams that are meant to stay open. */
  #exempt(): boolean {
    return this.input.kind === 'listen' || this.input.message?.method === 'subscriptions/listen'
  }

  #finish(): void {
    this.#done = true
    clearTimeout(this.#lastTimer)
    this.#options.deadlines.end(this)
  }
}
