import { type FSWatcher, watch } from 'node:fs'

/** Network file systems announce nothing, so who waits also looks by itself, now and then (ms). */
const LOOK_AGAIN = 1000

/** Waits for changes of a file or folder. `reset` before looking: what changes while one looks is noticed then. */
export class Changes {
  readonly #signal: AbortSignal | undefined
  #watcher: FSWatcher | undefined
  #changed = false
  #wake: (() => void) | undefined

  constructor(name: string, signal?: AbortSignal) {
    this.#signal = signal
    try {
      this.#watcher = watch(name, this.#notice)
      this.#watcher.on('error', () => this.#watcher?.close())
    } catch {
      // No watch to be had (inotify's limit, an odd file system): the timer alone does it.
    }
    signal?.addEventListener('abort', this.#notice)
  }

  reset(): void {
    this.#changed = false
  }

  /** Resolves when something may have changed since `reset`, or the signal says stop. */
  async next(): Promise<void> {
    if (this.#changed || this.#signal?.aborted) return
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>(resolve => {
      this.#wake = resolve
      timer = setTimeout(resolve, LOOK_AGAIN)
    })
    clearTimeout(timer)
    this.#wake = undefined
  }

  close(): void {
    this.#watcher?.close()
    this.#signal?.removeEventListener('abort', this.#notice)
  }

  // An arrow of its own: event emitters call it without `this`.
  readonly #notice = (): void => {
    this.#changed = true
    this.#wake?.()
  }
}
