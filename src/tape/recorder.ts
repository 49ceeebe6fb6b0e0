import path from 'node:path'
import { inTime, whileItMoves } from '../in-time.ts'
import type { FrameSubscriber } from './bus.ts'
import { Drops } from './drops.ts'
import { FrameEncoder } from './encoder.ts'
import { reasonOf, TapeError, type TapeSoftware, type TapeTarget } from './format.ts'
import type { Frame } from './frame.ts'
import { costOf, FRAME_COST } from './frame-queue.ts'
import type { Page } from './page.ts'
import { Pages } from './pages.ts'
import type { Redactor } from './redact.ts'
import { TapeFile } from './tape-file.ts'
import { isFolderPath, TapeFolder, wallTime } from './tape-folder.ts'
import { DEFAULT_MAX_MESSAGE } from './truncate.ts'

export interface TapeRecorderOptions {
  /** A file, which must be new or empty; or a folder, which gets one tape a session. */
  readonly path: string
  /** Default: whether `path` is a folder or ends with a slash. */
  readonly folder?: boolean
  readonly target: TapeTarget
  readonly software: TapeSoftware
  readonly redactor: Redactor
  /** Default 32 MiB. */
  readonly maxQueueBytes?: number
  /**
   * What happens when the disk cannot follow: traffic waits (default), or frames are lost, counted and marked. What cannot
   * wait (a child's stderr, requests that are refused) is lost in any case once twice `maxQueueBytes` are queued.
   */
  readonly overflow?: 'block' | 'drop'
  /** Bytes; longer messages are kept as a prefix with length and SHA-256. Default 8 MiB. */
  readonly maxMessage?: number
  /** Folder only: descriptors held at once. Default 64. */
  readonly maxOpenFiles?: number
  /** In ms: how long the disk may take nothing at all, at the start and at the end, before recording fails. Default 5000. */
  readonly patience?: number
  /** Called when traffic has waited for the disk for some seconds; once each time it does. */
  readonly onStall?: (ms: number) => void
  /** Called once, when recording had to stop. The traffic goes on. */
  readonly onError?: (reason: string, error: unknown) => void
}

export interface RecorderStats {
  /** Written. */
  readonly frames: number
  /** Written, headers included. */
  readonly bytes: number
  readonly drops: number
  /** Frames that wait to be written. */
  readonly queued: number
}

/** A frame waits at most this long (ms) for others to share a write with. */
const LINGER = 50
const PATIENCE = 5_000
/** Traffic that has waited so long (ms) for the disk is worth a word. */
const STALL = 3_000

/** Writes frames to tape, off the hot path: `frame` queues, and encodes what has gathered from time to time. */
export class TapeRecorder implements FrameSubscriber {
  readonly #options: TapeRecorderOptions
  readonly #maxQueue: number
  readonly #encoder: FrameEncoder
  readonly #started = performance.now()
  #single: TapeFile | undefined
  #folder: TapeFolder | undefined
  readonly #pages: Pages
  #queuedBytes = 0
  #queued = 0
  readonly #dropped = new Drops()
  #timer: NodeJS.Timeout | undefined
  #draining: Promise<void> | undefined
  #waiting: (() => void)[] = []
  #stall: NodeJS.Timeout | undefined
  #full = false
  #state: 'open' | 'closed' | 'failed' = 'open'
  #frames = 0
  #bytes = 0

