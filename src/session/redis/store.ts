import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import {
  type NewSession,
  type SessionChange,
  SessionCursorError,
  SessionExistsError,
  type SessionPage,
  type SessionRecord,
  type SessionStore,
  SessionStoreClosedError,
  SessionStoreError,
  SessionStoreFullError,
  type UpdateResult
} from '../store.ts'
import type { RedisBackend } from './backend.ts'
import type { RedisClient } from './client.ts'
import { Followers } from './followers.ts'
import { Keys, markOf, nameOf, SHARDS, shardOf } from './keys.ts'
import { type Fields, fieldsOfChange, fieldsOfNew, nonceOf, recordOf } from './record.ts'
import { RecordCache, type Written } from './record-cache.ts'
import { Script } from './script.ts'
import { CLAIM, COUNT, CREATE, DELETE, GET, LIST, MARK, MARKED, RELEASE, TOUCH, UPDATE } from './scripts.ts'
import type { Seal } from './seal.ts'
import { Touches, type Use } from './touches.ts'

export interface RedisStoreOptions {
  /** Is not closed with the store: others use it too. */
  readonly backend: RedisBackend
  /** Keeps its sessions apart from those of other stores: letters a to z, digits, `-` and `_`. */
  readonly name: string
  /** Live and expired-but-not-yet-reaped sessions together, of all who use the store. Default 10,000. */
  readonly maxSessions?: number
  /** Milliseconds without a touch. Default 30 minutes. */
  readonly idleTtl?: number
  /** Milliseconds since creation. Default 24 hours. */
  readonly maxTtl?: number
  /** Milliseconds after which an expired session whose reaper did not delete it is handed out again. Default 1 minute. */
  readonly claimTtl?: number
  /** Milliseconds behind its expiry after which Redis drops a session that no reaper has ended. Default 1 hour. */
  readonly grace?: number
  /** Milliseconds for which a record that was read is taken for the present one, unless Redis tells of a change. Default 5 seconds; 0: never. */
  readonly cacheFor?: number
  /** Milliseconds within which uses of a session are told once. Default a twentieth of `idleTtl`, at most 10 seconds; 0: each. */
  readonly touchEvery?: number
  /** Epoch milliseconds. Default: Redis's own clock, which all who use it share. */
  readonly now?: () => number
}

type Pairs = readonly (readonly [name: string, fields: Fields])[]

const SCRIPTS = {
  create: new Script<string | null>(CREATE),
  get: new Script<Fields>(GET),
  update: new Script<readonly [] | readonly [0 | 1, Fields]>(UPDATE),
  touch: new Script<readonly (0 | 1)[]>(TOUCH),
  delete: new Script<Fields>(DELETE),
  claim: new Script<Pairs>(CLAIM),
  list: new Script<readonly [last: string, Pairs]>(LIST),
  count: new Script<number>(COUNT),
  release: new Script<number>(RELEASE),
  mark: new Script<0 | 1>(MARK),
  marked: new Script<0 | 1>(MARKED)
}

/** Before the name of a session that has ended. */
const ENDED = '!'
/** A reaper that has died holds the others up for so long, in ms. */
const REAPER_LOCK = 10_000
/** So long a reaper waits for another one's pass, in ms. */
const REAPER_WAIT = 1_000
/** An expired session that cannot be read here is left to others for so long, in ms; and so many are looked at in one go. */
const SEALED_CLAIM = 600_000
const MAX_LOOKED_AT = 1_000
/** A mark is known for so long, in ms, and of a session so many are: the latest. */
const MARK_TTL = 300_000
const MAX_MARKS = 300

/** Sessions in Redis, for any number of processes. What each operation costs is told in docs/sessions.md. */
export class RedisSessionStore implements SessionStore {
  readonly shared = true
  readonly #backend: RedisBackend
  readonly #keys: Keys
  readonly #seal: Seal
  readonly #maxSessions: number
  readonly #times: readonly [idle: string, age: string, grace: string]
  readonly #claimTtl: string
  readonly #now: (() => number) | undefined
  readonly #cache: RecordCache | undefined
  readonly #touches: Touches
  readonly #followers = new Followers()
  #stopListening: (() => void) | undefined
  #ended: ((name: string) => void) | undefined
  #closed = false

