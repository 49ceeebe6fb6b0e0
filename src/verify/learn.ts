import { AnswerRules, type Compared, type Subject } from '../replay/answer-rules.ts'
import { NAMING } from '../replay/array-pairs.ts'
import { pairsInOrder } from '../replay/in-order-pairs.ts'
import { type Difference, differenceText } from '../replay/json-diff.ts'
import { pointerOf } from '../replay/pointer.ts'
import type { RecordedRequest } from '../replay/recording.ts'
import type { AnswerPattern, AnswerRule, Rules } from '../replay/rules.ts'
import { type Moments, noiseOf } from '../replay/volatile.ts'
import { Literals } from '../tape/literals.ts'
import { ANNOUNCEMENTS } from './announcements.ts'
import type { Answers } from './answers.ts'
import type { Minted } from './bindings.ts'
import { subjectsOf } from './compare.ts'
import { LISTS } from './drift.ts'
import { hiddenDifference } from './hidden.ts'
import { valueAt } from './leaves.ts'
import type { LiveAnswer, LiveSaid } from './live-request.ts'
import { nameOf } from './plan.ts'
import type { Run } from './run.ts'
import { scrubbedValue } from './scrub.ts'
import { type VoicePair, voicePairs } from './voice-pairs.ts'
import { bodyOf, jsonOf, type Voice } from './voices.ts'

export interface Learned {
  readonly rules: Rules
  /** An example of what was seen to change, by rule and pointer. */
  readonly exampleOf: (rule: AnswerRule, pointer: string) => string | undefined
  /** How many places are new. */
  readonly count: number
  /** What no rule should hide: answers that are a result one time, and an error the other. A sentence each. */
  readonly flaky: readonly string[]
}

/** What differed between two runs with one server changes by itself. What is told of it holds none of the secrets. */
export function learn(
  first: { run: Run; answers: Answers },
  second: { run: Run; answers: Answers },
  rules: Rules,
  secrets: Literals = new Literals(0)
): Learned {
  let asked: RecordedRequest | undefined
  const learner = new Learner(rules, secrets, (a, b) => isRenamed(first.run, second.run, a, b, asked))
  for (const [request, before] of first.answers) {
    const after = second.answers.get(request)
    asked = request
    if (after) learner.compare(request, before, after)
  }
  asked = undefined
  for (const [conversation, before] of first.run.played) {
    const after = second.run.played.get(conversation)
    const [old, now] = [before.voicesNow, after?.voicesNow]
    if (old && now) learner.atLarge(before.voicesThen, old, now)
  }
  return learner.learned()
}

