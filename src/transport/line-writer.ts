import type { Writable } from 'node:stream'

const LF = Buffer.from('\n')
/** Up to this size a line is copied to stand before its LF; beyond, two buffers in one system call are cheaper. */
const COPIED = 16_384

/** Lines to one stream: the first of a turn of the event loop at once, what follows in the same turn in one system call at its end. */
export class LineWriter {
  readonly #stream: Writable
  readonly #atEnd = (): void => this.#flush()
  #lines = 0

  constructor(stream: Writable) {
    this.#stream = stream
  }

  /** The line and an LF. False: wait for the stream's `drain` before the next one. */
  write(line: Buffer): boolean {
    this.#lines++
    if (this.#lines === 1) setImmediate(this.#atEnd)
    else if (this.#lines === 2) this.#stream.cork()
    return line.length < COPIED ? this.#stream.write(terminated(line)) : this.#both(line)
  }

  #both(line: Buffer): boolean {
    this.#stream.cork()
    this.#stream.write(line)
    const more = this.#stream.write(LF)
    this.#stream.uncork()
    return more
  }

  #flush(): void {
    if (this.#lines > 1) this.#stream.uncork()
    this.#lines = 0
  }
}

function terminated(line: Buffer): Buffer {
  const whole = Buffer.allocUnsafe(line.length + 1)
  line.copy(whole)
  whole[line.length] = 0x0a
  return whole
}
