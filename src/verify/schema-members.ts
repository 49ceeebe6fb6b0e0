import type { At, Comparing } from './schema-drift.ts'
import { quoted } from './schema-keywords.ts'
import { isSchema, type Schema } from './schema-refs.ts'

/** The keywords about members of objects and elements of arrays. Returns those that it looked at. */
export function compareMembers(before: Schema, after: Schema, at: At, comparing: Comparing): readonly string[] {
  properties(before, after, at, comparing)
  others(before, after, at, comparing)
  patterns(before, after, at, comparing)
  items(before, after, at, comparing)
  for (const key of ['propertyNames', 'unevaluatedItems'])
    comparing.compare(before[key] ?? true, after[key] ?? true, below(at, key))
  contains(before, after, at, comparing)
  return KEYWORDS
}

const OTHERS = ['additionalProperties', 'unevaluatedProperties']
const KEYWORDS = [
  ...['properties', ...OTHERS, 'patternProperties', 'propertyNames'],
  ...['items', 'prefixItems', 'additionalItems', 'unevaluatedItems', 'contains']
]

function below(at: At, ...keys: (string | number)[]): At {
  return { ...at, path: [...at.path, ...keys] }
}

function properties(before: Schema, after: Schema, at: At, comparing: Comparing): void {
  const [old, now] = [membersOf(before.properties), membersOf(after.properties)]
  for (const name of Object.keys(old)) {
    const there = below(at, 'properties', name)
    if (Object.hasOwn(now, name)) comparing.compare(old[name], now[name], there)
    else if (at.strict) comparing.compare(old[name], restOf(after), there)
    else if (at.use === 'output') comparing.tell(there, [], `${quoted(name)} is gone`)
    else if (restOf(after) === false) comparing.tell(there, [], `${quoted(name)} is accepted no more`)
    else comparing.compare(old[name], restOf(after), there)
  }
  for (const name of Object.keys(now)) {
    if (Object.hasOwn(old, name)) continue
    const rest = restOf(before)
    // A new argument is one that nobody gave before, unless the schema said how any was to be.
    if (at.strict || (at.use === 'input' && isSchema(rest)))
      comparing.compare(rest, now[name], below(at, 'properties', name))
  }
}

/** What members that are not named have to be. */
function restOf(schema: Schema): unknown {
  return schema.additionalProperties ?? true
}

function membersOf(value: unknown): Schema {
  return isSchema(value) ? value : {}
}

function others(before: Schema, after: Schema, at: At, comparing: Comparing): void {
  for (const key of OTHERS) {
    const [old, now] = [before[key] ?? true, after[key] ?? true]
    if (!at.strict && at.use === 'input' && now === false) {
      if (old !== false) comparing.tell(at, [key], 'nothing but the named properties is accepted now')
      // Results may get new members, as long as those that were promised are there.
    } else if (at.strict || at.use === 'input' || (isSchema(old) && isSchema(now)))
      comparing.compare(old, now, below(at, key))
  }
}

function patterns(before: Schema, after: Schema, at: At, comparing: Comparing): void {
  const [old, now] = [membersOf(before.patternProperties), membersOf(after.patternProperties)]
  for (const pattern of new Set([...Object.keys(old), ...Object.keys(now)]))
    comparing.compare(
      Object.hasOwn(old, pattern) ? old[pattern] : restOf(before),
      Object.hasOwn(now, pattern) ? now[pattern] : restOf(after),
      below(at, 'patternProperties', pattern)
    )
}

function items(before: Schema, after: Schema, at: At, comparing: Comparing): void {
  const [old, now] = [elementsOf(before), elementsOf(after)]
  for (let i = 0; i < Math.max(old.first.length, now.first.length); i++)
    comparing.compare(old.first[i] ?? old.rest, now.first[i] ?? now.rest, below(at, old.key, i))
  comparing.compare(old.rest, now.rest, below(at, 'items'))
}

/** What the first elements have to be, and what the others: `items` was an array of the first ones until 2019-09. */
function elementsOf(schema: Schema): { first: readonly unknown[]; rest: unknown; key: string } {
  const { items, prefixItems, additionalItems } = schema
  if (Array.isArray(items)) return { first: items, rest: additionalItems ?? true, key: 'items' }
  return { first: Array.isArray(prefixItems) ? prefixItems : [], rest: items ?? true, key: 'prefixItems' }
}

/** Unlike the others, one that is absent asks for nothing, and `true` for an element. */
function contains(before: Schema, after: Schema, at: At, comparing: Comparing): void {
  const [old, now] = [before.contains, after.contains]
  if (old !== undefined && now !== undefined) comparing.compare(old, now, below(at, 'contains'))
  else if (at.use === 'input' && now !== undefined)
    comparing.tell(at, ['contains'], 'an element has to be like this now')
  else if (at.use === 'output' && old !== undefined)
    comparing.tell(at, ['contains'], 'no element need be like this any more')
}
