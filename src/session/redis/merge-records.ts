import { isDeepStrictEqual } from 'node:util'
import { withSubscription } from '../facts.ts'
import { epochOf } from '../recorded-leg.ts'
import type { JsonValue, SessionChange, SessionRecord } from '../store.ts'

export type Facts = Readonly<Record<string, JsonValue>>

/**
 * What is to be written over `stored` so that it holds what was done here, to `mine`, since it was `base`; undefined: nothing.
 * An older version (the store went back) gets all that is known here. A newer one, which others have written meanwhile, wins: it gets what only
 * we have changed; lists (subscriptions, what a client is still to be told) lose what was taken out here and get what was put in; where both have
 * changed a value (the log level), theirs stays, since which one came last is not known. Legs are those that were begun last. `sent`: what of ours may
 * have been written without our knowing; it is not taken for theirs.
 */
export function toBeWritten(
  stored: SessionRecord,
  mine: SessionRecord,
  base: SessionRecord,
  sent: readonly Facts[] = []
): SessionChange | undefined {
  const isOlder = stored.version < mine.version
  const facts = isOlder ? mine.facts : mergedFacts(stored, mine.facts, [base.facts, ...sent])
  const protocolVersion = isOlder || stored.protocolVersion === undefined ? mine.protocolVersion : undefined
  const legs = epochOf(mine) > epochOf(stored) ? mine.legs : undefined
  if (!isOlder && facts === stored.facts && protocolVersion === undefined && legs === undefined) return undefined
  return { protocolVersion, legs, facts }
}

/** `stored.facts` itself where nothing differs. `before`: what was there at first, and what may have been written of ours. */
export function mergedFacts(
  stored: SessionRecord,
  mine: Facts,
  before: readonly [base: Facts, ...sent: Facts[]]
): Facts {
  const [base] = before
  let record = stored
  for (const name of new Set([mine, ...before].flatMap(Object.keys))) {
    const [ours, first, theirs] = [mine[name], base[name], record.facts[name]]
    const isOurs = before.some(facts => isDeepStrictEqual(theirs, facts[name]))
    // Who opens a new leg is agreed in the store, or not at all.
    if (name === 'renewing' || isDeepStrictEqual(ours, theirs)) continue
    if (isOurs) record = withFact(record, name, ours)
    else if (isDeepStrictEqual(ours, first)) continue
    else if (name === 'subscriptions') record = withSubscriptions(record, textsIn(ours), textsIn(first))
    else if ([ours, first, theirs].every(isList)) record = withFact(record, name, mergedLists(theirs, ours, first))
  }
  return isDeepStrictEqual(record.facts, stored.facts) ? stored.facts : record.facts
}

/** In the bounds that hold for each. */
function withSubscriptions(record: SessionRecord, ours: readonly string[], before: readonly string[]): SessionRecord {
  let after = record
  const change = (uris: readonly string[], others: readonly string[], wanted: boolean): void => {
    for (const uri of uris)
      if (!others.includes(uri)) after = { ...after, facts: withSubscription(after, uri, wanted) ?? after.facts }
  }
  change(before, ours, false)
  change(ours, before, true)
  return after
}

function mergedLists(
  theirs: JsonValue | undefined,
  ours: JsonValue | undefined,
  before: JsonValue | undefined
): JsonValue | undefined {
  const [now, wanted, known] = [textsIn(theirs), textsIn(ours), textsIn(before)]
  const kept = now.filter(text => wanted.includes(text) || !known.includes(text))
  const merged = [...kept, ...wanted.filter(text => !known.includes(text) && !kept.includes(text))]
  return merged.length > 0 ? merged : undefined
}

function withFact(record: SessionRecord, name: string, value: JsonValue | undefined): SessionRecord {
  const { [name]: _, ...others } = record.facts
  return { ...record, facts: value === undefined ? others : { ...others, [name]: value } }
}

/** One that is not there counts as empty. */
function isList(value: JsonValue | undefined): boolean {
  return value === undefined || (Array.isArray(value) && value.every(text => typeof text === 'string'))
}

function textsIn(value: JsonValue | undefined): readonly string[] {
  return isList(value) ? ((value ?? []) as readonly string[]) : []
}
