/** What can become of a request, as its client sees it. */

export interface Outcome {
  readonly kind: 'answer' | 'error' | 'broken' | 'cancelled' | 'hung' | 'unclear'
  /** Of an error, who says what: `owner_lost`, `balancer 503`, `server 404` … */
  readonly what: string
}

export interface Refusal {
  readonly status: number
  readonly text: string
}

/** catflap's own words for what may go wrong while processes and Redis come and go. Anything else has no business to turn up. */
const CLEAR: ReadonlySet<string> = new Set([
  ...['owner_lost', 'owner_unreachable', 'store_unavailable', 'session_not_found', 'shutting_down'],
  ...['child_exited', 'upstream_session_lost', 'upstream_reset', 'server_request_unheard', 'cancelled']
])

export const ANSWER: Outcome = { kind: 'answer', what: 'answer' }
export const CANCELLED: Outcome = { kind: 'cancelled', what: 'cancelled' }
export const HUNG: Outcome = { kind: 'hung', what: 'no answer' }
export const BROKEN: Outcome = { kind: 'broken', what: 'connection broke' }

export function ofRefusal({ status, text }: Refusal): Outcome {
  const error = errorIn(text)
  if (error !== undefined) return ofError(error.data, status)
  // HAProxy's pages.
  if (/^<html>/i.test(text) && (status === 502 || status === 503)) return { kind: 'error', what: `balancer ${status}` }
  return { kind: 'unclear', what: `status ${status}: ${text.slice(0, 200)}` }
}

/** `data` of a JSON-RPC error. */
export function ofError(data: unknown, status: number | string): Outcome {
  const code = (data as { code?: unknown } | undefined)?.code
  if (typeof code === 'string') return { kind: CLEAR.has(code) ? 'error' : 'unclear', what: code }
  // The server's own words pass as they are.
  return { kind: status === 404 ? 'error' : 'unclear', what: `server ${status}` }
}

/** The client has to begin anew. */
export function losesSession({ what }: Outcome): boolean {
  return what === 'session_not_found' || what === 'server 404' || what === 'upstream_session_lost'
}

/** No catflap was there to say anything. */
export function isOfConnection({ kind, what }: Outcome): boolean {
  return kind === 'broken' || what.startsWith('balancer ')
}

function errorIn(text: string): { readonly data?: unknown } | undefined {
  try {
    return (JSON.parse(text) as { error?: { data?: unknown } }).error
  } catch {
    return undefined
  }
}
