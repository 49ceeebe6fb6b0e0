import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { asHeader, parseLine } from '../tape/check.ts'
import { FrameEncoder, lineOf } from '../tape/encoder.ts'
import { errnoOf, reasonOf, TapeError, type TapeHeader, type TapeTarget } from '../tape/format.ts'
import type { Frame } from '../tape/frame.ts'
import type { Redactor } from '../tape/redact.ts'
import { VERSION } from '../version.ts'
import { locked } from './file-lock.ts'

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

/**
 * Adds frames to a tape that exists, or to a new one: numbers go on, and time does. Several processes may add to one tape at once: each
 * writes whole lines, in its turn, and has names of its own for its streams.
 */
export class TapeAppender {
  readonly #file: string
  readonly #handle: FileHandle
  readonly #encoder: FrameEncoder
  readonly #options: AppenderOptions
  readonly #name = randomBytes(4).toString('hex')
  #end: End
  #streams = 0
  #waiting: { readonly time: number; readonly body: string }[] = []
  #writing: Promise<void> | undefined
  #failed = false

  private constructor(file: string, handle: FileHandle, options: AppenderOptions, end: End) {
    this.#file = file
    this.#handle = handle
    this.#options = options
    this.#encoder = new FrameEncoder(options.redactor)
    this.#end = end
  }

  /** Makes the tape where there is none. Throws TapeError. */
  static async open(file: string, options: AppenderOptions): Promise<TapeAppender> {
    let handle: FileHandle | undefined
    try {
      handle = await open(file, constants.O_RDWR | constants.O_APPEND | constants.O_CREAT, 0o600)
      const opened = handle
      if (!(await opened.stat()).isFile())
        throw new TapeError('tape_unwritable', `cannot add to ${file}: it is no file`)
      return await locked(file, async () => new TapeAppender(file, opened, options, await begin(opened, file, options)))
    } catch (error) {
      await handle?.close()
      if (error instanceof TapeError) throw error
      const code = errnoOf(error) === 'EISDIR' ? 'it is a folder; name one tape' : reasonOf(error)
      throw new TapeError('tape_unwritable', `cannot add to ${file}: ${code}`, error)
    }
  }

  /** A name that no stream on the tape has, whoever else adds to it. */
  stream(kind: 'post' | 'get'): string {
    return `${kind}-${this.#name}-${++this.#streams}`
  }

  append(frame: Frame): void {
    if (this.#failed) return
    this.#waiting.push({ time: performance.timeOrigin + frame.time, body: this.#encoder.body(frame) })
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
    while (this.#waiting.length > 0) {
      try {
        await locked(this.#file, () => this.#writeWaiting())
      } catch (error) {
        this.#failed = true
        this.#waiting = []
        this.#options.onError(reasonOf(error))
      }
    }
  }

  /** Others may have added to it meanwhile: it goes on from where it ends now. */
  async #writeWaiting(): Promise<void> {
    const { size } = await this.#handle.stat()
    let { started, n, t } = size === this.#end.size ? this.#end : await endOf(this.#handle, size, this.#file)
    const lines = this.#waiting.splice(0).map(({ time, body }) => {
      // What was held back is as old as it is; lines of several sessions stand in the order in which they are written.
      t = Math.max(t, Math.round(time) - started)
      return lineOf(++n, t, body)
    })
    this.#end = { started, n, t, size: size + (await writeWhole(this.#handle, Buffer.from(lines.join('')))) }
  }
}

/** In one piece, as far as the system does that: what others write at the same time stands before it or behind it. Returns its length. */
async function writeWhole(handle: FileHandle, bytes: Buffer): Promise<number> {
  for (let done = 0; done < bytes.length; ) done += (await handle.write(bytes, done)).bytesWritten
  return bytes.length
}

/** Where a tape ends; one that has nothing yet gets its first line. */
async function begin(handle: FileHandle, file: string, { redactor, target }: AppenderOptions): Promise<End> {
  const { size } = await handle.stat()
  if (size > 0) return await endOf(handle, size, file)
  const started = new Date()
  const software = { name: 'catflap', version: VERSION }
  const header = Buffer.from(new FrameEncoder(redactor).header({ started, target, software }))
  return { started: started.getTime(), n: 0, t: 0, size: await writeWhole(handle, header) }
}

interface End {
  readonly started: number
  readonly n: number
  readonly t: number
  /** Bytes. */
  readonly size: number
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
    if (frame || start === 0) {
      if (!text.endsWith('\n')) end += await writeWhole(handle, Buffer.from('\n'))
      return { started, n: 0, t: 0, ...frame, size: end }
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
