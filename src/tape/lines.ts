/** Cuts chunks into lines, holding at most one unfinished line in memory. */
export class LineSplitter {
  readonly #max: number
  #pieces: Buffer[] = []
  #length = 0

  constructor(maxLine: number) {
    this.#max = maxLine
  }

  /** The lines completed by the chunk, without their ends. Throws RangeError for one that is too long; see `before`. */
  push(chunk: Buffer): Buffer[] {
    const lines: Buffer[] = []
    let from = 0
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
      const piece = chunk.subarray(from, at)
      if (this.#length + piece.length > this.#max) throw new LineTooLong(lines)
      lines.push(this.#pieces.length > 0 ? this.#join(piece) : piece)
      from = at + 1
    }
    const rest = chunk.subarray(from)
    if (rest.length > 0) {
      // A copy: whoever reads the file may fill the same memory again.
      this.#pieces.push(Buffer.from(rest))
      this.#length += rest.length
      if (this.#length > this.#max) throw new LineTooLong(lines)
    }
    return lines
  }

  /** What is left behind the last line end. */
  get rest(): Buffer {
    return Buffer.concat(this.#pieces)
  }

  #join(last: Buffer): Buffer {
    this.#pieces.push(last)
    const line = Buffer.concat(this.#pieces)
    this.#pieces = []
    this.#length = 0
    return line
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
