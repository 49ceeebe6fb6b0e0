import { pathText } from '../config/problems.ts'
import type { AnswerRules } from '../replay/answer-rules.ts'
import { canonicalText } from '../replay/canonical.ts'
import { type Difference, differenceText, valueText } from '../replay/json-diff.ts'
import type { RecordedRequest } from '../replay/recording.ts'
import { valueAt } from './leaves.ts'
import type { Listed, Listing } from './listings.ts'
import { type Break, schemaBreaks } from './schema-drift.ts'

/** How what a server offers has changed. */
export interface Drift {
  readonly changes: readonly DriftChange[]
  /** How many of them break clients that worked. */
  readonly breaking: number
}

export interface DriftChange {
  readonly what: 'tool' | 'prompt' | 'resource' | 'template'
  readonly name: string
  readonly change: 'added' | 'removed' | 'changed'
  /** Why clients that worked would fail; undefined where they would not. */
  readonly breaking?: string
  /** Where: `inputSchema.properties.path.type`; undefined where the whole was added or removed. */
  readonly path?: string
  /** One line, safe for a terminal. */
  readonly text: string
}

export interface ListKind {
  readonly what: DriftChange['what']
  readonly items: string
  readonly key: string
}

export const LISTS: ReadonlyMap<string, ListKind> = new Map([
  ['tools/list', { what: 'tool', items: 'tools', key: 'name' }],
  ['prompts/list', { what: 'prompt', items: 'prompts', key: 'name' }],
  ['resources/list', { what: 'resource', items: 'resources', key: 'uri' }],
  ['resources/templates/list', { what: 'template', items: 'resourceTemplates', key: 'uriTemplate' }]
])

/** What a list holds is told once, by its drift. */
export function isToldByDrift(
  { method, differences }: { readonly method: string; readonly differences: readonly Difference[] },
  { changes }: Drift
): boolean {
  const kind = LISTS.get(method)
  return (
    differences.length > 0 &&
    changes.some(change => change.what === kind?.what) &&
    differences.every(({ path }) => path.startsWith(`result.${kind!.items}[`))
  )
}

/** Whether two values of an answer are the same, whatever they look like. */
export type IsSame = (before: unknown, after: unknown, request: RecordedRequest | undefined) => boolean

interface Comparison {
  readonly kind: ListKind
  /** Differences of one element, as the rules have it for its place on the tape; undefined stands for none. */
  readonly compare: (before: Listed | undefined, after: Listed | undefined) => Difference[]
  readonly isSame: IsSame
}

/** What has changed in a list that was answered then and now. */
export function driftOf(listing: Listing, rules: AnswerRules, isSame: IsSame): DriftChange[] {
  if (!listing.isAnswered) return []
  const kind = LISTS.get(listing.method)!
  const compare = (before: Listed | undefined, after: Listed | undefined): Difference[] => {
    const index = (before ?? after)!.index
    const page = (listed: Listed | undefined): object => ({
      result: { [kind.items]: listed ? { [index]: listed.item } : {} }
    })
    const ignore = (_: unknown, old: unknown, now: unknown): boolean => isSame(old, now, before?.request)
    const found = rules.differences(page(before), page(after), { method: listing.method, ignore })
    const prefix = pathText(['result', kind.items, String(index)])
    return found.map(d => ({ ...d, path: d.path.slice(prefix.length).replace(/^\./, '') }))
  }
  const comparison = { kind, compare, isSame }
  const pairs = pairsOf(listing, comparison)
  return pairs.flatMap(([old, now]) => {
    if (old && now) return changed(old, now, comparison)
    // What was on a page that nobody saw, then or now, is neither new nor gone.
    if (old) return listing.isLiveKnown && compare(old, undefined).length > 0 ? [gone(old, kind)] : []
    return listing.isWhole && compare(undefined, now).length > 0 ? [added(now!, kind)] : []
  })
}

type Pair = readonly [then: Listed | undefined, now: Listed | undefined]

/** By their names, those of one name in their order. */
function pairsOf(listing: Listing, { kind, isSame }: Comparison): Pair[] {
  const left = new Map<string, Listed[]>()
  for (const one of listing.after) {
    const key = keyOf(one, kind)
    const known = left.get(key)
    if (known) known.push(one)
    else left.set(key, [one])
  }
  const pairs: Pair[] = listing.before.map(old => [old, left.get(keyOf(old, kind))?.shift()])
  const fresh = [...left.values()].flat()
  // What the server names anew each time.
  const renamed = pairs.map(([old, now]): Pair => {
    if (now || fresh.length === 0) return [old, now]
    const at = fresh.findIndex(one => isSame(valueAt(old!.item, [kind.key]), nameIn(one, kind), old!.request))
    return [old, at < 0 ? undefined : fresh.splice(at, 1)[0]]
  })
  return [...renamed, ...fresh.map((now): Pair => [undefined, now])]
}

