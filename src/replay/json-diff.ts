import { pathText } from '../config/problems.ts'
import { excerpt, printable } from '../printable.ts'
import { type ArrayPair, pairsOf } from './array-pairs.ts'
import { canonicalText, MAX_DEPTH } from './canonical.ts'
import { ExactNumber } from './exact-number.ts'

export interface Difference {
  /** `result.tools[3].inputSchema.required`; in arrays the place is the old one, of what was added the new one. */
  readonly path: string
  readonly kind: 'added' | 'removed' | 'changed'
  readonly old?: unknown
  readonly new?: unknown
}

export type DiffPath = readonly (string | number)[]

export interface DiffOptions {
  /** What counts as equal, though it is not. `undefined` stands for what is absent. */
  readonly ignore?: (path: DiffPath, before: unknown, after: unknown) => boolean
  /** Arrays whose order does not count. */
  readonly unordered?: (path: DiffPath) => boolean
  /** Objects of a list may have got other names: then they are paired by position, rather than removed and added. */
  readonly renamed?: boolean
  /** No more are looked for. Default 100. */
  readonly limit?: number
}

/** What has to change to come from one value to the other; none where they are equal, whatever the order of keys. */
export function differences(before: unknown, after: unknown, options: DiffOptions = {}): Difference[] {
  const comparison = new Comparison(options)
  comparison.values(before, after)
  return comparison.found
}

class Comparison {
  readonly found: Difference[] = []
  readonly #path: (string | number)[] = []
  readonly #limit: number
  readonly #options: DiffOptions

  constructor(options: DiffOptions) {
    this.#options = options
    this.#limit = options.limit ?? 100
  }

  get #full(): boolean {
    return this.found.length >= this.#limit
  }

  values(before: unknown, after: unknown): void {
    if (this.#full || before === after || this.#isIgnored(before, after)) return
    if (isPlain(before) && isPlain(after) && this.#path.length < MAX_DEPTH) {
      if (Array.isArray(before) && Array.isArray(after)) return this.#arrays(before, after)
      if (!Array.isArray(before) && !Array.isArray(after)) return this.#objects(before, after)
    }
    if (!isSame(before, after)) this.#add('changed', before, after)
  }

  #objects(before: Readonly<Record<string, unknown>>, after: Readonly<Record<string, unknown>>): void {
    for (const [key, value] of Object.entries(before)) {
      if (this.#full) return
      if (Object.hasOwn(after, key)) this.#at(key, () => this.values(value, after[key]))
      else this.#one(key, 'removed', value)
    }
    for (const [key, value] of Object.entries(after)) {
      if (this.#full) return
      if (!Object.hasOwn(before, key)) this.#one(key, 'added', value)
    }
  }

  #arrays(before: readonly unknown[], after: readonly unknown[]): void {
    const unordered = this.#options.unordered?.(this.#path) === true
    const { pairs, order } = pairsOf(before, after, {
      unordered,
      isSame: (i, a, b) => this.#isSameAt(i, a, b),
      mayStandFor: (i, member, a, b) => this.#options.renamed === true || this.#isIgnoredAt([i, member], a, b)
    })
    if (order && !unordered && !this.#isIgnored(before, after)) this.#add('changed', order.old, order.new)
    for (const pair of pairs) {
      if (this.#full) return
      this.#pair(pair, before, after)
    }
  }

  #pair({ old, new: now }: ArrayPair, before: readonly unknown[], after: readonly unknown[]): void {
    if (old === undefined) this.#one(now!, 'added', after[now!])
    else if (now === undefined) this.#one(old, 'removed', before[old])
    else this.#at(old, () => this.values(before[old], after[now]))
  }

  #isSameAt(index: number, before: unknown, after: unknown): boolean {
    if (isEqualPlain(before, after)) return true
    if (!this.#options.ignore) return false
    const trial = new Comparison({ ...this.#options, limit: 1 })
    trial.#path.push(...this.#path, index)
    trial.#plainly(before, after)
    return trial.found.length === 0
  }

  /** Position by position: says only whether there is any difference. */
  #plainly(before: unknown, after: unknown): void {
    if (this.#full || before === after || this.#isIgnored(before, after)) return
    const isDeep = isPlain(before) && isPlain(after) && Array.isArray(before) === Array.isArray(after)
    if (!isDeep || this.#path.length >= MAX_DEPTH) {
      if (!isSame(before, after)) this.#add('changed', before, after)
      return
    }
    const keys = new Set([...Object.keys(before), ...Object.keys(after)])
    for (const key of keys) {
      if (this.#full) return
      const at = Array.isArray(before) ? Number(key) : key
      const [a, b] = [before, after].map(o => (Object.hasOwn(o, key) ? (o as Record<string, unknown>)[key] : undefined))
      this.#at(at, () => this.#plainly(a, b))
    }
  }

  #one(key: string | number, kind: 'added' | 'removed', value: unknown): void {
    this.#at(key, () => {
      const [old, now] = kind === 'added' ? [undefined, value] : [value, undefined]
      if (!this.#isIgnored(old, now)) this.#add(kind, old, now)
    })
  }

  #at(key: string | number, look: () => void): void {
    this.#path.push(key)
    look()
    this.#path.pop()
  }

  #isIgnoredAt(below: DiffPath, before: unknown, after: unknown): boolean {
    return this.#options.ignore?.([...this.#path, ...below], before, after) === true
  }

  #isIgnored(before: unknown, after: unknown): boolean {
    return this.#options.ignore?.(this.#path, before, after) === true
  }

  #add(kind: Difference['kind'], old: unknown, now: unknown): void {
    if (this.#full) return
    const path = pathText(this.#path)
    this.found.push({ path, kind, ...(kind !== 'added' && { old }), ...(kind !== 'removed' && { new: now }) })
  }
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !(value instanceof ExactNumber)
}

