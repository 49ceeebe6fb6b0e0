import { ExactNumber } from '../replay/exact-number.ts'
import type { Literals } from '../tape/literals.ts'
import { PROTOCOL_WORDS } from './protocol-words.ts'

/** Places of a message that are its framing, and no part of what is said. */
const FRAMING: ReadonlySet<string> = new Set([
  '/jsonrpc',
  '/id',
  '/method',
  '/error/code',
  '/params/progressToken',
  '/params/_meta/progressToken'
])

/** A message without what must not be seen: it stays the message that it is, whatever the literals are. */
export function scrubbedMessage(json: unknown, literals: Literals): unknown {
  return scrubbed(json, literals, '')
}

/** Any value without what must not be seen, at whatever depth. */
export function scrubbedValue(value: unknown, literals: Literals): unknown {
  return scrubbed(value, literals, undefined)
}

/** `pointer`: where it stands in a message. */
function scrubbed(value: unknown, literals: Literals, pointer: string | undefined): unknown {
  if (pointer !== undefined && FRAMING.has(pointer)) return value
  if (typeof value === 'string') return scrubbedText(value, literals)
  if (typeof value === 'number') return literals.has(String(value)) ? literals.scrub(String(value)) : value
  if (value instanceof ExactNumber) return literals.has(value.source) ? literals.scrub(value.source) : value
  if (Array.isArray(value)) return value.map(item => scrubbed(item, literals, undefined))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([key, item]) => {
    const below = pointer === undefined ? undefined : `${pointer}/${key}`
    return [scrubbedText(key, literals), scrubbed(item, literals, below)] as const
  })
  return Object.fromEntries(entries)
}

function scrubbedText(text: string, literals: Literals): string {
  return PROTOCOL_WORDS.has(text) ? text : literals.scrub(text)
}
