import { AnswerRules, type Compared } from './answer-rules.ts'
import { parseJson } from './canonical.ts'
import { pairsInOrder } from './in-order-pairs.ts'
import { type Difference, differences } from './json-diff.ts'
import { mayBeSameRedacted } from './marks.ts'
import type { Conversation, Outcome, RecordedRequest, Recording, Said, TapePlace, TapeText } from './recording.ts'
import { RequestViews } from './request-view.ts'
import type { Rules } from './rules.ts'
import { type Sent, sentPairs } from './sent-pairs.ts'
import type { Moments } from './volatile.ts'

/** What the client sent, or a request of the server's that came outside of any request. */
export type Diffed = Sent | Said

/** One of these that is not the same on both tapes. */
export type TapeDifference =
  | { readonly kind: 'only-a' | 'only-b'; readonly request: Diffed }
  | {
      readonly kind: 'answer'
      readonly a: Diffed
      readonly b: Diffed
      readonly differences: readonly Difference[]
    }

/** Differences of one answer that are told. */
const LIMIT = 20

/**
 * Aligns two recordings by what was sent, equal messages in order of occurrence, and compares what came of each. In the order of
 * the first; what is on the second alone comes last, but for what the server asked of its own accord. A redaction mark on either
 * side stands for whatever the other has.
 */
export function* diffRecordings(a: Recording, b: Recording, rules: Rules): Generator<TapeDifference, void, void> {
  const comparing = new Comparing(rules, a, b)
  const sentOn = (recording: Recording) => () => sentBy(recording)
  yield* comparing.pairs(sentPairs(sentOn(a), sentOn(b), new RequestViews(rules)), comparing.sent)
  const methodOf = (said: Said): string => said.method
  const questions = pairsInOrder([...questionsOf(a)], [...questionsOf(b)], methodOf, methodOf)
  yield* comparing.pairs(questions, comparing.said)
}

/** Requests and notifications of the client's; what it cancelled is told with the request. */
function* sentBy(recording: Recording): Generator<Sent, void, void> {
  for (const { steps } of conversationsOf(recording))
    for (const step of steps)
      if (step.kind === 'request' || (step.kind === 'notification' && step.method !== CANCELLED)) yield step
}

const CANCELLED = 'notifications/cancelled'

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

  /** What is on one side alone, or differs. */
  *pairs<T extends Diffed>(
    pairs: Iterable<readonly [T | undefined, T | undefined]>,
    differences: (a: T, b: T) => readonly Difference[]
  ): Generator<TapeDifference, void, void> {
    for (const [a, b] of pairs) {
      if (!a || !b) {
        yield { kind: a ? 'only-a' : 'only-b', request: (a ?? b)! }
        continue
      }
      const found = differences(a, b)
      if (found.length > 0) yield { kind: 'answer', a, b, differences: found.slice(0, LIMIT) }
    }
  }

  /** Equal ones: of a request, what came of it. */
  readonly sent = (a: Sent, b: Sent): Difference[] => {
    if (a.kind !== 'request' || b.kind !== 'request') return []
    return [...this.#notifications(a, b), ...this.#outcomes(a, b), ...this.#cancellations(a, b)]
  }

  /** What the server said on its own, and what the client answered. */
  readonly said = (a: Said, b: Said): Difference[] => {
    const { method } = a
    const asked = this.#differences(saidOf(a), saidOf(b), {
      method,
      moments: this.#moments(a.place, a.at, b.place, b.at)
    })
    const [old, now] = [a.answer, b.answer]
    if (!old || !now) return [...asked, ...differences(presence('answer', old), presence('answer', now))]
    const moments = this.#moments(old.place, old.at, now.place, now.at)
    const answered = this.#differences(withoutFraming(old), withoutFraming(now), { method, moments })
    return [...asked, ...below('answer', answered)]
  }

  #cancellations(a: RecordedRequest, b: RecordedRequest): Difference[] {
    return differences(presence('cancelled', a.cancelled), presence('cancelled', b.cancelled))
  }

  #outcomes(a: RecordedRequest, b: RecordedRequest): Difference[] {
    const [before, after] = [a.outcome, b.outcome]
    if (before.kind !== 'response' || after.kind !== 'response')
      return differences(wordsFor(before), wordsFor(after), { limit: LIMIT, ignore: isRedacted })
    const moments = this.#moments(before.place, before.at, after.place, after.at)
    return this.#differences(withoutFraming(before), withoutFraming(after), { ...aboutOf(a), moments })
  }

  #notifications(a: RecordedRequest, b: RecordedRequest): Difference[] {
    const [before, after] = [ownedBy(a), ownedBy(b)]
    const methodOf = (said: Said): string => said.method
    return pairsInOrder(before, after, methodOf, methodOf).flatMap(([old, now]): Difference[] => {
      const path = `notifications[${old ? before.indexOf(old) : after.indexOf(now!)}]`
      if (old && now) return below(path, this.said(old, now))
      const pair = old ? [[saidOf(old)], []] : [[], [saidOf(now!)]]
      // A rule may say that what a request brings besides its answer does not count.
      const counts = pair.map(notifications => ({ notifications }))
      if (this.#differences(counts[0], counts[1], aboutOf(a)).length === 0) return []
      return [old ? { path, kind: 'removed', old: saidOf(old) } : { path, kind: 'added', new: saidOf(now!) }]
    })
  }

  #differences(before: unknown, after: unknown, about: Compared): Difference[] {
    return this.#rules.differences(before, after, { ...about, limit: LIMIT, ignore: isRedacted })
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

const isRedacted: NonNullable<Compared['ignore']> = (_, old, now) => mayBeSameRedacted(old, now)

function aboutOf({ method, subject: name }: RecordedRequest): Compared {
  return { method, ...(name !== undefined && { name }) }
}

function below(path: string, found: readonly Difference[]): Difference[] {
  return found.map(d => ({ ...d, path: d.path === '' ? path : `${path}.${d.path}` }))
}

function presence(name: string, value: object | undefined): object {
  return value ? { [name]: true } : {}
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
function withoutFraming({
  text,
  truncated = false
}: {
  readonly text: TapeText
  readonly truncated?: boolean
}): object {
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
