import { ExactNumber } from '../replay/exact-number.ts'
import type { DiffPath } from '../replay/json-diff.ts'

/** Calls `visit` with every string and number of a parsed JSON value, and where it stands. */
export function eachLeaf(value: unknown, visit: (path: DiffPath, leaf: string | number) => void): void {
  const path: (string | number)[] = []
  const walk = (value: unknown): void => {
    if (typeof value === 'string' || typeof value === 'number') return visit(path, value)
    if (value === null || typeof value !== 'object' || value instanceof ExactNumber) return
    const entries = Array.isArray(value) ? value.entries() : Object.entries(value)
    for (const [key, member] of entries) {
      path.push(key)
      walk(member)
      path.pop()
    }
  }
  walk(value)
}

/** The value at a path; undefined where there is none. */
export function valueAt(root: unknown, path: DiffPath): unknown {
  let value = root
  for (const part of path) {
    if (value === null || typeof value !== 'object' || !Object.hasOwn(value, part)) return undefined
    value = (value as Record<string | number, unknown>)[part]
  }
  return value
}

/** Puts another value in the place of one that is there. */
export function replaceAt(root: unknown, path: DiffPath, value: unknown): void {
  const last = path.at(-1)
  const parent = valueAt(root, path.slice(0, -1))
  if (last === undefined || parent === null || typeof parent !== 'object' || !Object.hasOwn(parent, last)) return
  // Defined, not assigned: a key may be `__proto__`.
  Object.defineProperty(parent, last, { value, writable: true, enumerable: true, configurable: true })
}

/**
 * What stands in a live value where `path` leads in the recorded one: elements of arrays are found by their name, URI or id
 * where they have one, since what was added before them moves them.
 */
export function counterpart(recorded: unknown, live: unknown, path: DiffPath): unknown {
  let [before, now] = [recorded, live]
  for (const [i, part] of path.entries()) {
    if (now === null || typeof now !== 'object') return undefined
    const next = valueAt(before, [part])
    const identity = Array.isArray(before) && Array.isArray(now) ? identityOf(next, path[i + 1]) : undefined
    const same = identity && (now as unknown[]).find(item => valueAt(item, [identity.key]) === identity.value)
    now = same ?? valueAt(now, [part])
    before = next
  }
  return now
}

function identityOf(element: unknown, wanted: string | number | undefined): { key: string; value: string } | undefined {
  for (const key of ['name', 'uri', 'id']) {
    const value = valueAt(element, [key])
    if (key !== wanted && typeof value === 'string') return { key, value }
  }
  return undefined
}
