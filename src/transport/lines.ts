import { createHash, type Hash } from 'node:crypto'

export interface OversizeLine {
  /** Bytes of the whole line. */
  readonly length: number
  /** The first 4 KiB and the last 1 KiB (of a shorter line they overlap). */
  readonly head: Buffer
  readonly tail: Buffer
  /** Of the whole line, lower-case hex. */
  readonly sha256: string
}

export interface LineHandlers {
  /** Without its line ending. The buffer may share memory with the chunk it came in. */
  line(line: Buffer): void
  /** A line of more than `maxLine` bytes, once it has ended. */
  oversize(info: OversizeLine): void
}

const LF = 0x0a
const CR = 0x0d
const HEAD = 4096
const TAIL = 1024
const EMPTY = Buffer.alloc(0)

/**
 * Cuts a byte stream into lines at LF or CRLF; empty lines are skipped, the last line needs no ending. Bytes are never
 * decoded, so that a character which is split over chunks is no matter.
 *
 * A line within one chunk is a view of it. What spans chunks is copied once into a buffer that doubles, so that neither a
 * huge line nor one in single bytes costs more than linear work, and at most about twice `maxLine` is held.
 */
export class LineSplitter {
  readonly #maxLine: number
  readonly #handlers: LineHandlers
  #held = EMPTY
  #length = 0
  #long: LongLine | undefined

  constructor(maxLine: number, handlers: LineHandlers) {
    this.#maxLine = maxLine
    this.#handlers = handlers
  }

  push(chunk: Buffer): void {
    let start = 0
    for (let end = chunk.indexOf(LF); end !== -1; end = chunk.indexOf(LF, start)) {
      const part = chunk.subarray(start, end)
      start = end + 1
      this.#finish(part)
    }
    if (start < chunk.length) this.#hold(chunk.subarray(start))
  }

  /** The stream has ended: what is left is the last line. The splitter can then be used for another stream. */
  end(): void {
    this.#finish(EMPTY)
  }

  #finish(part: Buffer): void {
    const whole = this.#length === 0 && !this.#long && part.length <= this.#maxLine
    if (!whole) this.#hold(part)
    const [long, line] = [this.#long, whole ? part : this.#held.subarray(0, this.#length)]
    // Before the handlers run: what they throw must not leave half a line here.
    this.#long = undefined
    this.#release()
    if (long) this.#handlers.oversize(long.finish())
    else this.#deliver(line)
  }

  #deliver(raw: Buffer): void {
    const line = raw.at(-1) === CR ? raw.subarray(0, -1) : raw
    if (line.length === 0) return
    if (line.length > this.#maxLine) {
      const long = new LongLine()
      long.add(line)
      this.#handlers.oversize(long.finish())
    } else this.#handlers.line(line)
  }

  #hold(part: Buffer): void {
    const length = this.#length + part.length
    // One more than the limit is held: it may turn out to be the CR of the line ending.
    if (this.#long || length > this.#maxLine + 1) {
      if (!this.#long) {
        this.#long = new LongLine()
        this.#long.add(this.#held.subarray(0, this.#length))
        this.#release()
      }
      this.#long.add(part)
      return
    }
    if (length > this.#held.length) this.#grow(length)
    part.copy(this.#held, this.#length)
    this.#length = length
  }

  #grow(needed: number): void {
    // Not from the pool: lines can be kept for long, and would keep the pool's slab with them.
    const larger = Buffer.allocUnsafeSlow(Math.min(Math.max(2 * needed, 1024), this.#maxLine + 1))
    this.#held.copy(larger, 0, 0, this.#length)
    this.#held = larger
  }

  #release(): void {
    this.#held = EMPTY
    this.#length = 0
  }
}

/** A line of which only the two ends, the length and the hash are kept. */
class LongLine {
  readonly #hash: Hash = createHash('sha256')
  readonly #head = Buffer.allocUnsafeSlow(HEAD)
  /** Twice the size that is wanted, so that bytes move only when it is full. */
  readonly #tail = Buffer.allocUnsafeSlow(2 * TAIL)
  #tailLength = 0
  #length = 0
  /** A CR belongs to the line only if something follows it but LF. */
  #cr = false

  add(part: Buffer): void {
    if (part.length === 0) return
    if (this.#cr) this.#append(Buffer.of(CR))
    this.#cr = part.at(-1) === CR
    this.#append(this.#cr ? part.subarray(0, -1) : part)
  }

  finish(): OversizeLine {
    return {
      length: this.#length,
      head: this.#head.subarray(0, Math.min(this.#length, HEAD)),
      tail: this.#tail.subarray(Math.max(0, this.#tailLength - TAIL), this.#tailLength),
      sha256: this.#hash.digest('hex')
    }
  }

  #append(part: Buffer): void {
    this.#hash.update(part)
    if (this.#length < HEAD) part.copy(this.#head, this.#length)
    this.#length += part.length
    const end = part.length > TAIL ? part.subarray(-TAIL) : part
    if (this.#tailLength + end.length > this.#tail.length) {
      this.#tail.copyWithin(0, this.#tailLength - TAIL, this.#tailLength)
      this.#tailLength = TAIL
    }
    end.copy(this.#tail, this.#tailLength)
    this.#tailLength += end.length
  }
}
