import { MalformedMessage, Message } from './message.ts'

/** Bytes of a body that is read for it: a refusal is short. */
export const MAX_REFUSAL = 64 * 1024

/**
 * Codes that implementations choose for themselves (JSON-RPC 2.0 §5.1 gives them -32000 to -32099, MCP took those from -32020
 * down for what it defines: spec 2026-07-28 basic/index, "Error Codes").
 */
const LOWEST = -32_019
const HIGHEST = -32_000
/** Resource not found, in revisions up to 2025-11-25. */
const RESOURCE_NOT_FOUND = -32_002

/** "No valid session ID provided", "Session not found"; "Server not initialized" where a server has one session at a time. */
const SPEAKS_OF_SESSION = /session|not (?:been |yet )*initiali[sz]ed/i

/**
 * Whether this body, of an answer whose status is 400, says that the server does not know the session: one JSON-RPC error, to no
 * request in particular, with a code of the server's own and words about the session. Many servers say so with 400 where the
 * specification wants 404 (spec 2025-11-25 basic/transports, "Session Management").
 */
export function refusesSession(body: Buffer): boolean {
  if (body.length > MAX_REFUSAL) return false
  const refusal = onlyMessage(body)
  if (!refusal?.isError || refusal.kind !== 'response' || refusal.idText !== undefined) return false
  const { error } = refusal.json as { readonly error?: { readonly code?: unknown; readonly message?: unknown } | null }
  const { code, message } = error ?? {}
  if (!Number.isInteger(code) || typeof message !== 'string' || code === RESOURCE_NOT_FOUND) return false
  return Number(code) >= LOWEST && Number(code) <= HIGHEST && SPEAKS_OF_SESSION.test(message)
}

/** Bytes of one that is no JSON. */
export const MAX_REFUSAL_TEXT = 256

const IN_WORDS = /^(?:bad request: )?(?:no valid|invalid|unknown) session\b[^\n{<]*$/i

/** The same in plain words, as servers of the Python SDK say it. */
export function refusesInWords(body: Buffer): boolean {
  return body.length <= MAX_REFUSAL_TEXT && IN_WORDS.test(body.toString().trim())
}

function onlyMessage(body: Buffer): Message | undefined {
  try {
    return Message.parse(body, 'server')
  } catch (error) {
    if (error instanceof MalformedMessage) return undefined
    throw error
  }
}
