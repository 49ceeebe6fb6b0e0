import { MARK } from '../tape/format.ts'

/** Whether a recorded text is what redaction leaves of a value: a mark stands for anything. */
export function isRedactedFrom(before: unknown, after: unknown): boolean {
  if (typeof before !== 'string' || !before.includes(MARK)) return false
  if (before === MARK) return after !== undefined
  if (typeof after !== 'string') return false
  const [head, ...middle] = before.split(MARK)
  const tail = middle.pop()!
  const end = after.length - tail.length
  if (!after.startsWith(head!) || !after.endsWith(tail)) return false
  let from = head!.length
  for (const part of middle) {
    const at = after.indexOf(part, from)
    if (at < 0) return false
    from = at + part.length
  }
  return from <= end
}

/** Two recorded values of which either may be what redaction left of the other. */
export function mayBeSameRedacted(a: unknown, b: unknown): boolean {
  return isRedactedFrom(a, b) || isRedactedFrom(b, a)
}
