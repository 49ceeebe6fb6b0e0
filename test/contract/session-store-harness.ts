/** What the parts of the session store contract share. */
import type t from 'tap'
import type { Awaitable, NewSession, SessionRecord, SessionStore } from '../../src/session/store.ts'

/** Milliseconds, and the number of sessions. */
export interface StoreSettings {
  readonly maxSessions: number
  readonly idleTtl: number
  readonly maxTtl: number
  readonly claimTtl: number
}

export interface StoreUnderTest {
  readonly store: SessionStore
  /** What another process would use for the same sessions. By default the same object. */
  readonly peer?: SessionStore
  /** Lets time pass, for all of them. */
  advance(ms: number): Awaitable<void>
}

export type MakeStore = (settings: StoreSettings) => Awaitable<StoreUnderTest>

export type Test = Parameters<Parameters<typeof t.test>[0]>[0]
export type Setup = (
  t: Test,
  settings?: Partial<StoreSettings>
) => Promise<{ store: SessionStore; peer: SessionStore; advance: (ms: number) => Promise<void> }>

export const DEFAULTS: StoreSettings = { maxSessions: 100, idleTtl: 1000, maxTtl: 10_000, claimTtl: 500 }

export function newSession(id: string, more: Partial<NewSession> = {}): NewSession {
  return { id, handle: `s-${id}`, principal: 'ann', ...more }
}

/** Every page, one after another. Fails when it does not come to an end. */
export async function listAll(store: SessionStore, limit: number): Promise<SessionRecord[]> {
  const all: SessionRecord[] = []
  let cursor: string | undefined
  for (let pages = 0; pages < 10_000; pages++) {
    const page = await store.list({ cursor, limit })
    if (page.records.length > limit) throw new Error(`a page of ${page.records.length} where ${limit} were asked for`)
    all.push(...page.records)
    cursor = page.cursor
    if (cursor === undefined) return all
  }
  throw new Error('the listing does not end')
}

/** The error, thrown or rejected with: stores do either. */
export async function fails(use: () => unknown): Promise<unknown> {
  try {
    await use()
  } catch (error) {
    return error
  }
  return undefined
}
