import { hash } from 'node:crypto'

/** The layout of what is kept. Another one is another number: two releases that keep things differently do not see each other's. */
const LAYOUT = 1
/** Over so many parts the sessions are spread, so that the nodes of a cluster share them. All of one session is in one part. */
export const SHARDS = 16

/** Names of keys of one store. The part in braces alone decides where a cluster keeps a key. */
export class Keys {
  /** What is told here has changed: the name of a session. With `!` before it, it has ended; its name alone is told after that. */
  readonly changes: string
  readonly reaper: string
  readonly #prefix: string

  /** `store`: one of those that share a Redis and a prefix. */
  constructor(prefix: string, store: string) {
    this.#prefix = `${prefix}${LAYOUT}:${store}:`
    this.changes = `${this.#prefix}changes`
    this.reaper = `${this.#prefix}reaper`
  }

  /** The record. */
  session(name: string): string {
    return `${this.#prefix}{${shardOf(name)}}:s:${name}`
  }

  /** What each script about one session may touch. */
  ofSession(name: string): [session: string, due: string, claimed: string, all: string] {
    const shard = shardOf(name)
    return [this.session(name), this.due(shard), this.claimed(shard), this.all(shard)]
  }

  /** What is known of it for some minutes. */
  marks(name: string): string {
    return `${this.#prefix}{${shardOf(name)}}:m:${name}`
  }

  /** That it has ended, for as long as somebody may make it again who does not know. */
  ended(name: string): string {
    return `${this.#prefix}{${shardOf(name)}}:e:${name}`
  }

  ofShard(shard: number): [due: string, claimed: string, all: string] {
    return [this.due(shard), this.claimed(shard), this.all(shard)]
  }

  /** What stands before the name of a session of this part. */
  sessionsOf(shard: number): string {
    return `${this.#prefix}{${shard}}:s:`
  }

  /** By when they expire. */
  due(shard: number): string {
    return `${this.#prefix}{${shard}}:due`
  }

  /** Expired, and given to a reaper: by when it must have ended them. */
  claimed(shard: number): string {
    return `${this.#prefix}{${shard}}:claimed`
  }

  /** In an order that never changes, for listings. */
  all(shard: number): string {
    return `${this.#prefix}{${shard}}:all`
  }
}

/** The lease of a process. No store is called `@`. */
export function leaseKey(prefix: string, instance: string): string {
  return `${prefix}${LAYOUT}:@:{${instance}}`
}

/** Until when its lease lasts; there for long after that. */
export function untilKey(prefix: string, instance: string): string {
  return `${leaseKey(prefix, instance)}:until`
}

/** Which process holds what is called so. */
export function heldKey(prefix: string, name: string): string {
  return `${prefix}${LAYOUT}:@:{${name}}:held`
}

/** What can be written, to see whether anything can. */
export function probeKey(prefix: string, shard: number): string {
  return `${prefix}${LAYOUT}:@:{${shard}}:probe`
}

/** What a part of the data is called, for as long as it is there. */
export function generationKey(prefix: string, shard: number): string {
  return `${prefix}${LAYOUT}:@:{${shard}}:generation`
}

/** Of sessions in use, so that a request does not cost a hash. */
const names = new Map<string, string>()
const MAX_NAMES = 20_000

/** What a session is called in Redis: its id is a secret, and cannot be had from this. */
export function nameOf(id: string): string {
  const known = names.get(id)
  if (known !== undefined) return known
  const name = hashed(id)
  // The oldest makes room: whoever is still used is soon back.
  if (names.size >= MAX_NAMES) for (const oldest of names.keys()) if (names.delete(oldest)) break
  names.set(id, name)
  return name
}

/** What a mark of it is called: of one length, and nothing to be read in it. */
export function markOf(name: string, mark: string): string {
  return hashed(`${name} ${mark}`)
}

function hashed(text: string): string {
  return hash('sha256', text, 'buffer').subarray(0, 18).toString('base64url')
}

/** From the first 4 bits. */
export function shardOf(name: string): number {
  return BASE64URL.indexOf(name[0] ?? 'A') >> 2
}

const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
