import { type Stats, unwatchFile, watchFile } from 'node:fs'

/** Files are looked at so often, in ms: it works on every file system, and where a whole folder is swapped by its link. */
const LOOK_EVERY = 1_000
/** Editors and deployments write several files, and each in steps, in ms. */
const SETTLE = 100

/** Watches files whose content decides what a program does. */
export class Follower {
  readonly #changed: () => void
  readonly #every: number
  readonly #files = new Map<string, (now: Stats, before: Stats) => void>()
  #timer: NodeJS.Timeout | undefined

  constructor(changed: () => void, { every = LOOK_EVERY } = {}) {
    this.#changed = changed
    this.#every = every
  }

  /** From now on these, and no others. */
  follow(files: readonly string[]): void {
    for (const file of this.#files.keys()) if (!files.includes(file)) this.#leave(file)
    for (const file of files) if (!this.#files.has(file)) this.#add(file)
  }

  close(): void {
    clearTimeout(this.#timer)
    for (const file of [...this.#files.keys()]) this.#leave(file)
  }

  #add(file: string): void {
    const listener = (now: Stats, before: Stats): void => {
      const same = now.mtimeMs === before.mtimeMs && now.ino === before.ino && now.size === before.size
      // One that is gone is about to be replaced, or that is a mistake: what was read goes on to hold.
      if (!same && now.mtimeMs > 0) this.#soon()
    }
    watchFile(file, { interval: this.#every, persistent: false }, listener)
    this.#files.set(file, listener)
  }

  #leave(file: string): void {
    unwatchFile(file, this.#files.get(file))
    this.#files.delete(file)
  }

  #soon(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(this.#changed, SETTLE)
  }
}
