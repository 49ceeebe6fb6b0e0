/**
 * Server-sent events over bytes (WHATWG HTML §9.2.6). An event keeps its raw bytes, so that what nobody changed is written
 * as it came: ids, retry, comments, line endings and all.
 */

export interface SseEvent {
  /** Every byte since the previous event, the ending blank line included. */
  readonly raw: Buffer
  readonly id?: string
  readonly event?: string
  /** Milliseconds. */
  readonly retry?: number
  /** The joined `data` lines; undefined when the block has none (a comment, a priming event). */
  readonly data?: Buffer
}

const LF = 0x0a
const CR = 0x0d
const COLON = 0x3a
const SPACE = 0x20
const SMALL_I = 0x69

/**
 * Tells where events end, without keeping anything. Enough for a relay that looks at nothing: between events a comment may
 * be written, inside one it would break it.
 */
export class SseBoundary {
  #lineEmpty = true
  #afterCr = false
  #inField = false
  #sawField = false
  /** True between events (and before the first). */
  atBoundary = true
  /** Some event had an id: who loses the stream can take it up again with Last-Event-ID. */
  hasIds = false

  /** Returns the offset just behind the next blank line at or after `from`, or -1. Sets `atBoundary` for the end of `chunk`. */
  next(chunk: Uint8Array, from: number): number {
    let i = from
    while (i < chunk.length) {
      const c = chunk[i]!
      if (this.#afterCr) {
        this.#afterCr = false
        if (c === LF) {
          // The second half of a CRLF: the line ended at its CR already.
          i++
          continue
        }
      }
      if (c === LF || c === CR) {
        this.#afterCr = c === CR
        i++
        if (this.#lineEmpty) {
          this.atBoundary = true
          // The whole CRLF belongs to this event, unless its LF is still under way: a lone CR ends a line too.
          if (c === CR && chunk[i] === LF) {
            this.#afterCr = false
            i++
          }
          return i
        }
        this.#lineEmpty = true
        continue
      }
      if (this.#lineEmpty) {
        this.#lineEmpty = false
        this.atBoundary = false
        this.#inField = c !== COLON
        // No other field of the standard begins so.
        this.hasIds ||= c === SMALL_I
      }
      this.#sawField ||= this.#inField
      i = lineEnd(chunk, i)
    }
    return -1
  }

  /** Feeds a whole chunk; returns whether it held any part of a field: what counts as a sign of life (comments do not). */
  feed(chunk: Uint8Array): boolean {
    this.#sawField = false
    for (let i = 0; i >= 0 && i < chunk.length; ) i = this.next(chunk, i)
    return this.#sawField
  }
}

/**
 * Native search is fast, but for one byte at a time: where lines end in CR alone, looking for an LF in all that follows each
 * of them would cost the square of the length. So it looks through windows that grow with the line.
 */
function lineEnd(chunk: Uint8Array, from: number): number {
  const near = Math.min(from + SHORT_LINE, chunk.length)
  for (let i = from; i < near; i++) if (chunk[i] === LF || chunk[i] === CR) return i
  for (let start = near, size = 16 * SHORT_LINE; start < chunk.length; start += size, size *= 4) {
    const window = chunk.subarray(start, start + size)
    const lf = window.indexOf(LF)
    const cr = (lf < 0 ? window : window.subarray(0, lf)).indexOf(CR)
    if (cr >= 0) return start + cr
    if (lf >= 0) return start + lf
  }
  return chunk.length
}

const SHORT_LINE = 64

export class SseEventTooLarge extends Error {
  readonly limit: number
  constructor(limit: number) {
    super(`an SSE event is larger than ${limit} bytes`)
    this.limit = limit
    this.name = 'SseEventTooLarge'
  }
}

/** Splits a byte stream into events. Memory: one event, at most `maxEvent` bytes. */
export class SseParser {
  readonly #boundary = new SseBoundary()
  readonly #maxEvent: number
  #parts: Buffer[] = []
  #size = 0
  #first = true