  constructor(options: RedisStoreOptions) {
    const { backend, name, idleTtl = 30 * 60_000, maxTtl = 24 * 3_600_000, cacheFor = 5_000 } = options
    if (!/^[a-z0-9_-]+$/.test(name)) throw new RangeError('a store is called by letters a to z, digits, - and _')
    this.#backend = backend
    this.#keys = new Keys(backend.prefix, name)
    this.#seal = backend.seal
    this.#maxSessions = options.maxSessions ?? 10_000
    this.#times = [String(idleTtl), String(maxTtl), String(options.grace ?? 3_600_000)]
    this.#claimTtl = String(options.claimTtl ?? 60_000)
    this.#now = options.now
    this.#cache = cacheFor > 0 ? new RecordCache(cacheFor) : undefined
    const every = options.touchEvery ?? Math.min(10_000, Math.floor(idleTtl / 20))
    this.#touches = new Touches({
      every,
      forgetAfter: idleTtl,
      partOf: id => shardOf(nameOf(id)),
      tell: uses => this.#touch(uses)
    })
    if (this.#cache) this.#listen()
  }

  /** From now on it is heard what others change, and what this store itself does. */
  #listen(): void {
    this.#stopListening ??= this.#backend.listen(this.#keys.changes, {
      heard: said => {
        const ended = said.startsWith(ENDED)
        const name = ended ? said.slice(ENDED.length) : said
        if (ended) this.#ended?.(name)
        this.#cache?.forget(name)
        this.#followers.tell(name, ended)
      },
      lost: () => {
        this.#cache?.clear()
        this.#followers.hold()
      },
      again: () => {
        this.#cache?.clear()
        this.#followers.tellAll()
      }
    })
  }

  async create(session: NewSession): Promise<SessionRecord> {
    const name = nameOf(session.id)
    const fields = fieldsOfNew(session, name, this.#seal)
    if ((await this.#occupied()) >= this.#maxSessions) {
      // Of one that is there it is told first that it is there.
      if (await this.#do(client => client.exists(this.#keys.session(name))))
        throw new SessionExistsError(session.handle)
      throw new SessionStoreFullError(this.#maxSessions)
    }
    const keys = this.#keys.ofSession(name)
    const now = await this.#run(
      SCRIPTS.create,
      session.version === undefined ? keys : [...keys, this.#keys.ended(name)],
      [name, ...this.#times, ...fields]
    )
    if (now === null) throw new SessionExistsError(session.handle)
    return this.#kept(name, [...fields, 'c', now, 't', now])
  }

  get(id: string): SessionRecord | undefined | Promise<SessionRecord | undefined> {
    this.#open()
    const name = nameOf(id)
    const known = this.#cache?.get(name)
    return known ?? this.#get(name)
  }

  async #get(name: string): Promise<SessionRecord | undefined> {
    const moment = this.#cache?.moment
    const last = this.#cache?.last(name)
    const known = last === undefined ? ['', ''] : [String(last.record.version), last.nonce]
    const fields = await this.#run(SCRIPTS.get, this.#keys.ofSession(name), [name, ...known])
    if (fields.length === 0) return this.#gone(name)
    const written =
      last && isSame(fields)
        ? { ...last, record: Object.freeze({ ...last.record, lastSeenAt: Number(fields[1]) }) }
        : this.#written(name, fields)
    if (moment !== undefined) this.#cache?.set(name, written, moment)
    return written.record
  }

  #gone(name: string): undefined {
    this.#cache?.forget(name)
  }

  async update(id: string, expectedVersion: number, change: SessionChange): Promise<UpdateResult> {
    const name = nameOf(id)
    const last = this.#cache?.last(name)
    const nonce = last?.record.version === expectedVersion ? last.nonce : ''
    const expected = [String(expectedVersion), nonce, this.#seal.names]
    const args = [name, this.#keys.changes, ...expected, ...fieldsOfChange(change, name, this.#seal)]
    const [ok, fields] = await this.#run(SCRIPTS.update, this.#keys.ofSession(name), args)
    if (fields === undefined) {
      this.#cache?.forget(name)
      return { ok: false, current: undefined }
    }
    const record = this.#kept(name, fields)
    return ok === 1 ? { ok: true, record } : { ok: false, current: record }
  }

  touch(id: string): true | Promise<boolean> {
    this.#open()
    return this.#touches.touch(id)
  }

  /** All of one shard. */
  async #touch(uses: readonly Use[]): Promise<readonly boolean[]> {
    const named = uses.map(({ id, ago }) => [nameOf(id), String(Math.round(ago))] as const)
    const shard = shardOf(named[0]![0])
    const args = [this.#keys.sessionsOf(shard), ...this.#times, ...named.flat()]
    return (await this.#run(SCRIPTS.touch, [this.#keys.due(shard)], args)).map(there => there === 1)
  }

  delete(id: string): Promise<SessionRecord | undefined> {
    return this.#delete(id, false)
  }

  /** As `delete`; and whoever thinks that the store has lost it does not make it again. */
  bury(id: string): Promise<SessionRecord | undefined> {
    return this.#delete(id, true)
  }

  /** Is told the name of each session that anybody ends. */
  onEnded(ended: (name: string) => void): void {
    this.#ended = ended
    this.#listen()
  }

  async #delete(id: string, buried: boolean): Promise<SessionRecord | undefined> {
    const name = nameOf(id)
    this.#touches.forget(id)
    this.#cache?.forget(name)
    const keys = [...this.#keys.ofSession(name), this.#keys.marks(name), this.#keys.ended(name)]
    const args = [name, this.#keys.changes, this.#seal.names, this.#times[0], buried ? '1' : '0']
    const fields = await this.#run(SCRIPTS.delete, keys, args)
    return fields.length === 0 ? undefined : recordOf(name, fields, this.#seal)
  }

  async list({ cursor, limit }: { readonly cursor?: string; readonly limit: number }): Promise<SessionPage> {
    const wanted = limit >= 1 ? Math.floor(limit) : 1
    const [shard, after] = cursor === undefined ? [0, ''] : placeOf(cursor)
    const args = [this.#keys.sessionsOf(shard), String(wanted), after]
    const [last, pairs] = await this.#run(SCRIPTS.list, this.#keys.ofShard(shard), args)
    const records = this.#readable(pairs)
    if (last !== '') return { records, cursor: `${shard}.${last}` }
    return shard + 1 < SHARDS ? { records, cursor: `${shard + 1}.` } : { records }
  }

  async count(): Promise<number> {
    const counts = Array.from({ length: SHARDS }, (_, shard) => this.#run(SCRIPTS.count, [this.#keys.due(shard)], []))
    return (await Promise.all(counts)).reduce((sum, n) => sum + n, 0)
  }

  async #occupied(): Promise<number> {
    const counts = Array.from({ length: SHARDS }, (_, shard) => this.#do(client => client.zcard(this.#keys.all(shard))))
    return (await Promise.all(counts)).reduce((sum, n) => sum + n, 0)
  }

  /** One reaper at a time, of all who use the store; another one waits a moment, and then finds nothing. */
  async expired(limit: number): Promise<readonly SessionRecord[]> {
    const holder = randomUUID()
    if (!(await this.#lock(holder))) return []
    try {
      return await this.#claim(limit)
    } finally {
      await this.#run(SCRIPTS.release, [this.#keys.reaper], [holder], false).catch(() => {})
    }
  }

  async #lock(holder: string): Promise<boolean> {
    for (const until = performance.now() + REAPER_WAIT; ; await pause(10 + 20 * Math.random())) {
      const got = await this.#do(client => client.set(this.#keys.reaper, holder, 'PX', REAPER_LOCK, 'NX'))
      if (got === 'OK') return true
      if (performance.now() > until) return false
    }
  }

  async #claim(limit: number): Promise<readonly SessionRecord[]> {
    const records: SessionRecord[] = []
    const unreadable = [this.#seal.names, String(SEALED_CLAIM), String(MAX_LOOKED_AT)]
    for (let shard = 0; shard < SHARDS && records.length < limit; shard++) {
      const args = [this.#keys.sessionsOf(shard), String(limit - records.length), this.#claimTtl, ...unreadable]
      records.push(...this.#readable(await this.#run(SCRIPTS.claim, this.#keys.ofShard(shard), args)))
    }
    return records
  }

  /** What this process itself changes is told too, and so is everything once after the connection that listens was not there for a while. */
  follow(id: string, changed: (ended: boolean) => void): () => void {
    this.#open()
    this.#listen()
    return this.#followers.add(nameOf(id), changed)
  }

  async mark(id: string, mark: string): Promise<void> {
    const name = nameOf(id)
    const args = [markOf(name, mark), String(MARK_TTL), String(MAX_MARKS)]
    await this.#run(SCRIPTS.mark, [this.#keys.session(name), this.#keys.marks(name)], args)
  }

  async marked(id: string, mark: string): Promise<boolean> {
    const name = nameOf(id)
    const args = [markOf(name, mark), String(MARK_TTL)]
    return (await this.#run(SCRIPTS.marked, [this.#keys.marks(name)], args)) === 1
  }

  async close(): Promise<void> {
    if (this.#closed) return
    await this.#touches.close().catch(() => {})
    this.#closed = true
    this.#stopListening?.()
    this.#followers.clear()
    this.#cache?.clear()
  }

  #kept(name: string, fields: Fields): SessionRecord {
    const written = this.#written(name, fields)
    this.#cache?.set(name, written)
    return written.record
  }

  #written(name: string, fields: Fields): Written {
    return { record: recordOf(name, fields, this.#seal), nonce: nonceOf(fields) }
  }

  /** One that cannot be read must not hide the others. */
  #readable(pairs: Pairs): SessionRecord[] {
    const records: SessionRecord[] = []
    for (const [name, fields] of pairs)
      try {
        records.push(recordOf(name, fields, this.#seal))
      } catch (error) {
        if (!(error instanceof SessionStoreError)) throw error
      }
    return records
  }

  #run<Reply>(script: Script<Reply>, keys: readonly string[], args: readonly string[], timed = true): Promise<Reply> {
    const now = this.#now === undefined ? '' : String(this.#now())
    return this.#do(client => script.run(client, keys, timed ? [now, ...args] : args))
  }

  async #do<T>(use: (client: RedisClient) => Promise<T>): Promise<T> {
    this.#open()
    try {
      return await this.#backend.do(use)
    } catch (error) {
      throw this.#closed ? new SessionStoreClosedError() : error
    }
  }

  #open(): void {
    if (this.#closed) throw new SessionStoreClosedError()
  }
}

/** Of the version that was known. */
function isSame(fields: Fields): boolean {
  return fields.length === 2 && fields[0] === 't'
}

function placeOf(cursor: string): [shard: number, after: string] {
  const [, shard, after] = /^(\d{1,2})\.([\w-]{0,24})$/.exec(cursor) ?? []
  if (shard === undefined || Number(shard) >= SHARDS) throw new SessionCursorError()
  return [Number(shard), after!]
}
