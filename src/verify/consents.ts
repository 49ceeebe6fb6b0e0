import { canonicalKey } from '../replay/canonical.ts'
import type { Difference } from '../replay/json-diff.ts'
import type { RecordedRequest } from '../replay/recording.ts'
import { valueAt } from './leaves.ts'
import { answerOf, jsonOf, type Plan } from './plan.ts'

/**
 * What the client answered within a request (`inputResponses`) to what the server had asked in an answer (`inputRequests`). It
 * is given again to the same questions only: a yes to one is no yes to another.
 */
export class Consents {
  /** What asked, by what answers; undefined where the tape does not show it. */
  readonly #sources: ReadonlyMap<RecordedRequest, RecordedRequest | undefined>
  readonly #asking: ReadonlySet<RecordedRequest>
  /** Those that have asked the same now. */
  readonly #same = new Set<RecordedRequest>()
  readonly #compare: (asking: RecordedRequest, live: unknown) => readonly Difference[]

  constructor(plan: Plan, compare: (asking: RecordedRequest, live: unknown) => readonly Difference[]) {
    this.#sources = sourcesOf(plan)
    this.#asking = new Set([...this.#sources.values()].filter(source => source !== undefined))
    this.#compare = compare
  }

  /** The server has answered; `live` is its message. */
  answered(request: RecordedRequest, live: unknown): void {
    if (this.#asking.has(request) && this.#compare(request, live).length === 0) this.#same.add(request)
  }

  /** Why a request is not sent. */
  whyNot(request: RecordedRequest): string | undefined {
    if (!this.#sources.has(request)) return undefined
    const source = this.#sources.get(request)
    if (!source) return 'the tape does not show which questions it answers'
    return this.#same.has(source) ? undefined : 'it answers questions that the server does not ask as it did then'
  }
}

function sourcesOf({ acts }: Plan): Map<RecordedRequest, RecordedRequest | undefined> {
  const found = new Map<RecordedRequest, RecordedRequest | undefined>()
  const asking: Asking[] = []
  for (const { conversation, step } of acts) {
    if (conversation.era !== 'modern' || step.kind !== 'request') continue
    const answers = answersIn(step)
    if (answers) {
      const at = asking.findLastIndex(a => a.order < step.order && isAnsweredBy(a, answers))
      // A question is answered once.
      found.set(step, at < 0 ? undefined : asking.splice(at, 1)[0]!.request)
    }
    const asks = askingIn(step)
    if (asks) asking.push(asks)
  }
  return found
}

interface Answers {
  readonly questions: readonly string[]
  readonly state: unknown
  readonly key: string
}

interface Asking extends Answers {
  readonly request: RecordedRequest
  /** When it asked. */
  readonly order: number
}

function answersIn(step: RecordedRequest): Answers | undefined {
  if (!step.text.get().includes('inputResponses')) return undefined
  const json = jsonOf(step)
  const questions = keysOf(valueAt(json, ['params', 'inputResponses']))
  if (questions.length === 0) return undefined
  return { questions, state: valueAt(json, ['params', 'requestState']), key: keyOf(step, json) }
}

function askingIn(step: RecordedRequest): Asking | undefined {
  const { outcome } = step
  if (outcome.kind !== 'response' || !outcome.text.get().includes('inputRequests')) return undefined
  const answer = answerOf(step)
  const questions = keysOf(valueAt(answer, ['result', 'inputRequests']))
  if (questions.length === 0) return undefined
  const state = valueAt(answer, ['result', 'requestState'])
  return { request: step, order: outcome.order, questions, state, key: keyOf(step, jsonOf(step)) }
}

/** The state tells it; a server that gives none is asked the same once more. */
function isAnsweredBy(asking: Asking, { questions, state, key }: Answers): boolean {
  if (asking.state !== state || !questions.every(name => asking.questions.includes(name))) return false
  return state !== undefined || asking.key === key
}

function keyOf({ method }: RecordedRequest, json: unknown): string {
  const { inputResponses, requestState, _meta, ...rest } = (valueAt(json, ['params']) ?? {}) as Record<string, unknown>
  return canonicalKey(method, rest)
}

function keysOf(value: unknown): string[] {
  return typeof value === 'object' && value !== null ? Object.keys(value) : []
}
