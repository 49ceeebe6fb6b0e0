import type { StoreLimits } from '../shared.ts'
import type { SessionChange, SessionRecord } from '../store.ts'
import { nameOf } from './keys.ts'
import { type Facts, toBeWritten } from './merge-records.ts'

/** A session as this process knows it. */
export interface KnownSession {
  record: SessionRecord
  /** What the store had, where `record` has been changed since, and the store is still to be told. */
  base: SessionRecord | undefined
  /** Facts that the store may have got, or may still get, as nothing is known of what became of it. */
  sent: readonly Facts[]
  /** `performance.now()` when it was last used here. */
  usedAt: number
}

/** Of a session; a store that answers now and then does not make them pile up. */
const MAX_SENT = 8

/**
 * Changes that the store does not know yet make versions between two whole ones: whatever the store makes of them later is newer than all of
 * them, and older than nothing that was seen before.
 */
const STEP = 2 ** -20

/** Sessions over HTTP that this process has read, made or changed; those that were read longest ago go first. */
export class KnownSessions {
  readonly #limits: StoreLimits
  readonly #known = new Map<string, KnownSession>()
  /** By what they are called in the store. */
  readonly #ids = new Map<string, string>()
  #changed = 0

  constructor(limits: StoreLimits) {
    this.#limits = limits
  }

  /** How many the store is still to be told of. */
  get changed(): number {
    return this.#changed
  }

  /** False: what is known here is newer, as where a store has lost what it held. */
  learn(record: SessionRecord): boolean {
    const known = this.#known.get(record.id)
    if (known?.record === record || known?.base) return true
    if (!isOverHttp(record)) {
      this.forget(record.id)
      return true
    }
    if (known && record.version < known.record.version) return false
    this.#known.delete(record.id)
    if (known) meet(known, record)
    else {
      if (this.#known.size >= this.#limits.maxSessions) this.#dropOldest()
      this.#ids.set(nameOf(record.id), record.id)
    }
    this.#known.set(record.id, known ?? { record, base: undefined, sent: [], usedAt: performance.now() })
    return true
  }

  /** One that has not expired, as far as is known here. */
  get(id: string): KnownSession | undefined {
    const known = this.#known.get(id)
    return known && !this.#isExpired(known) ? known : undefined
  }

  idOf(name: string): string | undefined {
    return this.#ids.get(name)
  }

  used(id: string): void {
    const known = this.#known.get(id)
    if (known) known.usedAt = performance.now()
  }

  /** The store was asked to write these, and has not said whether it did. */
  sent(known: KnownSession, facts: Facts): void {
    known.sent = [...known.sent, facts].slice(-MAX_SENT)
  }

  /** Here alone. False: it would be one too many. */
  change(known: KnownSession, { protocolVersion, legs, facts }: SessionChange): boolean {
    const version = known.record.version + STEP
    if (Number.isInteger(version)) return false
    const wanted = {
      ...(protocolVersion !== undefined && { protocolVersion }),
      ...(legs && { legs }),
      ...(facts && { facts })
    }
    this.#keep(known, { ...known.record, ...(frozen(wanted) as SessionChange), version })
    return true
  }

  /** What `mine` was has become `stored`. What has changed since stays so, on top of that. */
  settle(known: KnownSession, mine: SessionRecord, stored: SessionRecord): void {
    if (this.#known.get(stored.id) !== known) return
    const { record } = known
    if (known.base) this.#changed--
    known.base = undefined
    known.sent = []
    known.record = stored
    const rest = record === mine ? undefined : toBeWritten(stored, record, mine)
    if (rest) this.change(known, rest)
  }

  forget(id: string): void {
    if (this.#known.get(id)?.base) this.#changed--
    if (this.#known.delete(id)) this.#ids.delete(nameOf(id))
  }

  /** Of those that have expired the store is told nothing more. */
  living(): readonly KnownSession[] {
    const living: KnownSession[] = []
    for (const [id, known] of this.#known)
      if (!this.#isExpired(known)) living.push(known)
      else this.forget(id)
    return living
  }

  clear(): void {
    this.#known.clear()
    this.#ids.clear()
    this.#changed = 0
  }

  #keep(known: KnownSession, record: SessionRecord): void {
    if (!known.base) {
      known.base = known.record
      this.#changed++
    }
    known.record = Object.freeze(record)
  }

  /** What the store is still to be told is kept where anything else can go. */
  #dropOldest(): void {
    let oldest: string | undefined
    for (const [id, { base }] of this.#known) {
      oldest ??= id
      if (base) continue
      oldest = id
      break
    }
    if (oldest !== undefined) this.forget(oldest)
  }

  #isExpired({ record, usedAt }: KnownSession): boolean {
    const { idleTtl, maxTtl } = this.#limits
    return performance.now() - usedAt >= idleTtl || Date.now() - record.createdAt >= maxTtl
  }
}

/** It may have been used elsewhere since; that clocks differ must not make it older. */
function meet(known: KnownSession, record: SessionRecord): void {
  if (record.lastSeenAt > known.record.lastSeenAt) {
    const ago = Math.max(0, Date.now() - record.lastSeenAt)
    known.usedAt = Math.max(known.usedAt, performance.now() - ago)
  }
  known.record = record
}

/** Any process can send for it; nothing of it is held by one alone. */
function isOverHttp({ legs }: SessionRecord): boolean {
  let some = false
  for (const name in legs) {
    const { upstreamId, owner } = legs[name]!
    if (upstreamId === undefined || owner !== undefined) return false
    some = true
  }
  return some
}

/** Through JSON, as in any store. */
function frozen(value: object): object {
  return JSON.parse(JSON.stringify(value), (_, member) => Object.freeze(member))
}
