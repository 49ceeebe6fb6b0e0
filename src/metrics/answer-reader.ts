import { Message } from '../protocol/message.ts'
import { skipSpace } from '../protocol/scan.ts'
import { SseEventTooLarge, SseParser } from '../protocol/sse.ts'
import type { ReplyHead } from '../transport/upstream.ts'
import { type Failure, rpcFailure, TOOL_ERROR } from './failure.ts'

/** Answers beyond it are not looked into: errors are short. */
const MAX_LOOK = 64 * 1024

/** The end of `"error"` and of `"isError"`. */
const NAME_END = Buffer.from('rror"')

/** The error that whole content is; undefined where it is none, or none of MCP. */
export function failureIn(bytes: Buffer): Failure | undefined {
  if (bytes.length > MAX_LOOK || !looksLikeError(bytes)) return undefined
  try {
    return failureOfMessage(Message.parse(bytes, 'server'))
  } catch {
    // No message (a batch, a page of a gateway): what it says is told by its status.
    return undefined
  }
}

/** The error that a message of the server's is; undefined where it is none. */
export function failureOfMessage(message: Message): Failure | undefined {
  if (message.kind !== 'response' || message.bytes.length > MAX_LOOK) return undefined
  if (message.isError) return rpcFailure((message.json as { error?: { code?: unknown } }).error?.code)
  return looksLikeError(message.bytes) && saysError(message.json) ? TOOL_ERROR : undefined
}

/** Finds the error in an answer that comes in parts. It keeps no more of them than it needs for that. */
export class AnswerReader {
  failure: Failure | undefined
  #blind: boolean
  #parts: Buffer[] | undefined
  #size = 0
  #sse: SseParser | undefined

  constructor({ type, length, encoding }: ReplyHead) {
    const tooLong = type === 'json' && length !== undefined && length > MAX_LOOK
    this.#blind = tooLong || encoding !== undefined || (type !== 'json' && type !== 'sse')
    if (type === 'sse' && !this.#blind) this.#sse = new SseParser(MAX_LOOK)
  }

  /** Returns whether a message has come (streams only). */
  data(chunk: Buffer): boolean {
    if (this.#blind) return false
    if (this.#sse) return this.#events(this.#sse, chunk)
    this.#keep(chunk)
    return false
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
    this.failure = failureIn(bytes) ?? this.failure
  }
}

/**
 * Whether it may be an error; if not, it needs no parsing. Most tools say `"isError": false` with every result, so that the name
 * alone tells nothing. A server that spells these names with escapes (`\u0065rror`; none is known) has its errors counted as
 * successes; nothing else depends on this.
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
