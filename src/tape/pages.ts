import type { FrameEncoder } from './encoder.ts'
import type { Frame } from './frame.ts'
import { costOf, FrameQueue } from './frame-queue.ts'
import { Page } from './page.ts'
import type { TapeFile } from './tape-file.ts'
import { exceeds, truncate } from './truncate.ts'

/** So many frames, or what costs so much, are encoded at a time: what waits longer costs the garbage collector more than us. */
const EAGER_FRAMES = 32
const EAGER_COST = 64 * 1024

export interface PagesOptions {
  readonly encoder: FrameEncoder
  readonly maxMessage: number
  /** The tape for a frame, where it is there already. */
  readonly known: (frame: Frame) => TapeFile | undefined
  /** The same; makes it if need be. */
  readonly fileFor: (frame: Frame) => Promise<TapeFile>
}

/** Frames on their way to paper: they queue, and are encoded in their order, some at a time, onto one page while another is written. */
export class Pages {
  readonly #options: PagesOptions
  readonly #queue = new FrameQueue()
  #page = new Page()
  #spare = new Page()
  /** The next frame waits for something (a new file, a hash), so that none behind it may be encoded. */
  #held = false

  constructor(options: PagesOptions) {
    this.#options = options
  }

  /** A page is worth being written. */
  get full(): boolean {
    return this.#page.full
  }

  push(frame: Frame): void {
    this.#queue.push(frame)
    if (this.#queue.length >= EAGER_FRAMES || this.#queue.cost >= EAGER_COST) this.#encodeReady()
  }

  /** The page, with as much of the queue as it has room for. It is the caller's until it is given `back`. */
  async filled(): Promise<Page> {
    const page = this.#page
    for (;;) {
      this.#encodeReady()
      const next = this.#queue.first
      if (!next || page.full) break
      this.#held = true
      const { maxMessage, fileFor } = this.#options
      const frame = exceeds(next, maxMessage) ? await truncate(next, maxMessage) : next
      const file = await fileFor(frame)
      this.#held = false
      // It may have been cleared meanwhile.
      if (this.#queue.first === next) this.#encodeFirst(frame, file)
    }
    this.#page = this.#spare
    return page
  }

  /** A page was written. */
  back(page: Page): void {
    page.clear()
    this.#spare = page
  }

  /** Forgets what is queued. */
  clear(): void {
    this.#queue.clear()
  }

  /** Encodes onto the page for as long as it has room and nothing has to be waited for. */
  #encodeReady(): void {
    if (this.#held) return
    const { maxMessage, known } = this.#options
    for (let next = this.#queue.first; next && !this.#page.full; next = this.#queue.first) {
      const file = known(next)
      if (!file || exceeds(next, maxMessage)) return
      this.#encodeFirst(next, file)
    }
  }

  /** `frame`: the first of the queue, or what is kept of it. */
  #encodeFirst(frame: Frame, file: TapeFile): void {
    const page = this.#page
    const start = page.lines.length
    try {
      this.#options.encoder.line(page.lines, ++file.n, frame.time - file.base, frame)
    } catch (error) {
      // Half a line would spoil those that stand before it.
      page.lines.cut(start)
      throw error
    }
    page.added(file, start, costOf(this.#queue.first!))
    if (frame.note === 'session-end') page.ended.push(frame.session)
    this.#queue.shift()
  }
}
