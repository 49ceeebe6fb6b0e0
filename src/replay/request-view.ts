import { scalarText, type View } from './canonical.ts'
import { compilePattern } from './pattern.ts'
import { segmentsOf } from './pointer.ts'
import type { RequestRule, Rules } from './rules.ts'
import { matchesWildcard } from './wildcard.ts'

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
