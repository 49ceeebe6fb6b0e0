import type { CatflapError } from '../../errors.ts'
import { Message } from '../../protocol/message.ts'
import type { CallReceiver } from '../upstream.ts'

/**
 * Hears the calls of one batch and tells its receiver of them as of one: an end at the last end. A call that fails alone is
 * answered with its error; what ends them all is an error of the whole.
 */
export class BatchReceiver {
  readonly #receiver: CallReceiver
  readonly #endsAll: () => boolean
  #open: number
  #cancelled = 0
  #failed = false

  constructor(receiver: CallReceiver, calls: number, endsAll: () => boolean) {
    this.#receiver = receiver
    this.#open = calls
    this.#endsAll = endsAll
  }

  /** What hears the call with that id. */
  member(idText: string): CallReceiver {
    let cancelled = 0
    const end = (): void => {
      this.#cancelled -= cancelled
      this.#end()
    }
    return {
      onHead() {},
      onData() {},
      onMessage: (message, last) => this.#message(message, last),
      deliver: message => this.#receiver.deliver?.(message) ?? false,
      onEnd: end,
      onCancelled: () => {
        this.#cancelled += 1 - cancelled
        cancelled = 1
        this.#allCancelled()
      },
      onError: error => {
        if (!this.#error(error, idText)) end()
      }
    }
  }

  #message(message: Message, last: boolean): void {
    this.#receiver.onMessage(message, last && this.#open === 1)
  }

  #end(): void {
    this.#open--
    if (this.#open === 0) this.#receiver.onEnd()
    else this.#allCancelled()
  }

  /** Returns whether it is the error of all. */
  #error(error: CatflapError, idText: string): boolean {
    if (this.#failed) return true
    this.#failed = this.#endsAll()
    if (this.#failed) this.#receiver.onError(error)
    // A client that has cancelled is told nothing any more.
    else if (error.code !== 'cancelled') this.#message(Message.parse(error.toJsonRpc(idText)), true)
    return this.#failed
  }

  /** What is still open has been cancelled by the client, so that answers may never come. */
  #allCancelled(): void {
    if (this.#open > 0 && this.#cancelled >= this.#open) this.#receiver.onCancelled?.()
  }
}
