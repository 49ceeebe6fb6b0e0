import type { Awaitable, SessionChange, SessionRecord, SessionStore, UpdateResult } from './store.ts'

/** What is to be written, given what is there; undefined: nothing. Asked again where somebody else was first. */
export type RecordChange = (record: SessionRecord) => SessionChange | undefined

/** Who loses so often in a row has met something else than chance. */
const TRIES = 20

/** Changes a record whoever else does so meanwhile. Not `ok` where there was nothing to change, or the session has ended. */
export function changeRecord(
  store: SessionStore,
  record: SessionRecord,
  change: RecordChange,
  tries = TRIES
): Awaitable<UpdateResult> {
  const wanted = change(record)
  if (!wanted || tries === 0) return { ok: false, current: record }
  const result = store.update(record.id, record.version, wanted)
  const next = (r: UpdateResult): Awaitable<UpdateResult> =>
    r.ok || !r.current ? r : changeRecord(store, r.current, change, tries - 1)
  return result instanceof Promise ? result.then(next) : next(result)
}

/** The same for a session that no store knows. */
export function changed(record: SessionRecord, change: SessionChange): SessionRecord {
  const { protocolVersion = record.protocolVersion, legs = record.legs, facts = record.facts } = change
  return { ...record, protocolVersion, legs, facts, version: record.version + 1 }
}
