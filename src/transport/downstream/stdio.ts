import type { Readable, Writable } from 'node:stream'
import { LineSplitter } from '../lines.ts'

export interface StdioPeerOptions {
  readonly input: Readable
  readonly output: Writable
  /** Bytes of one line. */
  readonly maxLine: number
}

export interface StdioPeerEvents {
  line(line: Buffer): void
  oversize(length: number): void
  /** The client has closed its end, or is gone. */
  end(): void
  /** The client reads no more: it is gone. `end` follows, unless it came before. */
  broken(): void
  /** Room again after `write` said false. */
  drain(): void
}

const NEWLINE = Buffer.from('\n')
const FLUSH_TIMEOUT = 2_000

/** One client on a pair of pipes: a message a line, in both directions. */
export class StdioPeer {
  readonly #options: StdioPeerOptions
  readonly #events: StdioPeerEvents
  readonly #splitter: LineSplitter
  bytesRead = 0
  bytesWritten = 0
  #ended = false
  #broken = false

  constructor(options: StdioPeerOptions, events: StdioPeerEvents) {
    this.#options = options
    this.#events = events
    this.#splitter = new LineSplitter(options.maxLine, {
      line: line => events.line(line),
      oversize: info => events.oversize(info.length)
    })
  }

  start(): void {
    const { input, output } = this.#options
    input.on('data', this.#onData)
    input.on('end', this.#onEnd)
    input.on('close', this.#onEnd)
    input.on('error', this.#onEnd)
    output.on('drain', this.#onDrain)
    output.on('error', this.#onBroken)
  }

  /** False: the client reads slowly; wait for `drain`. */
  write(line: Buffer): boolean {
    if (this.#broken) return true
    const output = this.#options.output
    this.bytesWritten += line.length + 1
    output.cork()
    output.write(line)
    const free = output.write(NEWLINE)
    output.uncork()
    return free
  }

  pause(): void {
    this.#options.input.pause()
  }

  resume(): void {
    this.#options.input.resume()
  }

  /** Resolves when everything written has gone out, or cannot any more. */
  async flush(): Promise<void> {
    const output = this.#options.output
    if (this.#broken || output.writableLength === 0) return
    await new Promise<void>(resolve => {
      // A client that is alive and does not read would keep us for ever.
      const impatience = setTimeout(resolve, FLUSH_TIMEOUT)
      const done = (): void => {
        clearTimeout(impatience)
        resolve()
      }
      output.once('error', done)
      output.write('', done)
    })
  }

  stop(): void {
    const { input, output } = this.#options
    input.off('data', this.#onData)
    input.off('end', this.#onEnd)
    input.off('close', this.#onEnd)
    input.off('error', this.#onEnd)
    output.off('drain', this.#onDrain)
    // A paused stdin still holds the process; destroying it lets go.
    input.destroy()
  }

  readonly #onData = (chunk: Buffer): void => {
    this.bytesRead += chunk.length
    this.#splitter.push(chunk)
  }

  readonly #onEnd = (): void => {
    if (this.#ended) return
    this.#ended = true
    this.#splitter.end()
    this.#events.end()
  }

  readonly #onDrain = (): void => this.#events.drain()

  /** The client does not read any more (EPIPE): it is gone, whatever its other end says. */
  readonly #onBroken = (): void => {
    this.#broken = true
    this.#events.drain()
    this.#events.broken()
    this.#onEnd()
  }
}