function isSame(a: unknown, b: unknown): boolean {
  if (a instanceof ExactNumber && b instanceof ExactNumber) return a.value === b.value
  return a === b
}

/** Position by position, and nothing ignored. */
function isEqualPlain(a: unknown, b: unknown): boolean {
  if (!isPlain(a) || !isPlain(b)) return isSame(a, b)
  if (Array.isArray(a) !== Array.isArray(b)) return false
  const keys = Object.keys(a)
  if (keys.length !== Object.keys(b).length) return false
  return keys.every(key => Object.hasOwn(b, key) && isEqualPlain(a[key], b[key]))
}

/** One line, safe for a terminal: `result.content[0].text: "a" → "b"`. */
export function differenceText({ path, kind, old, new: now }: Difference): string {
  const where = path === '' ? 'the whole' : printable(path)
  if (kind === 'added') return `${where}: added ${valueText(now)}`
  if (kind === 'removed') return `${where}: removed ${valueText(old)}`
  if (typeof old === 'string' && typeof now === 'string') return `${where}: ${stringTexts(old, now).join(' → ')}`
  return `${where}: ${valueText(old)} → ${valueText(now)}`
}

const MAX_SHOWN = 80

/** A value, shortened, on one line. */
export function valueText(value: unknown, max = MAX_SHOWN): string {
  if (value === undefined) return 'nothing'
  if (typeof value === 'string') return printable(excerpt(JSON.stringify(excerpt(value, max)), max))
  if (Array.isArray(value) && value.length > max) return `an array of ${value.length}`
  return printable(excerpt(JSON.stringify(sketchOf(value, { left: max })) ?? '', max))
}

/** Enough of a value to show its beginning: large ones are not written as a whole for that. */
function sketchOf(value: unknown, budget: { left: number }): unknown {
  if (budget.left-- <= 0) return null
  if (typeof value === 'string') return excerpt(value, MAX_SHOWN + 1)
  if (!isPlain(value)) return value
  if (Array.isArray(value)) return value.slice(0, Math.max(0, budget.left)).map(item => sketchOf(item, budget))
  const members: [string, unknown][] = []
  for (const key of Object.keys(value).slice(0, Math.max(0, budget.left)))
    members.push([excerpt(key, MAX_SHOWN + 1), sketchOf(value[key], budget)])
  return Object.fromEntries(members)
}

/** Of long texts the part around the first place in which they differ. */
function stringTexts(old: string, now: string): [string, string] {
  if (old.length <= MAX_SHOWN && now.length <= MAX_SHOWN) return [valueText(old), valueText(now)]
  let same = 0
  while (same < old.length && old.charCodeAt(same) === now.charCodeAt(same)) same++
  const from = Math.max(0, same - 20)
  const part = (text: string): string => `${from > 0 ? '…' : ''}${valueText(text.slice(from, from + MAX_SHOWN), 60)}`
  const behind = from > 0 ? ` (from character ${from + 1} of ${old.length} and ${now.length})` : ''
  return [part(old), `${part(now)}${behind}`]
}

/** Whether two values are equal, by value and whatever the order of keys. */
export function isEqualJson(a: unknown, b: unknown): boolean {
  return canonicalText(a) === canonicalText(b)
}
