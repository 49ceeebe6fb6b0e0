/** Stores whose sessions go on without Redis, as a process has them; and Redises that fail. */
import { Redis } from 'ioredis'
import type { Test } from 'tap'
import { SILENT } from '../../../src/log.ts'
import { redisGenerations } from '../../../src/session/redis/generations.ts'
import { localOnFailure } from '../../../src/session/redis/local-on-failure.ts'
import type { StoreLimits } from '../../../src/session/shared.ts'
import type { NewSession, SessionRecord, SessionStore } from '../../../src/session/store.ts'
import { type MakeStore, newSession } from '../../contract/session-store-harness.ts'
import { type RedisServer, startRedis } from '../../fixtures/servers/redis.ts'
import { StoreOfItsOwn, type StoreSettings } from '../../helpers/redis-stores.ts'
import { LogInbox } from '../../integration/pipe-door.ts'

export const UNAVAILABLE = { code: 'session_store_unavailable' }
/** Milliseconds for one operation. */
export const TIMEOUT = 500

export interface LocalStore {
  readonly store: SessionStore
  readonly log: LogInbox
}

/** `more`: of the store below. */
export function local(t: Test, url: string, more: StoreSettings & Partial<StoreLimits> = {}): LocalStore {
  const limits = { maxSessions: 100, idleTtl: 60_000, maxTtl: 600_000, ...more }
  const below = new StoreOfItsOwn(url, { timeout: TIMEOUT, cacheFor: 0, touchEvery: 0, ...more })
  const log = new LogInbox('lines of the log')
  const store = localOnFailure(below, { limits, generations: redisGenerations(below.backend), log })
  t.teardown(() => store.close())
  return { store, log }
}

/** What another process sees, that nothing stands between it and Redis. */
export function direct(t: Test, url: string): SessionStore {
  const store = new StoreOfItsOwn(url, { timeout: 5_000, cacheFor: 0, touchEvery: 0 })
  t.teardown(() => store.close())
  return store
}

export function overHttp(id: string, more: Partial<NewSession> = {}): NewSession {
  return newSession(id, { legs: { main: { upstreamId: `theirs of ${id}`, epoch: 1 } }, ...more })
}

export async function started(t: Test, more: readonly (readonly string[])[] = []): Promise<RedisServer> {
  const redis = await startRedis(more)
  t.teardown(() => redis.stop())
  return redis
}

/** Another one where the last one was. */
export async function startedAgain(
  t: Test,
  { port }: RedisServer,
  more: readonly (readonly string[])[] = []
): Promise<RedisServer> {
  const redis = await startRedis(more, port)
  t.teardown(() => redis.stop())
  return redis
}

export async function command(redis: RedisServer, name: string, ...args: string[]): Promise<unknown> {
  const client = new Redis(redis.port, '127.0.0.1')
  client.on('error', () => {})
  try {
    return await client.call(name, ...args)
  } finally {
    client.disconnect()
  }
}

/** The record as soon as it is so. */
export async function seen(
  store: SessionStore,
  id: string,
  isSo: (record: SessionRecord | undefined) => boolean
): Promise<SessionRecord | undefined> {
  const end = performance.now() + 15_000
  for (;;) {
    const record = await Promise.resolve(store.get(id)).catch(() => null)
    if (record !== null && isSo(record)) return record
    if (performance.now() > end) throw new Error(`waited 15 s for ${id}; it is ${JSON.stringify(record)}`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

let prefixes = 0

/** As `storesAt`, of those that go on without Redis: while it is there, nobody may notice. */
export function localAt(url: string): MakeStore {
  return settings => {
    let time = 1_800_000_000_000
    const prefix = `local-${++prefixes}:`
    const open = () => {
      const below = new StoreOfItsOwn(url, { prefix, now: () => time, cacheFor: 0, touchEvery: 0, ...settings })
      return localOnFailure(below, { limits: settings, generations: redisGenerations(below.backend), log: SILENT })
    }
    return {
      store: open(),
      peer: open(),
      advance: ms => {
        time += ms
      }
    }
  }
}
