import { write } from 'node:fs'

/** Takes text (whole lines). A promise says when it has room for more. */
export type WriteText = (text: string) => unknown

/** Lines wait at most this long (ms) for others to share a write with, and for the end of a turn at least. */
const LINGER = 50
/** Characters that may wait. */
const MAX_WAITING = 1024 * 1024
/** Beyond it a write need not wait for more. */
const ENOUGH = 64 * 1024

export interface LineSinkOptions {
  /** Characters that may wait; what comes beyond is dropped. Default 1 Mi. */
  readonly maxWaiting?: number
  /** Told once, when it has failed; from then on lines are dropped. */
  readonly onError?: (error: unknown) => void
}

/** Lines on their way to somewhere slower than traffic: many share a write, few wait, and whatever is too much is counted. */
export class LineSink {
  /** Lines that were written, or handed over to be. */
  lines = 0
  drops = 0
  readonly #write: WriteText
  readonly #max: number
  readonly #onError: (error: unknown) => void
  #waiting = ''
  #waitingLines = 0
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> | undefined
  #state: 'open' | 'failed' | 'closed' = 'open'

  constructor(write: WriteText, { maxWaiting = MAX_WAITING, onError = () => {} }: LineSinkOptions = {}) {
    this.#write = write
    this.#max = maxWaiting
    this.#onError = onError
  }

  /** Whether a line would be kept. */
  get ready(): boolean {
    return this.#state === 'open' && this.#waiting.length < this.#max
  }

  miss(): void {
    this.drops++
  }

  /** `line` without its end. */
  add(line: string): void {
    if (!this.ready) return this.miss()
    this.#waiting += `${line}\n`
    this.#waitingLines++
    if (this.#writing) return
    if (this.#waiting.length >= ENOUGH) return this.#flush()
    this.#timer ??= setTimeout(() => this.#flush(), LINGER)
  }

  /** Writes what waits, as far as the other side takes it within `patience` ms. Afterwards lines are dropped. */
  async close(patience = 1_000): Promise<void> {
    if (this.#state === 'closed') return
    const failed = this.#state === 'failed'
    this.#state = 'closed'
    clearTimeout(this.#timer)
    if (failed) return
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>(resolve => {
      timer = setTimeout(resolve, patience)
    })
    await Promise.race([this.#rest(), late])
    clearTimeout(timer)
    this.drops += this.#waitingLines
  }

  async #rest(): Promise<void> {
    while (this.#writing || this.#waitingLines > 0) {
      await this.#writing
      if (this.#waitingLines > 0 && !this.#writing) this.#flush()
    }
  }

  #flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const text = this.#waiting
    const lines = this.#waitingLines
    if (lines === 0) return
    this.#waiting = ''
    this.#waitingLines = 0
    try {
      const done = this.#write(text)
      this.lines += lines
      if (done instanceof Promise) this.#writing = this.#after(done)
    } catch (error) {
      this.#fail(error, lines)
    }
  }

  async #after(done: Promise<unknown>): Promise<void> {
    try {
      await done
    } catch (error) {
      this.#fail(error, 0)
    }
    this.#writing = undefined
    if (this.#state === 'open') this.#flush()
  }

  #fail(error: unknown, lines: number): void {
    this.drops += lines + this.#waitingLines
    this.#waiting = ''
    this.#waitingLines = 0
    if (this.#state === 'open') this.#state = 'failed'
    this.#onError(error)
  }
}

/** How long a pipe that is full is left alone, in ms. */
const FULL = 20

/**
 * Writes to a file descriptor from a thread of its own: stdout and stderr as Node's streams have them are synchronous on pipes,
 * so that a reader that stops reading would stop all traffic.
 */
export function descriptorWriter(fd: number): (text: string) => Promise<void> {
  return async text => {
    let rest = Buffer.from(text)
    while (rest.length > 0) {
      const written = await writeSome(fd, rest)
      rest = rest.subarray(written)
      if (written === 0) await new Promise(resolve => setTimeout(resolve, FULL))
    }
  }
}

function writeSome(fd: number, bytes: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    write(fd, bytes, (error, written) => {
      if (!error) resolve(written)
      else if (error.code === 'EAGAIN') resolve(0)
      else reject(error)
    })
  })
}
