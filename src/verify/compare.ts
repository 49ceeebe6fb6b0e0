import type { CatflapError } from '../errors.ts'
import { excerpt, printable } from '../printable.ts'
import { AnswerRules, type Subject } from '../replay/answer-rules.ts'
import { pairsInOrder } from '../replay/in-order-pairs.ts'
import { type Difference, differenceText } from '../replay/json-diff.ts'
import type { RecordedRequest, Recording, Said, TapePlace } from '../replay/recording.ts'
import type { Rules } from '../replay/rules.ts'
import type { Moments } from '../replay/volatile.ts'
import { ANNOUNCEMENTS } from './announcements.ts'
import type { Bound } from './bound.ts'
import { LISTS } from './drift.ts'
import { valueAt } from './leaves.ts'
import type { LiveAnswer, LiveOutcome, LiveSaid } from './live-request.ts'
import { isPage } from './pages.ts'
import { answerOf, nameOf } from './plan.ts'
import { isRedactedFrom } from './redactions.ts'
import type { FoundDifference } from './report.ts'
import { voicePairs } from './voice-pairs.ts'
import { bodyOf, jsonOf, type Voice } from './voices.ts'

const MAX_DIFFERENCES = 100

/** Compares what the server says now with what it said when it was recorded. */
export class Comparer {
  readonly #rules: AnswerRules
  readonly #bound: Bound
  readonly #started = new Map<string, number>()

  constructor(recording: Recording, rules: Rules, bound: Bound) {
    this.#rules = new AnswerRules(rules)
    this.#bound = bound
    for (const { file, started } of recording.tapes) this.#started.set(file, Date.parse(started))
  }

  /** Of a request with all that came of it. */
  request(recorded: RecordedRequest, live: LiveAnswer): FoundDifference[] {
    const outcome = this.#outcome(recorded, live.outcome!)
    const said = this.#said(recorded, live).slice(0, MAX_DIFFERENCES - outcome.length)
    return [...said, ...outcome].map(withText)
  }

  /** Of a question of the server's. */
  question(recorded: Said, live: unknown): Difference[] {
    return this.#messages(recorded.method, jsonOf(recorded.text.get()), live, this.#momentsOf(recorded))
  }

  /** Of what an answer asks the client (`inputRequests`); `live` is the whole message. */
  inputRequests(recorded: RecordedRequest, live: unknown): Difference[] {
    const { method, subject: name, outcome } = recorded
    const asks = (message: unknown): unknown => ({
      result: { inputRequests: valueAt(message, ['result', 'inputRequests']) }
    })
    const moments = outcome.kind === 'response' ? this.#moments(recorded.place, outcome.at, Date.now()) : undefined
    return this.#differences(asks(answerOf(recorded)), asks(live), { method, name, moments, request: recorded })
  }

