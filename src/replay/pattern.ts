import type { TextPattern } from './rules.ts'
import { matchesParts } from './wildcard.ts'

/** Whether a text is what the pattern says. */
export function compilePattern(pattern: TextPattern): (text: string) => boolean {
  if (typeof pattern === 'string') {
    const parts = pattern.split('*')
    return text => matchesParts(parts, text)
  }
  const whole = new RegExp(`^(?:${pattern.regex})$`, 'u')
  return text => text.length <= MAX_TEXT && whole.test(text)
}

const MAX_TEXT = 4096
