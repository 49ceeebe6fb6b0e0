import { scalarText } from './canonical.ts'
import { type Difference, type DiffOptions, type DiffPath, differences } from './json-diff.ts'
import { compileRegex } from './linear-regex.ts'
import { segmentsOf } from './pointer.ts'
import { isAbout } from './request-view.ts'
import type { AnswerPattern, AnswerRule, Rules } from './rules.ts'
import { differInVolatile, type Moments, type VolatileKind } from './volatile.ts'

/** Whose rules apply. */
export interface Subject {
  readonly method: string
  /** Tool, prompt, or URI of the resource. */
  readonly name?: string | undefined
}

/** The subject is the request that was answered; of a notification, it is the notification itself. */
export interface Compared extends Subject {
  /** Of a notification: the requests that brought it, whose rules speak of it below `/notifications`. */
  readonly broughtBy?: readonly Subject[]
  /** When each was said: without, the built-in rules leave times alone. */
  readonly moments?: Moments | undefined
  readonly limit?: number
  /** As of `differences`. */
  readonly renamed?: boolean
  /** What counts as equal beside what the rules say. */
  readonly ignore?: DiffOptions['ignore']
}

/** Compares what servers say, message by message, as the rules have it. */
export class AnswerRules {
  readonly #rules: readonly { readonly rule: AnswerRule; readonly places: Place }[]
  readonly #defaults: boolean

  constructor({ answers, defaults }: Rules) {
    this.#defaults = defaults
    this.#rules = answers.map(rule => ({ rule, places: placesOf(rule) }))
  }

  /** Of two whole messages (or such of their members as `result`). */
  differences(
    before: unknown,
    after: unknown,
    { method, name, broughtBy = [], moments, limit, renamed, ignore }: Compared
  ): Difference[] {
    const brought = broughtBy.flatMap(subject => placesAt(this.#placesAbout(subject), NOTIFICATION))
    const roots = [...this.#placesAbout({ method, name }), ...brought]
    const defaults = this.#defaults ? (moments ? UUIDS_AND_TIMES : UUIDS) : NO_KINDS
    return differences(before, after, {
      ...(limit !== undefined && { limit }),
      ...(renamed !== undefined && { renamed }),
      ignore: (path, old, now) =>
        ignore?.(path, old, now) === true ||
        differInVolatile(old, now, defaults, moments) ||
        placesAt(roots, path).some(place => place.ignored || place.patterns.some(isEqual => isEqual(old, now))),
      unordered: path => placesAt(roots, path).some(place => place.unordered)
    })
  }

  /** Whether it does not count if there are notifications: those that requests brought, or (of their own method) that none did. */
  leavesOut(subject: Subject, broughtBy: readonly Subject[]): boolean {
    const subjects = broughtBy.length > 0 ? broughtBy : [subject]
    const places = subjects.flatMap(s => this.#placesAbout(s))
    return [NOTIFICATION, NOTIFICATION.slice(0, 1)].some(path => placesAt(places, path).some(place => place.ignored))
  }

  #placesAbout({ method, name }: Subject): Place[] {
    return this.#rules.filter(({ rule }) => isAbout(rule, method, name)).map(r => r.places)
  }
}

/** Which of the notifications it is says nothing: only `*` stands for it. */
const NOTIFICATION: DiffPath = ['notifications', '']

const NO_KINDS: readonly VolatileKind[] = []
const UUIDS: readonly VolatileKind[] = ['uuid']
const UUIDS_AND_TIMES: readonly VolatileKind[] = ['uuid', 'time']

type IsEqual = (before: unknown, after: unknown) => boolean

interface Place {
  readonly named: Map<string, Place>
  any?: Place
  ignored?: true
  unordered?: true
  readonly patterns: IsEqual[]
}

function emptyPlace(): Place {
  return { named: new Map(), patterns: [] }
}

function placesOf({ ignore = [], unordered = [], patterns = {} }: AnswerRule): Place {
  const root = emptyPlace()
  for (const pointer of ignore) make(root, pointer).ignored = true
  for (const pointer of unordered) make(root, pointer).unordered = true
  for (const [pointer, given] of Object.entries(patterns))
    make(root, pointer).patterns.push(...equalities([given].flat() as readonly AnswerPattern[]))
  return root
}

function make(root: Place, pointer: string): Place {
  let place = root
  for (const segment of segmentsOf(pointer)) {
    let next = segment === '*' ? place.any : place.named.get(segment)
    if (!next) {
      next = emptyPlace()
      if (segment === '*') place.any = next
      else place.named.set(segment, next)
    }
    place = next
  }
  return place
}

/** Kinds that stand together may occur together; a regular expression is for the whole text. */
function equalities(patterns: readonly AnswerPattern[]): IsEqual[] {
  const kinds = patterns.filter(p => typeof p === 'string')
  const out: IsEqual[] = kinds.length > 0 ? [(before, after) => differInVolatile(before, after, kinds)] : []
  for (const pattern of patterns) {
    if (typeof pattern === 'string') continue
    const test = compileRegex(pattern.regex)
    out.push((before, after) =>
      [before, after].every(value => {
        const text = scalarText(value)
        return text !== undefined && test(text)
      })
    )
  }
  return out
}

function placesAt(roots: readonly Place[], path: DiffPath): readonly Place[] {
  let here = roots
  for (const part of path) {
    if (here.length === 0) return here
    here = here.flatMap(({ named, any }) => [named.get(String(part)), any].filter(place => place !== undefined))
  }
  return here
}
