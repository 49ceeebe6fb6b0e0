import { createHash, type Hash } from 'node:crypto'
import type { Transform } from 'node:stream'
import { type SseEvent, SseEventTooLarge, SseParser } from '../protocol/sse.ts'
import { decoderFor } from '../transport/decode.ts'
import type { ReplyHead } from '../transport/upstream.ts'

/** A content that was watched: all of it, or its beginning with length and SHA-256 of the whole. */
export interface Observed {
  readonly bytes: Buffer
  readonly truncated?: { readonly length: number; readonly sha256: string }
}

export interface ObserverEvents {
  /** The content of an answer that is no stream, once it is complete. */
  whole(content: Observed): void
  event(event: SseEvent): void
}

/** What is kept of content that exceeds the limit. */
const PREFIX = 64 * 1024

/**
 * Watches a copy of an answer's bytes on their way to the client: it never changes, delays or fails them. Compressed content
 * is unpacked for it, up to the limit.
 */
export class ReplyObserver {
  readonly #events: ObserverEvents
  readonly #limit: number
  #sse: SseParser | undefined
  #parts: Buffer[] = []
  #size = 0
  #hash: Hash | undefined
  #decoder: Transform | undefined
  #blind = false
  #finished = false

  constructor(head: ReplyHead, limit: number, events: ObserverEvents) {
    this.#events = events
    this.#limit = limit
    if (head.type === 'sse') this.#sse = new SseParser(limit)
    if (head.encoding === undefined) return
    this.#decoder = decoderFor(head.encoding)
    if (!this.#decoder) {
      this.#blind = true
      return
    }
    this.#decoder.on('data', (chunk: Buffer) => this.#take(chunk))
    this.#decoder.on('end', () => this.#finish())
    this.#decoder.on('error', () => this.#giveUp())
  }

  push(chunk: Buffer): void {
    if (this.#blind) return
    if (!this.#decoder) return this.#take(chunk)
    // Unpacking falls behind (a bomb): watching ends before what waits for it gets large.
    if (this.#decoder.writableLength > this.#limit) this.#giveUp()
    else this.#decoder.write(chunk)
  }

  /** A promise where unpacking goes on behind the end. */
  end(): Promise<void> | undefined {
    const decoder = this.#decoder
    if (!decoder || this.#blind || this.#finished) {
      this.#finish()
      return undefined
    }
    decoder.end()
    return new Promise(resolve => decoder.once('close', resolve))
  }

  /** Nothing more comes, and what came is no whole. */
  stop(): void {
    this.#blind = true
    this.#decoder?.destroy()
  }

  #giveUp(): void {
    this.#blind = true
    this.#decoder?.destroy()
    this.#finish()
  }

  #take(chunk: Buffer): void {
    if (this.#blind) return
    if (this.#sse) return this.#takeEvents(this.#sse, chunk)
    this.#size += chunk.length
    if (this.#hash) {
      this.#hash.update(chunk)
      return
    }
    this.#parts.push(chunk)
    if (this.#size <= this.#limit) return
    const all = Buffer.concat(this.#parts)
    this.#hash = createHash('sha256').update(all)
    this.#parts = [Buffer.from(all.subarray(0, PREFIX))]
  }

  #takeEvents(parser: SseParser, chunk: Buffer): void {
    try {
      for (const event of parser.push(chunk)) this.#events.event(event)
    } catch (error) {
      if (!(error instanceof SseEventTooLarge)) throw error
      // The rest of the stream cannot be told apart any more without holding the giant: watching ends, traffic goes on.
      this.#blind = true
    }
  }

  #finish(): void {
    if (this.#finished) return
    this.#finished = true
    if (this.#sse) return
    const bytes = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts)
    this.#events.whole(
      this.#hash ? { bytes, truncated: { length: this.#size, sha256: this.#hash.digest('hex') } } : { bytes }
    )
  }
}
