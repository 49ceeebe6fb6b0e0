import { AnswerRules } from '../replay/answer-rules.ts'
import { type Difference, differenceText, valueText } from '../replay/json-diff.ts'
import type { Rules } from '../replay/rules.ts'
import { valueAt } from './leaves.ts'
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

interface ListKind {
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

type Items = Map<string, unknown>

/** All that was listed, then and now: pages are one list, and what several sessions were told is one offer. */
export class Offers {
  readonly #then = new Map<string, Items>()
  readonly #now = new Map<string, Items>()

  /** Of an answer to a list request; messages as values. */
  add(method: string, side: 'then' | 'now', answer: unknown): void {
    const kind = LISTS.get(method)
    const items = kind && valueAt(answer, ['result', kind.items])
    if (!kind || !Array.isArray(items)) return
    const map = side === 'then' ? this.#then : this.#now
    let known = map.get(method)
    if (!known) map.set(method, (known = new Map()))
    for (const item of items) {
      const name = valueAt(item, [kind.key])
      if (typeof name === 'string') known.set(name, item)
    }
  }

  /** Lists that were answered then and now. */
  drift(rules: Rules): Drift {
    const answerRules = new AnswerRules(rules)
    const changes: DriftChange[] = []
    for (const [method, then] of this.#then) {
      const now = this.#now.get(method)
      if (now) changes.push(...changesOf(method, then, now, answerRules))
    }
    return { changes, breaking: changes.filter(c => c.breaking !== undefined).length }
  }
}

function changesOf(method: string, then: Items, now: Items, rules: AnswerRules): DriftChange[] {
  const { what, items } = LISTS.get(method)!
  const compare = (before: readonly unknown[], after: readonly unknown[]): Difference[] =>
    rules.differences({ result: { [items]: before } }, { result: { [items]: after } }, { method })
  const found: DriftChange[] = []
  for (const [name, old] of then) {
    if (now.has(name)) found.push(...changed(what, name, compare([old], [now.get(name)]), old, now.get(name)))
    else if (compare([old], []).length > 0)
      found.push({ what, name, change: 'removed', breaking: 'it is gone', text: `${what} ${valueText(name)}: removed` })
  }
  for (const [name, item] of now)
    if (!then.has(name) && compare([], [item]).length > 0)
      found.push({ what, name, change: 'added', text: `${what} ${valueText(name)}: added` })
  return found
}

function changed(
  what: DriftChange['what'],
  name: string,
  differences: readonly Difference[],
  old: unknown,
  now: unknown
): DriftChange[] {
  const breaks = breaksOf(what, old, now)
  return differences.map(difference => {
    // Without what leads to the item: `result.tools[0].`
    const path = difference.path.replace(/^result\.\w+\[\d+\]\.?/, '')
    const why = breaks.filter(b => isWithin(b.path, path) || isWithin(path, b.path)).map(b => b.why)
    const text = `${what} ${valueText(name)}: ${differenceText({ ...difference, path })}`
    return {
      what,
      name,
      change: 'changed',
      path,
      text,
      ...(why.length > 0 && { breaking: [...new Set(why)].join('; ') })
    }
  })
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
    breaks.map(b => ({ ...b, path: `${key}${b.path}` }))
  const found = [
    ...within('inputSchema', schemaBreaks(at(old, 'inputSchema'), at(now, 'inputSchema'), 'input')),
    ...within('outputSchema', schemaBreaks(at(old, 'outputSchema'), at(now, 'outputSchema'), 'output'))
  ]
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
