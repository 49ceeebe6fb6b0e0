import { MARK } from '../tape/format.ts'
import { type CanonicalOptions, scalarText, type View } from './canonical.ts'
import { compilePattern } from './pattern.ts'
import { segmentsOf } from './pointer.ts'
import type { RequestRule, Rules } from './rules.ts'
import { matchesParts, matchesWildcard } from './wildcard.ts'

interface Draft extends View {
  readonly named: Map<string, Draft>
  any?: Draft
  ignored?: boolean
  standIn?: (value: unknown) => string | undefined
}

/** What the rules say of requests: one tree of places for each method and name, made when it is first asked for. */
export class RequestViews {
  readonly #rules: readonly { readonly rule: RequestRule; readonly view: View }[]
  readonly #made = new Map<string, readonly View[]>()

  constructor({ requests }: Rules) {
    this.#rules = requests.map(rule => ({ rule, view: viewOf(rule) }))
  }

  of(method: string, name: string | undefined): readonly View[] {
    if (this.#rules.length === 0) return NONE
    const key = `${method}\n${name ?? ''}`
    let views = this.#made.get(key)
    if (!views) {
      views = this.#rules.filter(({ rule }) => isAbout(rule, method, name)).map(r => r.view)
      if (this.#made.size < MAX_MADE) this.#made.set(key, views)
    }
    return views
  }
}

const NONE: readonly View[] = []
/** A client may ask for names without end. */
const MAX_MADE = 1000

export function isAbout(
  rule: { readonly method?: string; readonly name?: string },
  method: string,
  name: string | undefined
): boolean {
  if (rule.method !== undefined && !matchesWildcard(rule.method, method)) return false
  return rule.name === undefined || (name === undefined ? rule.name === '*' : matchesWildcard(rule.name, name))
}

function viewOf({ ignore = [], where = {} }: RequestRule): View {
  const root: Draft = { named: new Map() }
  for (const pointer of ignore) at(root, segmentsOf(pointer)).ignored = true
  for (const [pointer, pattern] of Object.entries(where)) {
    const test = compilePattern(pattern)
    // No JSON text begins like this, so that no value is taken for one that matched.
    const standIn = `?${JSON.stringify(pattern)}`
    at(root, segmentsOf(pointer)).standIn = value => {
      const text = scalarText(value)
      return text !== undefined && test(text) ? standIn : undefined
    }
  }
  return root
}

function at(root: Draft, segments: readonly string[]): Draft {
  let node = root
  for (const segment of segments) {
    let next: Draft | undefined = segment === '*' ? node.any : node.named.get(segment)
    if (!next) {
      next = { named: new Map() }
      if (segment === '*') node.any = next
      else node.named.set(segment, next)
    }
    node = next
  }
  return node
}

/** Where a recorded request lost what was secret: any value may stand there. */
export interface Gap {
  readonly path: readonly string[]
  /** As recorded; what surrounds the mark has to be there. */
  readonly text: string
}

/** Finds the gaps of a request while its key is made. */
export function gapFinder(gaps: Gap[]): NonNullable<CanonicalOptions['onText']> {
  return (path, text) => {
    if (text.includes(MARK)) gaps.push({ path: [...path], text })
  }
}

/** Sees a request as if it had these gaps: its key is that of the recorded one where all else is equal. */
export function viewOfGaps(gaps: readonly Gap[]): View {
  const root: Draft = { named: new Map() }
  for (const { path, text } of gaps) {
    const parts = text.split(MARK)
    const standIn = JSON.stringify(text)
    let node = root
    for (const segment of path) {
      let next = node.named.get(segment)
      if (!next) node.named.set(segment, (next = { named: new Map() }))
      node = next
    }
    // A mark that is the whole text stood for a value of any type.
    node.standIn = text === MARK ? () => standIn : value => (fits(parts, value) ? standIn : undefined)
  }
  return root
}

function fits(parts: readonly string[], value: unknown): boolean {
  return typeof value === 'string' && matchesParts(parts, value)
}
