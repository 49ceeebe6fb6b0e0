import type { At, Comparing } from './schema-drift.ts'
import { isSchema, type Schema } from './schema-refs.ts'

/** The keywords that put schemas together. Returns those that it looked at. */
export function compareComposed(before: Schema, after: Schema, at: At, comparing: Comparing): readonly string[] {
  conditions(before, after, at, comparing)
  for (const key of ['anyOf', 'oneOf']) alternatives(key, before, after, at, comparing)
  exclusion(before, after, at, comparing)
  choice(before, after, at, comparing)
  dependent(before, after, at, comparing)
  return ['allOf', 'anyOf', 'oneOf', 'not', 'if', 'then', 'else', 'dependentSchemas']
}

/** Each condition of the stricter side has to follow from one of the other side, or from what stands beside those. */
function conditions(before: Schema, after: Schema, at: At, comparing: Comparing): void {
  const [old, now] = [partsOf(before, 'allOf'), partsOf(after, 'allOf')]
  if (at.use === 'input') {
    const isMet = (one: unknown): boolean => [...old.listed, old.beside].some(o => !comparing.isBroken(o, one, at))
    if (!now.listed.every(isMet)) comparing.tell(at, ['allOf'], 'a further condition has to be met')
  } else {
    const isKept = (one: unknown): boolean => [...now.listed, now.beside].some(n => !comparing.isBroken(one, n, at))
    if (!old.listed.every(isKept)) comparing.tell(at, ['allOf'], 'a condition need not be met any more')
  }
}

function alternatives(
  key: 'anyOf' | 'oneOf' | string,
  before: Schema,
  after: Schema,
  at: At,
  comparing: Comparing
): void {
  const [old, now] = [partsOf(before, key), partsOf(after, key)]
  if (at.use === 'input' && Array.isArray(after[key])) {
    const from = Array.isArray(before[key]) ? old.listed : [old.beside]
    const isLeft = (one: unknown): boolean => now.listed.some(n => !comparing.isBroken(one, n, at))
    if (!from.every(isLeft)) comparing.tell(at, [key], 'an alternative is accepted no more')
  }
  if (at.use === 'output' && Array.isArray(before[key])) {
    const from = Array.isArray(after[key]) ? now.listed : [now.beside]
    const wasThere = (one: unknown): boolean => old.listed.some(o => !comparing.isBroken(o, one, at))
    if (!from.every(wasThere)) comparing.tell(at, [key], 'there are further alternatives now')
  }
}

/** The schemas under a keyword, and what stands beside it. */
function partsOf(schema: Schema, key: string): { listed: readonly unknown[]; beside: Schema } {
  const { [key]: list, ...beside } = schema
  return { listed: Array.isArray(list) ? list : [], beside }
}

/** What is excluded may be no more for what clients send, and no less for what they get. */
function exclusion(before: Schema, after: Schema, at: At, comparing: Comparing): void {
  const flipped = { ...at, use: at.use === 'input' ? 'output' : 'input', strict: true } as const
  if (!comparing.isBroken(before.not ?? false, after.not ?? false, flipped)) return
  const text = at.use === 'input' ? 'more is excluded than before' : 'less is excluded than before'
  comparing.tell(at, ['not'], text)
}

function choice(before: Schema, after: Schema, at: At, comparing: Comparing): void {
  const [asking, other] = at.use === 'input' ? [after, before] : [before, after]
  if (asking.if === undefined) return
  if (other.if === undefined || !comparing.isSame(before.if, after.if)) {
    if (asking.then !== undefined || asking.else !== undefined)
      comparing.tell(at, ['if'], 'it may break clients: what depends on other values has changed')
    return
  }
  for (const key of ['then', 'else'])
    comparing.compare(before[key] ?? true, after[key] ?? true, { ...at, path: [...at.path, key] })
}

function dependent(before: Schema, after: Schema, at: At, comparing: Comparing): void {
  const [old, now] = [before, after].map(s => (isSchema(s.dependentSchemas) ? s.dependentSchemas : {})) as [
    Schema,
    Schema
  ]
  for (const name of new Set([...Object.keys(old), ...Object.keys(now)]))
    comparing.compare(Object.hasOwn(old, name) ? old[name] : true, Object.hasOwn(now, name) ? now[name] : true, {
      ...at,
      path: [...at.path, 'dependentSchemas', name]
    })
}
