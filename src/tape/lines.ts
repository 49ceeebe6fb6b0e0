/** Memory beyond is let go once its line is done with. */
const KEPT = 1024 * 1024
const NOTHING = Buffer.alloc(0)

/**
 * Cuts chunks into lines, holding at most one unfinished line in memory. What stands across chunks is put together in memory that
 * is used again and again: buffers that are left to the garbage collector pile up faster than it takes them away.
 */
export class LineSplitter {
  readonly #max: number
  /** The beginning of an unfinished line. */
  #held: Buffer = NOTHING
  #length = 0
  /** Holds the line that was put together last, which its reader may still look at. */
  #lent: Buffer = NOTHING

  constructor(maxLine: number) {
    this.#max = maxLine
  }

  /** The lines completed by the chunk, without their ends; valid until the next chunk. Throws LineTooLong; see `before`. */
  push(chunk: Buffer): Buffer[] {
    const lines: Buffer[] = []
    let from = 0
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
      const piece = chunk.subarray(from, at)
      if (this.#length + piece.length > this.#max) throw new LineTooLong(lines)
      lines.push(this.#length > 0 ? this.#join(piece) : piece)
      from = at + 1
    }
    const rest = chunk.subarray(from)
    if (rest.length > 0) {
      if (this.#length + rest.length > this.#max) throw new LineTooLong(lines)
      // A copy: whoever reads the file may fill the same memory again.
      this.#hold(rest)
    }
    return lines
  }

  /** What is left behind the last line end; valid until the next chunk. */
  get rest(): Buffer {
    return this.#held.subarray(0, this.#length)
  }

  #join(last: Buffer): Buffer {
    this.#hold(last)
    const line = this.rest
    const free = this.#lent.length > KEPT ? NOTHING : this.#lent
    this.#lent = this.#held
    this.#held = free
    this.#length = 0
    return line
  }

  #hold(piece: Buffer): void {
    const length = this.#length + piece.length
    if (length > this.#held.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(length, this.#held.length * 2))
      larger.set(this.rest)
      this.#held = larger
    }
    this.#held.set(piece, this.#length)
    this.#length = length
  }
}

export class LineTooLong extends Error {
  /** The lines before it. */
  readonly before: readonly Buffer[]
  constructor(before: readonly Buffer[]) {
    super('line too long')
    this.before = before
  }
}
