import { SseBoundary, type SseEvent, SseParser } from '../../protocol/sse.ts'
import { LineSplitter, type OversizeLine } from '../lines.ts'

export interface EventHandlers {
  event(event: SseEvent): void
  /** An event of that name with more data than allowed, once it has ended. `sha256` is of its longest line as it came. */
  oversize(info: OversizeLine, event: string): void
}

/** What an event may have beside its data: names, comments, blanks. */
const AROUND = 1024

/** Cuts a stream into events of at most `maxData` bytes. One that is larger harms only itself: its two ends are kept. */
export class EventSplitter {
  readonly #maxData: number
  readonly #handlers: EventHandlers
  readonly #boundary = new SseBoundary()
  readonly #parser: SseParser
  #parts: Buffer[] = []
  #size = 0
  #long: LongEvent | undefined

  constructor(maxData: number, handlers: EventHandlers) {
    this.#maxData = maxData
    this.#handlers = handlers
    this.#parser = new SseParser(maxData + AROUND)
  }

  push(chunk: Buffer): void {
    for (let from = 0; ; ) {
      const at = this.#boundary.next(chunk, from)
      this.#take(chunk.subarray(from, at < 0 ? chunk.length : at))
      if (at < 0) return
      this.#finish()
      from = at
    }
  }

  #take(part: Buffer): void {
    this.#size += part.length
    if (this.#size > this.#maxData + AROUND && !this.#long) {
      this.#long = new LongEvent()
      for (const held of this.#parts) this.#long.add(held)
      this.#parts = []
    }
    if (this.#long) this.#long.add(part)
    else if (part.length > 0) this.#parts.push(part)
  }

  #finish(): void {
    const [long, parts] = [this.#long, this.#parts]
    this.#parts = []
    this.#size = 0
    this.#long = undefined
    if (long) return this.#oversize(long)
    // Whole events only: the parser sees their ends where they were seen here.
    for (const event of this.#parser.push(parts.length === 1 ? parts[0]! : Buffer.concat(parts))) {
      if (event.data === undefined || event.data.length <= this.#maxData) {
        this.#handlers.event(event)
        continue
      }
      const slow = new LongEvent()
      slow.add(event.raw)
      this.#oversize(slow)
    }
  }

  #oversize(long: LongEvent): void {
    const info = long.finish()
    if (info) this.#handlers.oversize(info, long.name)
  }
}

/** Lines up to this length are kept whole, of longer ones the two ends. */
const SHORT = 4096
const CR = 0x0d

/** An event of which only the ends of its data are kept. */
class LongEvent {
  name = ''
  readonly #lines: LineSplitter
  #head: Buffer | undefined
  #tail: Buffer | undefined
  #length = 0
  #longest = 0
  #sha256 = ''

  constructor() {
    this.#lines = new LineSplitter(SHORT, {
      line: line => this.#line(line, line, line.length, ''),
      oversize: ({ head, tail, length, sha256 }) => this.#line(head, tail, length, sha256)
    })
  }

  add(part: Buffer): void {
    // A CR ends a line of a stream, but not for the splitter; blank lines it leaves out.
    this.#lines.push(part.includes(CR) ? Buffer.from(part.toString('latin1').replaceAll('\r', '\n'), 'latin1') : part)
  }

  /** Undefined where there is no data: a comment. */
  finish(): OversizeLine | undefined {
    this.#lines.end()
    if (!this.#head || !this.#tail) return undefined
    return { length: this.#length, head: this.#head, tail: this.#tail, sha256: this.#sha256 }
  }

  #line(head: Buffer, tail: Buffer, length: number, sha256: string): void {
    const [matched, field] = /^(event|data): ?/.exec(head.toString('latin1', 0, 7)) ?? []
    if (matched === undefined) return
    const prefix = matched.length
    if (field === 'event') {
      this.name = head.toString('utf8', prefix)
      return
    }
    // Copies: a line may share memory with a chunk.
    this.#head ??= Buffer.from(head.subarray(prefix))
    this.#tail = Buffer.from(head === tail ? tail.subarray(prefix) : tail)
    this.#length += length - prefix
    if (length > this.#longest) [this.#longest, this.#sha256] = [length, sha256]
  }
}
