import { CatflapError } from '../errors.ts'
import type { Message } from '../protocol/message.ts'
import type { ReplyHead } from '../transport/upstream.ts'
import type { Attached } from './call.ts'

/** Bytes of an answer that are kept while it is not clear whether it counts. */
const MAX_HELD = 64 * 1024

/**
 * Takes an answer in the place of the client while it is not clear whether the client is to have it. The server is not kept
 * waiting, as its connection may be needed to find out.
 */
export class HeldAnswer implements Attached {
  readonly #head: ReplyHead
  #parts: Buffer[] = []
  #size = 0
  #end: 'open' | 'ended' | CatflapError = 'open'

  constructor(head: ReplyHead) {
    this.#head = head
  }

  onHead(): void {}

  onData(chunk: Buffer): void {
    this.#size += chunk.length
    if (this.#size > MAX_HELD) this.#parts = []
    else this.#parts.push(chunk)
  }

  onMessage(_message: Message): void {}

  onEnd(): void {
    this.#end = 'ended'
  }

  onError(error: CatflapError): void {
    this.#end = error
  }

  onOtherTransport(): void {}

  onAgain(): void {}

  /** It counts after all: tells everything so far, and whether more will come. */
  release(to: Attached): boolean {
    if (this.#size > MAX_HELD) {
      to.onError(new CatflapError('session_not_found'))
      return false
    }
    to.onHead(this.#head)
    // Behind the last byte of an event stream, or in the middle of one: nothing of ours belongs into what is being refused.
    for (const chunk of this.#parts) to.onData(chunk, false)
    if (this.#end === 'ended') to.onEnd()
    else if (this.#end !== 'open') to.onError(this.#end)
    return this.#end === 'open'
  }
}
