import { getHeader } from '../protocol/headers.ts'
import type { CallInput } from '../transport/upstream.ts'

/** Names a replay session: as a header, or as `replay-session` in the URL. */
const REPLAY_SESSION_HEADER = 'catflap-replay-session'
const REPLAY_SESSION_PARAM = 'replay-session'
const MAX_NAME = 200

/** The name that a client over HTTP gives; an empty one where it gives none. */
export function namedSession({ headers, query }: Pick<CallInput, 'headers' | 'query'>): string {
  const named = getHeader(headers, REPLAY_SESSION_HEADER) ?? parameter(query)
  return named?.slice(0, MAX_NAME) ?? ''
}

function parameter(query: string | undefined): string | undefined {
  return query?.includes(REPLAY_SESSION_PARAM)
    ? (new URLSearchParams(query).get(REPLAY_SESSION_PARAM) ?? undefined)
    : undefined
}
