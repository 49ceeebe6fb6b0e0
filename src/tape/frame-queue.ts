import type { Frame } from './frame.ts'

/** What a frame costs in memory beside its bytes, roughly. */
export const FRAME_COST = 512

export function costOf(frame: Frame): number {
  return FRAME_COST + (frame.bytes?.length ?? 0)
}

/** Taken frames leave holes at the front, which are closed when there are so many, and more of them than frames. */
const MAX_HOLES = 1024

/** Frames, first in, first out. */
export class FrameQueue {
  #frames: (Frame | undefined)[] = []
  #next = 0
  #cost = 0

  get length(): number {
    return this.#frames.length - this.#next
  }

  /** Of all frames in it. */
  get cost(): number {
    return this.#cost
  }

  get first(): Frame | undefined {
    return this.#frames[this.#next]
  }

  push(frame: Frame): void {
    this.#frames.push(frame)
    this.#cost += costOf(frame)
  }

  /** Takes out the first one. */
  shift(): void {
    this.#cost -= costOf(this.#frames[this.#next]!)
    this.#frames[this.#next++] = undefined
    if (this.#next === this.#frames.length) this.clear()
    else if (this.#next >= MAX_HOLES && this.#next > this.length) {
      this.#frames = this.#frames.slice(this.#next)
      this.#next = 0
    }
  }

  clear(): void {
    this.#frames = []
    this.#next = 0
    this.#cost = 0
  }
}
