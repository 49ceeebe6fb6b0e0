import { createHash } from 'node:crypto'
import { AnswerRules } from './answer-rules.ts'
import { canonicalKey, parseJson } from './canonical.ts'
import { type Difference, differences } from './json-diff.ts'
import type { Outcome, RecordedRequest, Recording } from './recording.ts'
import { recordedParams } from './request-index.ts'
import { RequestViews } from './request-view.ts'
import type { Rules } from './rules.ts'

/** One request that is not the same on both tapes. */
export type TapeDifference =
  | { readonly kind: 'only-a' | 'only-b'; readonly request: RecordedRequest }
  | {
      readonly kind: 'answer'
      readonly a: RecordedRequest
      readonly b: RecordedRequest
      readonly differences: readonly Difference[]
    }

/** Differences of one answer that are told. */
const LIMIT = 20

/**
 * Aligns two recordings by what was asked, equal requests in order of occurrence, and compares what came of each. In the order of
 * the first; what is on the second alone comes last.
 */
export function* diffRecordings(a: Recording, b: Recording, rules: Rules): Generator<TapeDifference, void, void> {
  const views = new RequestViews(rules)
  const answers = new AnswerRules(rules)
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
    const found = outcomeDifferences(request, other, answers)
    if (found.length > 0) yield { kind: 'answer', a: request, b: other, differences: found }
  }
  const left = [...waiting.values()].flat().sort((x, y) => x.order - y.order)
  for (const request of left) yield { kind: 'only-b', request }
}

function* requestsOf({ legacy, modern }: Recording): Generator<RecordedRequest, void, void> {
  for (const { steps } of modern ? [...legacy, modern] : legacy)
    for (const step of steps) if (step.kind === 'request') yield step
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

function outcomeDifferences(a: RecordedRequest, b: RecordedRequest, rules: AnswerRules): Difference[] {
  const [before, after] = [a.outcome, b.outcome]
  if (before.kind !== 'response' || after.kind !== 'response')
    return differences(wordsFor(before), wordsFor(after), { limit: LIMIT })
  const [old, now] = [answerOf(before), answerOf(after)]
  const about = { method: a.method, limit: LIMIT, ...(a.subject !== undefined && { name: a.subject }) }
  return rules.differences(old, now, about)
}

/** Without what belongs to the conversation rather than to the answer. */
function answerOf({ text, truncated }: Outcome & { readonly kind: 'response' }): unknown {
  const source = text.get()
  const message = truncated ? undefined : parsed(source)
  if (typeof message !== 'object' || message === null) return { beginning: source }
  const { jsonrpc: _version, id: _id, ...answer } = message as Record<string, unknown>
  return answer
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
