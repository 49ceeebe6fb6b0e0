import { CatflapError } from '../../errors.ts'
import { HEADER_MISMATCH } from '../../protocol/error-codes.ts'
import { standardHeaders } from '../../protocol/header-rules.ts'
import { idKey } from '../../protocol/id.ts'
import { Message } from '../../protocol/message.ts'
import type { CallReceiver, CancelReason, ReplyHead, UpstreamCall } from '../upstream.ts'
import type { ClientHost, InFlight } from './http-client-host.ts'
import type { Indexed } from './http-client-index.ts'
import { mayComeBack, UNUSABLE_ID } from './http-client-listen.ts'
import { adviceFor, errorCodeOf, errorFor, errorIn, noMessage, sessionLost, tellsLoss } from './http-client-refusal.ts'
import { Reopening } from './http-client-reopen.ts'
import { OpenRequests } from './http-client-requests.ts'
import type { Outgoing } from './http-client-wire.ts'
import { isSuccess, type ReplyEnd, type ReplyReader, type ReplySink } from './reply-reader.ts'

/** Attempts to take up a stream that bring nothing, until its call has failed. */
const MAX_FRUITLESS = 5

/** One POST with a request, or a batch with several: its answers, by whatever connections they come. */
export class HttpClientCall implements UpstreamCall, InFlight, Indexed, ReplySink {
  readonly out: Outgoing
  readonly #host: ClientHost
  readonly #receiver: CallReceiver
  readonly #reopening: Reopening
  readonly #open: OpenRequests
  #live = true
  #accepted: () => void = () => {}
  #reader: ReplyReader | undefined
  #leaveRefresh: (() => void) | undefined
  #derived: readonly string[] = []
  #paused = false
  #inSession = false
  #resuming = false
  #broken = false
  #refreshed = false
  #noted = false
  /** Takes it out of the queue in which it waits for its turn. */
  leave: () => void = () => {}

  constructor(host: ClientHost, out: Outgoing, receiver: CallReceiver) {
    this.out = out
    this.#host = host
    this.#receiver = receiver
    this.#reopening = new Reopening(host.delays)
    this.#open = new OpenRequests(out.batch ?? [out.message!])
  }

  start(accepted: () => void): void {
    this.#accepted = accepted
    this.#inSession = this.#host.wire.sessionId !== undefined && !this.#modern && !this.#initialize
    this.#derived = this.#derive()
    this.#post()
  }

  pause(): void {
    this.#paused = true
    this.#reader?.hold('call')
  }

  resume(): void {
    this.#paused = false
    this.#reader?.release('call')
  }

