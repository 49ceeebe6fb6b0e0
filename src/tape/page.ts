import { LineBuffer } from './line-buffer.ts'
import type { TapeFile } from './tape-file.ts'

/** So much (bytes, frames) is written at once, unless a single frame is larger. */
const FULL_BYTES = 256 * 1024
const FULL_FRAMES = 512
/** Room for the frame that fills it. */
const MARGIN = 128 * 1024

/** Lines that stand one behind the other and belong to the same tape. */
interface Run {
  readonly file: TapeFile
  readonly start: number
  end: number
}

/** Lines that are ready to be written. */
export class Page {
  readonly lines = new LineBuffer(FULL_BYTES + MARGIN)
  frames = 0
  /** Of its frames, as the queue counted them. */
  cost = 0
  /** Sessions whose end is among the frames. */
  readonly ended: (string | undefined)[] = []
  #runs: Run[] = []

  get full(): boolean {
    return this.lines.length >= FULL_BYTES || this.frames >= FULL_FRAMES
  }

  /** A frame's line for `file` stands from `start` on. */
  added(file: TapeFile, start: number, cost: number): void {
    this.frames++
    this.cost += cost
    const run = this.#runs.at(-1)
    if (run?.file === file) run.end = this.lines.length
    else this.#runs.push({ file, start, end: this.lines.length })
  }

  /** What each file gets, in order. */
  parts(): Map<TapeFile, Buffer[]> {
    const parts = new Map<TapeFile, Buffer[]>()
    for (const { file, start, end } of this.#runs) {
      const part = this.lines.view(start, end)
      const list = parts.get(file)
      if (list) list.push(part)
      else parts.set(file, [part])
    }
    return parts
  }

  clear(): void {
    this.lines.clear()
    this.frames = 0
    this.cost = 0
    this.ended.length = 0
    this.#runs = []
  }
}
