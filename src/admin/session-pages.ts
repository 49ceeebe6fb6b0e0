import { badParameter } from './problem.ts'
import type { SessionView } from './subject.ts'

export interface SessionPageRequest {
  readonly limit: number
  readonly cursor?: string
  /** Only those of this route. */
  readonly route?: string
}

/** Where a session stands in the order of pages: by age. None of it ever changes, so that a place outlives whoever stood there. */
type Place = readonly [createdAt: number, handle: string, route: string]

/**
 * One page of sessions, oldest first. A pass over all pages gives each session that lives throughout exactly once, whatever
 * comes and goes meanwhile. Of many sessions, no more are kept than a few pages hold.
 */
export function sessionPage(
  sessions: Iterable<SessionView>,
  { limit, cursor, route }: SessionPageRequest
): { readonly sessions: readonly SessionView[]; readonly cursor?: string } {
  const after = cursor === undefined ? undefined : placeOf(cursor)
  const wanted = limit + 1
  let first: SessionView[] = []
  for (const session of sessions) {
    if (route !== undefined && session.route !== route) continue
    if (after && compare(place(session), after) <= 0) continue
    first.push(session)
    if (first.length >= 4 * wanted) first = first.sort(byPlace).slice(0, wanted)
  }
  first.sort(byPlace)
  const page = first.slice(0, limit)
  return first.length > limit ? { sessions: page, cursor: cursorOf(page.at(-1)!) } : { sessions: page }
}

function place({ createdAt, handle, route }: SessionView): Place {
  return [createdAt, handle, route]
}

function byPlace(a: SessionView, b: SessionView): number {
  return compare(place(a), place(b))
}

function compare(a: Place, b: Place): number {
  for (let i = 0; i < 3; i++) if (a[i]! !== b[i]!) return a[i]! < b[i]! ? -1 : 1
  return 0
}

function cursorOf(session: SessionView): string {
  return Buffer.from(JSON.stringify(place(session))).toString('base64url')
}

/** Long enough for any of ours. */
const MAX_CURSOR = 512

function placeOf(cursor: string): Place {
  let read: unknown
  try {
    if (cursor.length <= MAX_CURSOR) read = JSON.parse(Buffer.from(cursor, 'base64url').toString())
  } catch {
    // Told below.
  }
  if (isPlace(read)) return read
  throw badParameter('cursor', 'what the page before gave, or none for the first page')
}

function isPlace(value: unknown): value is Place {
  return (
    Array.isArray(value) &&
    value.length === 3 &&
    Number.isSafeInteger(value[0]) &&
    typeof value[1] === 'string' &&
    typeof value[2] === 'string'
  )
}