  #outcome(recorded: RecordedRequest, live: LiveOutcome): Difference[] {
    const { outcome: before, method, subject: name } = recorded
    // Whether an answer overtakes its cancellation is left to chance.
    if (recorded.cancelled && (before.kind !== 'response' || live.kind !== 'response')) return []
    if (live.kind === 'cancelled') return []
    if (before.kind === 'open') return staysOpen(recorded, live) ? [] : [change('outcome', 'open', liveText(live))]
    if (before.kind === 'response' && live.kind === 'response') {
      const now = jsonOf(live.message.bytes.toString('utf8'))
      if (before.truncated) {
        const was = before.isError ? 'error' : 'result'
        return was === kindOfAnswer(now) ? [] : [change('', was, kindOfAnswer(now))]
      }
      const moments = this.#moments(recorded.place, before.at, live.at)
      const about = { method, name, moments, request: recorded }
      const was = jsonOf(before.text.get())
      // Where pages end is the server's to say: what they list is compared as a whole.
      if (isPage(recorded, now)) return this.#answers(withoutItems(was, method), withoutItems(now, method), about)
      return this.#answers(was, now, about)
    }
    const [was, is] = [recordedText(before), liveText(live)]
    return was === is ? [] : [change('outcome', was, is)]
  }

  #answers(before: unknown, after: unknown, about: About): Difference[] {
    return this.#differences(bodyOf(before), bodyOf(after), about)
  }

  #differences(
    before: unknown,
    after: unknown,
    { method, name, moments, request, broughtBy }: About,
    limit = MAX_DIFFERENCES
  ): Difference[] {
    return this.#rules.differences(before, after, {
      method,
      name,
      moments,
      limit,
      ...(broughtBy && { broughtBy }),
      ignore: (_, old, now) => isRedactedFrom(old, now) || this.#bound.isSame(old, now, request)
    })
  }

  /** Progress and logs, in their order. */
  #said(asked: RecordedRequest, live: LiveAnswer): Difference[] {
    const [before, after] = belonging(asked, live)
    const found: Difference[] = []
    for (const [old, now] of pairsInOrder(
      before,
      after,
      s => s.method,
      s => s.message.method ?? ''
    )) {
      const path = `notifications[${old ? before.indexOf(old) : after.indexOf(now!)}]`
      const then = old && this.#voiceThen(old, asked)
      found.push(...this.#voices(then, now && voiceNow(now, asked), path))
    }
    return found
  }

  /** Of what was said to a session at large, wherever it stands. */
  atLarge(before: readonly Voice[], after: readonly Voice[]): FoundDifference[] {
    const found: FoundDifference[] = []
    for (const [old, now] of voicePairs(before, after, (a, b) => this.#changes(a, b, 1).length === 0)) {
      if ((old ?? now)!.isChance && !(old && now)) continue
      const { method, asked } = (old ?? now)!
      const place = asked ? ` (while ${nameOf(asked)} was under way)` : ''
      for (const d of this.#voices(old, now, method)) found.push({ ...d, text: `${differenceText(d)}${place}` })
      if (found.length >= MAX_DIFFERENCES) break
    }
    return found
  }

  /** When it was said, in ms since 1970. */
  momentOf({ place, at }: Said): number | undefined {
    const started = this.#started.get(place.file)
    return started === undefined || Number.isNaN(started) ? undefined : started + at
  }

  #voiceThen(said: Said, asked: RecordedRequest): Voice {
    const { method, truncated } = said
    const body = bodyOf(jsonOf(said.text.get()))
    return { method, body, asked, moment: this.momentOf(said), truncated, isChance: false }
  }

  #voices(old: Voice | undefined, now: Voice | undefined, path: string): Difference[] {
    if (old && now) return this.#changes(old, now, MAX_DIFFERENCES).map(d => ({ ...d, path: `${path}.${d.path}` }))
    const { method, asked, body } = (old ?? now)!
    // A rule may say that what a request brings besides its answer does not count.
    if (this.#rules.leavesOut({ method }, subjectsOf([asked]))) return []
    return [old ? { path, kind: 'removed', old: body } : { path, kind: 'added', new: body }]
  }

  #changes(old: Voice, now: Voice, limit: number): Difference[] {
    const { method } = old
    if (old.truncated) return []
    const isLeftOut = ({ asked }: Voice): boolean => this.#rules.leavesOut({ method }, subjectsOf([asked]))
    if (isLeftOut(old) || isLeftOut(now)) return []
    const moments =
      old.moment === undefined || now.moment === undefined ? undefined : { before: old.moment, after: now.moment }
    const broughtBy = subjectsOf([old.asked, now.asked])
    return this.#differences(old.body, now.body, { method, name: undefined, moments, broughtBy }, limit)
  }

  #messages(method: string, before: unknown, after: unknown, moments: Moments | undefined): Difference[] {
    return this.#differences(bodyOf(before), bodyOf(after), { method, name: undefined, moments })
  }

  #momentsOf(said: Said): Moments | undefined {
    return this.#moments(said.place, said.at, Date.now())
  }

  #moments({ file }: TapePlace, at: number, after: number): Moments | undefined {
    const started = this.#started.get(file)
    return started === undefined || Number.isNaN(started) ? undefined : { before: started + at, after }
  }
}

interface About {
  readonly method: string
  readonly name: string | undefined
  readonly moments: Moments | undefined
  /** Whose answer it is. */
  readonly request?: RecordedRequest
  readonly broughtBy?: readonly Subject[]
}

function voiceNow({ message }: LiveSaid, asked: RecordedRequest): Voice {
  const body = bodyOf(jsonOf(message.bytes.toString('utf8')))
  return { method: message.method ?? '', body, asked, moment: Date.now(), truncated: false, isChance: false }
}

