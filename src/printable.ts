/**
 * What was recorded comes from others, and a terminal obeys more characters than people see: escape sequences, carriage
 * returns, bidirectional overrides, invisible tags. All of them are shown as escapes.
 */

const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu

/** One line, safe for a terminal. */
export function printable(text: string): string {
  return text.replace(UNSAFE, escaped)
}

/** JSON text with the same content, safe for a terminal and still JSON. */
export function printableJson(json: string): string {
  return json.replace(UNSAFE, unit)
}

function escaped(c: string): string {
  if (c === '\n') return '\\n'
  if (c === '\r') return '\\r'
  if (c === '\t') return '\\t'
  return unit(c)
}

function unit(c: string): string {
  let out = ''
  for (let i = 0; i < c.length; i++) out += `\\u${c.charCodeAt(i).toString(16).padStart(4, '0')}`
  return out
}

/** The beginning of a text, at most `max` characters and never half of one. */
export function excerpt(text: string, max: number): string {
  if (text.length <= max) return text
  const end = text.charCodeAt(max - 2) >= 0xd800 && text.charCodeAt(max - 2) <= 0xdbff ? max - 2 : max - 1
  return `${text.slice(0, Math.max(0, end))}…`
}
