/** A call, as it is found by an id of its client's. */
export interface Indexed {
  /** The ids of its requests. */
  readonly keys: readonly string[]
  /** Whether it waits for the answer to a request of that id, which the client has not cancelled. */
  awaits(key: string): boolean
}

/**
 * The calls under way by their ids, of which several may share one: clients do reuse them, and some use one id for all.
 * Nothing here looks at all of those for one of them.
 */
export class CallIndex<C extends Indexed> {
  readonly #byKey = new Map<string, SameKey<C>>()

  add(call: C): void {
    for (const key of call.keys) {
      let same = this.#byKey.get(key)
      if (!same) this.#byKey.set(key, (same = { calls: [], over: 0, cancelled: new Set() }))
      same.calls.push(call)
    }
  }

  delete(call: C): void {
    for (const key of call.keys) {
      const same = this.#byKey.get(key)
      if (!same) continue
      same.cancelled.delete(call)
      same.over++
      if (2 * same.over < same.calls.length) continue
      same.calls = same.calls.filter(other => other !== call && other.awaits(key))
      same.over = 0
      if (same.calls.length + same.cancelled.size === 0) this.#byKey.delete(key)
    }
  }

  /** Of those that wait under this id the newest, which is what a cancellation means. */
  newest(key: string): C | undefined {
    const calls = this.#byKey.get(key)?.calls ?? []
    while (calls.length > 0 && !calls.at(-1)!.awaits(key)) calls.pop()
    return calls.at(-1)
  }

  /** The client has cancelled what this call has under this id. */
  cancelled(key: string, call: C): void {
    this.#byKey.get(key)?.cancelled.add(call)
  }

  /** Those that are cancelled under this id, once. */
  takeCancelled(key: string): readonly C[] {
    const cancelled = this.#byKey.get(key)?.cancelled
    if (!cancelled || cancelled.size === 0) return []
    const calls = [...cancelled]
    cancelled.clear()
    return calls
  }
}

interface SameKey<C> {
  /** In order of age; some may be over, or cancelled. */
  calls: C[]
  /** About how many of them are. */
  over: number
  readonly cancelled: Set<C>
}
