import { once } from 'node:events'
import type { Writable } from 'node:stream'

const CHUNK = 64 * 1024
/** Of bytes, for a chunk of characters that are mostly ASCII. */
const BUFFER = 128 * 1024
const MAX_SPARE = 8

/** Lines to a stream: many per write when they come fast, with backpressure, and a reader who goes away is a quiet end. */
export class LineOutput {
  readonly #stream: Writable
  #text = ''
  #scheduled: NodeJS.Immediate | undefined
  #closed = false
  #error: unknown
  #draining: Promise<void> | undefined
  /** Memory that is used again: left to the garbage collector, it piles up faster than that takes it away. */
  readonly #spare: Buffer[] = []

  constructor(stream: Writable) {
    this.#stream = stream
    stream.on('error', this.#onError)
    stream.on('close', this.#onClose)
  }

  /** Nobody reads any more: stop making lines. */
  get closed(): boolean {
    return this.#closed
  }

  /** A promise only when the reader cannot follow: loops over millions of lines need not wait for each. */
  write(line: string): Promise<void> | undefined {
    if (this.#closed) return undefined
    this.#text += `${line}\n`
    if (this.#text.length >= CHUNK) return this.#flush()
    this.#scheduled ??= setImmediate(() => this.#flush())
    return undefined
  }

  /** Writes what is left. Throws what the stream failed with, unless its reader just went away. */
  async end(): Promise<void> {
    await this.#flush()
    if (!this.#closed && this.#stream.writableLength > 0) await once(this.#stream, 'drain').catch(() => {})
    this.#stream.off('close', this.#onClose)
    if (this.#error !== undefined) throw this.#error
  }

  #flush(): Promise<void> | undefined {
    clearImmediate(this.#scheduled)
    this.#scheduled = undefined
    const text = this.#text
    this.#text = ''
    if (text === '' || this.#closed || this.#send(text)) return undefined
    // Those who write on without waiting share one wait: listeners of each would pile up.
    this.#draining ??= new Promise(resolve => {
      const done = () => {
        this.#draining = undefined
        this.#stream.off('drain', done)
        this.#stream.off('close', done)
        resolve()
      }
      this.#stream.once('drain', done)
      this.#stream.once('close', done)
    })
    return this.#draining
  }

  #send(text: string): boolean {
    if (text.length > BUFFER || Buffer.byteLength(text) > BUFFER) return this.#stream.write(text)
    const buffer = this.#spare.pop() ?? Buffer.allocUnsafeSlow(BUFFER)
    const length = buffer.write(text)
    return this.#stream.write(buffer.subarray(0, length), () => {
      if (this.#spare.length < MAX_SPARE) this.#spare.push(buffer)
    })
  }

  readonly #onError = (error: NodeJS.ErrnoException): void => {
    this.#closed = true
    // EPIPE on POSIX, EOF on Windows: `| head` has seen enough.
    if (error.code !== 'EPIPE' && error.code !== 'EOF') this.#error = error
  }

  readonly #onClose = (): void => {
    this.#closed = true
  }
}
