import { hash } from 'node:crypto'
import { ExactNumber, mayHoldExact, numberOf } from './exact-number.ts'

/** Nothing that people send comes near; whoever walks over what was parsed may therefore do so by calling itself. */
export const MAX_DEPTH = 500

/**
 * As JSON.parse (of equal keys the last counts, `__proto__` is a key like any other), but numbers that a double cannot hold
 * become ExactNumber. Throws SyntaxError, also for what is nested too deeply.
 */
export function parseJson(text: string): unknown {
  const value: unknown = JSON.parse(text)
  if (text.length > 2 * MAX_DEPTH && isDeeper(value, MAX_DEPTH))
    throw new SyntaxError(`the JSON is nested too deeply (more than ${MAX_DEPTH})`)
  return mayHoldExact(text) ? JSON.parse(text, exactly as Parameters<typeof JSON.parse>[1]) : value
}

function exactly(_key: string, value: unknown, context: { readonly source?: string }): unknown {
  return typeof value === 'number' && context.source !== undefined ? numberOf(context.source) : value
}

function isDeeper(value: unknown, depth: number): boolean {
  if (value === null || typeof value !== 'object') return false
  if (depth === 0) return true
  for (const member of Array.isArray(value) ? value : Object.values(value)) if (isDeeper(member, depth - 1)) return true
  return false
}

/** What of a value does not count, or counts as something else: a tree of places. */
export interface View {
  readonly named: ReadonlyMap<string, View>
  /** Of any member or element. */
  readonly any?: View
  readonly ignored?: boolean
  /** JSON text (or what can be none) that stands for the value; undefined where the value is to stand for itself. */
  readonly standIn?: (value: unknown) => string | undefined
}

export interface CanonicalOptions {
  readonly views?: readonly View[]
  /** Hears of each text that stands for itself. */
  readonly onText?: (path: readonly string[], text: string) => void
}

/** The same text for all values that are equal: keys in order, numbers by value, without what does not count. */
export function canonicalText(value: unknown, { views = [], onText }: CanonicalOptions = {}): string {
  if (views.length === 0 && !onText) return plainText(value)
  const path: string[] = []
  const write = (value: unknown, views: readonly View[]): string | undefined => {
    for (const { ignored, standIn } of views) {
      if (ignored) return undefined
      const other = standIn?.(value)
      if (other !== undefined) return other
    }
    if (value === null || typeof value !== 'object') {
      if (typeof value === 'string') onText?.(path, value)
      return JSON.stringify(value)
    }
    if (value instanceof ExactNumber) return value.value
    return Array.isArray(value) ? writeArray(value, views) : writeObject(value as Record<string, unknown>, views)
  }
  const member = (key: string, value: unknown, views: readonly View[]): string | undefined => {
    path.push(key)
    const text = write(value, below(views, key))
    path.pop()
    return text
  }
  const writeArray = (items: readonly unknown[], views: readonly View[]): string => {
    const out: string[] = []
    for (let i = 0; i < items.length; i++) {
      const text = member(String(i), items[i], views)
      if (text !== undefined) out.push(text)
    }
    return `[${out.join(',')}]`
  }
  const writeObject = (object: Record<string, unknown>, views: readonly View[]): string => {
    let out = ''
    for (const key of Object.keys(object).sort()) {
      const text = member(key, object[key], views)
      if (text !== undefined) out += `${out === '' ? '' : ','}${JSON.stringify(key)}:${text}`
    }
    return `{${out}}`
  }
  return write(value, views) ?? 'null'
}

/** The same where all counts: for most requests nothing else is asked. */
function plainText(value: unknown): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value) ?? 'null'
  if (value instanceof ExactNumber) return value.value
  let out = ''
  if (Array.isArray(value)) {
    for (const item of value) out += out === '' ? plainText(item) : `,${plainText(item)}`
    return `[${out}]`
  }
  const keys = Object.keys(value)
  for (const key of keys.length > 1 ? keys.sort() : keys) {
    const member = (value as Record<string, unknown>)[key]
    if (member !== undefined) out += `${out === '' ? '' : ','}${JSON.stringify(key)}:${plainText(member)}`
  }
  return `{${out}}`
}

/** What the views say of a member; most have nothing to say. */
export function below(views: readonly View[], key: string): readonly View[] {
  if (views.length === 0) return views
  const next: View[] = []
  for (const { named, any } of views) {
    const one = named.get(key)
    if (one) next.push(one)
    if (any) next.push(any)
  }
  return next
}

/** A single value as patterns see it: a text itself, others as JSON has them; undefined for objects and arrays. */
export function scalarText(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (value instanceof ExactNumber) return value.source
  return typeof value === 'object' && value !== null ? undefined : JSON.stringify(value)
}

/** Longer ones are hashed, so that an index of keys stays small whatever the requests hold. */
const MAX_KEY = 96

/** Equal for requests that are equal. `_meta` of the parameters does not count, and none at all are as good as empty ones. */
export function canonicalKey(method: string, params: unknown, options?: CanonicalOptions): string {
  const text = `${JSON.stringify(method)}${canonicalText(countedParams(params), options)}`
  return text.length > MAX_KEY ? hash('sha256', text, 'base64') : text
}

export function countedParams(params: unknown): unknown {
  if (params === undefined || params === null) return {}
  if (typeof params !== 'object' || Array.isArray(params) || !Object.hasOwn(params, '_meta')) return params
  return Object.fromEntries(Object.entries(params).filter(([key]) => key !== '_meta'))
}
