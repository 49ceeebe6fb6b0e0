import fs from 'node:fs'
import { promisify } from 'node:util'
import { crc32 } from 'node:zlib'
import { errnoOf, TapeError, type TapeFrame } from '../tape/format.ts'
import { parseFrame } from '../tape/reader.ts'
import { unreadable } from '../tape/unreadable.ts'
import { uint32s } from './column.ts'
import { NearColumn } from './near-column.ts'
import type { TapePlace, TapeText } from './recording.ts'

const openFile = promisify(fs.open)
const readSome = promisify(fs.read)

/** Descriptors that all recordings of this process hold; tapes beyond them are opened again whenever they are read from. */
const MAX_HELD = 128
const CHUNK = 128 * 1024

let held = 0

/** A line as it was read. */
export interface LineOnTape {
  readonly raw: Buffer
  readonly offset: number
  readonly number: number
  /** CRC-32 of `raw`. */
  readonly sum: number
}

/** Of a message in a batch: where it stands in the frame's text. */
export interface TextRange {
  readonly from: number
  readonly to: number
}

/**
 * A tape's file, and where in it the lines stand whose content may be asked for. What is known of each line stands in columns:
 * a tape may have millions of them.
 */
export class TapeSource {
  readonly file: string
  /** In ms: between the start of the first of all tapes and of this one. */
  base = 0
  readonly #at = new NearColumn(1000)
  readonly #offset = new NearColumn(1)
  readonly #bytes = uint32s()
  readonly #sum = uint32s()
  readonly #line = uint32s()
  readonly #from = uint32s()
  readonly #length = uint32s()
  /** Of the first texts. */
  readonly #kept: string[] = []
  #count = 0
  #latest: { readonly offset: number; readonly text: string } | undefined
  #descriptor: number | undefined
  #isFile = true
  #size = 0
  /** Some lines must be read again when they are asked for. */
  #needed = false
  #closed = false

  private constructor(file: string) {
    this.file = file
  }

