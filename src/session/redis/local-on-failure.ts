import { isDeepStrictEqual } from 'node:util'
import type { Log } from '../../log.ts'
import type { StoreLimits } from '../shared.ts'
import type {
  Awaitable,
  NewSession,
  SessionChange,
  SessionPage,
  SessionRecord,
  SessionStore,
  UpdateResult
} from '../store.ts'
import type { Generations } from './generations.ts'
import { type KnownSession, KnownSessions } from './known-sessions.ts'
import { Mending, type TellingStore } from './mending.ts'

export interface LocalOptions {
  /** Of the store. */
  readonly limits: StoreLimits
  readonly generations: Generations
  readonly log: Log
}

/** A question of a server may be answered for so long, in ms. */
const MARKS_LAST = 300_000

/**
 * A store whose sessions over HTTP go on while it does not do its work, in the process that knows them: they are read, used, changed and ended in
 * memory, and that is told to the store when it is back (docs/sessions.md). What needs the agreement of others fails as before: new sessions, legs,
 * who opens one, whatever is not known here.
 */
export function localOnFailure(store: TellingStore, options: LocalOptions): SessionStore {
  return new LocalOnFailure(store, options)
}

class LocalOnFailure implements SessionStore {
  readonly shared: boolean
  readonly follow: SessionStore['follow']
  readonly mark: SessionStore['mark']
  readonly marked: SessionStore['marked']
  readonly #store: SessionStore
  readonly #known: KnownSessions
  readonly #mending: Mending
  #closing: Promise<void> | undefined

