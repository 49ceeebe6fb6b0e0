import { isEqualJson, valueText } from '../replay/json-diff.ts'

/** What of a changed JSON Schema breaks clients that worked. */
export interface Break {
  /** Within the schema: `.properties.path.type`. */
  readonly path: string
  readonly why: string
  /** Where the schema refers to that place, and referred to another one before. */
  readonly via?: readonly string[]
}

/**
 * `input`: what clients send, so that the server may ask for no more and accept no less than before. `output`: what they get,
 * so that the server may promise no less and send no more kinds of things than before.
 */
export type SchemaUse = 'input' | 'output'

type Schema = Readonly<Record<string, unknown>>

/** Deeper schemas are taken as they are. */
const MAX_DEPTH = 50

export function schemaBreaks(before: unknown, after: unknown, use: SchemaUse): Break[] {
  const found: Break[] = []
  compare(before, after, { use, path: '', depth: 0, found })
  return found
}

interface At {
  readonly use: SchemaUse
  readonly path: string
  readonly depth: number
  readonly found: Break[]
}

function compare(before: unknown, after: unknown, at: At): void {
  if (!isSchema(before) || !isSchema(after) || at.depth > MAX_DEPTH) return
  types(before, after, at)
  values(before, after, at)
  required(before, after, at)
  properties(before, after, at)
  if (at.use === 'input') limits(before, after, at)
  alternatives(before, after, at)
  const below = (key: string): void =>
    compare(before[key], after[key], { ...at, path: `${at.path}.${key}`, depth: at.depth + 1 })
  for (const key of ['items', 'additionalProperties', 'contains', 'not']) below(key)
  for (const key of ['$defs', 'definitions', 'patternProperties']) members(before[key], after[key], key, at)
}

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function tell({ path, found }: At, key: string, why: string): void {
  found.push({ path: `${path}.${key}`, why })
}

function types(before: Schema, after: Schema, at: At): void {
  const [old, now] = [typesOf(before), typesOf(after)]
  if (at.use === 'input' && now) {
    const refused = old?.filter(type => !covers(now, type))
    if (!old) tell(at, 'type', `only ${now.join(' or ')} is accepted now`)
    else if (refused!.length > 0) tell(at, 'type', `${refused!.join(' and ')} is accepted no more`)
  }
  if (at.use === 'output' && old) {
    const fresh = now?.filter(type => !covers(old, type))
    if (!now) tell(at, 'type', `it need not be ${old.join(' or ')} any more`)
    else if (fresh!.length > 0) tell(at, 'type', `it may be ${fresh!.join(' or ')} now`)
  }
}

function typesOf({ type }: Schema): string[] | undefined {
  if (typeof type === 'string') return [type]
  return Array.isArray(type) ? type.filter(t => typeof t === 'string') : undefined
}

function covers(types: readonly string[], type: string): boolean {
  return types.includes(type) || (type === 'integer' && types.includes('number'))
}

/** `enum` and `const`. */
function values(before: Schema, after: Schema, at: At): void {
  const [old, now] = [valuesOf(before), valuesOf(after)]
  const key = Object.hasOwn(after, 'enum') || Object.hasOwn(before, 'enum') ? 'enum' : 'const'
  if (at.use === 'input' && now) {
    const gone = old?.filter(value => !now.some(other => isEqualJson(value, other)))
    if (!old) tell(at, key, `only ${now.map(v => valueText(v, 20)).join(', ')} is accepted now`)
    else if (gone!.length > 0) tell(at, key, `${gone!.map(v => valueText(v, 20)).join(', ')} is accepted no more`)
  }
  if (at.use === 'output' && old) {
    const fresh = now?.filter(value => !old.some(other => isEqualJson(value, other)))
    if (!now) tell(at, key, 'it may be any value now')
    else if (fresh!.length > 0) tell(at, key, `it may be ${fresh!.map(v => valueText(v, 20)).join(', ')} now`)
  }
}

function valuesOf(schema: Schema): readonly unknown[] | undefined {
  if (Array.isArray(schema.enum)) return schema.enum
  return Object.hasOwn(schema, 'const') ? [schema.const] : undefined
}

function required(before: Schema, after: Schema, at: At): void {
  const [old, now] = [namesIn(before.required), namesIn(after.required)]
  if (at.use === 'input')
    for (const name of now) if (!old.includes(name)) tell(at, 'required', `${quoted(name)} is required now`)
  if (at.use === 'output')
    for (const name of old) if (!now.includes(name)) tell(at, 'required', `${quoted(name)} may be missing now`)
}

function namesIn(value: unknown): string[] {
  return Array.isArray(value) ? value.filter(name => typeof name === 'string') : []
}

function quoted(name: string): string {
  return valueText(name, 40)
}

function properties(before: Schema, after: Schema, at: At): void {
  const [old, now] = [before.properties, after.properties].map(p => (isSchema(p) ? p : {})) as [Schema, Schema]
  const closed = after.additionalProperties === false
  for (const name of Object.keys(old)) {
    if (Object.hasOwn(now, name)) continue
    const path = `properties.${name}`
    if (at.use === 'output') tell(at, path, `${quoted(name)} is gone`)
    else if (closed) tell(at, path, `${quoted(name)} is accepted no more`)
  }
  if (at.use === 'input' && closed && before.additionalProperties !== false)
    tell(at, 'additionalProperties', 'nothing but the named properties is accepted now')
  members(old, now, 'properties', at)
}

function members(before: unknown, after: unknown, key: string, at: At): void {
  if (!isSchema(before) || !isSchema(after)) return
  for (const name of Object.keys(before))
    if (Object.hasOwn(after, name))
      compare(before[name], after[name], { ...at, path: `${at.path}.${key}.${name}`, depth: at.depth + 1 })
}

const LOWEST = ['minimum', 'exclusiveMinimum', 'minLength', 'minItems', 'minProperties']
const HIGHEST = ['maximum', 'exclusiveMaximum', 'maxLength', 'maxItems', 'maxProperties']

function limits(before: Schema, after: Schema, at: At): void {
  for (const key of LOWEST) {
    const now = after[key]
    if (typeof now === 'number' && !(typeof before[key] === 'number' && before[key] >= now))
      tell(at, key, `less than ${now} is accepted no more`)
  }
  for (const key of HIGHEST) {
    const now = after[key]
    if (typeof now === 'number' && !(typeof before[key] === 'number' && before[key] <= now))
      tell(at, key, `more than ${now} is accepted no more`)
  }
  for (const key of ['pattern', 'format', 'multipleOf'])
    if (after[key] !== undefined && !isEqualJson(before[key], after[key])) tell(at, key, `it has to fit another ${key}`)
  if (after.uniqueItems === true && before.uniqueItems !== true) tell(at, 'uniqueItems', 'no item may occur twice')
}

function alternatives(before: Schema, after: Schema, at: At): void {
  for (const key of ['anyOf', 'oneOf']) {
    const [old, now] = [before[key], after[key]]
    const [from, to] = at.use === 'input' ? [old, now] : [now, old]
    if (!Array.isArray(to)) continue
    const missing = Array.isArray(from) ? from.filter(one => !to.some(other => isEqualJson(one, other))) : undefined
    if (missing === undefined || missing.length > 0)
      tell(at, key, at.use === 'input' ? 'an alternative is accepted no more' : 'there are further alternatives now')
  }
}
