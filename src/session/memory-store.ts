import { Queue, QueueNode } from '../queue.ts'
import {
  type NewSession,
  type SessionChange,
  SessionCursorError,
  SessionExistsError,
  type SessionPage,
  type SessionRecord,
  type SessionStore,
  SessionStoreClosedError,
  SessionStoreFullError,
  type UpdateResult
} from './store.ts'

export interface MemoryStoreOptions {
  /** Live and expired-but-not-yet-reaped sessions together. Default 10,000. */
  readonly maxSessions?: number
  /** Milliseconds without a touch. Default 30 minutes. */
  readonly idleTtl?: number
  /** Milliseconds since creation. Default 24 hours. */
  readonly maxTtl?: number
  /** Milliseconds after which an expired session whose reaper did not delete it is handed out again. Default 1 minute. */
  readonly claimTtl?: number
  /** Epoch milliseconds. May step backwards. Default `Date.now`. */
  readonly now?: () => number
}

interface Entry {
  /** Its `lastSeenAt` is brought up to date when somebody asks: a touch allocates nothing. */
  record: SessionRecord
  lastSeenAt: number
  claimedAt: number
  /** In `#byTouch` while alive, then in `#waiting`, then in `#claimed`. */
  readonly place: QueueNode<Entry>
  /** In `#byAge` while alive. */
  readonly age: QueueNode<Entry>
  readonly slot: number
}

/**
 * Sessions of one process; O(1) an operation (`count` and `expired` amortised: each session retires once).
 *
 * All sessions share one idle time and one maximum age, and the clock never steps back, so that the order of last touches
 * is the order of idle expiry, and the order of creation that of absolute expiry: only heads of queues need looking at.
 *
 * An expired session stays until it is deleted (forgetting it would leave its child or upstream session behind), and it
 * takes up room meanwhile.
 */
export class MemorySessionStore implements SessionStore {
  readonly #maxSessions: number
  readonly #idleTtl: number
  readonly #maxTtl: number
  readonly #claimTtl: number
  readonly #now: () => number
  readonly #entries = new Map<string, Entry>()
  readonly #byTouch = new Queue<Entry>()
  readonly #byAge = new Queue<Entry>()
  readonly #waiting = new Queue<Entry>()
  readonly #claimed = new Queue<Entry>()
  /** A session keeps its slot for life, so that the number of a slot is a cursor that survives whatever comes and goes. */
  readonly #slots: (Entry | undefined)[] = []
  readonly #freeSlots: number[] = []
  #closed = false

  constructor(options: MemoryStoreOptions = {}) {
    this.#maxSessions = options.maxSessions ?? 10_000
    this.#idleTtl = options.idleTtl ?? 30 * 60_000
    this.#maxTtl = options.maxTtl ?? 24 * 3_600_000
    this.#claimTtl = options.claimTtl ?? 60_000
    this.#now = steady(options.now ?? Date.now)
  }

