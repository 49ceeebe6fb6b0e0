import type { SessionRecord } from '../store.ts'

/** Sessions that are remembered at once. */
const MAX_RECORDS = 10_000

/** A version number names one record only for as long as Redis loses no write; with its nonce it always does. */
export interface Written {
  readonly record: SessionRecord
  readonly nonce: string
}

interface Known extends Written {
  readonly until: number
}

/**
 * Records that were read a moment ago. Redis tells of changes; where it cannot (the connection is lost, a message is late), what is
 * here is at most `time` ms old.
 */
export class RecordCache {
  readonly #time: number
  readonly #known = new Map<string, Known>()
  readonly #changed = new Map<string, number>()
  #moment = 0
  #cleared = 0

  constructor(time: number) {
    this.#time = time
  }

  /** To be told to `set` by who reads: a change that was heard meanwhile is younger. */
  get moment(): number {
    return this.#moment
  }

  get(name: string): SessionRecord | undefined {
    const known = this.#known.get(name)
    if (!known) return undefined
    return performance.now() < known.until ? known.record : undefined
  }

  /** What was known of it last, however long ago. */
  last(name: string): Written | undefined {
    return this.#known.get(name)
  }

  set(name: string, { record, nonce }: Written, moment = this.#moment): void {
    if (moment < this.#cleared) return
    if (moment !== this.#moment && (this.#changed.get(name) ?? 0) > moment) return
    const before = this.#known.get(name)
    if (before && before.record.version > record.version) return
    this.#known.delete(name)
    if (this.#known.size >= MAX_RECORDS) for (const oldest of this.#known.keys()) if (this.#known.delete(oldest)) break
    this.#known.set(name, { record, nonce, until: performance.now() + this.#time })
  }

  /** It was changed, or has ended. */
  forget(name: string): void {
    this.#known.delete(name)
    this.#changed.delete(name)
    this.#changed.set(name, ++this.#moment)
    if (this.#changed.size > MAX_RECORDS)
      for (const oldest of this.#changed.keys()) if (this.#changed.delete(oldest)) break
  }

  /** Any of them may have changed, what is being read now too. */
  clear(): void {
    this.#known.clear()
    this.#changed.clear()
    this.#cleared = ++this.#moment
  }
}
