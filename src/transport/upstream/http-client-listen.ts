import type { Message } from '../../protocol/message.ts'
import type { ReplyHead } from '../upstream.ts'
import { type ReopenDelays, Reopening } from './http-client-reopen.ts'
import type { HttpClientWire } from './http-client-wire.ts'
import { isSuccess, type ReplyEnd, type ReplyReader, type ReplySink } from './reply-reader.ts'

export interface ListenOptions {
  readonly wire: HttpClientWire
  readonly delays: ReopenDelays
  readonly message: (message: Message) => void
  readonly noise: (bytes: Buffer) => void
  readonly note: (text: string) => void
  /** It is opened once more. */
  readonly again?: () => void
}

/**
 * The stream that a legacy server may speak on of its own accord (spec 2025-11-25 basic/transports, "Listening for Messages
 * from the Server"). It is opened anew for as long as the leg lives; a server that has none says so once.
 */
export class ListenStream implements ReplySink {
  readonly #options: ListenOptions
  readonly #reopening: Reopening
  #reader: ReplyReader | undefined
  #broken = false
  #told = false

  constructor(options: ListenOptions) {
    this.#options = options
    this.#reopening = new Reopening(options.delays)
  }

  open(): void {
    this.#reader = this.#options.wire.get(this.#reopening.cursor, this)
    this.#reader.start()
  }

  close(): void {
    this.#reopening.stop()
    this.#reader?.cancel()
  }

  head(head: ReplyHead): void {
    if (!isSuccess(head)) return
    // Whatever this is, it is no stream, and may have no end.
    if (head.type !== 'sse') return this.#reader?.cancel()
    this.#reopening.opened()
    if (this.#broken) this.#options.note("the stream of the server's own messages broke, and stands again")
    this.#broken = false
  }

  message(message: Message): void {
    this.#options.message(message)
  }

  noise(bytes: Buffer): void {
    this.#options.noise(bytes)
  }

  unusableId(): void {
    if (this.#told) return
    this.#told = true
    this.#options.note(UNUSABLE_ID)
  }

  end(end: ReplyEnd): void {
    if (end.how === 'refused' && !mayComeBack(end.head.status)) return
    if (end.how === 'failed') {
      this.#broken = true
      // The server would begin with the same event again.
      if (end.error.code === 'message_too_large') {
        this.#options.note(end.error.message)
        this.#reopening.cursor.lastEventId = undefined
      }
    }
    this.#reopening.later(() => {
      this.#options.again?.()
      this.open()
    })
  }
}

export const UNUSABLE_ID =
  'an event of the server has an id that fits into no header: where its stream breaks behind it, it cannot be taken up again there'

/** Statuses that say "not now". 409 is what a server says that has not noticed yet that the last stream broke. */
export function mayComeBack(status: number): boolean {
  return status === 408 || status === 409 || status === 429 || (status >= 500 && status !== 501)
}
