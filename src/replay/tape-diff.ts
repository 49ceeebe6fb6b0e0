import { createHash } from 'node:crypto'
import { AnswerRules } from './answer-rules.ts'
import { canonicalKey, parseJson } from './canonical.ts'
import { pairsInOrder } from './in-order-pairs.ts'
import { type Difference, differences } from './json-diff.ts'
import type { Conversation, Outcome, RecordedRequest, Recording, Said, TapePlace, TapeText } from './recording.ts'
import { recordedParams } from './request-index.ts'
import { RequestViews } from './request-view.ts'
import type { Rules } from './rules.ts'
import type { Moments } from './volatile.ts'

/** A request of the client's, or one of the server's that came outside of any request. */
export type DiffedRequest = RecordedRequest | Said

/** One request that is not the same on both tapes. */
export type TapeDifference =
  | { readonly kind: 'only-a' | 'only-b'; readonly request: DiffedRequest }
  | {
      readonly kind: 'answer'
      readonly a: DiffedRequest
      readonly b: DiffedRequest
      readonly differences: readonly Difference[]
    }

/** Differences of one answer that are told. */
const LIMIT = 20

/**
 * Aligns two recordings by what was asked, equal requests in order of occurrence, and compares what came of each. In the order of
 * the first; what is on the second alone comes last, but for what the server asked of its own accord.
 */
export function* diffRecordings(a: Recording, b: Recording, rules: Rules): Generator<TapeDifference, void, void> {
  const views = new RequestViews(rules)
  const comparing = new Comparing(rules, a, b)
  const waiting = new Map<string, RecordedRequest[]>()
  for (const request of requestsOf(b)) {
    const key = keyOf(request, views)
    const list = waiting.get(key)
    if (list) list.push(request)
    else waiting.set(key, [request])
  }
  // Turned around once, so that the first can be taken off the end.
  for (const list of waiting.values()) list.reverse()
  for (const request of requestsOf(a)) {
    const other = waiting.get(keyOf(request, views))?.pop()
    if (!other) {
      yield { kind: 'only-a', request }
      continue
    }
    const found = comparing.requests(request, other)
    if (found.length > 0) yield { kind: 'answer', a: request, b: other, differences: found }
  }
  const left = [...waiting.values()].flat().sort((x, y) => x.order - y.order)
  for (const request of left) yield { kind: 'only-b', request }
  const methodOf = (said: Said): string => said.method
  for (const [old, now] of pairsInOrder([...questionsOf(a)], [...questionsOf(b)], methodOf, methodOf)) {
    if (!old || !now) {
      yield { kind: old ? 'only-a' : 'only-b', request: (old ?? now)! }
      continue
    }
    const found = comparing.said(old, now)
    if (found.length > 0) yield { kind: 'answer', a: old, b: now, differences: found }
  }
}

function* requestsOf(recording: Recording): Generator<RecordedRequest, void, void> {
  for (const { steps } of conversationsOf(recording)) for (const step of steps) if (step.kind === 'request') yield step
}

/** Requests of the server's that are on no request's own stream, as on any pipe. */
function* questionsOf(recording: Recording): Generator<Said, void, void> {
  const isLoose = ({ id, owned, own }: Said): boolean => id !== undefined && !owned && !own
  for (const { before, steps } of conversationsOf(recording)) {
    yield* before.filter(isLoose)
    for (const step of steps) {
      if (step.kind === 'request') yield* step.said.filter(isLoose)
      yield* step.after.filter(isLoose)
    }
  }
}

function conversationsOf({ legacy, modern }: Recording): readonly Conversation[] {
  return modern ? [...legacy, modern] : legacy
}

/** What cannot be read as a whole is the same only where it is so to the letter. */
function keyOf(request: RecordedRequest, views: RequestViews): string {
  const { method, subject } = request
  const params = recordedParams(request)
  if (params === undefined && (request.truncated || !isReadable(request)))
    return `cut ${createHash('sha256').update(request.text.get()).digest('base64')}`
  return canonicalKey(method, params, { views: views.of(method, subject) })
}

function isReadable({ text }: RecordedRequest): boolean {
  return parsed(text.get()) !== undefined
}

/** Compares what came of equal requests. */
class Comparing {
  readonly #rules: AnswerRules
  readonly #startsA: ReadonlyMap<string, number>
  readonly #startsB: ReadonlyMap<string, number>

