/**
 * What a peer presents as a credential is searched for in everything recorded later. So it must look like one: were
 * `tools/call` or `"jsonrpc":"2.0"` believed to be a key, whoever sends them could blind the tape.
 */

const SHORTEST = 12
/** Fewer changes between small and capital letters are words, as in `structuredContent` and `Mcp-Session-Id`. */
const CASE_CHANGES = 5
/** JSON's own characters, and blanks: no credential needs them, and they stand in every message. */
const PUNCTUATION = /["{}[\],:\s\\\p{Cc}]/u

/** Letters and digits mixed, or letters in no order that a word has. */
export function isPlausibleCredential(text: string): boolean {
  if (text.length < SHORTEST || PUNCTUATION.test(text) || !/[A-Za-z]/.test(text)) return false
  return /\d/.test(text) || caseChanges(text) >= CASE_CHANGES
}

/** A session's id hides its own session alone, so that less is asked of it: that it is no piece of JSON and no method. */
export function isPlausibleId(text: string): boolean {
  return !PUNCTUATION.test(text) && !/^[a-z]+(?:[/_-][a-z]+)*$/i.test(text)
}

function caseChanges(text: string): number {
  const letters = text.replace(/[^A-Za-z]/g, '')
  return (letters.match(/[a-z](?=[A-Z])|[A-Z](?=[a-z])/g) ?? []).length
}
