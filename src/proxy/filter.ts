import type { Transform } from 'node:stream'
import { CatflapError } from '../errors.ts'
import { removeHeader, setHeader } from '../protocol/headers.ts'
import { MalformedMessage, Message } from '../protocol/message.ts'
import { encodeChangedEvent, type SseEvent, SseEventTooLarge, SseParser } from '../protocol/sse.ts'
import { decoderFor } from '../transport/decode.ts'
import type { ReplyHead } from '../transport/upstream.ts'
import { callEach } from './hook-calls.ts'
import { InOrder } from './in-order.ts'

export interface FilterOutput {
  head(head: ReplyHead): void
  data(chunk: Buffer): void
  end(): void
  fail(error: CatflapError): void
  /** The server is to wait, or need not any more: a hook holds a message. */
  held(held: boolean): void
}

export type MessageHook = (message: Message) => Message | undefined | Promise<Message | undefined>

/**
 * Leads the messages of an HTTP answer past the hooks and writes out what they return. What nobody changed leaves as the
 * bytes it came in. Built only for exchanges whose messages somebody wants.
 */
export class ReplyFilter {
  readonly #out: FilterOutput
  readonly #hook: MessageHook
  readonly #limit: number
  #head: ReplyHead | undefined
  #sse: SseParser | undefined
  #decoder: Transform | undefined
  #parts: Buffer[] = []
  #size = 0
  /** What comes behind a message that a hook holds waits, and so does the server. */
  readonly #order: InOrder
  #failed = false

  constructor(limit: number, hook: MessageHook, out: FilterOutput) {
    this.#limit = limit
    this.#hook = hook
    this.#out = out
    this.#order = new InOrder(
      error => this.#broken(error),
      held => out.held(held)
    )
  }

  onHead(head: ReplyHead): void {
    this.#head = head
    if (head.type === 'other' || head.type === 'none') return this.#out.head(head)
    if (head.encoding !== undefined && !this.#decode(head)) return
    if (head.type !== 'sse') return
    this.#sse = new SseParser(this.#limit)
    this.#out.head(this.#decoder ? decoded(head) : head)
  }

  onData(chunk: Buffer): void {
    if (this.#failed) return
    if (this.#decoder) this.#decoder.write(chunk)
    else this.#take(chunk)
  }

  onEnd(): void {
    if (this.#failed) return
    if (this.#decoder) this.#decoder.end()
    else this.#finish()
  }

  #decode(head: ReplyHead): boolean {
    this.#decoder = decoderFor(head.encoding!)
    if (!this.#decoder) {
      this.#fail(
        'upstream_protocol',
        `The server compressed its answer with '${head.encoding}', although identity was asked for.`
      )
      return false
    }
    this.#decoder.on('data', (chunk: Buffer) => this.#take(chunk))
    this.#decoder.on('end', () => this.#finish())
    this.#decoder.on('error', () => this.#fail('upstream_protocol', "The server's compressed answer is damaged."))
    return true
  }

  #take(chunk: Buffer): void {
    if (this.#failed) return
    const type = this.#head?.type
    if (this.#sse) {
      try {
        for (const event of this.#sse.push(chunk)) this.#event(event)
      } catch (error) {
        if (!(error instanceof SseEventTooLarge)) throw error
        this.#fail('message_too_large', `The server sent an event of more than ${this.#limit} bytes (--max-message).`)
      }
    } else if (type === 'json') {
      this.#size += chunk.length
      if (this.#size > this.#limit)
        this.#fail('message_too_large', `The server sent more than ${this.#limit} bytes (--max-message).`)
      else this.#parts.push(chunk)
    } else this.#out.data(chunk)
  }

  #event(event: SseEvent): void {
    this.#order.run(() => {
      if (this.#failed) return
      if (!event.data || event.data.length === 0) return this.#out.data(event.raw)
      let message: Message
      try {
        message = Message.parse(event.data, 'server')
      } catch (error) {
        if (!(error instanceof MalformedMessage)) throw error
        return this.#out.data(event.raw)
      }
      const written = this.#hook(message)
      if (written instanceof Promise) return written.then(m => this.#writeEvent(event, message, m))
      this.#writeEvent(event, message, written)
    })
  }

  #writeEvent(event: SseEvent, before: Message, after: Message | undefined): void {
    if (after === before) return this.#out.data(event.raw)
    const changed = encodeChangedEvent(event, after?.oneLine())
    if (changed.length > 0) this.#out.data(changed)
  }

  #finish(): void {
    this.#order.run(() => {
      if (this.#failed) return
      if (this.#head?.type === 'json') return this.#finishJson(this.#head)
      const rest = this.#sse?.rest()
      if (rest && rest.length > 0) this.#out.data(rest)
      this.#out.end()
    })
  }

  #finishJson(head: ReplyHead): void | Promise<void> {
    const body = Buffer.concat(this.#parts)
    let messages: readonly Message[]
    let batch = false
    try {
      const parsed = Message.parseBody(body, 'server')
      batch = !(parsed instanceof Message)
      messages = parsed instanceof Message ? [parsed] : parsed
    } catch (error) {
      if (!(error instanceof MalformedMessage)) throw error
      return this.#writeWhole(head, body, body)
    }
    const after = callEach(messages, m => this.#hook(m))
    const write = (written: readonly (Message | undefined)[]): void => {
      const kept = written.filter(m => m !== undefined)
      if (kept.length === 0 && !batch) return this.#fail('blocked', 'An interceptor dropped the answer.')
      const unchanged = kept.length === messages.length && kept.every((m, i) => m === messages[i])
      this.#writeWhole(head, body, unchanged ? body : join(kept, batch))
    }
    if (after instanceof Promise) return after.then(write)
    write(after)
  }

  #writeWhole(head: ReplyHead, before: Buffer, after: Buffer): void {
    const plain = this.#decoder ? decoded(head) : head
    if (before !== after || this.#decoder) {
      setHeader(plain.headers, 'Content-Length', String(after.length))
      this.#out.head({ ...plain, length: after.length })
    } else this.#out.head(plain)
    if (after.length > 0) this.#out.data(after)
    this.#out.end()
  }

  #broken(error: unknown): void {
    const text = error instanceof Error ? error.message : String(error)
    this.#fail('internal', `An interceptor failed: ${text}`)
  }

  #fail(code: 'blocked' | 'upstream_protocol' | 'message_too_large' | 'internal', text: string): void {
    if (this.#failed) return
    this.#failed = true
    this.#parts = []
    this.#decoder?.destroy()
    this.#out.fail(new CatflapError(code, text))
  }
}

function decoded(head: ReplyHead): ReplyHead {
  const headers = [...head.headers]
  removeHeader(headers, 'content-encoding')
  removeHeader(headers, 'content-length')
  return { ...head, headers, length: undefined, encoding: undefined }
}

function join(messages: readonly Message[], batch: boolean): Buffer {
  if (!batch) return messages[0]?.bytes ?? Buffer.alloc(0)
  const parts = messages.flatMap((m, i) => (i === 0 ? [m.bytes] : [COMMA, m.bytes]))
  return Buffer.concat([OPEN, ...parts, CLOSE])
}

const OPEN = Buffer.from('[')
const COMMA = Buffer.from(',')
const CLOSE = Buffer.from(']')
