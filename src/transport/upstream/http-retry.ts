import type { CatflapError } from '../../errors.ts'
import type { RetryReason } from '../upstream.ts'
import { errorCode } from './http-pool.ts'

/** Of one call, at one server and at others. */
export const MAX_ATTEMPTS = 3
/** Before the same server is asked again, in ms; each time twice as long. */
const FIRST_DELAY = 100
/** RFC 9113 §7 */
const REFUSED_STREAM = 7

/**
 * Why it is certain that a request was not processed; undefined where it is not. `begun`: undici had a connection for it and
 * had begun to write it. What of it has left then cannot be known: bytes that the system has taken may be on their way.
 */
export function unprocessed(error: unknown, begun: boolean): RetryReason | undefined {
  if (!begun) return neverConnected(error) ? 'not_sent' : undefined
  if (!(error instanceof Error)) return undefined
  // RFC 9113 §8.7: neither a refused stream nor one above the last that a GOAWAY names has been processed. Undici gives the
  // request up with this text for the latter alone, and after it has sent it once more by itself.
  const refused = (error as { http2ErrorCode?: unknown }).http2ErrorCode === REFUSED_STREAM
  return refused || error.message.startsWith('HTTP/2: "GOAWAY" frame received') ? 'refused_stream' : undefined
}

/** How long a server wants to be left alone (Retry-After, RFC 9110 §10.2.3: seconds or a date), in ms; 0: it does not say. */
export function retryAfter(value: string | undefined, now = Date.now()): number {
  if (value === undefined) return 0
  const text = value.trim()
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now
  return ms > 0 ? ms : 0
}

/** A request that undici would not take is as wrong the next time. */
function neverConnected(error: unknown): boolean {
  const code = errorCode(error)
  return !code.startsWith('UND_ERR_') || CONNECTING.has(code)
}

const CONNECTING = new Set(['UND_ERR_CONNECT_TIMEOUT', 'UND_ERR_SOCKET'])
/** What passes by itself, and soon: a server that is being started, or has just closed the door. */
const PASSING = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'])

/** How long to wait before the same server is asked again, in ms; undefined: there is no use. */
export function retryDelay(failure: CatflapError, attempts: number): number | undefined {
  const refused = unprocessed(failure.cause, true) !== undefined
  return refused || PASSING.has(errorCode(failure.cause)) ? FIRST_DELAY * 2 ** (attempts - 1) : undefined
}
