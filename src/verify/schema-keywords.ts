import { isEqualJson, valueText } from '../replay/json-diff.ts'
import type { SchemaUse } from './schema-drift.ts'
import type { Schema } from './schema-refs.ts'

/** What constrains nothing (JSON Schema 2020-12, validation, section 9), and where definitions stand, which count where they are used. */
export const ANNOTATIONS: ReadonlySet<string> = new Set(
  [
    '$schema',
    '$id',
    '$comment',
    '$defs',
    'definitions',
    '$anchor',
    'title',
    'description',
    'default',
    'examples'
  ].concat(['example', 'deprecated', 'readOnly', 'writeOnly', 'contentEncoding', 'contentMediaType', 'contentSchema'])
)

export type Tell = (key: string, why: string) => void

/** The keywords that constrain a value by themselves, without schemas within them. */
export const PLAIN: ReadonlySet<string> = new Set(
  ['type', 'enum', 'const', 'required', 'dependentRequired', 'pattern', 'format', 'multipleOf', 'uniqueItems'].concat(
    ['minimum', 'exclusiveMinimum', 'minLength', 'minItems', 'minProperties'],
    ['maximum', 'exclusiveMaximum', 'maxLength', 'maxItems', 'maxProperties']
  )
)

export function comparePlain(before: Schema, after: Schema, use: SchemaUse, tell: Tell): void {
  types(before, after, use, tell)
  values(before, after, use, tell)
  required(before, after, use, tell)
  dependentRequired(before, after, use, tell)
  limits(before, after, use, tell)
  for (const key of ['pattern', 'format', 'multipleOf']) {
    if (isEqualJson(before[key], after[key])) continue
    if (use === 'input' && after[key] !== undefined) tell(key, `it has to fit another ${key}`)
    if (use === 'output' && before[key] !== undefined) tell(key, `it need not fit its ${key} any more`)
  }
  const [was, is] = [before.uniqueItems === true, after.uniqueItems === true]
  if (use === 'input' && is && !was) tell('uniqueItems', 'no item may occur twice')
  if (use === 'output' && was && !is) tell('uniqueItems', 'an item may occur twice now')
}

function types(before: Schema, after: Schema, use: SchemaUse, tell: Tell): void {
  if (use === 'input') {
    const [old, now] = [typesOf(before), declared(after)]
    const refused = now && old?.filter(type => !covers(now, type))
    if (now && !old) tell('type', `only ${now.join(' or ')} is accepted now`)
    if (refused && refused.length > 0) tell('type', `${refused.join(' and ')} is accepted no more`)
    return
  }
  const [old, now] = [declared(before), typesOf(after)]
  const fresh = old && now?.filter(type => !covers(old, type))
  if (old && !now) tell('type', `it need not be ${old.join(' or ')} any more`)
  if (fresh && fresh.length > 0) tell('type', `it may be ${fresh.join(' or ')} now`)
}

function declared({ type }: Schema): string[] | undefined {
  if (typeof type === 'string') return [type]
  return Array.isArray(type) ? type.filter(t => typeof t === 'string') : undefined
}

/** As declared, or as alternatives and values have it. */
function typesOf(schema: Schema): string[] | undefined {
  const own = declared(schema)
  if (own) return own
  const given = valuesOf(schema)
  if (given) return [...new Set(given.map(typeOf))]
  const alternatives = [schema.anyOf, schema.oneOf].find(Array.isArray) as unknown[] | undefined
  const all = alternatives?.map(one => (typeof one === 'object' && one !== null ? declared(one as Schema) : undefined))
  return all?.every(list => list !== undefined) ? [...new Set(all.flat())] : undefined
}

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  return typeof value === 'number' && Number.isInteger(value) ? 'integer' : typeof value
}

function covers(types: readonly string[], type: string): boolean {
  return types.includes(type) || (type === 'integer' && types.includes('number'))
}

/** `enum` and `const`. */
function values(before: Schema, after: Schema, use: SchemaUse, tell: Tell): void {
  const [old, now] = [valuesOf(before), valuesOf(after)]
  const key = Object.hasOwn(after, 'enum') || Object.hasOwn(before, 'enum') ? 'enum' : 'const'
  if (use === 'input' && now) {
    const gone = old?.filter(value => !now.some(other => isEqualJson(value, other)))
    if (!old) tell(key, `only ${listed(now)} is accepted now`)
    else if (gone!.length > 0) tell(key, `${listed(gone!)} is accepted no more`)
  }
  if (use === 'output' && old) {
    const fresh = now?.filter(value => !old.some(other => isEqualJson(value, other)))
    if (!now) tell(key, 'it may be any value now')
    else if (fresh!.length > 0) tell(key, `it may be ${listed(fresh!)} now`)
  }
}

const MAX_VALUES = 10

function listed(values: readonly unknown[]): string {
  const more = values.length > MAX_VALUES ? ` and ${values.length - MAX_VALUES} more` : ''
  return `${values
    .slice(0, MAX_VALUES)
    .map(v => valueText(v, 20))
    .join(', ')}${more}`
}

function valuesOf(schema: Schema): readonly unknown[] | undefined {
  if (Array.isArray(schema.enum)) return schema.enum
  return Object.hasOwn(schema, 'const') ? [schema.const] : undefined
}

function required(before: Schema, after: Schema, use: SchemaUse, tell: Tell): void {
  const [old, now] = [namesIn(before.required), namesIn(after.required)]
  if (use === 'input') for (const name of missing(now, old)) tell('required', `${quoted(name)} is required now`)
  if (use === 'output') for (const name of missing(old, now)) tell('required', `${quoted(name)} may be missing now`)
}

function dependentRequired(before: Schema, after: Schema, use: SchemaUse, tell: Tell): void {
  const [old, now] = [before, after].map(s => (s.dependentRequired ?? {}) as Schema) as [Schema, Schema]
  for (const key of new Set([...Object.keys(old), ...Object.keys(now)])) {
    const [was, is] = [namesIn(old[key]), namesIn(now[key])]
    if (use === 'input')
      for (const name of missing(is, was)) tell('dependentRequired', `${quoted(key)} takes ${quoted(name)} as well now`)
    if (use === 'output')
      for (const name of missing(was, is))
        tell('dependentRequired', `${quoted(name)} may be missing beside ${quoted(key)} now`)
  }
}

function missing(names: readonly string[], from: readonly string[]): string[] {
  return names.filter(name => !from.includes(name))
}

function namesIn(value: unknown): string[] {
  return Array.isArray(value) ? value.filter(name => typeof name === 'string') : []
}

export function quoted(name: string): string {
  return valueText(name, 40)
}

const LOWEST = ['minimum', 'exclusiveMinimum', 'minLength', 'minItems', 'minProperties']
const HIGHEST = ['maximum', 'exclusiveMaximum', 'maxLength', 'maxItems', 'maxProperties']

function limits(before: Schema, after: Schema, use: SchemaUse, tell: Tell): void {
  const [from, to] = use === 'input' ? [before, after] : [after, before]
  const end = use === 'input' ? 'is accepted no more' : 'may come now'
  for (const key of [...LOWEST, ...HIGHEST]) {
    const [wide, close] = [from[key], to[key]]
    if (close === undefined || isEqualJson(wide, close)) continue
    const isLow = LOWEST.includes(key)
    const isWithin = typeof wide === 'number' && typeof close === 'number' && (isLow ? wide >= close : wide <= close)
    if (!isWithin) tell(key, `${isLow ? 'less' : 'more'} than ${valueText(close, 20)} ${end}`)
  }
}
