import type { SessionStore } from '../session/store.ts'

interface Lent {
  users: number
  /** A route with it was served: it is ours to close. */
  served: boolean
}

/**
 * Stores that the user has given. A route as it was and as it is may use one: it is closed when the last of them is, but not
 * where options with it came to nothing.
 */
export class LentStores {
  readonly #lent = new Map<SessionStore, Lent>()

  /** The same store for one route; closing it gives it back. `served`: whether it is to be closed whatever comes. */
  lend(store: SessionStore, served: boolean): SessionStore {
    const lent = this.#lent.get(store) ?? { users: 0, served }
    this.#lent.set(store, lent)
    lent.users++
    let open = true
    return {
      shared: store.shared === true,
      follow: store.follow?.bind(store),
      mark: store.mark?.bind(store),
      marked: store.marked?.bind(store),
      create: session => store.create(session),
      get: id => store.get(id),
      update: (id, version, change) => store.update(id, version, change),
      touch: id => store.touch(id),
      delete: id => store.delete(id),
      list: options => store.list(options),
      count: () => store.count(),
      expired: limit => store.expired(limit),
      close: () => {
        if (!open) return
        open = false
        if (--lent.users > 0) return
        this.#lent.delete(store)
        if (lent.served) return store.close()
      }
    }
  }

  /** Those that are lent now are in use. */
  serve(): void {
    for (const lent of this.#lent.values()) lent.served = true
  }
}