  create(session: NewSession): SessionRecord {
    const now = this.#time()
    if (this.#entries.has(session.id)) throw new SessionExistsError(session.handle)
    if (this.#entries.size >= this.#maxSessions) throw new SessionStoreFullError(this.#maxSessions)
    const { id, handle, principal, protocolVersion, legs, facts, version = 1 } = session
    const record = Object.freeze({
      id,
      handle,
      version,
      principal,
      createdAt: now,
      lastSeenAt: now,
      ...kept({ protocolVersion, legs: legs ?? {}, facts: facts ?? {} })
    }) as SessionRecord
    this.#add(record, now)
    return record
  }

  get(id: string): SessionRecord | undefined {
    const entry = this.#alive(id, this.#time())
    return entry && snapshot(entry)
  }

  update(id: string, expectedVersion: number, change: SessionChange): UpdateResult {
    const entry = this.#alive(id, this.#time())
    if (!entry) return { ok: false, current: undefined }
    const current = snapshot(entry)
    if (current.version !== expectedVersion) return { ok: false, current }
    const { protocolVersion, legs, facts } = change
    entry.record = Object.freeze({
      ...current,
      ...kept({ protocolVersion, legs, facts }),
      version: current.version + 1
    })
    return { ok: true, record: entry.record }
  }

  touch(id: string): boolean {
    const now = this.#time()
    const entry = this.#alive(id, now)
    if (!entry) return false
    // Within one millisecond the order does not matter: they expire together.
    if (entry.lastSeenAt === now) return true
    entry.lastSeenAt = now
    this.#byTouch.push(entry.place)
    return true
  }

  delete(id: string): SessionRecord | undefined {
    this.#time()
    const entry = this.#entries.get(id)
    if (!entry) return undefined
    this.#entries.delete(id)
    entry.place.queue?.remove(entry.place)
    this.#byAge.remove(entry.age)
    this.#slots[entry.slot] = undefined
    this.#freeSlots.push(entry.slot)
    return snapshot(entry)
  }

  list({ cursor, limit }: { readonly cursor?: string; readonly limit: number }): SessionPage {
    const now = this.#time()
    const records: SessionRecord[] = []
    // A page that may hold nothing would give its own cursor for ever.
    const wanted = limit >= 1 ? limit : 1
    let slot = cursor === undefined ? 0 : slotOf(cursor)
    // Empty slots cost as well: after a spike most are, and one page must not walk them all.
    const stop = Math.min(this.#slots.length, slot + Math.max(4 * wanted, 256))
    for (; slot < stop && records.length < wanted; slot++) {
      const entry = this.#slots[slot]
      if (entry && !this.#isExpired(entry, now)) records.push(snapshot(entry))
    }
    return slot < this.#slots.length ? { records, cursor: String(slot) } : { records }
  }

  count(): number {
    this.#retireExpired(this.#time())
    return this.#byTouch.size
  }

  expired(limit: number): readonly SessionRecord[] {
    const now = this.#time()
    this.#retireExpired(now)
    const records: SessionRecord[] = []
    while (records.length < limit) {
      const lapsed = this.#claimed.head?.value
      const entry = lapsed && now - lapsed.claimedAt >= this.#claimTtl ? lapsed : this.#waiting.head?.value
      if (!entry) break
      entry.claimedAt = now
      // Claims last equally long: the order of claiming is the order of lapsing.
      this.#claimed.push(entry.place)
      records.push(snapshot(entry))
    }
    return records
  }

  close(): void {
    if (this.#closed) return
    for (const id of [...this.#entries.keys()]) this.delete(id)
    this.#slots.length = this.#freeSlots.length = 0
    this.#closed = true
  }

  #time(): number {
    if (this.#closed) throw new SessionStoreClosedError()
    return this.#now()
  }

  #add(record: SessionRecord, now: number): void {
    const slot = this.#freeSlots.pop() ?? this.#slots.length
    const entry = { record, lastSeenAt: now, claimedAt: 0, slot } as { -readonly [K in keyof Entry]: Entry[K] }
    entry.place = new QueueNode<Entry>(entry)
    entry.age = new QueueNode<Entry>(entry)
    this.#slots[slot] = entry
    this.#entries.set(record.id, entry)
    this.#byTouch.push(entry.place)
    this.#byAge.push(entry.age)
  }

  #alive(id: string, now: number): Entry | undefined {
    const entry = this.#entries.get(id)
    return entry && !this.#isExpired(entry, now) ? entry : undefined
  }

  #isExpired(entry: Entry, now: number): boolean {
    return now - entry.lastSeenAt >= this.#idleTtl || now - entry.record.createdAt >= this.#maxTtl
  }

  #retireExpired(now: number): void {
    for (const queue of [this.#byTouch, this.#byAge]) {
      for (let entry = queue.head?.value; entry && this.#isExpired(entry, now); entry = queue.head?.value) {
        this.#byAge.remove(entry.age)
        this.#waiting.push(entry.place)
      }
    }
  }
}

function snapshot(entry: Entry): SessionRecord {
  if (entry.record.lastSeenAt !== entry.lastSeenAt) {
    entry.record = Object.freeze({ ...entry.record, lastSeenAt: entry.lastSeenAt })
  }
  return entry.record
}

/** Through JSON, as in any other store: whoever keeps what no JSON can hold finds out here, and nobody shares our objects. */
function kept<T extends object>(members: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return JSON.parse(JSON.stringify(members), (_, value) => Object.freeze(value))
}

/**
 * A clock that goes on from where it was when the given one steps back (NTP, a resumed virtual machine). Merely standing
 * still until the other has caught up would suspend all expiry for as long as the step was.
 */
function steady(now: () => number): () => number {
  let last = now()
  let lead = 0
  return () => {
    const time = now()
    if (time < last) lead += last - time
    last = time
    return time + lead
  }
}

function slotOf(cursor: string): number {
  if (!/^\d{1,15}$/.test(cursor)) throw new SessionCursorError()
  return Number(cursor)
}
