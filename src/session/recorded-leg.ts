import type { SessionLeg, SessionRecord } from './store.ts'

/** The leg of a record, and the one of several servers that it belongs to. */
export interface RecordedLeg extends SessionLeg {
  readonly member: string | undefined
}

/** Of the one target there is, whose legs stand under its own name, or under the names of its servers where there are several. */
export function recordedLeg(record: SessionRecord, target: string): RecordedLeg | undefined {
  for (const name in record.legs) return { ...record.legs[name]!, member: name === target ? undefined : name }
  return undefined
}

export function epochOf(record: SessionRecord): number {
  for (const name in record.legs) return record.legs[name]!.epoch
  return 0
}

/** The process that alone can act for it; `''`: one could, and has let it go. Undefined: any can. */
export function ownerOf(record: SessionRecord): string | undefined {
  for (const name in record.legs) return record.legs[name]!.owner
  return undefined
}
