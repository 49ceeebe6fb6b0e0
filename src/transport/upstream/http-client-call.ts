import { CatflapError } from '../../errors.ts'
import { idKey, roundedKey } from '../../protocol/id.ts'
import { Message } from '../../protocol/message.ts'
import { standardHeaders } from '../../protocol/tool-headers.ts'
import type { CallReceiver, CancelReason, ReplyHead, UpstreamCall } from '../upstream.ts'
import type { ClientHost, InFlight } from './http-client-host.ts'
import { mayComeBack } from './http-client-listen.ts'
import { ToolRefresh } from './http-client-refresh.ts'
import { adviceFor, errorCodeOf, errorFor, errorIn, noMessage, sessionLost } from './http-client-refusal.ts'
import { Reopening } from './http-client-reopen.ts'
import type { Outgoing } from './http-client-wire.ts'
import { isSuccess, type ReplyEnd, type ReplyReader, type ReplySink } from './reply-reader.ts'

/** Attempts to take up a stream that bring nothing, until its call has failed. */
const MAX_FRUITLESS = 5
/** HeaderMismatch (spec 2026-07-28 basic/index, "Error Codes"). */
const HEADER_MISMATCH = -32020

/** One POST with a request, or a batch with several: its answers, by whatever connections they come. */
export class HttpClientCall implements UpstreamCall, InFlight, ReplySink {
  readonly out: Outgoing
  readonly #host: ClientHost
  readonly #receiver: CallReceiver
  readonly #reopening: Reopening
  /** Requests without an answer, and those of them that the client has cancelled. */
  #unanswered: Message[]
  readonly #cancelled = new Set<Message>()
  #live = true
  #accepted: () => void = () => {}
  #reader: ReplyReader | undefined
  #refresh: ToolRefresh | undefined
  #derived: readonly string[] = []
  #paused = false
  #inSession = false
  #resuming = false
  #broken = false
  #refreshed = false
  /** Takes it out of the queue in which it waits for its turn. */
  leave: () => void = () => {}

  constructor(host: ClientHost, out: Outgoing, receiver: CallReceiver) {
    this.out = out
    this.#host = host
    this.#receiver = receiver
    this.#reopening = new Reopening(host.delays)
    this.#unanswered = (out.batch ?? [out.message!]).filter(m => m.kind === 'request')
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
    const sent = this.#reader !== undefined
    this.#over()
    this.#reader?.cancel()
    if (!sent || this.#modern || reason === 'shutdown') return
    const why = { 'client-gone': 'client disconnected', 'client-cancelled': 'cancelled', timeout: 'timed out' }[reason]
    for (const request of this.#unanswered) if (!this.#cancelled.has(request)) this.#sendCancelled(request, why)
  }

  fail(error: CatflapError): void {
    if (!this.#live) return
    this.#over()
    this.#reader?.cancel()
    this.#receiver.onError(error)
  }

  /** Whether it has a request of that id which the client has not cancelled yet. */
  awaits(key: string): boolean {
    return this.#unanswered.some(m => idKey(m.idText!) === key && !this.#cancelled.has(m))
  }

  /** The client has cancelled it. Returns whether the server is to be told: the modern era says it by closing the stream. */
  cancelledByClient(key: string): boolean {
    if (this.#modern) {
      this.fail(new CatflapError('cancelled'))
      return false
    }
    const request = this.#unanswered.findLast(m => idKey(m.idText!) === key && !this.#cancelled.has(m))
    if (request) this.#cancelled.add(request)
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

  noise(bytes: Buffer): void {
    this.#host.events.noise(bytes)
  }

  otherTransport(): void {
    if (!this.#live) return
    this.#over()
    this.#receiver.onOtherTransport?.()
  }

  end(end: ReplyEnd): void {
    this.#accepted()
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

  /** The request that a response answers. HTTP has told already; servers that read numbers as doubles round big ids. */
  #askedBy(m: Message): Message | undefined {
    if (m.idText === undefined) return this.#unanswered.length === 1 ? this.#unanswered[0] : undefined
    const key = idKey(m.idText)
    return (
      this.#unanswered.find(r => idKey(r.idText!) === key) ??
      this.#unanswered.find(r => roundedKey(idKey(r.idText!)) === key)
    )
  }

  #answer(request: Message, answer: Message): void {
    const told = this.#read(request, answer)
    this.#unanswered = this.#unanswered.filter(m => m !== request)
    if (this.#unanswered.length > 0) {
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
    const { wire, tools, events } = this.#host
    this.#refresh = new ToolRefresh({
      wire,
      tools,
      call: this.out.message,
      headers: this.out.headers,
      mintId: () => this.#host.mintId(),
      own: message => events.own?.(message),
      other: message => this.#host.fromServer(message, undefined),
      done: () => this.#again(head, body, error)
    })
    this.#refresh.start()
  }

  /** The tools are known anew. The server refused the call unread, so that it may be sent with what it asks for, once. */
  #again(head: ReplyHead, body: Buffer, error: Message): void {
    this.#refresh = undefined
    if (!this.#live) return
    const before = this.#derived
    this.#derived = this.#derive()
    if (before.join('\n') === this.#derived.join('\n')) return this.#relay(head, body, error)
    this.#host.events.again?.('tool_headers')
    this.#post()
  }

  #relay(head: ReplyHead, body: Buffer, error: Message | undefined): void {
    const lost = this.#inSession && head.status === 404
    if (!error) this.fail(lost ? sessionLost(this.#label) : this.#noMessage(head, body))
    else {
      const advice = adviceFor(head.status)
      if (advice) this.#host.events.note?.(`${this.#label} answered with HTTP ${head.status}.${advice}`)
      for (const request of [...this.#unanswered]) {
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
    return noMessage(this.#label, head, body, this.#host.wire.sessionId)
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
    if (this.#live && this.#unanswered.every(m => this.#cancelled.has(m))) this.#receiver.onCancelled?.()
  }

  #over(): void {
    this.#live = false
    this.leave()
    this.#accepted()
    this.#reopening.stop()
    this.#refresh?.cancel()
    this.#host.forget(this)
  }
}
