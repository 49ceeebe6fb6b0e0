import { SessionExistsError, type SessionRecord, type SessionStore } from '../store.ts'
import { type Facts, toBeWritten } from './merge-records.ts'

/** Who loses so often in a row has met something else than chance. */
const TRIES = 50

/** What was done here to `mine` since it was `base`; of which these facts may have been `sent` without our knowing whether they were written. */
export interface Untold {
  readonly mine: SessionRecord
  readonly base: SessionRecord
  readonly sent: readonly Facts[]
}

/**
 * Writes it, whatever others have written meanwhile, until the store's version is no older than ours. Gives what is there then; undefined: it has
 * ended. `unseen`: what is there may be anything.
 */
export async function writeBack(
  store: SessionStore,
  { mine, base, sent }: Untold,
  unseen = false
): Promise<SessionRecord | undefined> {
  // Nothing ever had version 0: an update from it does nothing, and tells what is there.
  let stored: SessionRecord | undefined = unseen ? { ...base, version: 0 } : base
  for (let tries = 0; stored && tries < TRIES; tries++) {
    const change = toBeWritten(stored, mine, base, sent)
    if (!change) break
    const result = await store.update(mine.id, stored.version, change)
    stored = result.ok ? result.record : result.current
  }
  return stored
}

/** The store has lost it: it is made again, unless another process was first. */
export async function makeAgain(store: SessionStore, untold: Untold): Promise<SessionRecord | undefined> {
  const { id, handle, principal, protocolVersion, legs, facts, version } = untold.mine
  try {
    return await store.create({ id, handle, principal, protocolVersion, legs, facts, version: Math.ceil(version) })
  } catch (error) {
    if (!(error instanceof SessionExistsError)) throw error
    return writeBack(store, untold, true)
  }
}
