import { AnswerRules } from '../replay/answer-rules.ts'
import { NAMING } from '../replay/array-pairs.ts'
import { parseJson } from '../replay/canonical.ts'
import { pairsInOrder } from '../replay/in-order-pairs.ts'
import { type Difference, differenceText } from '../replay/json-diff.ts'
import { pointerOf } from '../replay/pointer.ts'
import type { RecordedRequest } from '../replay/recording.ts'
import type { AnswerPattern, AnswerRule, Rules } from '../replay/rules.ts'
import { noiseOf } from '../replay/volatile.ts'
import type { Answers } from './answers.ts'
import { bodyOf } from './compare.ts'
import { belongingLive, type LiveAnswer } from './live-request.ts'
import type { Run } from './run.ts'

export interface Learned {
  readonly rules: Rules
  /** An example of what was seen to change, by rule and pointer. */
  readonly exampleOf: (rule: AnswerRule, pointer: string) => string | undefined
  /** How many places are new. */
  readonly count: number
}

/** What differed between two runs with one server changes by itself. */
export function learn(
  first: { run: Run; answers: Answers },
  second: { run: Run; answers: Answers },
  rules: Rules
): Learned {
  let asked: RecordedRequest | undefined
  const learner = new Learner(rules, (a, b) => isRenamed(first.run, second.run, a, b, asked))
  for (const [request, before] of first.answers) {
    const after = second.answers.get(request)
    asked = request
    if (after) learner.compare(request, before, after)
  }
  return learner.learned()
}

/** Values that each run got anew from the server, and gave back to it; where they came from, only what looks made up. */
function isRenamed(first: Run, second: Run, a: unknown, b: unknown, asked: RecordedRequest | undefined): boolean {
  const isSame = ([minted, now]: (typeof first.bound.names)[number]): boolean =>
    now === a &&
    second.bound.nameOf(minted) === b &&
    (minted.request !== asked || second.bound.isSame(minted.value, b, asked))
  return first.bound.names.some(isSame)
}

/** Of one message. */
const MAX_PLACES = 1000

interface Place {
  readonly subject: AnswerRule
  readonly pointer: string
  readonly patterns: Set<AnswerPattern>
  ignore: boolean
  unordered: boolean
  readonly example: string
}

class Learner {
  readonly #rules: AnswerRules
  readonly #isRenamed: (a: unknown, b: unknown) => boolean
  readonly #places = new Map<string, Place>()

  constructor(rules: Rules, isRenamed: (a: unknown, b: unknown) => boolean) {
    this.#rules = new AnswerRules(rules)
    this.#isRenamed = isRenamed
  }

  compare(request: RecordedRequest, before: LiveAnswer, after: LiveAnswer): void {
    const { method, subject: name } = request
    const subject = { method, ...(name !== undefined && { name }) }
    const [old, now] = [before.outcome, after.outcome]
    if (old?.kind === 'response' && now?.kind === 'response')
      this.#messages(subject, textOf(old.message), textOf(now.message), { before: old.at, after: now.at })
    const kindOf = (s: { message: { method: string | undefined } }): string => s.message.method ?? ''
    for (const [a, b] of pairsInOrder(belongingLive(before), belongingLive(after), kindOf, kindOf)) {
      if (a && b) this.#messages({ method: a.message.method! }, textOf(a.message), textOf(b.message), undefined)
      else this.#add(subject, '/notifications', undefined, `${kindOf((a ?? b)!)}: not always there`)
    }
  }

  #messages(
    subject: AnswerRule,
    before: string,
    after: string,
    moments: { readonly before: number; readonly after: number } | undefined
  ): void {
    const found = this.#rules.differences(bodyOf(parseJson(before)), bodyOf(parseJson(after)), {
      method: subject.method!,
      name: subject.name,
      moments,
      limit: MAX_PLACES,
      renamed: true,
      ignore: (_, a, b) => this.#isRenamed(a, b)
    })
    for (const difference of found) {
      if (isOrder(difference)) {
        this.#add(subject, pointerTo(difference), 'unordered', differenceText(difference))
        continue
      }
      const kinds = difference.kind === 'changed' ? noiseOf(difference.old, difference.new, moments) : undefined
      this.#add(subject, pointerTo(difference), kinds, differenceText(difference))
    }
  }

  #add(
    subject: AnswerRule,
    pointer: string,
    kinds: readonly AnswerPattern[] | 'unordered' | undefined,
    example: string
  ): void {
    const key = JSON.stringify([subject.method, subject.name, pointer])
    let place = this.#places.get(key)
    if (!place) {
      place = { subject, pointer, patterns: new Set(), ignore: false, unordered: false, example }
      this.#places.set(key, place)
    }
    if (kinds === 'unordered') place.unordered = true
    else if (kinds) for (const kind of kinds) place.patterns.add(kind)
    else place.ignore = true
  }

  learned(): Learned {
    const bySubject = new Map<string, Place[]>()
    for (const place of this.#places.values()) {
      const key = JSON.stringify([place.subject.method, place.subject.name])
      bySubject.set(key, [...(bySubject.get(key) ?? []), place])
    }
    const answers = [...bySubject.values()].map(ruleOf)
    const exampleOf = (rule: AnswerRule, pointer: string): string | undefined =>
      this.#places.get(JSON.stringify([rule.method, rule.name, pointer]))?.example
    return { rules: { defaults: true, requests: [], answers }, exampleOf, count: this.#places.size }
  }
}

function ruleOf(places: readonly Place[]): AnswerRule {
  const ignore = places.filter(p => p.ignore).map(p => p.pointer)
  const unordered = places.filter(p => !p.ignore && p.unordered).map(p => p.pointer)
  const patterns = places
    .filter(p => !p.ignore && p.patterns.size > 0)
    .map(p => [p.pointer, oneOrAll([...p.patterns])] as const)
  return {
    ...places[0]!.subject,
    ...(ignore.length > 0 && { ignore }),
    ...(unordered.length > 0 && { unordered }),
    ...(patterns.length > 0 && { patterns: Object.fromEntries(patterns) })
  }
}

/** Arrays are compared element by element: what is said of one as a whole is that its order has changed. */
function isOrder({ kind, old, new: now }: Difference): boolean {
  return kind === 'changed' && Array.isArray(old) && Array.isArray(now)
}

function oneOrAll(patterns: readonly AnswerPattern[]): AnswerPattern | readonly AnswerPattern[] {
  return patterns.length === 1 ? patterns[0]! : patterns
}

function textOf(message: { readonly bytes: Buffer }): string {
  return message.bytes.toString('utf8')
}

/**
 * `result.content[0].text` as `/result/content/0/text`. Keys that are too long to be shown whole stand for any. A name that is made
 * up for one object of a list is made up for all.
 */
function pointerTo({ path }: Difference): string {
  const parts: (string | number)[] = []
  let isElement = false
  for (const [, index, quoted, plain] of path.matchAll(/\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]|\.?([\w$…-]+)/g)) {
    const key = index ?? (quoted === undefined ? plain! : (JSON.parse(quoted) as string))
    if (index === undefined && NAMING.includes(key) && isElement) parts[parts.length - 1] = '*'
    isElement = index !== undefined
    parts.push(key.includes('…') ? '*' : key)
  }
  return pointerOf(parts)
}