  /** Throws TapeError `tape_unreadable`. */
  static async open(file: string): Promise<TapeSource> {
    const source = new TapeSource(file)
    try {
      source.#descriptor = await openFile(file, 'r')
      held++
      const stat = fs.fstatSync(source.#descriptor)
      if (stat.isDirectory()) throw new Error('it is a folder')
      source.#isFile = stat.isFile()
      source.#size = stat.size
    } catch (error) {
      source.#release()
      throw unreadable(file, error)
    }
    return source
  }

  /** Bytes, when it was opened. */
  get size(): number {
    return this.#size
  }

  /** What comes out of a pipe is gone once it was read. */
  get canReadAgain(): boolean {
    return this.#isFile
  }

  /** The content from its beginning. */
  async *chunks(signal: AbortSignal | undefined): AsyncGenerator<Buffer, void, void> {
    for (let position = 0; ; ) {
      signal?.throwIfAborted()
      const chunk = Buffer.allocUnsafe(CHUNK)
      const { bytesRead } = await this.#read(chunk, this.#isFile ? position : null)
      if (bytesRead === 0) return
      position += bytesRead
      yield chunk.subarray(0, bytesRead)
    }
  }

  async #read(chunk: Buffer, position: number | null): Promise<{ readonly bytesRead: number }> {
    try {
      return await readSome(this.#descriptor!, chunk, 0, chunk.length, position)
    } catch (error) {
      throw unreadable(this.file, error)
    }
  }

  /**
   * A text whose place is worth knowing: a whole frame's, or a part of it. Returns its number. With `keep` it is held in memory,
   * until the first that is not.
   */
  add(line: LineOnTape, frame: TapeFrame, part: TextRange | undefined, keep: boolean): number {
    const i = this.#count++
    const text = textOf(frame) ?? ''
    const { from, to } = part ?? { from: 0, to: text.length }
    this.#at.set(i, frame.t)
    this.#offset.set(i, line.offset)
    this.#bytes.set(i, line.raw.length)
    this.#sum.set(i, line.sum)
    this.#line.set(i, line.number)
    if (from > 0) this.#from.set(i, from)
    this.#length.set(i, to - from)
    if (!keep || this.#kept.length < i) this.#needed = true
    else this.#kept.push(part ? text.slice(from, to) : text)
    return i
  }

  /** Something else than a text will be read again. */
  keepOpen(): void {
    this.#needed = true
  }

  /** All was read: the file stays open only where something of it may be asked for. */
  finish(): void {
    if (!this.#needed || held > MAX_HELD) this.#release()
  }

  close(): void {
    this.#latest = undefined
    this.#closed = true
    this.#release()
  }

  atOf(i: number): number {
    return this.base + this.#at.get(i)
  }

  lineOf(i: number): number {
    return this.#line.get(i)
  }

  lengthOf(i: number): number {
    return this.#length.get(i)
  }

  /** Throws TapeError `tape_replaced`, `tape_unreadable`. */
  textOf(i: number): string {
    const kept = this.#kept[i]
    if (kept !== undefined) return kept
    const from = this.#from.get(i)
    const whole = this.#wholeOf(i)
    return from === 0 && whole.length === this.lengthOf(i) ? whole : whole.slice(from, from + this.lengthOf(i))
  }

  /** The messages of a long batch are asked for one after another. */
  #wholeOf(i: number): string {
    const offset = this.#offset.get(i)
    if (this.#latest?.offset === offset) return this.#latest.text
    const text = textOf(this.frameOf(i)) ?? ''
    this.#latest = text.length === this.lengthOf(i) ? undefined : { offset, text }
    return text
  }

  /** HTTP headers of its frame, name and value in turn. */
  headersOf(i: number): readonly string[] {
    return this.frameOf(i).http?.headers?.flat() ?? []
  }

  /** What was taken out of its frame. */
  redactedOf(i: number): readonly string[] {
    return this.frameOf(i).redacted ?? []
  }

  /** Reads the frame again. Throws TapeError `tape_replaced`, `tape_unreadable`. */
  frameOf(i: number): TapeFrame {
    if (this.#closed) throw new TapeError('tape_unreadable', `${this.#place(i)}: the recording was closed`)
    const raw = this.#bytesOf(i)
    if (!raw || crc32(raw) !== this.#sum.get(i)) throw this.#changed(i)
    return parseFrame(raw)
  }

  #bytesOf(i: number): Buffer | undefined {
    const raw = Buffer.allocUnsafe(this.#bytes.get(i))
    const once = this.#descriptor === undefined
    try {
      const descriptor = this.#descriptor ?? fs.openSync(this.file, 'r')
      try {
        return readAll(descriptor, raw, this.#offset.get(i)) ? raw : undefined
      } finally {
        if (once) fs.closeSync(descriptor)
      }
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') throw this.#changed(i)
      throw unreadable(this.file, error)
    }
  }

  #changed(i: number): TapeError {
    return new TapeError('tape_replaced', `${this.#place(i)}: the tape was changed while it was in use; start again`)
  }

  #place(i: number): string {
    return `${this.file}:${this.lineOf(i)}`
  }

  #release(): void {
    if (this.#descriptor === undefined) return
    fs.closeSync(this.#descriptor)
    this.#descriptor = undefined
    held--
  }
}

/** A message on a tape: its text, and where it stands. */
export class TextOnTape implements TapePlace, TapeText {
  readonly #source: TapeSource
  readonly #index: number

  constructor(source: TapeSource, index: number) {
    this.#source = source
    this.#index = index
  }

  get file(): string {
    return this.#source.file
  }

  get line(): number {
    return this.#source.lineOf(this.#index)
  }

  get length(): number {
    return this.#source.lengthOf(this.#index)
  }

  get(): string {
    return this.#source.textOf(this.#index)
  }
}

function textOf(frame: TapeFrame): string | undefined {
  return frame.text ?? (frame.base64 === undefined ? undefined : Buffer.from(frame.base64, 'base64').toString())
}

function readAll(descriptor: number, into: Buffer, offset: number): boolean {
  for (let done = 0; done < into.length; ) {
    const n = fs.readSync(descriptor, into, done, into.length - done, offset + done)
    if (n === 0) return false
    done += n
  }
  return true
}