  constructor(store: TellingStore, { limits, generations, log }: LocalOptions) {
    this.#store = store
    this.#known = new KnownSessions(limits)
    this.#mending = new Mending({ store, known: this.#known, generations, maxSessions: limits.maxSessions, log })
    store.onEnded?.(name => this.#hasEnded(name))
    this.shared = store.shared === true
    this.follow = store.follow?.bind(store)
    if (store.mark) this.mark = (id, mark) => this.#mark(id, mark)
    if (store.marked) this.marked = (id, mark) => this.#marked(id, mark)
  }

  async create(session: NewSession): Promise<SessionRecord> {
    const record = await this.#store.create(session)
    this.#known.learn(record)
    return record
  }

  get(id: string): Awaitable<SessionRecord | undefined> {
    if (this.#mending.busy) {
      if (this.#mending.isEnded(id)) return undefined
      const here = this.#here(id)
      if (here) return here.record
    }
    const answer = this.#store.get(id)
    if (answer instanceof Promise) return this.#got(id, answer)
    if (answer) this.#learn(answer)
    return answer
  }

  async #got(id: string, answer: Promise<SessionRecord | undefined>): Promise<SessionRecord | undefined> {
    try {
      const record = await answer
      // Ended here while the store was asked.
      if (this.#mending.isEnded(id)) return undefined
      if (!record) return (await this.#lost(id))?.record
      this.#learn(record)
      return record
    } catch (error) {
      return this.#instead(id, error)?.record
    }
  }

  touch(id: string): Awaitable<boolean> {
    this.#known.used(id)
    if (this.#mending.busy) {
      if (this.#mending.isEnded(id)) return false
      if (this.#mending.out && this.#known.get(id)) return true
    }
    const answer = this.#store.touch(id)
    return answer instanceof Promise ? this.#touched(id, answer) : answer
  }

  async #touched(id: string, answer: Promise<boolean>): Promise<boolean> {
    try {
      return await answer
    } catch (error) {
      return this.#instead(id, error) !== undefined
    }
  }

  update(id: string, expectedVersion: number, change: SessionChange): Awaitable<UpdateResult> {
    if (this.#mending.busy) {
      if (this.#mending.isEnded(id)) return { ok: false, current: undefined }
      const here = this.#here(id)
      if (here) return this.#change(here, expectedVersion, change)
    }
    return this.#update(id, expectedVersion, change)
  }

  async #update(id: string, expectedVersion: number, change: SessionChange): Promise<UpdateResult> {
    let known: KnownSession | undefined
    try {
      const result = await this.#store.update(id, expectedVersion, change)
      const record = result.ok ? result.record : result.current
      if (record) this.#learn(record)
      known = record ? undefined : await this.#lost(id)
      if (!known) return result
    } catch (error) {
      known = this.#instead(id, error)
      if (!known) return { ok: false, current: undefined }
      if (change.facts) this.#known.sent(known, change.facts)
    }
    return this.#change(known, expectedVersion, change)
  }

  /** In memory. Fails where others would have to agree. */
  #change(known: KnownSession, expectedVersion: number, change: SessionChange): UpdateResult {
    const { record } = known
    if (record.version !== expectedVersion) return { ok: false, current: record }
    if (needsAgreement(record, change) || !this.#known.change(known, change)) throw this.#mending.why!
    this.#mending.start()
    return { ok: true, record: known.record }
  }

  async delete(id: string): Promise<SessionRecord | undefined> {
    const known = this.#known.get(id)
    this.#known.forget(id)
    try {
      if (this.#mending.out) throw this.#mending.why!
      return await this.#store.delete(id)
    } catch (error) {
      this.#mending.failed(error)
      this.#mending.end(id)
      if (known) return known.record
      throw error
    }
  }

  list(options: { readonly cursor?: string; readonly limit: number }): Awaitable<SessionPage> {
    return this.#store.list(options)
  }

  count(): Awaitable<number> {
    return this.#store.count()
  }

  /** None, meanwhile: others may go on with them. */
  async expired(limit: number): Promise<readonly SessionRecord[]> {
    if (this.#mending.out) return []
    try {
      const records = await this.#store.expired(limit)
      for (const { id } of records) this.#known.forget(id)
      return records
    } catch (error) {
      this.#mending.failed(error)
      return []
    }
  }

  /** What cannot be kept now counts as kept for as long as it would have been. */
  async #mark(id: string, mark: string): Promise<void> {
    if (this.#mending.out) return
    try {
      await this.#store.mark!(id, mark)
    } catch (error) {
      this.#mending.failed(error)
    }
  }

  /**
   * Where nobody knows, yes: a late answer that reaches a server which never asked does less harm than one that a person has given and that
   * is dropped. What was to be kept while the store was away is not there, so that it goes on for a while.
   */
  async #marked(id: string, mark: string): Promise<boolean> {
    const { out, awayAt } = this.#mending
    if (out) return true
    try {
      return (await this.#store.marked!(id, mark)) || performance.now() - awayAt < MARKS_LAST
    } catch (error) {
      this.#mending.failed(error)
      return true
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await this.#mending.close()
    this.#known.clear()
    await this.#store.close()
  }

  /** What is good here whatever the store says. */
  #here(id: string): KnownSession | undefined {
    const known = this.#known.get(id)
    return known && (this.#mending.out || known.base) ? known : undefined
  }

  /** Somebody has ended it. While there is something to tell the store, it may just be made again, as lost. */
  #hasEnded(name: string): void {
    const id = this.#known.idOf(name)
    if (id === undefined) return
    this.#known.forget(id)
    if (this.#mending.busy) this.#mending.end(id)
  }

  #learn(record: SessionRecord): void {
    if (!this.#known.learn(record)) this.#mending.doubt(record.id)
  }

  /** The store has failed: what is known here does in its place. Undefined: it was ended here while the store was asked. */
  #instead(id: string, error: unknown): KnownSession | undefined {
    this.#mending.failed(error)
    if (this.#mending.isEnded(id)) return undefined
    const known = this.#known.get(id)
    if (!known) throw error
    return known
  }

  /** The store knows no such session: what it has lost goes on here, what has ended is forgotten. */
  async #lost(id: string): Promise<KnownSession | undefined> {
    const known = this.#known.get(id)
    if (known && (await this.#mending.hasLost(id))) return known
    this.#known.forget(id)
    return undefined
  }
}

function needsAgreement(record: SessionRecord, { legs, facts }: SessionChange): boolean {
  if (legs && !isDeepStrictEqual(legs, record.legs)) return true
  return facts !== undefined && !isDeepStrictEqual(facts.renewing, record.facts.renewing)
}
