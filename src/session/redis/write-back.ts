import { SessionExistsError, type SessionRecord, type SessionStore } from '../store.ts'
import { toBeWritten } from './merge-records.ts'

/** Who loses so often in a row has met something else than chance. */
const TRIES = 50

/**
 * Writes what was done here to `mine` since it was `base`, whatever others have written meanwhile, until the store's version is no older than
 * ours. Gives what is there then; undefined: it has ended. `unseen`: what is there may be anything.
 */
export async function writeBack(
  store: SessionStore,
  mine: SessionRecord,
  base: SessionRecord,
  unseen = false
): Promise<SessionRecord | undefined> {
  // Nothing ever had version 0: an update from it does nothing, and tells what is there.
  let stored: SessionRecord | undefined = unseen ? { ...base, version: 0 } : base
  for (let tries = 0; stored && tries < TRIES; tries++) {
    const change = toBeWritten(stored, mine, base)
    if (!change) break
    const result = await store.update(mine.id, stored.version, change)
    stored = result.ok ? result.record : result.current
  }
  return stored
}

/** The store has lost it: it is made again, unless another process was first. */
export async function makeAgain(
  store: SessionStore,
  mine: SessionRecord,
  base: SessionRecord
): Promise<SessionRecord | undefined> {
  const { id, handle, principal, protocolVersion, legs, facts } = mine
  const version = Math.ceil(mine.version)
  try {
    return await store.create({ id, handle, principal, protocolVersion, legs, facts, version })
  } catch (error) {
    if (!(error instanceof SessionExistsError)) throw error
    return writeBack(store, mine, base, true)
  }
}