/** Each once. */
export function subjectsOf(requests: readonly (RecordedRequest | undefined)[]): Subject[] {
  return [...new Set(requests)].filter(r => r !== undefined).map(({ method, subject: name }) => ({ method, name }))
}

export function withText(d: Difference): FoundDifference {
  return { ...d, text: d.path === 'outcome' ? outcomeText(d) : differenceText(d) }
}

const MAX_REASON = 1_000
const WANTS_CREDENTIALS = /^HTTP 40[13]$/

/** Why there is no answer is told as a whole: its end may be what helps. */
function outcomeText({ old, new: now }: Difference): string {
  const hint = WANTS_CREDENTIALS.test(String(now)) ? '; --token or --header supplies credentials' : ''
  const [before, after] = [old, now].map(value => JSON.stringify(excerpt(String(value), MAX_REASON)))
  return printable(`outcome: ${before} → ${after}${hint}`)
}

function change(path: string, old: unknown, now: unknown): Difference {
  return { path, kind: 'changed', old, new: now }
}

function withoutItems(json: unknown, method: string): unknown {
  const result = valueAt(json, ['result'])
  const left = [LISTS.get(method)?.items, 'nextCursor']
  if (typeof result !== 'object' || result === null) return json
  return { result: Object.fromEntries(Object.entries(result).filter(([key]) => !left.includes(key))) }
}

function kindOfAnswer(json: unknown): string {
  return typeof json === 'object' && json !== null && Object.hasOwn(json, 'error') ? 'error' : 'result'
}

/**
 * What belongs to the request on both sides, but for questions, which the client is asked as a session. On a pipe nothing but
 * progress and subscriptions says whose it is: the rest is of the session at large. Logs are not compared where one side is a
 * pipe and the other is not.
 */
export function belonging(recorded: RecordedRequest, live: LiveAnswer): [Said[], LiveSaid[]] {
  const isSubscription = recorded.method === 'subscriptions/listen'
  const isPipe = recorded.headers === undefined || live.onPipe
  const logs = recorded.said.filter(s => s.method === LOG && !s.own)
  // A client of HTTP+SSE, too, hears all on one stream.
  const isUnclear = logs.length > 0 && !logs.some(s => s.owned)
  const counts = (method: string | undefined, owned: boolean): boolean => {
    if (!owned) return false
    // What has changed is told to the session, though it may come on whatever stream is open.
    return method === LOG ? !isPipe && !isUnclear : isSubscription || !ANNOUNCEMENTS.test(method ?? '')
  }
  const before = recorded.said.filter(s => !s.own && s.id === undefined && counts(s.method, s.owned))
  const after = live.said.filter(({ message: m, owned }) => m.kind !== 'request' && counts(m.method, owned))
  // What came beyond what is kept is not missing.
  return [live.unkept > 0 ? before.slice(0, after.length) : before, after]
}

const LOG = 'notifications/message'

function recordedText(outcome: RecordedRequest['outcome']): string {
  if (outcome.kind === 'response') return outcome.isError ? 'an error' : 'a result'
  if (outcome.kind === 'status') return `HTTP ${outcome.status}`
  return outcome.kind === 'cut' ? 'no answer' : 'open'
}

function liveText(outcome: LiveOutcome): string {
  if (outcome.kind === 'response') return outcome.message.isError ? 'an error' : 'a result'
  if (outcome.kind === 'late') return 'no answer in time'
  return outcome.kind === 'failed' ? failureText(outcome.error) : 'cancelled'
}

/** A tape may end before an answer comes, whatever it would have been; a subscription has none while it lasts. */
function staysOpen({ method }: RecordedRequest, live: LiveOutcome): boolean {
  return live.kind === 'response' && method !== 'subscriptions/listen'
}

/** A server that has lost a session says so with 404. */
function failureText(error: CatflapError): string {
  if (error.code === 'upstream_session_lost') return 'HTTP 404'
  const status = error.data?.status
  if (error.code === 'upstream_status' && typeof status === 'number') return `HTTP ${status}`
  return error.code === 'upstream_reset' ? 'no answer' : `no answer: ${error.message}`
}