  constructor(rules: Rules, a: Recording, b: Recording) {
    this.#rules = new AnswerRules(rules)
    this.#startsA = startsOf(a)
    this.#startsB = startsOf(b)
  }

  requests(a: RecordedRequest, b: RecordedRequest): Difference[] {
    return [...this.#notifications(a, b), ...this.#outcomes(a, b)].slice(0, LIMIT)
  }

  /** What the server said on its own. */
  said(a: Said, b: Said): Difference[] {
    const about = { method: a.method, limit: LIMIT, moments: this.#moments(a.place, a.at, b.place, b.at) }
    return this.#rules.differences(saidOf(a), saidOf(b), about)
  }

  #outcomes(a: RecordedRequest, b: RecordedRequest): Difference[] {
    const [before, after] = [a.outcome, b.outcome]
    if (before.kind !== 'response' || after.kind !== 'response')
      return differences(wordsFor(before), wordsFor(after), { limit: LIMIT })
    const moments = this.#moments(before.place, before.at, after.place, after.at)
    return this.#rules.differences(withoutFraming(before), withoutFraming(after), { ...aboutOf(a), moments })
  }

  #notifications(a: RecordedRequest, b: RecordedRequest): Difference[] {
    const [before, after] = [ownedBy(a), ownedBy(b)]
    const methodOf = (said: Said): string => said.method
    return pairsInOrder(before, after, methodOf, methodOf).flatMap(([old, now]): Difference[] => {
      const path = `notifications[${old ? before.indexOf(old) : after.indexOf(now!)}]`
      if (old && now) return this.said(old, now).map(d => ({ ...d, path: d.path === '' ? path : `${path}.${d.path}` }))
      const pair = old ? [[saidOf(old)], []] : [[], [saidOf(now!)]]
      // A rule may say that what a request brings besides its answer does not count.
      const counts = pair.map(notifications => ({ notifications }))
      if (this.#rules.differences(counts[0], counts[1], aboutOf(a)).length === 0) return []
      return [old ? { path, kind: 'removed', old: saidOf(old) } : { path, kind: 'added', new: saidOf(now!) }]
    })
  }

  #moments(placeA: TapePlace, atA: number, placeB: TapePlace, atB: number): Moments | undefined {
    const [before, after] = [this.#startsA.get(placeA.file), this.#startsB.get(placeB.file)]
    return before === undefined || after === undefined ? undefined : { before: before + atA, after: after + atB }
  }
}

function startsOf({ tapes }: Recording): Map<string, number> {
  const starts = tapes.map(({ file, started }) => [file, Date.parse(started)] as const)
  return new Map(starts.filter(([, start]) => !Number.isNaN(start)))
}

function aboutOf({ method, subject: name }: RecordedRequest) {
  return { method, limit: LIMIT, ...(name !== undefined && { name }) }
}

/** Logs on a pipe are no request's own: which one they belong to nobody can tell. */
function ownedBy({ said, after }: RecordedRequest): Said[] {
  return [...said, ...after].filter(s => s.owned && !s.own)
}

/** Without the names that the client gave: its tokens, and what is in `_meta`. */
function saidOf(said: Said): unknown {
  const message = withoutFraming(said)
  const params = (message as { readonly params?: unknown }).params
  if (typeof params !== 'object' || params === null) return message
  const { progressToken: _token, _meta: _, ...left } = params as Record<string, unknown>
  return { ...message, params: left }
}

/** Without what belongs to the conversation rather than to the answer. */
function withoutFraming({ text, truncated }: { readonly text: TapeText; readonly truncated: boolean }): object {
  const source = text.get()
  const message = truncated ? undefined : parsed(source)
  if (typeof message !== 'object' || message === null) return { beginning: source }
  const { jsonrpc: _version, id: _id, ...rest } = message as Record<string, unknown>
  return rest
}

function parsed(text: string): unknown {
  try {
    return parseJson(text)
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

function wordsFor(outcome: Outcome): Readonly<Record<string, unknown>> {
  switch (outcome.kind) {
    case 'response':
      return { answer: outcome.isError ? 'an error' : 'a result' }
    case 'status':
      return { answer: 'none', status: outcome.status, body: outcome.body?.get() }
    case 'cut':
      return { answer: 'none', ended: outcome.how }
    default:
      return { answer: 'none' }
  }
}
