import { CatflapError } from '../errors.ts'
import { answersOne } from '../protocol/answers-one.ts'
import type { Message } from '../protocol/message.ts'
import { MAX_REFUSAL, refusesInWords, refusesSession } from '../protocol/session-refusal.ts'
import { unpacked } from '../transport/upstream/unpacked.ts'
import type { ReplyHead } from '../transport/upstream.ts'
import type { Attached } from './call.ts'

/** Bytes of an answer that are kept while it is not clear whether it counts. */
export const MAX_HELD = MAX_REFUSAL
/** Bytes that these may hold when they are unpacked. */
const MAX_UNPACKED = 1024 * 1024

/**
 * Takes an answer in the place of the client while it is not clear whether the client is to have it. The server is not kept
 * waiting, as its connection may be needed to find out.
 */
export class HeldAnswer implements Attached {
  readonly head: ReplyHead
  /** It answers requests: a long one that is no JSON-RPC is not for the client, and not kept. */
  readonly #answers: boolean
  readonly #settled = Promise.withResolvers<void>()
  readonly #tooLong = Promise.withResolvers<void>()
  #parts: Buffer[] = []
  #size = 0
  #end: 'open' | 'ended' | CatflapError = 'open'

  constructor(head: ReplyHead, answers: boolean) {
    this.head = head
    this.#answers = answers
  }

  /**
   * Whether it is, or may be, the response to one of these requests: then the server has looked at them. Resolves when that is
   * known, which needs its end, or more of it than is kept.
   */
  async answers(requests: readonly Message[]): Promise<boolean> {
    if (requests.length === 0) return false
    // Only who has taken the request answers it with a stream.
    if (this.head.type === 'sse') return true
    const plain = await this.#whole()
    // What was broken off in the middle may have been one.
    return plain ? answersOne(plain, requests) : this.#looksLikeJson()
  }

  /** Whether its words say that the server does not know the session. Resolves as `answers` does. */
  async refusesSession(): Promise<boolean> {
    const plain = await this.#whole()
    return plain !== undefined && (this.head.type === 'json' ? refusesSession(plain) : refusesInWords(plain))
  }

  /** Resolves when it is more than is kept. */
  get tooLong(): Promise<void> {
    return this.#tooLong.promise
  }

  async #whole(): Promise<Buffer | undefined> {
    await this.#settled.promise
    if (this.#size > MAX_HELD || this.#end !== 'ended') return undefined
    return await unpacked(Buffer.concat(this.#parts), this.head.encoding, MAX_UNPACKED)
  }

  #looksLikeJson(): boolean {
    if (this.head.type === 'json') return true
    const first = this.#parts
      .find(part => part.length > 0)
      ?.subarray(0, 64)
      .toString('latin1')
      .trimStart()[0]
    return first === '{' || first === '['
  }

  onHead(): void {}

  onData(chunk: Buffer): void {
    this.#size += chunk.length
    if (this.#size <= MAX_HELD || this.#keepsAll()) this.#parts.push(chunk)
    else this.#parts = []
    if (this.#size <= MAX_HELD) return
    this.#settled.resolve()
    this.#tooLong.resolve()
  }

  /** It is about to be released: whoever waits hears at once of one that long, and it is the client's. */
  #keepsAll(): boolean {
    return !this.#answers || (this.#parts.length > 0 && (this.head.type === 'sse' || this.#looksLikeJson()))
  }

  onMessage(_message: Message): void {}

  onEnd(): void {
    this.#end = 'ended'
    this.#settled.resolve()
  }

  onError(error: CatflapError): void {
    this.#end = error
    this.#settled.resolve()
  }

  onOtherTransport(): void {}

  onAgain(): void {}

  /** It counts after all: tells everything so far, and whether more will come. */
  release(to: Attached): boolean {
    if (this.#size > MAX_HELD && this.#parts.length === 0) {
      to.onError(new CatflapError('session_not_found'))
      return false
    }
    to.onHead(this.head)
    // Behind the last byte of an event stream, or in the middle of one: nothing of ours belongs into what is being refused.
    for (const chunk of this.#parts) to.onData(chunk, false)
    if (this.#end === 'ended') to.onEnd()
    else if (this.#end !== 'open') to.onError(this.#end)
    return this.#end === 'open'
  }
}
