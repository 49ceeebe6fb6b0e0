import type { Session } from './session.ts'
import type { SessionRecord, SessionStore } from './store.ts'

/** What a reaper does with the sessions it finds. */
export interface ReaperHands {
  /** In use: it goes on, up to its absolute age. */
  touch(session: Session): void
  /** Its time is over, or another process has ended it. */
  end(session: Session): Promise<void>
  /** The same, of a session that this process has never held. */
  endUnheld(record: SessionRecord): Promise<void>
}

const BATCH = 100

/** Ends what has expired. Fails if the store does. */
export async function reap(store: SessionStore, live: ReadonlyMap<string, Session>, hands: ReaperHands): Promise<void> {
  for (const session of live.values()) if (session.inFlight > 0) hands.touch(session)
  for (;;) {
    const records = await store.expired(BATCH)
    if (records.length === 0) break
    await Promise.all(
      records.map(record => {
        const held = live.get(record.id)
        return held ? hands.end(held) : hands.endUnheld(record)
      })
    )
  }
}

/** Sessions that other processes have ended: nobody may ever ask for them here again. */
export async function sweep(
  store: SessionStore,
  live: Iterable<Session>,
  ended: (session: Session) => Promise<void>
): Promise<void> {
  const stored = [...live].filter(session => session.stored)
  for (let i = 0; i < stored.length; i += BATCH) {
    const asked = stored.slice(i, i + BATCH).map(async session => {
      if (!session.ended && !(await store.get(session.id))) await ended(session)
    })
    await Promise.all(asked)
  }
}
