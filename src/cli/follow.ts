import { stat } from 'node:fs/promises'

/** Files are looked at so often, in ms: it works on every file system, and where a whole folder is swapped by its link. */
const LOOK_EVERY = 1_000
/** File systems take the time from a clock that may be so many ms behind. To read once more in vain costs nothing. */
const COARSE = 100

/** Watches files whose content decides what a program does. */
export class Follower {
  readonly #changed: () => void
  readonly #looking: NodeJS.Timeout
  /** What each was like; undefined: it is to be looked at for the first time. */
  #files = new Map<string, string | undefined>()
  #since = 0
  /** Some have changed, and may still be being written. */
  #pending = false
  #look: Promise<void> | undefined

  constructor(changed: () => void, { every = LOOK_EVERY } = {}) {
    this.#changed = changed
    this.#looking = setInterval(() => this.#again(), every)
    this.#looking.unref()
  }

  /** From now on these, and no others. They were read at `since` (epoch ms): what was written later is a change already. */
  follow(files: readonly string[], since: number): void {
    this.#files = new Map(files.map(file => [file, this.#files.get(file)]))
    this.#since = since
    this.#again()
  }

  /** Resolves when the look that goes on is over. */
  get looked(): Promise<void> {
    return this.#look ?? Promise.resolve()
  }

  async close(): Promise<void> {
    clearInterval(this.#looking)
    this.#files = new Map()
    await this.looked
  }

  #again(): void {
    this.#look ??= this.#lookAtAll().finally(() => {
      this.#look = undefined
    })
  }

  /** A change counts at the first look that finds nothing more changed: several files are written, and each in steps. */
  async #lookAtAll(): Promise<void> {
    const files = this.#files
    let some = false
    for (const [file, before] of files) {
      const now = await stateOf(file)
      // One that is gone is about to be replaced, or that is a mistake: what was read goes on to hold.
      if (!now || this.#files !== files) continue
      files.set(file, now.signature)
      if (before === undefined ? now.written >= this.#since - COARSE : now.signature !== before) some = true
    }
    if (some) this.#pending = true
    else if (this.#pending && this.#files === files) {
      this.#pending = false
      this.#changed()
    }
  }
}

async function stateOf(file: string): Promise<{ readonly signature: string; readonly written: number } | undefined> {
  try {
    const { mtimeMs, ctimeMs, ino, size } = await stat(file)
    return { signature: `${mtimeMs} ${ctimeMs} ${ino} ${size}`, written: Math.max(mtimeMs, ctimeMs) }
  } catch {
    return undefined
  }
}
