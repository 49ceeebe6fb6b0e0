import type { CatflapError } from '../errors.ts'
import { getHeader, SESSION_HEADER } from '../protocol/headers.ts'
import { isSent } from '../transport/upstream/http-call.ts'
import { MAX_ATTEMPTS } from '../transport/upstream/http-retry.ts'
import type {
  CallInput,
  CallReceiver,
  CancelReason,
  ReplyHead,
  RetryReason,
  UpstreamCall
} from '../transport/upstream.ts'
import type { Member } from './group-target.ts'

/** Where a call finds the server that it goes to. */
export interface Choice {
  /** One that is to be asked, but for those that were; undefined: there is none. */
  choose(input: CallInput, but: readonly Member[] | undefined): Member | undefined
  /** Why there is none. */
  unavailable(): CatflapError
  /** Takes one retry from the budget, if there is one. */
  mayRetry(): boolean
  /** While `tell` runs, a leg that is opened leads to this member, which speaks another transport than was thought. */
  turned(member: Member, tell: () => void): void
}

/** A call outside any session: to one server of several, and where that was not reached, to another. */
export class GroupCall implements CallReceiver, UpstreamCall {
  readonly #group: Choice
  readonly #input: CallInput
  readonly #receiver: CallReceiver
  #member: Member | undefined
  #call: UpstreamCall | undefined
  /** Before the member that it is at now. */
  #tried: readonly Member[] | undefined
  #paused = false
  #cancelled = false

  constructor(group: Choice, input: CallInput, receiver: CallReceiver) {
    this.#group = group
    this.#input = input
    this.#receiver = receiver
  }

  start(): this {
    const member = this.#group.choose(this.#input, undefined)
    if (member) this.#make(member)
    else this.#later(() => this.#receiver.onError(this.#group.unavailable()))
    return this
  }

  /** False: it has not left, and if it is cancelled now, it never will. */
  get sent(): boolean {
    return this.#call !== undefined && isSent(this.#call)
  }

  get attempts(): number {
    return this.#tried?.length ?? 0
  }

  pause(): void {
    this.#paused = true
    this.#call?.pause()
  }

  resume(): void {
    this.#paused = false
    this.#call?.resume()
  }

  cancel(reason: CancelReason): void {
    this.#cancelled = true
    this.#call?.cancel(reason)
  }

  onUnsent(reason: RetryReason, error: CatflapError): boolean {
    if (this.attempts >= MAX_ATTEMPTS - 1) return false
    const tried = [...(this.#tried ?? []), this.#member!]
    const next = this.#group.choose(this.#input, tried)
    if (!next || !this.#group.mayRetry()) return false
    this.#tried = tried
    this.#receiver.onAgain?.(reason, error)
    this.#make(next)
    return true
  }

  onAgain(reason: RetryReason, error: CatflapError | undefined): void {
    this.#receiver.onAgain?.(reason, error)
  }

  onHead(head: ReplyHead): void {
    if (this.#member && this.#input.message?.method === 'initialize' && head.status < 300)
      this.#member.target.assignsIds = getHeader(head.headers, SESSION_HEADER) !== undefined
    this.#receiver.onHead(head)
  }

  onData(chunk: Buffer): void {
    this.#receiver.onData(chunk)
  }

  onMessage(): void {}

  onEnd(): void {
    this.#receiver.onEnd()
  }

  onError(error: CatflapError): void {
    this.#receiver.onError(error)
  }

  onOtherTransport(): void {
    this.#group.turned(this.#member!, () => this.#receiver.onOtherTransport?.())
  }

  #make(member: Member): void {
    this.#member = member
    const leg = member.target.sessionless
    // Known to speak HTTP+SSE, where whoever asks needs a leg of their own.
    if (!leg) return this.#later(() => this.onOtherTransport())
    this.#call = leg.call(this.#input, this)
    if (this.#paused) this.#call.pause()
  }

  #later(tell: () => void): void {
    queueMicrotask(() => {
      if (!this.#cancelled) tell()
    })
  }
}