  constructor(maxEvent: number) {
    this.#maxEvent = maxEvent
  }

  get atBoundary(): boolean {
    return this.#size === 0
  }

  /** Throws SseEventTooLarge. */
  push(chunk: Buffer): SseEvent[] {
    const events: SseEvent[] = []
    let from = 0
    for (;;) {
      const at = this.#boundary.next(chunk, from)
      this.#take(chunk.subarray(from, at < 0 ? chunk.length : at))
      if (at < 0) return events
      events.push(this.#event())
      from = at
    }
  }

  /** What stands behind the last blank line when the stream ends. It is no event (the standard discards it). */
  rest(): Buffer {
    return Buffer.concat(this.#parts)
  }

  #take(part: Buffer): void {
    if (part.length === 0) return
    this.#size += part.length
    if (this.#size > this.#maxEvent) throw new SseEventTooLarge(this.#maxEvent)
    this.#parts.push(part)
  }

  #event(): SseEvent {
    const raw = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts)
    this.#parts = []
    this.#size = 0
    const hasBom = this.#first && raw[0] === 0xef && raw[1] === 0xbb && raw[2] === 0xbf
    this.#first = false
    return parseEvent(raw, hasBom ? 3 : 0)
  }
}

function parseEvent(raw: Buffer, start: number): SseEvent {
  const out: { raw: Buffer; id?: string; event?: string; retry?: number; data?: Buffer } = { raw }
  const data: Buffer[] = []
  let i = start
  while (i < raw.length) {
    const end = lineEnd(raw, i)
    if (end > i && raw[i] !== COLON) field(raw, i, end, out, data)
    i = end + 1
    if (raw[end] === CR && raw[i] === LF) i++
  }
  if (data.length === 1) out.data = data[0]!
  else if (data.length > 1) out.data = Buffer.concat(data.flatMap((line, k) => (k === 0 ? [line] : [NEWLINE, line])))
  return out
}

const NEWLINE = Buffer.from('\n')

function field(
  raw: Buffer,
  start: number,
  end: number,
  out: { id?: string; event?: string; retry?: number },
  data: Buffer[]
): void {
  const at = raw.subarray(start, end).indexOf(COLON)
  const colon = at < 0 ? end : start + at
  const valueStart = colon < end && raw[colon + 1] === SPACE ? colon + 2 : Math.min(colon + 1, end)
  const name = raw.toString('latin1', start, colon)
  if (name === 'data') data.push(raw.subarray(valueStart, Math.max(valueStart, end)))
  else if (name === 'event') out.event = raw.toString('utf8', valueStart, end)
  else if (name === 'id') {
    const id = raw.toString('utf8', valueStart, end)
    if (!id.includes('\0')) out.id = id
  } else if (name === 'retry') {
    const text = raw.toString('latin1', valueStart, end)
    if (/^\d+$/.test(text)) out.retry = Number(text)
  }
}

const MESSAGE_HEAD = Buffer.from('event: message\ndata: ')
const BLANK = Buffer.from('\n\n')

/** A message as an event of its own; `line` has no CR or LF. */
export function encodeMessageEvent(line: Buffer): Buffer {
  return Buffer.concat([MESSAGE_HEAD, line, BLANK])
}

/** `event` with other data (undefined: none left), its id, name and retry kept: resumption hangs on the ids. */
export function encodeChangedEvent(event: SseEvent, line: Buffer | undefined): Buffer {
  const head: string[] = []
  if (event.event !== undefined && line) head.push(`event: ${event.event}\n`)
  if (event.id !== undefined) head.push(`id: ${event.id}\n`)
  if (event.retry !== undefined) head.push(`retry: ${event.retry}\n`)
  if (!line) return head.length === 0 ? Buffer.alloc(0) : Buffer.from(`${head.join('')}\n`)
  return Buffer.concat([Buffer.from(`${head.join('')}data: `), line, BLANK])
}

export const KEEP_ALIVE_COMMENT = Buffer.from(': keep-alive\n\n')
