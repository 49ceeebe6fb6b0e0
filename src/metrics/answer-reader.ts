import { Message } from '../protocol/message.ts'
import { skipSpace } from '../protocol/scan.ts'
import { SseEventTooLarge, SseParser } from '../protocol/sse.ts'
import type { ReplyHead } from '../transport/upstream.ts'
import { type Failure, rpcFailure, statusFailure, TOOL_ERROR } from './failure.ts'

/** Answers beyond it are not looked into: errors are short. */
const MAX_LOOK = 64 * 1024

/** The end of `"error"` and of `"isError"`. */
const NAME_END = Buffer.from('rror"')

/** Finds out whether an answer that passes is an error. It keeps no more than it needs for that, and parses what is suspicious only. */
export class AnswerReader {
  failure: Failure | undefined
  #blind = false
  #length: number | undefined
  #parts: Buffer[] | undefined
  #size = 0
  #sse: SseParser | undefined

  head(head: ReplyHead): void {
    this.failure = statusFailure(head.status)
    this.#length = head.length
    const tooLong = head.type === 'json' && head.length !== undefined && head.length > MAX_LOOK
    this.#blind = tooLong || head.encoding !== undefined || (head.type !== 'json' && head.type !== 'sse')
    if (head.type === 'sse' && !this.#blind) this.#sse = new SseParser(MAX_LOOK)
  }

  /** Returns whether a message has come (streams only). */
  data(chunk: Buffer): boolean {
    if (this.#blind) return false
    if (this.#sse) return this.#events(this.#sse, chunk)
    if (chunk.length === this.#length) this.#look(chunk)
    else this.#keep(chunk)
    return false
  }

  message(message: Message): void {
    if (message.kind === 'response' && message.bytes.length <= MAX_LOOK) this.#judge(message)
  }

  end(): void {
    if (this.#parts) this.#look(Buffer.concat(this.#parts))
  }

  #keep(chunk: Buffer): void {
    this.#size += chunk.length
    if (this.#size <= MAX_LOOK) return void (this.#parts ??= []).push(chunk)
    this.#blind = true
    this.#parts = undefined
  }

  #events(parser: SseParser, chunk: Buffer): boolean {
    let some = false
    try {
      for (const { data } of parser.push(chunk)) {
        if (!data || data.length === 0) continue
        some = true
        this.#look(data)
      }
    } catch (error) {
      if (!(error instanceof SseEventTooLarge)) throw error
      this.#blind = true
      this.#sse = undefined
      return true
    }
    return some
  }

  #look(bytes: Buffer): void {
    if (bytes.length > MAX_LOOK || !looksLikeError(bytes)) return
    try {
      this.#judge(Message.parse(bytes, 'server'))
    } catch {
      // No message (a batch, a page of a gateway): what it says is told by its status.
    }
  }

  #judge(message: Message): void {
    if (message.kind !== 'response') return
    if (message.isError) this.failure = rpcFailure((message.json as { error?: { code?: unknown } }).error?.code)
    else if (looksLikeError(message.bytes) && saysError(message.json)) this.failure = TOOL_ERROR
  }
}

/**
 * Whether it may be an error; if not, it needs no parsing. Most tools say `"isError": false` with every result, so that the name
 * alone tells nothing.
 */
function looksLikeError(b: Buffer): boolean {
  let from = 0
  // `isError` mostly stands last, where the rest is too short for another.
  while (b.length - from > NAME_END.length + 3) {
    const at = b.indexOf(NAME_END, from)
    if (at < 0) return false
    const colon = skipSpace(b, at + NAME_END.length, b.length)
    from = b[colon] === COLON ? skipSpace(b, colon + 1, b.length) : colon
    if (b[colon] === COLON && (b[at - 1] === SMALL_E || b[from] === SMALL_T)) return true
  }
  return false
}

const COLON = 0x3a
/** Of `"error"`, whose presence is what counts. */
const SMALL_E = 0x65
/** Of `true`. */
const SMALL_T = 0x74

function saysError(json: unknown): boolean {
  return (json as { result?: { isError?: unknown } }).result?.isError === true
}
