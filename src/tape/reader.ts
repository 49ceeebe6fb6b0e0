import { isUtf8 } from 'node:buffer'
import { asFrame, asHeader, parseLine } from './check.ts'
import { fileChunks } from './file-chunks.ts'
import { reasonOf, TapeError, type TapeFrame, type TapeHeader } from './format.ts'
import { LineSplitter, LineTooLong } from './lines.ts'

export interface ReadOptions {
  /** Wait for more at the end, like `tail -f`. Ends when the file is removed or `signal` says stop. */
  readonly follow?: boolean
  readonly signal?: AbortSignal
  /** Bytes; a longer line is an error. Default 64 MiB. */
  readonly maxLine?: number
  /** Hears of each piece that was read from a file, in bytes: for telling how far it is. */
  readonly onBytes?: (bytes: number) => void
}

export const DEFAULT_MAX_LINE = 64 * 1024 * 1024

/** Lines that are parsed before the first of them is looked at: frames that wait survive collections, and are costly then. */
const TOGETHER = 64

/** The last line, when its writer was stopped in the middle of it. */
export interface TornLine {
  readonly line: number
  readonly bytes: number
}

/**
 * Reads a tape as a stream, in constant memory. Errors name file and line. A last line that was cut off is left out and
 * told as `torn`; anything else that is no frame is an error.
 */
export class TapeReader implements AsyncIterable<TapeFrame> {
  readonly name: string
  readonly header: TapeHeader
  #torn: TornLine | undefined
  #line = 1
  readonly #lines: LineSource
  #first: Buffer[]

  private constructor(name: string, header: TapeHeader, lines: LineSource, first: Buffer[]) {
    this.name = name
    this.header = header
    this.#lines = lines
    this.#first = first
  }

  /** `-` is standard input. Throws TapeError. */
  static open(file: string, options: ReadOptions = {}): Promise<TapeReader> {
    if (file === '-') return TapeReader.from(process.stdin, 'standard input', options)
    return TapeReader.from(fileChunks(file, { ...options, reuse: true }), file, options)
  }

  /** From any stream of bytes; `name` stands for it in errors. */
  static async from(chunks: AsyncIterable<Buffer>, name: string, options: ReadOptions = {}): Promise<TapeReader> {
    const lines = new LineSource(chunks, name, options.maxLine ?? DEFAULT_MAX_LINE)
    try {
      const first = (await lines.next()) ?? []
      const line = first.shift() ?? lines.rest
      if (line.length === 0) throw new TapeError('tape_malformed', `${name} is empty: a tape begins with a header line`)
      return new TapeReader(name, parseHeader(line, name), lines, first)
    } catch (error) {
      await lines.close()
      throw error
    }
  }

  /** The number of the line read last. */
  get line(): number {
    return this.#line
  }

  /** Known once the end is reached. */
  get torn(): TornLine | undefined {
    return this.#torn
  }

  /** Frames as they come off the disk, many at a time: what loops over millions of them is faster so. */
  batches(): AsyncGenerator<readonly TapeFrame[], void, void> {
    return this.parsed(parseFrame)
  }

  /**
   * The same by a parser of one's own, which throws SyntaxError for what is no frame and leaves a line out by undefined. The bytes
   * of a line are only valid until it returns.
   */
  async *parsed<T>(parse: (line: Buffer) => T | undefined): AsyncGenerator<readonly T[], void, void> {
    try {
      let lines: Buffer[] | undefined = this.#first
      this.#first = []
      for (; lines; lines = await this.#lines.next()) {
        for (let from = 0; from < lines.length; from += TOGETHER) {
          const { frames, error } = this.#parse(lines.slice(from, from + TOGETHER), parse)
          if (frames.length > 0) yield frames
          if (error) throw error
        }
      }
      const last = this.#lastFrame(this.#lines.rest, parse)
      if (last !== undefined) yield [last]
    } finally {
      await this.close()
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<TapeFrame, void, void> {
    for await (const batch of this.batches()) yield* batch
  }

  async close(): Promise<void> {
    await this.#lines.close()
  }

  /** Up to the first line that is no frame: what stood before it is still worth having. */
  #parse<T>(
    lines: readonly Buffer[],
    parse: (line: Buffer) => T | undefined
  ): { readonly frames: T[]; readonly error?: TapeError } {
    const frames: T[] = []
    for (const line of lines) {
      this.#line++
      try {
        const frame = parse(line)
        if (frame !== undefined) frames.push(frame)
      } catch (error) {
        return {
          frames,
          error: new TapeError('tape_malformed', `${this.name}:${this.#line}: ${reasonOf(error)}`, error)
        }
      }
    }
    return { frames }
  }

  /** Without a line end: complete all the same, or torn. */
  #lastFrame<T>(rest: Buffer, parse: (line: Buffer) => T | undefined): T | undefined {
    if (rest.length === 0 || this.#lines.headerOnly) return undefined
    this.#line++
    try {
      // Nothing that only looks at a part of a line may judge this one.
      parseFrame(rest)
      return parse(rest)
    } catch {
      this.#torn = { line: this.#line, bytes: rest.length }
      return undefined
    }
  }
}

/** Throws SyntaxError. */
export function parseFrame(line: Buffer): TapeFrame {
  if (!isUtf8(line)) throw new SyntaxError('not UTF-8')
  return asFrame(parseLine(line.toString('utf8')))
}

function parseHeader(line: Buffer, name: string): TapeHeader {
  let value: unknown
  try {
    value = parseLine(line.toString('utf8'))
  } catch {
    // Something else than JSON: said below, like JSON that is no header.
  }
  return asHeader(value, name)
}

/** Lines off a stream of chunks, chunk by chunk. */
export class LineSource {
  readonly #chunks: AsyncIterator<Buffer>
  readonly #name: string
  readonly #max: number
  readonly #splitter: LineSplitter
  #count = 0
  #failed: TapeError | undefined

  constructor(chunks: AsyncIterable<Buffer>, name: string, maxLine: number) {
    this.#chunks = chunks[Symbol.asyncIterator]()
    this.#name = name
    this.#max = maxLine
    this.#splitter = new LineSplitter(maxLine)
  }

  /** The next lines, at least one; undefined at the end. Throws TapeError `tape_line_too_long`. */
  async next(): Promise<Buffer[] | undefined> {
    for (;;) {
      if (this.#failed) throw this.#failed
      const { done, value } = await this.#chunks.next()
      if (done) return undefined
      const lines = this.#split(value)
      this.#count += lines.length
      if (lines.length > 0) return lines
    }
  }

  /** Behind the last line end. */
  get rest(): Buffer {
    return this.#splitter.rest
  }

  /** The whole tape is one line without an end: that was the header. */
  get headerOnly(): boolean {
    return this.#count === 0
  }

  async close(): Promise<void> {
    await this.#chunks.return?.()
  }

  #split(chunk: Buffer): Buffer[] {
    try {
      return this.#splitter.push(chunk)
    } catch (error) {
      if (!(error instanceof LineTooLong)) throw error
      const line = this.#count + error.before.length + 1
      this.#failed = new TapeError(
        'tape_line_too_long',
        `${this.#name}:${line}: the line is longer than ${this.#max} bytes; this is no tape, or not a sane one`
      )
      return [...error.before]
    }
  }
}
