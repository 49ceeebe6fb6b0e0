import type { JsonValue, SessionRecord } from './store.ts'

/**
 * What a session's record keeps besides its leg, so that the session can go on when the server has lost it. Everything here may
 * have been written by another process, or by another version of catflap.
 */
export interface SessionFacts {
  /** What the server said of itself at the first `initialize` (`serverIdentity`). */
  readonly server?: string
  /** The last level that the server accepted. */
  readonly logLevel?: string
  /** URIs of resources. */
  readonly subscriptions?: readonly string[]
  /** Notifications that the client is still to be told on its next stream. */
  readonly untold?: readonly string[]
  /** Somebody is opening a new leg, and has until then (epoch ms). */
  readonly renewing?: number
  /** When the present leg took the place of a lost one (epoch ms). */
  readonly renewed?: number
}

/** Subscriptions beyond these are not restored. */
const MAX_SUBSCRIPTIONS = 1_000
/** Characters of all of them, so that ten thousand sessions cannot hold what they like. */
const MAX_SUBSCRIBED = 64 * 1024
const MAX_LEVEL = 32

export function factsOf({ facts }: SessionRecord): SessionFacts {
  const { server, logLevel, subscriptions, untold, renewing, renewed } = facts
  return {
    server: typeof server === 'string' ? server : undefined,
    logLevel: typeof logLevel === 'string' ? logLevel : undefined,
    subscriptions: stringsIn(subscriptions),
    untold: stringsIn(untold),
    renewing: typeof renewing === 'number' ? renewing : undefined,
    renewed: typeof renewed === 'number' ? renewed : undefined
  }
}

/** The record's facts with these in the place of theirs; what is undefined goes. */
export function withFacts(record: SessionRecord, change: SessionFacts): Readonly<Record<string, JsonValue>> {
  const facts: Record<string, JsonValue> = { ...record.facts }
  for (const [name, value] of Object.entries(change) as [string, JsonValue | undefined][])
    if (value === undefined) delete facts[name]
    else facts[name] = value
  return facts
}

/** Undefined: it is known already, or none that could be kept. */
export function withLogLevel(record: SessionRecord, level: unknown): Readonly<Record<string, JsonValue>> | undefined {
  if (typeof level !== 'string' || level.length > MAX_LEVEL || level === factsOf(record).logLevel) return undefined
  return withFacts(record, { logLevel: level })
}

/** Undefined: there is nothing to change, or no room. */
export function withSubscription(
  record: SessionRecord,
  uri: unknown,
  wanted: boolean
): Readonly<Record<string, JsonValue>> | undefined {
  if (typeof uri !== 'string') return undefined
  const before = factsOf(record).subscriptions ?? []
  if (before.includes(uri) === wanted) return undefined
  const after = wanted ? [...before, uri] : before.filter(known => known !== uri)
  const size = after.reduce((sum, known) => sum + known.length, 0)
  if (wanted && (after.length > MAX_SUBSCRIPTIONS || size > MAX_SUBSCRIBED)) return undefined
  return withFacts(record, { subscriptions: after.length > 0 ? after : undefined })
}

function stringsIn(value: JsonValue | undefined): readonly string[] | undefined {
  if (!Array.isArray(value)) return undefined
  const strings = (value as readonly JsonValue[]).filter(one => typeof one === 'string')
  return strings.length > 0 ? strings : undefined
}
