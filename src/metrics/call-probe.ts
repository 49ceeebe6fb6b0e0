import type { Message } from '../protocol/message.ts'
import type { CallProbe } from '../proxy/call.ts'
import type { Exchange } from '../proxy/exchange.ts'
import type { CancelReason, ReplyHead } from '../transport/upstream.ts'
import { AnswerReader, failureIn, failureOfMessage } from './answer-reader.ts'
import { cancelFailure, type Failure, failureOf, statusFailure } from './failure.ts'
import type { Ended, Numbers } from './numbers.ts'
import type { Operation } from './operations.ts'

/** Watches one call to the server. */
export class CallWatch implements CallProbe, Ended {
  readonly #numbers: Numbers
  readonly #x: Exchange
  /** Of a request's answer: nothing else can say that it is an error. */
  #head: ReplyHead | undefined
  /** Where the answer does not come in one piece, as most do. */
  #reader: AnswerReader | undefined
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
    numbers.sent.value += sizeOf(x)
  }

  head(head: ReplyHead): void {
    this.failure = statusFailure(head.status)
    if (this.#x.kind !== 'request') return
    this.#head = head
    this.#waits = head.type === 'sse'
  }

  data(chunk: Buffer): void {
    this.#numbers.received.value += chunk.length
    const head = this.#head
    if (!head) return
    if (head.type === 'json' && head.length === chunk.length && head.encoding === undefined)
      this.#found(failureIn(chunk))
    else if ((this.#reader ??= new AnswerReader(head)).data(chunk) && this.#waits) this.#first()
  }

  message(message: Message, last: boolean): void {
    this.#numbers.received.value += message.bytes.length
    if (this.#x.kind !== 'request') return
    this.#found(failureOfMessage(message))
    // On a pipe an answer is a stream where something comes before it.
    if (!this.#heard && !last) this.#first()
    this.#heard = true
  }

  end(startedAt: number, code?: string): void {
    this.#reader?.end()
    if (code !== undefined) this.failure = failureOf(code)
    else this.#found(this.#reader?.failure)
    this.#record(startedAt)
  }

  cancel(startedAt: number, reason: CancelReason): void {
    this.failure = cancelFailure(reason)
    this.#record(startedAt)
  }

  otherTransport(): void {
    this.#numbers.again('other_transport')
  }

  #found(failure: Failure | undefined): void {
    if (failure) this.failure = failure
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
