import { compileRegex } from './linear-regex.ts'
import type { TextPattern } from './rules.ts'
import { matchesParts } from './wildcard.ts'

/** Whether a text is what the pattern says, as a whole. Throws RegexRefusal. */
export function compilePattern(pattern: TextPattern): (text: string) => boolean {
  if (typeof pattern !== 'string') return compileRegex(pattern.regex)
  const parts = pattern.split('*')
  return text => matchesParts(parts, text)
}
