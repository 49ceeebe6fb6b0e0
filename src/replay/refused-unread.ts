import { HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION } from '../protocol/error-codes.ts'
import { getHeader } from '../protocol/headers.ts'
import type { Era } from '../protocol/versions.ts'
import { META_VERSION } from '../protocol/versions.ts'
import { parseJson } from './canonical.ts'
import { META_CAPABILITIES } from './capabilities.ts'
import type { Outcome, RecordedRequest } from './recording.ts'
import { isRefusedBeginning } from './refused-beginnings.ts'
import { isObject } from './values.ts'

const INVALID_PARAMS = -32602
/** catflap's own words for a session that is none, or not one for this revision. */
const OWN_CODES: ReadonlySet<unknown> = new Set(['session_not_found', 'session_required', 'unsupported_version'])
/** Longer refusals are no refusals of this kind. */
const MAX_TEXT = 16_384

/**
 * Whether it was not the request that was refused, but what it came in: a session that had ended, headers that say something
 * else, another revision. Such an answer is none to an equal request that comes well wrapped; and one that does not is refused by
 * whoever serves the tape, as servers do.
 */
export function isRefusedUnread(request: RecordedRequest, era: Era): boolean {
  const { outcome } = request
  if (isRefusedBeginning(request)) return true
  if (outcome.kind === 'status') return lostSession(request, outcome)
  if (outcome.kind !== 'response' || !outcome.isError || outcome.truncated || outcome.text.length > MAX_TEXT)
    return false
  if (lostSession(request, outcome)) return true
  const error = errorOf(outcome.text.get())
  if (!error) return false
  if (outcome.own && isObject(error.data) && OWN_CODES.has(error.data.code)) return true
  if (era === 'legacy') return false
  if (error.code === INVALID_PARAMS) return !isWrapped(request)
  return error.code === HEADER_MISMATCH || error.code === UNSUPPORTED_VERSION || error.code === MISSING_CAPABILITY
}

/** Servers say 404 to a session that they do not know, many 400 (spec 2025-11-25 basic/transports, "Session Management"). */
function lostSession(request: RecordedRequest, outcome: Outcome & { readonly kind: 'response' | 'status' }): boolean {
  const { status } = outcome
  if (status !== 404 && status !== 400) return false
  if (getHeader(request.headers ?? [], 'mcp-session-id') === undefined) return false
  if (status === 404) return true
  const text = outcome.kind === 'status' ? outcome.body : outcome.text
  return text !== undefined && text.length <= MAX_TEXT && /session|not initiali[sz]ed/i.test(text.get())
}

/** Every request of the modern era carries both (spec 2026-07-28 basic/index, "_meta"). */
function isWrapped({ text, truncated }: RecordedRequest): boolean {
  if (truncated) return true
  const message = jsonOf(text.get())
  const meta = isObject(message) && isObject(message.params) ? message.params._meta : undefined
  return isObject(meta) && META_VERSION in meta && META_CAPABILITIES in meta
}

function errorOf(text: string): { readonly code?: unknown; readonly data?: unknown } | undefined {
  const message = jsonOf(text)
  return isObject(message) && isObject(message.error) ? message.error : undefined
}

function jsonOf(text: string): unknown {
  try {
    return parseJson(text)
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
