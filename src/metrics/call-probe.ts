import type { Message } from '../protocol/message.ts'
import type { CallProbe } from '../proxy/call.ts'
import type { Exchange } from '../proxy/exchange.ts'
import type { CancelReason, ReplyHead } from '../transport/upstream.ts'
import { AnswerReader } from './answer-reader.ts'
import { cancelFailure, type Failure, failureOf, statusFailure } from './failure.ts'
import type { Ended, Numbers } from './numbers.ts'
import type { Operation } from './operations.ts'

/** Watches one call to the server. */
export class CallWatch implements CallProbe, Ended {
  readonly #numbers: Numbers
  readonly #x: Exchange
  /** Only a request's answer can say that it is an error. */
  readonly #answer: AnswerReader | undefined
  /** What the server's answer, or its absence, amounts to. */
  failure: Failure | undefined
  seconds = 0
  /** What was asked, once it is over. */
  operation: Operation | undefined
  /** A stream has begun, and no message has come on it yet. */
  #waits = false
  #heard = false

  constructor(numbers: Numbers, x: Exchange) {
    this.#numbers = numbers
    this.#x = x
    this.#answer = x.kind === 'request' ? new AnswerReader() : undefined
    numbers.sent.value += sizeOf(x)
  }

  head(head: ReplyHead): void {
    if (!this.#answer) {
      this.failure = statusFailure(head.status)
      return
    }
    this.#answer.head(head)
    this.#waits = head.type === 'sse'
  }

  data(chunk: Buffer): void {
    this.#numbers.received.value += chunk.length
    if (this.#answer?.data(chunk) && this.#waits) this.#first()
  }

  message(message: Message, last: boolean): void {
    this.#numbers.received.value += message.bytes.length
    if (!this.#answer) return
    this.#answer.message(message)
    // On a pipe an answer is a stream where something comes before it.
    if (!this.#heard && !last) this.#first()
    this.#heard = true
  }

  end(startedAt: number, code?: string): void {
    this.#answer?.end()
    if (code !== undefined) this.failure = failureOf(code)
    else if (this.#answer) this.failure = this.#answer.failure
    this.#record(startedAt)
  }

  cancel(startedAt: number, reason: CancelReason): void {
    this.failure = cancelFailure(reason)
    this.#record(startedAt)
  }

  otherTransport(): void {
    this.#numbers.again('other_transport')
  }

  #first(): void {
    this.#waits = false
    this.#numbers.firstMessage(this.#x)
  }

  #record(startedAt: number): void {
    this.seconds = (performance.now() - startedAt) / 1000
    this.operation = this.#numbers.operation(this.#x, this.#numbers.client, this)
  }
}

function sizeOf({ body, message, batch }: Exchange): number {
  if (body) return body.length
  if (message) return message.bytes.length
  return batch?.reduce((sum, m) => sum + m.bytes.length, 0) ?? 0
}
