import { type SessionStore, SessionStoreUnavailableError } from './store.ts'

/** Sessions, at most. */
const MOST = 10_000
/** How often it is tried, in ms. */
const AGAIN = 1_000

/** Sessions that have ended while the store was away: they are unknown here from then on, and deleted once it does its work again. */
export class Undeleted {
  readonly #store: SessionStore
  readonly #ids = new Set<string>()
  #timer: NodeJS.Timeout | undefined

  constructor(store: SessionStore) {
    this.#store = store
  }

  has(id: string): boolean {
    return this.#ids.size > 0 && this.#ids.has(id)
  }

  add(id: string): void {
    if (this.#ids.size >= MOST) return
    this.#ids.add(id)
    this.#timer ??= setInterval(() => void this.#delete(), AGAIN).unref()
  }

  async #delete(): Promise<void> {
    for (const id of this.#ids)
      try {
        await this.#store.delete(id)
        this.#ids.delete(id)
      } catch (error) {
        // Nobody needs to hear of it again.
        if (error instanceof SessionStoreUnavailableError) return
        this.#ids.delete(id)
      }
    this.close()
  }

  close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
