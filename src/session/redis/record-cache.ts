import type { SessionRecord } from '../store.ts'
import type { RedisClient } from './client.ts'

/** Sessions that are remembered at once. */
const MAX_RECORDS = 10_000

interface Known {
  readonly record: SessionRecord
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
  readonly #listener: RedisClient
  readonly #own: boolean
  #moment = 0

  constructor(client: RedisClient, channel: string, time: number) {
    this.#time = time
    // A connection that listens can do nothing else; a cluster has one of its own for that.
    this.#own = !('nodes' in client)
    this.#listener = this.#own ? (client as { duplicate(): RedisClient }).duplicate() : client
    this.#listener.on('error', () => {})
    this.#listener.on('close', () => this.#known.clear())
    this.#listener.on('message', (_channel: string, name: string) => this.#heard(name))
    this.#listener.subscribe(channel).catch(() => {})
  }

  /** To be told to `set` by who reads: a change that was heard meanwhile is younger. */
  get moment(): number {
    return this.#moment
  }

  get(name: string): SessionRecord | undefined {
    const known = this.#known.get(name)
    if (!known) return undefined
    if (performance.now() < known.until) return known.record
    this.#known.delete(name)
    return undefined
  }

  set(name: string, record: SessionRecord, moment = this.#moment): void {
    if (moment !== this.#moment && (this.#changed.get(name) ?? 0) > moment) return
    const before = this.#known.get(name)
    if (before && before.record.version > record.version) return
    this.#known.delete(name)
    if (this.#known.size >= MAX_RECORDS) for (const oldest of this.#known.keys()) if (this.#known.delete(oldest)) break
    this.#known.set(name, { record, until: performance.now() + this.#time })
  }

  forget(name: string): void {
    this.#known.delete(name)
    this.#note(name)
  }

  #heard(name: string): void {
    this.forget(name)
  }

  #note(name: string): void {
    this.#changed.delete(name)
    this.#changed.set(name, ++this.#moment)
    if (this.#changed.size > MAX_RECORDS)
      for (const oldest of this.#changed.keys()) if (this.#changed.delete(oldest)) break
  }

  close(): void {
    this.#known.clear()
    if (this.#own) this.#listener.disconnect()
  }
}
