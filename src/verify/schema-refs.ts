import { ExactNumber } from '../replay/exact-number.ts'
import { ANNOTATIONS } from './schema-keywords.ts'

export type Schema = Readonly<Record<string, unknown>>

export type SchemaPath = readonly (string | number)[]

/** What a schema says, wherever in its document that is written. */
export interface Followed {
  readonly schema: unknown
  readonly path: SchemaPath
  /** The references that were followed. */
  readonly refs: readonly string[]
  /** Further places where a part of it is written. */
  readonly also: readonly SchemaPath[]
}

/** A reference may lead to another one, and at worst in a circle. */
const MAX_HOPS = 20

export function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * Follows references within one document (JSON Schema 2020-12, core, section 8.2.3), and puts together what a schema asks for at
 * several places. References to anywhere else stay what they are.
 */
export class References {
  readonly #root: unknown
  /** The same object each time, by which circles are recognized. */
  readonly #joined = new WeakMap<object, Omit<Followed, 'path'>>()
  readonly #joining = new Set<object>()

  constructor(root: unknown) {
    this.#root = root
  }

  follow(schema: unknown, path: SchemaPath): Followed {
    const refs: string[] = []
    let here = { schema, path }
    for (let hops = 0; hops < MAX_HOPS && isSchema(here.schema) && saysOnly(here.schema, '$ref'); hops++) {
      const target = this.find(here.schema.$ref)
      if (!target) break
      refs.push(String(here.schema.$ref))
      here = target
    }
    if (!isSchema(here.schema)) return { ...here, refs, also: [] }
    const joined = this.#join(here.schema, here.path)
    return { ...joined, path: here.path, refs: [...refs, ...joined.refs] }
  }

  /** What stands beside a reference, and all conditions of `allOf`, hold together: as one schema, as far as they do not overlap. */
  #join(schema: Schema, path: SchemaPath): Omit<Followed, 'path'> {
    const { $ref, allOf, ...beside } = schema
    const target = this.find($ref)
    const alone = { schema, refs: [], also: [] }
    if ((!target && !Array.isArray(allOf)) || this.#joining.has(schema)) return alone
    const known = this.#joined.get(schema)
    if (known) return known
    this.#joining.add(schema)
    const conditions = Array.isArray(allOf) ? allOf : []
    const parts = conditions.map((one, i) => this.follow(one, [...path, 'allOf', i]))
    if (target) parts.push(this.follow(target.schema, target.path))
    this.#joining.delete(schema)
    const rest = !target && $ref !== undefined ? { ...beside, $ref } : beside
    const joined = {
      schema: together(
        rest,
        parts.map(part => part.schema)
      ),
      refs: [...(target ? [String($ref)] : []), ...parts.flatMap(part => part.refs)],
      also: parts.flatMap(part => [part.path, ...part.also])
    }
    this.#joined.set(schema, joined)
    return joined
  }

  /** Where a reference leads, within the document. */
  find(ref: unknown): { schema: unknown; path: SchemaPath } | undefined {
    if (typeof ref !== 'string' || (ref !== '#' && !ref.startsWith('#/'))) return undefined
    let schema = this.#root
    const path: (string | number)[] = []
    for (const part of ref.split('/').slice(1)) {
      const key = keyOf(part)
      if (key === undefined || typeof schema !== 'object' || schema === null || !Object.hasOwn(schema, key))
        return undefined
      path.push(Array.isArray(schema) ? Number(key) : key)
      schema = (schema as Schema)[key]
    }
    return isSchema(schema) || typeof schema === 'boolean' ? { schema, path } : undefined
  }
}

/** Nothing but this keyword, and what constrains nothing. */
function saysOnly(schema: Schema, keyword: string): boolean {
  return Object.keys(schema).every(key => key === keyword || ANNOTATIONS.has(key))
}

/** Of a JSON pointer in a URI. */
function keyOf(part: string): string | undefined {
  try {
    return decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~')
  } catch {
    return undefined
  }
}

/** Keywords that mean something else beside others of the same line. */
const FAMILIES = [
  ['properties', 'patternProperties', 'additionalProperties', 'unevaluatedProperties'],
  ['items', 'prefixItems', 'additionalItems', 'unevaluatedItems', 'contains', 'minContains', 'maxContains'],
  ['if', 'then', 'else']
]

function familyOf(key: string): string {
  return FAMILIES.find(family => family.includes(key))?.[0] ?? key
}

function together(base: Schema, parts: readonly unknown[]): Schema {
  const all: Record<string, unknown> = { ...base }
  const left: unknown[] = []
  for (const part of parts) {
    if (part === true) continue
    const entries = isSchema(part) ? Object.entries(part).filter(([key]) => !ANNOTATIONS.has(key)) : []
    const taken = new Set(Object.keys(all).map(familyOf))
    if (!isSchema(part) || entries.some(([key]) => key === 'allOf' || key === '$ref' || taken.has(familyOf(key))))
      left.push(part)
    else for (const [key, value] of entries) all[key] = value
  }
  return left.length > 0 ? { ...all, allOf: left } : all
}

/** All references in a schema, or in anything else that is written in one. */
export function refsIn(value: unknown): string[] {
  if (typeof value !== 'object' || value === null || value instanceof ExactNumber) return []
  const own = isSchema(value) && typeof value.$ref === 'string' ? [value.$ref] : []
  return [...own, ...Object.values(value).flatMap(refsIn)]
}
