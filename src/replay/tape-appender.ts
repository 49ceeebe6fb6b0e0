import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { asHeader, parseLine } from '../tape/check.ts'
import { FrameEncoder, lineOf } from '../tape/encoder.ts'
import { errnoOf, reasonOf, TapeError, type TapeHeader, type TapeTarget } from '../tape/format.ts'
import type { Frame } from '../tape/frame.ts'
import type { Redactor } from '../tape/redact.ts'
import { VERSION } from '../version.ts'

const CHUNK = 64 * 1024
const MAX_LINE = 64 * 1024 * 1024
/** Of the first line. */
const MAX_HEADER = 1024 * 1024

export interface AppenderOptions {
  readonly redactor: Redactor
  /** What the tape is of, where there is none yet. */
  readonly target: TapeTarget
  readonly onError: (reason: string) => void
}

/** Adds frames to a tape that exists, or to a new one: numbers go on, and time does. */
export class TapeAppender {
  readonly #handle: FileHandle
  readonly #encoder: FrameEncoder
  readonly #options: AppenderOptions
  readonly #started: number
  #n: number
  #t: number
  #waiting = ''
  #writing: Promise<void> | undefined
  #failed = false

  private constructor(
    handle: FileHandle,
    options: AppenderOptions,
    at: { readonly started: number; readonly n: number; readonly t: number }
  ) {
    this.#handle = handle
    this.#options = options
    this.#encoder = new FrameEncoder(options.redactor)
    this.#started = at.started
    this.#n = at.n
    this.#t = at.t
  }

  /** Makes the tape where there is none. Throws TapeError. */
  static async open(file: string, options: AppenderOptions): Promise<TapeAppender> {
    let handle: FileHandle | undefined
    try {
      handle = await open(file, constants.O_RDWR | constants.O_APPEND | constants.O_CREAT, 0o600)
      const stat = await handle.stat()
      if (!stat.isFile()) throw new TapeError('tape_unwritable', `cannot add to ${file}: it is no file`)
      if (stat.size > 0) return new TapeAppender(handle, options, await endOf(handle, stat.size, file))
      const started = new Date()
      const software = { name: 'catflap', version: VERSION }
      const header = new FrameEncoder(options.redactor).header({ started, target: options.target, software })
      await handle.appendFile(header)
      return new TapeAppender(handle, options, { started: started.getTime(), n: 0, t: 0 })
    } catch (error) {
      await handle?.close()
      if (error instanceof TapeError) throw error
      const code = errnoOf(error) === 'EISDIR' ? 'it is a folder; name one tape' : reasonOf(error)
      throw new TapeError('tape_unwritable', `cannot add to ${file}: ${code}`, error)
    }
  }

  /** A name that no stream on the tape has. */
  stream(kind: 'post' | 'get'): string {
    return `${kind}-${this.#n + 1}`
  }

  append(frame: Frame): void {
    if (this.#failed) return
    this.#n++
    // What was held back is as old as it is; lines of several sessions stand in the order in which they are written.
    this.#t = Math.max(this.#t, Math.round(performance.timeOrigin + frame.time) - this.#started)
    this.#waiting += lineOf(this.#n, this.#t, this.#encoder.body(frame))
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined
    })
  }

  async close(): Promise<void> {
    await this.#writing
    await this.#handle.close()
  }

  async #write(): Promise<void> {
    // What is said in one turn goes out in one piece.
    await Promise.resolve()
    while (this.#waiting !== '') {
      const lines = this.#waiting
      this.#waiting = ''
      try {
        await this.#handle.appendFile(lines)
      } catch (error) {
        this.#failed = true
        this.#waiting = ''
        this.#options.onError(reasonOf(error))
      }
    }
  }
}

interface End {
  readonly started: number
  readonly n: number
  readonly t: number
}

/** Where the tape ends. A last line that was cut off is taken away: whatever came behind it would be taken for its rest. */
async function endOf(handle: FileHandle, size: number, file: string): Promise<End> {
  const head = await read(handle, 0, Math.min(size, MAX_HEADER))
  const lineEnd = head.indexOf(0x0a)
  const started = Date.parse(headerOf(head.subarray(0, lineEnd < 0 ? head.length : lineEnd).toString(), file).started)
  let end = size
  for (;;) {
    const start = await lineStart(handle, end, file)
    const text = (await read(handle, start, end - start)).toString()
    const frame = frameOf(text)
    if (frame && text.endsWith('\n')) return { started, ...frame }
    if (frame) {
      await handle.appendFile('\n')
      return { started, ...frame }
    }
    if (start === 0) {
      if (!text.endsWith('\n')) await handle.appendFile('\n')
      return { started, n: 0, t: 0 }
    }
    if (end < size || text.endsWith('\n'))
      throw new TapeError('tape_malformed', `cannot add to ${file}: its last line is no frame`)
    await handle.truncate(start)
    end = start
  }
}

function headerOf(line: string, file: string): TapeHeader {
  let value: unknown
  try {
    value = parseLine(line)
  } catch {
    // It says itself what it lacks.
  }
  return asHeader(value, file)
}

/** Where the last line before `end` begins. */
async function lineStart(handle: FileHandle, end: number, file: string): Promise<number> {
  // The line end of the line itself does not count.
  for (let to = end - 1; to > 0; to -= CHUNK) {
    if (end - to > MAX_LINE)
      throw new TapeError('tape_line_too_long', `cannot add to ${file}: its last line is too long`)
    const from = Math.max(0, to - CHUNK)
    const at = (await read(handle, from, to - from)).lastIndexOf(0x0a)
    if (at >= 0) return from + at + 1
  }
  return 0
}

async function read(handle: FileHandle, from: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length)
  const { bytesRead } = await handle.read(buffer, 0, length, from)
  return buffer.subarray(0, bytesRead)
}

function frameOf(line: string): { n: number; t: number } | undefined {
  try {
    const { n, t } = JSON.parse(line) as { n?: unknown; t?: unknown }
    return typeof n === 'number' && typeof t === 'number' ? { n, t } : undefined
  } catch {
    return undefined
  }
}