/** Values that each run got anew from the server, and gave back to it; where they came from, only what looks made up. */
function isRenamed(first: Run, second: Run, a: unknown, b: unknown, asked: RecordedRequest | undefined): boolean {
  const isSame = (minted: Minted): boolean =>
    second.bound.nameOf(minted) === b && (minted.request !== asked || second.bound.isSame(minted.value, b, asked))
  return first.bound.mintedAs(a).some(isSame)
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

/** Where two answers differ, and how. */
interface FoundPlace {
  readonly path: readonly (string | number)[]
  readonly example: string
  readonly kinds?: readonly AnswerPattern[] | undefined
  readonly isOrder?: true
}

class Learner {
  readonly #rules: AnswerRules
  readonly #secrets: Literals
  readonly #isRenamed: (a: unknown, b: unknown) => boolean
  readonly #places = new Map<string, Place>()
  readonly #flaky: string[] = []

  constructor(rules: Rules, secrets: Literals, isRenamed: (a: unknown, b: unknown) => boolean) {
    this.#rules = new AnswerRules(rules)
    this.#secrets = secrets
    this.#isRenamed = isRenamed
  }

  compare(request: RecordedRequest, before: LiveAnswer, after: LiveAnswer): void {
    const [subject] = subjectsOf([request]).map(asRule)
    const [old, now] = [before.outcome, after.outcome]
    const kinds = [before, after].map(kindOf)
    if (kinds[0] !== kinds[1] && !request.cancelled) {
      this.#flaky.push(this.#hidden(`${nameOf(request)}: ${kinds[0]} in the first run, ${kinds[1]} in the second`))
      return
    }
    if (old?.kind === 'response' && now?.kind === 'response') {
      const moments = { before: old.at, after: now.at }
      const [was, is] = [old, now].map(({ message }) => contentOf(message))
      const places = this.#placesIn(was, is, { method: request.method, name: request.subject, moments })
      for (const place of places) {
        if (isListed(place, request.method)) this.#flaky.push(this.#hidden(`${nameOf(request)}: ${place.example}`))
        else this.#add(subject!, { ...place, path: ofAnyItem(place.path, request.method) })
      }
    }
    this.#brought(request, before, after)
  }

  #brought(asked: RecordedRequest, before: LiveAnswer, after: LiveAnswer): void {
    const methodOf = (voice: Voice): string => voice.method
    const [old, now] = [before, after].map(({ said }) => said.filter(isBrought).map(s => voiceOf(s, asked)))
    for (const pair of pairsInOrder(old!, now!, methodOf, methodOf)) this.#pair(pair)
  }

  /** What was said to a session at large: when it was recorded, and in both runs. */
  atLarge(recorded: readonly Voice[], before: readonly Voice[], after: readonly Voice[]): void {
    const isSame = (a: Voice, b: Voice): boolean => this.#changes(a, b).length === 0
    const missing = new Set<Voice>()
    for (const pair of voicePairs(before, after, isSame)) {
      const [old, now] = pair
      const one = (old ?? now)!
      if (old && now) this.#pair(pair)
      else if (!one.isChance) missing.add(one)
    }
    // On the tape it may have come with another request.
    for (const voices of [before, after])
      for (const [then, now] of voicePairs(recorded, voices, isSame))
        if (now && missing.has(now)) this.#pair([now, undefined], then)
  }

  /** What differs between the two goes to what asked for them; nobody else's notifications are left out for it. */
  #pair([old, now]: VoicePair, then?: Voice): void {
    const voices = [old, now, then].filter(v => v !== undefined)
    const method = this.#hidden(voices[0]!.method)
    const places = old && now ? this.#changes(old, now) : [{ path: [], example: `${method}: not always there` }]
    for (const asked of new Set(voices.map(v => v.asked))) {
      const [subject = { method }] = subjectsOf([asked]).map(asRule)
      const where = old && now && asked ? ['notifications', '*'] : old && now ? [] : ['notifications']
      for (const place of places) this.#add(subject, { ...place, path: [...where, ...place.path] })
    }
  }

  #changes(old: Voice, now: Voice): FoundPlace[] {
    const broughtBy = subjectsOf([old.asked, now.asked])
    const { method } = old
    if ([old, now].some(v => this.#rules.leavesOut({ method }, subjectsOf([v.asked])))) return []
    const moments = { before: old.moment!, after: now.moment! }
    return this.#placesIn(old.body, now.body, { method, broughtBy, moments })
  }

  #placesIn(before: unknown, after: unknown, about: Compared & { readonly moments: Moments }): FoundPlace[] {
    const found = this.#rules.differences(before, after, {
      ...about,
      limit: MAX_PLACES,
      renamed: true,
      ignore: (_, a, b) => this.#isRenamed(a, b)
    })
    return found.map(difference => ({
      // A key with a secret in it stands for any: the rules are a file that others read.
      path: partsOf(difference).map(part => (this.#hidden(String(part)) === String(part) ? part : '*')),
      example: differenceText(hiddenDifference(difference, this.#secrets)),
      ...(isOrder(difference) && { isOrder: true }),
      ...(difference.kind === 'changed' && { kinds: noiseOf(difference.old, difference.new, about.moments) })
    }))
  }

  #hidden(text: string): string {
    return scrubbedValue(text, this.#secrets) as string
  }

  #add(subject: AnswerRule, { path, example, kinds, isOrder }: FoundPlace): void {
    const pointer = pointerOf(path)
    const key = JSON.stringify([subject.method, subject.name, pointer])
    let place = this.#places.get(key)
    if (!place) {
      place = { subject, pointer, patterns: new Set(), ignore: false, unordered: false, example }
      this.#places.set(key, place)
    }
    if (isOrder) place.unordered = true
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
    return { rules: { defaults: true, requests: [], answers }, exampleOf, count: this.#places.size, flaky: this.#flaky }
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

function contentOf({ bytes }: { readonly bytes: Buffer }): unknown {
  return bodyOf(jsonOf(bytes.toString('utf8')))
}

function asRule({ method, name }: Subject): AnswerRule {
  return { method, ...(name !== undefined && { name }) }
}

function isBrought({ message, owned }: LiveSaid): boolean {
  return owned && message.kind !== 'request' && !ANNOUNCEMENTS.test(message.method ?? '')
}

function voiceOf({ message }: LiveSaid, asked: RecordedRequest): Voice {
  const body = contentOf(message)
  return { method: message.method ?? '', body, asked, moment: Date.now(), truncated: false, isChance: false }
}

function kindOf({ outcome }: LiveAnswer): string {
  if (outcome?.kind !== 'response') return 'no answer'
  if (outcome.message.isError) return 'an error'
  return valueAt(contentOf(outcome.message), ['result', 'isError']) === true ? 'isError' : 'a result'
}

/** Where a list is cut into pages, and what stands before an item, may change. */
function ofAnyItem(path: FoundPlace['path'], method: string): FoundPlace['path'] {
  return path.length > 3 && path[1] === LISTS.get(method)?.items ? [...path.slice(0, 2), '*', ...path.slice(3)] : path
}

/** The whole of something that a list offers is there one time only. */
function isListed({ path, kinds, isOrder }: FoundPlace, method: string): boolean {
  return !kinds && !isOrder && path.length === 3 && path[1] === LISTS.get(method)?.items
}

/**
 * `result.content[0].text` as `result`, `content`, `0`, `text`. Keys that are too long to be shown whole stand for any. A name that is made
 * up for one object of a list is made up for all.
 */
function partsOf({ path }: Difference): (string | number)[] {
  const parts: (string | number)[] = []
  let isElement = false
  for (const [, index, quoted, plain] of path.matchAll(/\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]|\.?([\w$…-]+)/g)) {
    const key = index ?? (quoted === undefined ? plain! : (JSON.parse(quoted) as string))
    if (index === undefined && NAMING.includes(key) && isElement) parts[parts.length - 1] = '*'
    isElement = index !== undefined
    parts.push(key.includes('…') ? '*' : key)
  }
  return parts
}
