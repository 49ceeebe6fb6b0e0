/** JSON-RPC ids and progress tokens as texts: compared by type and value, never converted. */

/**
 * A key under which two spellings of one id meet: `1` and `1.0` and `1e0` do, `1` and `"1"` do not, and integers beyond
 * 2^53 stay apart as long as they are written as integers.
 */
export function idKey(text: string): string {
  if (text.charCodeAt(0) === 0x22) return text.includes('\\') ? JSON.stringify(JSON.parse(text)) : text
  if (/^-?\d+$/.test(text)) return text === '-0' ? '0' : text
  const value = Number(text)
  return Number.isFinite(value) ? String(value) : text
}

/**
 * The key a server that reads numbers as doubles would echo for `key`, where it differs: JavaScript servers answer
 * `9007199254740993` as `9007199254740992`.
 */
export function roundedKey(key: string): string | undefined {
  if (key.charCodeAt(0) === 0x22) return undefined
  const rounded = String(Number(key))
  return rounded === key ? undefined : rounded
}
