import { stat } from 'node:fs/promises'
import { bytes } from '../tape/timeline.ts'

/** Shorter work is over before anybody wonders. */
const PATIENCE = 2_000
const EVERY = 200
const WIDTH = 30

interface Terminal {
  readonly isTTY?: boolean
  write(text: string): unknown
}

export interface ProgressOptions {
  readonly stream?: Terminal
  /** ms before anything is shown. */
  readonly patience?: number
}

/** How far long work is: one line on a terminal that is written over itself, and taken away at the end. Elsewhere nothing is written. */
export class Progress {
  readonly #stream: Terminal
  readonly #patience: number
  readonly #startedAt = performance.now()
  #shownAt = 0
  #total = 0
  #done = 0

  constructor({ stream = process.stderr, patience = PATIENCE }: ProgressOptions = {}) {
    this.#stream = stream
    this.#patience = patience
  }

  /** Of reading a file, which need not exist, and whose length need not be known; told by `add`. */
  static async of(file: string, enabled = true): Promise<Progress> {
    const progress = new Progress(enabled ? {} : { patience: Number.POSITIVE_INFINITY })
    const found = file === '-' ? undefined : await stat(file).catch(() => undefined)
    if (found?.isFile()) progress.#total = found.size
    return progress
  }

  /** So many bytes more. */
  readonly add = (read: number): void => {
    this.#done += read
    this.reading(this.#done, this.#total)
  }

  /** Bytes; a total of 0 is unknown. */
  readonly reading = (done: number, total: number): void => {
    const now = this.#due()
    if (now === undefined) return
    const rate = bytes(Math.round((done / (now - this.#startedAt)) * 1000))
    this.#show(`reading${total > 0 ? ` ${bar(done, total)}` : ''}, ${bytes(done)}, ${rate}/s`)
  }

  readonly sending = (done: number, total: number): void => {
    if (this.#due() !== undefined) this.#show(`checking ${bar(done, total)}`)
  }

  /** Takes the line away. It comes again where the work goes on. */
  end(): void {
    if (this.#shownAt > 0) this.#stream.write('\r\x1b[K')
    this.#shownAt = 0
  }

  /** The time, where there is something to be shown. */
  #due(): number | undefined {
    if (this.#stream.isTTY !== true) return undefined
    const now = performance.now()
    if (now - this.#startedAt < this.#patience || now - this.#shownAt < EVERY) return undefined
    this.#shownAt = now
    return now
  }

  #show(text: string): void {
    this.#stream.write(`\r\x1b[K${text}`)
  }
}

function bar(done: number, total: number): string {
  const part = total === 0 ? 1 : Math.min(1, done / total)
  return `${'█'.repeat(Math.round(part * WIDTH)).padEnd(WIDTH, '░')} ${Math.floor(part * 100)} %`
}