  cancel(reason: CancelReason): void {
    if (!this.#live) return
    const sent = this.#sent
    this.#over()
    this.#reader?.cancel(reason)
    if (!sent || this.#modern || reason === 'shutdown') return
    const why = { 'client-gone': 'client disconnected', 'client-cancelled': 'cancelled', timeout: 'timed out' }[reason]
    for (const request of this.#open.wanted) this.#sendCancelled(request, why)
  }

  fail(error: CatflapError): void {
    if (!this.#live) return
    this.#over()
    this.#reader?.cancel()
    this.#receiver.onError(error)
  }

  get keys(): readonly string[] {
    return this.#open.keys
  }

  awaits(key: string): boolean {
    return this.#live && this.#open.awaits(key)
  }

  /** Its id is used again: a late answer to what the client has cancelled would be taken for the newer call's. */
  supersede(key: string): void {
    if (!this.#live || !this.#open.dropCancelled(key)) return
    if (this.#open.size === 0) this.fail(new CatflapError('cancelled'))
    else this.#tellCancelled()
  }

  /** The client has cancelled it. Returns whether the server is to be told; the modern era says it by closing the stream. */
  cancelledByClient(key: string): boolean {
    // What was not sent yet is not sent any more: the cancellation would be there first, and mean nothing.
    if (this.#modern || (!this.#sent && !this.out.batch)) {
      this.fail(new CatflapError('cancelled'))
      return false
    }
    this.#open.cancel(key)
    this.#tellCancelled()
    return true
  }

  head(head: ReplyHead): void {
    if (!this.#resuming) {
      if (!this.#initialize) this.#accepted()
      if (isSuccess(head)) this.#host.accepted(this.out, head)
    } else if (isSuccess(head) && head.type === 'sse') {
      this.#reopening.opened()
      if (this.#broken) this.#host.events.note?.('the stream of an answer broke, and was taken up again')
      this.#broken = false
    }
  }

  message(m: Message): void {
    if (m.kind !== 'response') return this.#host.fromServer(m, this.#live ? this.#receiver : undefined)
    const request = this.#live ? this.#askedBy(m) : undefined
    if (!request) return this.#host.events.late(m)
    this.#answer(request, m.idText === undefined ? errorFor(m, request.idText!) : m)
  }

  unusableId(): void {
    if (!this.#noted) this.#host.events.note?.(UNUSABLE_ID)
    this.#noted = true
  }

  noise(bytes: Buffer): void {
    this.#host.events.noise(bytes)
  }

  otherTransport(): void {
    if (!this.#live) return
    this.#over()
    this.#receiver.onOtherTransport?.()
    // What waited behind it is for that other transport, too.
    if (this.#initialize) this.#host.otherTransport()
  }

  end(end: ReplyEnd): void {
    // What waits behind `initialize` waits for its answer, by whatever connections that comes.
    if (!this.#initialize) this.#accepted()
    if (!this.#live) return
    if (end.how === 'refused') return this.#resuming ? this.#notResumed(end) : this.#refused(end.head, end.body)
    if (end.how === 'unreadable') return this.fail(this.#noMessage(end.head, end.body))
    if (end.how === 'failed') this.#broken = true
    const tooLarge = end.how === 'failed' && end.error.code === 'message_too_large'
    if (!tooLarge && !this.#modern && this.#reopening.cursor.lastEventId !== undefined) return this.#comeBack()
    if (end.how === 'failed') return this.fail(end.error)
    if (this.#reader?.streaming) this.fail(this.#reset())
    else this.fail(this.#error('upstream_protocol', 'the request was accepted, but there was no answer to it.'))
  }

  get #modern(): boolean {
    return this.out.era === 'modern'
  }

  get #initialize(): boolean {
    return this.out.message?.method === 'initialize'
  }

  /** The server may have seen it. */
  get #sent(): boolean {
    return this.#resuming || (this.#reader?.sent ?? false)
  }

  get #label(): string {
    return this.#host.wire.label
  }

  #derive(): string[] {
    const { message } = this.out
    if (!this.#modern || !message) return []
    const params = message.method === 'tools/call' ? this.#host.tools.headersFor(message) : []
    return [...standardHeaders(message), ...params]
  }

  #post(): void {
    const out = { ...this.out, derived: this.#derived }
    this.#begin(this.#host.wire.post(out, this.#reopening.cursor, this))
  }

  #begin(reader: ReplyReader): void {
    this.#reader = reader
    if (this.#paused) reader.hold('call')
    reader.start()
  }

  /** The request that a response answers; an error without an id can only be for the last one. */
  #askedBy(m: Message): Message | undefined {
    if (m.idText !== undefined) return this.#open.take(idKey(m.idText))
    const [only] = this.#open.size === 1 ? this.#open.left : []
    return only && this.#open.take(idKey(only.idText!))
  }

  #answer(request: Message, answer: Message): void {
    const told = this.#read(request, answer)
    if (this.#open.size > 0) {
      this.#receiver.onMessage(told, false)
      return this.#tellCancelled()
    }
    this.#over()
    if (this.#reader) this.#host.wire.linger(this.#reader)
    this.#receiver.onMessage(told, true)
    this.#receiver.onEnd()
  }

  /** Answers that an HTTP client has to learn from. Returns what the client gets. */
  #read(request: Message, answer: Message): Message {
    if (answer.isError) return answer
    if (request.method === 'initialize') this.#host.negotiated(answer)
    if (!this.#modern || request.method !== 'tools/list') return answer
    const told = this.#host.tools.learn(answer)
    if (told !== answer) this.#host.events.changed?.(told, answer, 'down')
    return told
  }

  #refused(head: ReplyHead, body: Buffer): void {
    const error = errorIn(body)
    const mismatch = head.status === 400 && error !== undefined && errorCodeOf(error) === HEADER_MISMATCH
    if (!mismatch || !this.#modern || this.#refreshed || this.out.message?.method !== 'tools/call')
      return this.#relay(head, body, error)
    this.#refreshed = true
    const again = (): void => this.#again(head, body, error)
    // Another call may have learned meanwhile what this one lacked.
    if (this.#differs(this.#derive())) return again()
    this.#leaveRefresh = this.#host.refreshTools(this.out.message, this.out.headers, again)
  }

  #differs(derived: readonly string[]): boolean {
    return derived.join('\n') !== this.#derived.join('\n')
  }

  /** The tools are known anew. The server refused the call unread, so that it may be sent with what it asks for, once. */
  #again(head: ReplyHead, body: Buffer, error: Message): void {
    this.#leaveRefresh = undefined
    if (!this.#live) return
    const derived = this.#derive()
    if (!this.#differs(derived)) return this.#relay(head, body, error)
    this.#derived = derived
    this.#host.events.again?.('tool_headers')
    this.#post()
  }

  #relay(head: ReplyHead, body: Buffer, error: Message | undefined): void {
    const lost = this.#inSession && tellsLoss(head, body, this.out.batch ?? [this.out.message!])
    // What a 400 says of the session would read as if the client had done something wrong.
    if (!error || (lost && head.status === 400))
      this.fail(lost ? sessionLost(this.#label) : this.#noMessage(head, body))
    else {
      const advice = adviceFor(head.status)
      if (advice) this.#host.events.note?.(`${this.#label} answered with HTTP ${head.status}.${advice}`)
      for (const request of this.#open.left) {
        this.#open.take(idKey(request.idText!))
        const same = error.idText !== undefined && idKey(error.idText) === idKey(request.idText!)
        this.#answer(request, same ? error : errorFor(error, request.idText!))
      }
    }
    if (lost) this.#host.sessionLost()
  }

  /** Takes the stream up where it ended (spec 2025-11-25 basic/transports, "Resumability and Redelivery"). */
  #comeBack(): void {
    const fruitless = this.#reopening.later(() => {
      this.#resuming = true
      this.#host.events.again?.('stream_resumed')
      this.#begin(this.#host.wire.get(this.#reopening.cursor, this))
    })
    if (fruitless >= MAX_FRUITLESS) this.fail(this.#reset())
  }

  #notResumed({ head }: { head: ReplyHead }): void {
    if (mayComeBack(head.status)) return this.#comeBack()
    const lost = this.#inSession && head.status === 404
    this.fail(lost ? sessionLost(this.#label) : this.#reset())
    if (lost) this.#host.sessionLost()
  }

  #noMessage(head: ReplyHead, body: Buffer): CatflapError {
    return noMessage(this.#label, head, body, text => this.#host.wire.hide(text))
  }

  #reset(): CatflapError {
    return this.#error('upstream_reset', 'the stream ended before the answer came, and cannot be taken up again.')
  }

  #error(code: 'upstream_reset' | 'upstream_protocol', text: string): CatflapError {
    return new CatflapError(code, `${this.#label}: ${text}`, { data: { target: this.#label } })
  }

  #sendCancelled(request: Message, why: string): void {
    // Must not be cancelled (spec 2025-11-25 basic/utilities/cancellation).
    if (request.method === 'initialize') return
    const params = `{"requestId":${request.idText},"reason":${JSON.stringify(why)}}`
    const text = `{"jsonrpc":"2.0","method":"notifications/cancelled","params":${params}}`
    this.#host.sendOwn(Message.parse(Buffer.from(text)), this.out.headers)
  }

  /** What is still open has been cancelled, so that answers may never come. */
  #tellCancelled(): void {
    if (this.#live && this.#open.allCancelled) this.#receiver.onCancelled?.()
  }

  #over(): void {
    this.#live = false
    this.leave()
    this.#accepted()
    this.#reopening.stop()
    this.#leaveRefresh?.()
    this.#host.forget(this)
  }
}