function nameIn({ item }: Listed, { key }: ListKind): unknown {
  return valueAt(item, [key])
}

/** What has no name is told by its content. */
function keyOf(listed: Listed, kind: ListKind): string {
  const name = nameIn(listed, kind)
  return typeof name === 'string' ? `name ${name}` : `content ${canonicalText(listed.item)}`
}

function about(listed: Listed, kind: ListKind): { what: DriftChange['what']; name: string; title: string } {
  const name = nameIn(listed, kind)
  const shown = typeof name === 'string' ? name : valueText(listed.item)
  return { what: kind.what, name: shown, title: `${kind.what} ${typeof name === 'string' ? valueText(name) : shown}` }
}

function gone(listed: Listed, kind: ListKind): DriftChange {
  const { what, name, title } = about(listed, kind)
  return { what, name, change: 'removed', breaking: 'it is gone', text: `${title}: removed` }
}

function added(listed: Listed, kind: ListKind): DriftChange {
  const { what, name, title } = about(listed, kind)
  return { what, name, change: 'added', text: `${title}: added` }
}

function changed(old: Listed, now: Listed, { kind, compare }: Comparison): DriftChange[] {
  const { what, name, title } = about(old, kind)
  const found = compare(old, now)
  const breaks = breaksOf(what, old.item, now.item).map(b => ({ ...b, at: placesOf(b, found) }))
  return found.map(difference => {
    const why = breaks.filter(b => b.at.has(difference)).map(b => b.why)
    return {
      what,
      name,
      change: 'changed',
      path: difference.path,
      text: `${title}: ${differenceText(difference)}`,
      ...(why.length > 0 && { breaking: [...new Set(why)].join('; ') })
    }
  })
}

/** The differences that a break comes from: where it is, or else as near to it as there are any, within the same schema. */
function placesOf({ path, via = [] }: Break, differences: readonly Difference[]): Set<Difference> {
  const around = (place: string): Difference[] =>
    differences.filter(d => isWithin(place, d.path) || isWithin(d.path, place))
  const found = new Set([path, ...via].flatMap(around))
  for (let place = path; found.size === 0 && place !== ''; place = parentOf(place))
    for (const difference of around(place)) found.add(difference)
  return found
}

/** `a.b[0]` of `a.b[0].c`. */
function parentOf(path: string): string {
  return path.replace(/(^|\.)[^.[]*$|\[[^[]*\]$/, '')
}

function isWithin(path: string, parent: string): boolean {
  return path === parent || path.startsWith(`${parent}.`) || path.startsWith(`${parent}[`)
}

function breaksOf(what: DriftChange['what'], old: unknown, now: unknown): Break[] {
  if (what === 'tool') return toolBreaks(old, now)
  return what === 'prompt' ? promptBreaks(old, now) : []
}

function toolBreaks(old: unknown, now: unknown): Break[] {
  const at = (item: unknown, key: string): unknown => valueAt(item, [key])
  const within = (key: string, breaks: readonly Break[]): Break[] =>
    breaks.map(b => ({ ...b, path: `${key}${b.path}`, via: b.via?.map(place => `${key}${place}`) ?? [] }))
  const found: Break[] = [
    ...within('inputSchema', schemaBreaks(at(old, 'inputSchema'), at(now, 'inputSchema'), 'input')),
    ...within('outputSchema', schemaBreaks(at(old, 'outputSchema'), at(now, 'outputSchema'), 'output'))
  ]
  if (at(old, 'inputSchema') !== undefined && at(now, 'inputSchema') === undefined)
    found.push({ path: 'inputSchema', why: 'clients refuse a tool that has none' })
  if (at(old, 'outputSchema') !== undefined && at(now, 'outputSchema') === undefined)
    found.push({ path: 'outputSchema', why: 'nothing is promised of its results any more' })
  const reads = (item: unknown): boolean => valueAt(item, ['annotations', 'readOnlyHint']) === true
  if (reads(old) && !reads(now)) found.push({ path: 'annotations', why: 'it is not read-only any more' })
  return found
}

function promptBreaks(old: unknown, now: unknown): Break[] {
  const [before, after] = [argumentsOf(old), argumentsOf(now)]
  const found: Break[] = []
  for (const [name, argument] of after) {
    const was = before.get(name)
    if (valueAt(argument, ['required']) === true && valueAt(was, ['required']) !== true)
      found.push({ path: 'arguments', why: `${valueText(name, 40)} is required now` })
  }
  for (const name of before.keys())
    if (!after.has(name)) found.push({ path: 'arguments', why: `${valueText(name, 40)} is gone` })
  return found
}

function argumentsOf(prompt: unknown): Map<string, unknown> {
  const list = valueAt(prompt, ['arguments'])
  const named = (Array.isArray(list) ? list : []).map(a => [valueAt(a, ['name']), a] as const)
  return new Map(named.filter((entry): entry is [string, unknown] => typeof entry[0] === 'string'))
}