  private constructor(options: TapeRecorderOptions) {
    this.#options = options
    this.#maxQueue = options.maxQueueBytes ?? 32 * 1024 * 1024
    this.#encoder = new FrameEncoder(options.redactor)
    this.#pages = new Pages({
      encoder: this.#encoder,
      maxMessage: options.maxMessage ?? DEFAULT_MAX_MESSAGE,
      known: frame => this.#single ?? this.#folder?.known(frame.session),
      fileFor: async frame => this.#single ?? (await this.#folder!.fileFor(frame.session, frame.time))
    })
  }

  /** Throws TapeError `tape_exists`, `tape_unwritable`. */
  static async open(options: TapeRecorderOptions): Promise<TapeRecorder> {
    const recorder = new TapeRecorder(options)
    const opening = recorder.#open()
    // A FIFO that nobody reads and a file server that is gone keep us waiting for ever.
    const late = (ms: number) =>
      new TapeError('tape_unwritable', `cannot record to ${options.path}: it could not be opened within ${ms} ms`)
    const patience = options.patience ?? PATIENCE
    await inTime(opening, patience, () => {
      opening.then(() => recorder.close()).catch(() => {})
      return late(patience)
    })
    return recorder
  }

  /** The file that is written, or the folder. */
  get path(): string {
    return this.#single?.path ?? this.#options.path
  }

  get full(): boolean {
    return this.#full
  }

  get failed(): boolean {
    return this.#state === 'failed'
  }

  get stats(): RecorderStats {
    return { frames: this.#frames, bytes: this.#bytes, drops: this.#dropped.total, queued: this.#queued }
  }

  frame(frame: Frame): void {
    if (this.#state !== 'open') return
    const cost = costOf(frame)
    const drop = this.#options.overflow === 'drop'
    if (this.#queued > 0 && this.#queuedBytes + cost > (drop ? this.#maxQueue : 2 * this.#maxQueue))
      return this.#dropped.add(frame.session)
    if (this.#dropped.pending) this.#markDrops(frame.time)
    this.#push(frame, cost)
    if (this.#queuedBytes >= this.#maxQueue && !drop) this.#fill()
    this.#schedule()
  }

  /** Resolves when no longer `full`. */
  whenReady(): Promise<void> {
    return this.#full ? new Promise(resolve => this.#waiting.push(resolve)) : Promise.resolve()
  }

  /** Resolves when everything queued so far is written (or recording has failed). */
  async flush(): Promise<void> {
    while (this.#queued > 0 || this.#draining) await (this.#draining ?? this.#drain())
  }

  /** Writes what is queued, syncs it to disk and closes. Frames that come later are ignored. Ends in time, even if the disk hangs. */
  async close(): Promise<void> {
    if (this.#state === 'open') {
      if (this.#dropped.pending) this.#markDrops(performance.now())
      if (!this.failed) this.#state = 'closed'
    }
    try {
      const ms = this.#options.patience ?? PATIENCE
      const late = `nothing could be written to ${this.#options.path} for ${ms} ms; what was queued is lost`
      await whileItMoves(this.#finish(), ms, () => this.#bytes, new Error(late))
    } catch (error) {
      this.#fail(error)
    }
    this.#release()
  }

  async #finish(): Promise<void> {
    await this.flush()
    clearTimeout(this.#timer)
    await this.#single?.close(true)
    await this.#folder?.close()
  }

  async #open(): Promise<void> {
    if (this.#options.folder ?? (await isFolderPath(this.#options.path))) await this.#openFolder()
    else await this.#openFile()
  }

  async #openFile(): Promise<void> {
    const file = await TapeFile.createNext(this.#options.path, this.#started)
    this.#single = file
    // A disk that is full already is a failure of the recording, not of the start.
    this.#run(() => this.#write(file, Buffer.from(this.#header(wallTime(this.#started)))))
  }

  async #openFolder(): Promise<void> {
    this.#folder = await TapeFolder.open(path.resolve(this.#options.path), {
      target: this.#options.redactor.target(this.#options.target).target,
      maxOpenFiles: this.#options.maxOpenFiles ?? 64,
      header: (started, session) => {
        const line = this.#header(started, session)
        this.#bytes += Buffer.byteLength(line)
        return line
      }
    })
  }

  #header(started: Date, session?: string): string {
    return this.#encoder.header({ started, target: this.#options.target, software: this.#options.software, session })
  }

  #push(frame: Frame, cost: number): void {
    // The mark of what was lost, just before it, may have been what failed.
    if (this.#state === 'failed') return
    this.#queued++
    this.#queuedBytes += cost
    try {
      this.#pages.push(frame)
    } catch (error) {
      this.#fail(error)
    }
  }

  #markDrops(time: number): void {
    for (const note of this.#dropped.take(time)) this.#push(note, FRAME_COST)
  }

  #drain(): Promise<void> {
    return this.#draining ?? this.#run(() => this.#drainQueue())
  }

  #run(work: () => Promise<void>): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#draining = work()
      .catch(error => this.#fail(error))
      .finally(() => {
        this.#draining = undefined
        if (this.#queued > 0) this.#schedule()
      })
    return this.#draining
  }

  #schedule(): void {
    if (this.#draining) return
    if (this.#pages.full) this.#drain()
    else this.#timer ??= setTimeout(() => this.#drain(), LINGER)
  }

  /** What is queued now. What comes meanwhile lingers again: many small writes would cost more than the encoding. */
  async #drainQueue(): Promise<void> {
    for (let left = this.#queued; left > 0 && this.#state !== 'failed'; ) {
      const page = await this.#pages.filled()
      left -= page.frames
      await this.#writePage(page)
      this.#pages.back(page)
    }
  }

  async #writePage(page: Page): Promise<void> {
    for (const [file, parts] of page.parts()) {
      this.#folder?.writes(file)
      await this.#write(file, parts.length === 1 ? parts[0]! : Buffer.concat(parts))
    }
    // Given up meanwhile.
    if (this.#state === 'failed') return
    if (this.#folder) {
      for (const session of page.ended) await this.#folder.ended(session)
      await this.#folder.trim()
    }
    this.#frames += page.frames
    this.#queued -= page.frames
    this.#queuedBytes -= page.cost
    if (this.#full && this.#queuedBytes <= this.#maxQueue / 2) this.#release()
  }

  async #write(file: TapeFile, data: Buffer): Promise<void> {
    await file.append(data)
    this.#bytes += data.length
  }

  #fail(error: unknown): void {
    if (this.#state === 'failed') return
    this.#state = 'failed'
    this.#pages.clear()
    this.#queued = 0
    this.#queuedBytes = 0
    this.#dropped.take(0)
    this.#release()
    this.#options.onError?.(reasonOf(error), error)
  }

  #fill(): void {
    this.#full = true
    this.#stall ??= setTimeout(() => this.#options.onStall?.(STALL), STALL).unref()
  }

  #release(): void {
    this.#full = false
    clearTimeout(this.#stall)
    this.#stall = undefined
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }
}
