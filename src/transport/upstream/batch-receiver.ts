import type { CatflapError } from '../../errors.ts'
import type { Message } from '../../protocol/message.ts'
import type { CallReceiver } from '../upstream.ts'

/** Hears the calls of one batch and tells its receiver of them as of one: an end at the last end, an error at the first. */
export class BatchReceiver implements CallReceiver {
  readonly #receiver: CallReceiver
  #open: number
  #cancelled = 0
  #failed = false

  constructor(receiver: CallReceiver, calls: number) {
    this.#receiver = receiver
    this.#open = calls
  }

  onHead(): void {}
  onData(): void {}

  onMessage(message: Message, last: boolean): void {
    this.#receiver.onMessage(message, last && this.#open === 1)
  }

  deliver(message: Message): boolean {
    return this.#receiver.deliver?.(message) ?? false
  }

  onEnd(): void {
    this.#open--
    if (this.#open === 0) this.#receiver.onEnd()
    else this.#allCancelled()
  }

  onCancelled(): void {
    this.#cancelled++
    this.#allCancelled()
  }

  onError(error: CatflapError): void {
    if (this.#failed) return
    this.#failed = true
    this.#receiver.onError(error)
  }

  /** What is still open has been cancelled by the client, so that answers may never come. */
  #allCancelled(): void {
    if (this.#open > 0 && this.#cancelled >= this.#open) this.#receiver.onCancelled?.()
  }
}
