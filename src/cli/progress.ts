import { stat } from 'node:fs/promises'
import { bytes } from '../tape/timeline.ts'

/** Shorter work is over before anybody wonders. */
const PATIENCE = 2_000
const EVERY = 250

/** How far a long file has been read, on one line of a terminal. */
export class Progress {
  readonly #total: number
  readonly #started = Date.now()
  #done = 0
  #told = 0

  private constructor(total: number) {
    this.#total = total
  }

  /** Of a file, which need not exist; `enabled` false says nothing. */
  static async of(file: string, enabled = process.stderr.isTTY === true): Promise<Progress> {
    if (!enabled) return new Progress(-1)
    const found = file === '-' ? undefined : await stat(file).catch(() => undefined)
    return new Progress(found?.isFile() ? found.size : 0)
  }

  readonly add = (read: number): void => {
    this.#done += read
    if (this.#total < 0) return
    const now = Date.now()
    if (now - this.#started < PATIENCE || now - this.#told < EVERY) return
    this.#told = now
    process.stderr.write(`\r\x1b[K${this.#text(now)}`)
  }

  /** Takes the line away. */
  end(): void {
    if (this.#told > 0) process.stderr.write('\r\x1b[K')
    this.#told = 0
  }

  #text(now: number): string {
    const rate = bytes(Math.round((this.#done / (now - this.#started)) * 1000))
    const share = this.#total > 0 ? ` ${Math.min(100, Math.floor((this.#done / this.#total) * 100))} %` : ''
    return `reading${share}, ${bytes(this.#done)}, ${rate}/s`
  }
}
