import { randomBytes } from 'node:crypto'
import { realpath, rename, rm, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { Document, isMap, isScalar, isSeq, parseDocument, type Scalar, YAMLMap, YAMLSeq } from 'yaml'
import { readBounded } from '../config/files.ts'
import { excerpt, printable } from '../printable.ts'
import { errnoOf } from '../tape/format.ts'
import { type AnswerRule, parseRules, type RequestRule, type RuleSubject, type Rules, RulesError } from './rules.ts'

export interface WriteOptions {
  /** What is written beside an entry for those who review it: what was seen to change, for example. */
  readonly commentOf?: (rule: RequestRule | AnswerRule, pointer: string) => string | undefined
}

/**
 * Adds rules to a file, which is made where there is none. What stands in it stays, comments and all; what it says already is
 * not added again. Throws RulesError, also for a file in which something is wrong.
 */
export async function writeRules(file: string, rules: Rules, options: WriteOptions = {}): Promise<void> {
  const target = await realpath(file).catch(() => path.resolve(file))
  const stats = await stat(target).catch(() => undefined)
  const content = stats && (await readBounded(target))
  if (content && 'failure' in content)
    throw new RulesError('rules_unreadable', `the rules ${printable(file)} cannot be read: ${content.failure}`)
  await replace(target, withRules(content?.text, rules, { ...options, file }), stats?.mode)
}

/** Whoever reads it meanwhile finds the whole of the one or of the other. */
async function replace(file: string, text: string, mode = 0o666): Promise<void> {
  const next = `${file}.${randomBytes(6).toString('hex')}.tmp`
  try {
    await writeFile(next, text, { flag: 'wx', mode: mode & 0o777 })
    await rename(next, file)
  } catch (error) {
    await rm(next, { force: true })
    throw new RulesError('rules_unwritable', `the rules ${printable(file)} cannot be written: ${errnoOf(error)}`)
  }
}

/** The text of a file of rules (undefined: a new one) with more rules in it. Throws RulesError. */
export function withRules(
  text: string | undefined,
  rules: Rules,
  { file, commentOf }: WriteOptions & { readonly file: string }
): string {
  const known = text === undefined ? undefined : parseRules(text, file)
  const document = text === undefined ? fresh(rules) : parseDocument(text, { version: '1.2', schema: 'core' })
  for (const kind of ['requests', 'answers'] as const) {
    const subjects: RuleSubject[] = [...(known?.[kind] ?? [])]
    for (const rule of rules[kind]) {
      const list = listAt(document, kind, file)
      const at = subjects.findIndex(s => (s.method ?? '*') === (rule.method ?? '*') && s.name === rule.name)
      const place = list.items[at]
      const map = isMap(place) ? place : newRule(list, subjects, rule)
      addTo(document, map as YAMLMap, rule, pointer => commentOf?.(rule, pointer))
    }
  }
  const out = document.toString({ lineWidth: 0 })
  parseRules(out, file)
  return out
}

function fresh({ defaults }: Rules): Document {
  const document = new Document({ version: 1, ...(!defaults && { defaults }) })
  document.commentBefore =
    ' What does not count when requests are looked for on the tape, and when answers are compared with it.'
  return document
}

function listAt(document: Document, kind: 'requests' | 'answers', file: string): YAMLSeq {
  const found = document.get(kind)
  if (isSeq(found)) return found as YAMLSeq
  if (found !== undefined)
    throw new RulesError(
      'rules_invalid',
      `${printable(file)}: ${kind} is no list of its own (*…); nothing can be added to it`
    )
  const list = new YAMLSeq()
  document.set(kind, list)
  return list
}

function newRule(list: YAMLSeq, subjects: RuleSubject[], { method, name }: RuleSubject): YAMLMap {
  const map = new YAMLMap()
  if (method !== undefined) map.set('method', method)
  if (name !== undefined) map.set('name', name)
  list.add(map)
  // The list of subjects goes with the list in the file, position by position.
  subjects.push({ ...(method !== undefined && { method }), ...(name !== undefined && { name }) })
  return map
}

type CommentOf = (pointer: string) => string | undefined

function addTo(document: Document, map: YAMLMap, rule: RequestRule & AnswerRule, commentOf: CommentOf): void {
  for (const key of ['ignore', 'unordered'] as const)
    for (const pointer of rule[key] ?? []) addPointer(document, map, key, pointer, commentOf)
  for (const key of ['where', 'patterns'] as const)
    for (const [pointer, value] of Object.entries(rule[key] ?? {}))
      addPair(document, map, key, pointer, value, commentOf)
}

function addPointer(document: Document, map: YAMLMap, key: string, pointer: string, commentOf: CommentOf): void {
  let list = map.get(key)
  if (!isSeq(list)) map.set(key, (list = new YAMLSeq()))
  const { items } = list as YAMLSeq
  if (items.some(item => isScalar(item) && item.value === pointer)) return
  items.push(commented(document.createNode(pointer), commentOf(pointer)))
}

function addPair(
  document: Document,
  map: YAMLMap,
  key: string,
  pointer: string,
  value: unknown,
  commentOf: CommentOf
): void {
  let pairs = map.get(key)
  if (!isMap(pairs)) map.set(key, (pairs = new YAMLMap()))
  const before = (pairs as YAMLMap).get(pointer, true)
  // A rule for requests that is there was written by somebody: it stays as it is.
  if (before !== undefined && key === 'where') return
  const known = before === undefined ? [] : [(before as Scalar).toJSON()].flat()
  const all = [...known, ...[value].flat().filter(v => !known.some(k => JSON.stringify(k) === JSON.stringify(v)))]
  if (before !== undefined && all.length === known.length) return
  const node = document.createNode(all.length === 1 ? all[0] : all, { flow: true })
  const comment = commentOf(pointer) ?? (before as Scalar | undefined)?.comment?.trim()
  ;(pairs as YAMLMap).set(pointer, commented(node, comment))
}

function commented<T extends { comment?: string | null }>(node: T, comment: string | undefined): T {
  if (comment !== undefined) node.comment = ` ${printable(excerpt(comment, 160))}`
  return node
}
