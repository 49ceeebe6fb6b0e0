import type { CatflapError } from '../errors.ts'
import type { Target } from '../proxy/core.ts'
import type { Conversation, RecordedNotification, RecordedRequest, Recording } from '../replay/recording.ts'
import { DEFAULT_RULES } from '../replay/rules.ts'
import type { BindingPlan } from './bindings.ts'
import { Bound } from './bound.ts'
import { Comparer, withText } from './compare.ts'
import { Consents } from './consents.ts'
import { cursorOf, nextOf } from './listings.ts'
import { hasHeard, type LiveAnswer, type LiveRequest } from './live-request.ts'
import { Offers } from './offers.ts'
import { DEFAULT_TIMEOUT, type VerifyOptions } from './options.ts'
import { Outgoing } from './outgoing.ts'
import { furtherPages } from './pages.ts'
import { Pending } from './pending.ts'
import { type Act, answerOf, batchAt, isUnanswered, lastOrderOf, type Plan, placeFacts, type Spoken } from './plan.ts'
import { Played } from './played.ts'
import { sentHeaders } from './redactions.ts'
import type { RequestReport, RequestStatus } from './report.ts'
import { jsonOf as jsonOfText } from './voices.ts'

/** How long what follows an announcement (of a changed list, say) waits for it, in ms. */
const ANNOUNCEMENT = 2_000
/** How long an answer may take to overtake its cancellation, in ms. */
const OVERTAKE = 1_000

const NOT_BEGUN = { status: 'skipped', reason: 'initialize, with which its session begins, was not answered' } as const
const NOT_SENT_STATUS: ReadonlySet<RequestStatus | undefined> = new Set(['skipped', 'refused'])
const NOT_SENT = { reason: 'the check was ended before it was sent' } as const
const NOTHING_TO_COMPARE = { reason: 'the tape ends before its answer: there is nothing to compare with' } as const
const INTERRUPTED = { reason: 'the check was ended before the answer came' } as const

/** Sends what the client said, in its order, and compares what comes. */
export class Run {
  readonly bound: Bound
  readonly offers: Offers
  readonly played = new Map<Conversation, Played>()
  readonly requests = new Map<RecordedRequest, RequestReport>()
  /** Answers as they came, where somebody wants them. */
  readonly onAnswer: ((request: RecordedRequest, live: LiveRequest) => void) | undefined
  readonly #plan: Plan
  readonly #target: Target
  readonly #options: VerifyOptions
  /** What lists held beyond where they had ended. */
  readonly further = new Map<RecordedRequest, readonly unknown[]>()
  readonly #comparer: Comparer
  readonly #skipped: ReadonlyMap<Spoken, string>
  readonly #consents: Consents
  readonly #outgoing: Outgoing
  /** Requests that were begun. */
  readonly #pending = new Pending()
  readonly #live = new Map<RecordedRequest, { readonly live: LiveRequest; readonly played: Played }>()
  readonly #timeout: number
  /** Conversations that are not over, and when they were over on the tape. */
  readonly #open = new Map<Conversation, number>()
  /** Anything that wants an answer. */
  hasSent = false
  /** The first one. */
  failure: CatflapError | undefined

  constructor(
    parts: {
      readonly recording: Recording
      readonly plan: Plan
      readonly target: Target
      readonly skipped: ReadonlyMap<Spoken, string>
      readonly bindings: BindingPlan
      readonly onAnswer?: (request: RecordedRequest, live: LiveRequest) => void
    },
    options: VerifyOptions
  ) {
    this.#plan = parts.plan
    this.#target = parts.target
    this.#options = options
    this.#skipped = parts.skipped
    this.offers = new Offers(parts.plan, parts.skipped)
    this.#timeout = options.timeout ?? DEFAULT_TIMEOUT
    this.onAnswer = parts.onAnswer
    this.bound = new Bound(parts.bindings)
    this.#comparer = new Comparer(parts.recording, options.rules ?? DEFAULT_RULES, this.bound)
    this.#consents = new Consents(parts.plan, (asking, live) => this.#comparer.inputRequests(asking, live))
    const { skipped } = parts
    this.#outgoing = new Outgoing({ bound: this.bound, consents: this.#consents, skipped }, options)
  }

  async run(): Promise<void> {
    const { signal } = this.#options
    const stop = (): void => void this.#close()
    signal?.addEventListener('abort', stop)
    try {
      await this.#all()
    } finally {
      signal?.removeEventListener('abort', stop)
      await this.#close()
      await this.#pending.all()
    }
    if (!signal?.aborted) return
    for (const { step } of this.#plan.acts)
      if (step.kind === 'request' && !this.requests.has(step)) this.#tell(step, 'skipped', NOT_SENT)
  }

  async #all(): Promise<void> {
    const { acts } = this.#plan
    const { signal, onProgress } = this.#options
    for (let i = 0; i < acts.length; ) {
      const act = acts[i]!
      await this.#earlier(act.order)
      if (signal?.aborted) break
      const batch = batchAt(acts, i)
      await this.#act(act, batch)
      i += batch.length
      onProgress?.(i, acts.length)
    }
    await this.#earlier(Number.MAX_SAFE_INTEGER)
  }

  async #close(): Promise<void> {
    await Promise.all([...this.played.values()].map(p => p.close()))
  }

  /** Waits until all is answered that had been answered by then, and ends the sessions that had ended. */
  async #earlier(order: number): Promise<void> {
    await this.#pending.earlier(order)
    const ended = [...this.#open].filter(([, last]) => last < order).map(([conversation]) => conversation)
    for (const conversation of ended) this.#open.delete(conversation)
    await Promise.all(ended.map(conversation => this.#end(this.played.get(conversation)!)))
  }

  /** What stays open by design ends with its session; what had come on it by then may still be under way. */
  async #end(played: Played): Promise<void> {
    const open = [...this.#live].filter(([, one]) => one.played === played)
    const all = (): boolean => open.every(([step, { live }]) => hasHeard(step, live, Number.POSITIVE_INFINITY))
    await played.session.happenings.until(() => all() || played.session.lost !== undefined, ANNOUNCEMENT)
    if (!this.#options.driftOnly && !this.#options.signal?.aborted) await played.voicesCame(ANNOUNCEMENT)
    await played.close()
  }

  async #act({ conversation, step, order }: Act, batch: readonly Act[]): Promise<void> {
    if (step.kind === 'listen' || step.kind === 'end') return
    if (step.kind === 'leave') return this.#leave(step.request, order)
    const steps = batch.map(a => a.step as Spoken)
    // A session begins with what is really sent: one of which all is left out costs the server nothing.
    if (!this.played.has(conversation) && (step.kind === 'answer' || steps.every(s => this.#skipped.has(s))))
      return this.#skip(steps)
    const played = this.#played(conversation)
    await played.announced(order, ANNOUNCEMENT)
    if (step.kind === 'request') return this.#request(played, steps as RecordedRequest[])
    if (step.kind === 'answer')
      return step.to && !played.isRefused ? played.answerDue(step.to, this.#timeout) : undefined
    if (this.#skipped.has(step)) return
    await this.#notify(played, step)
  }

  #skip(steps: readonly Spoken[]): void {
    for (const step of steps)
      if (step.kind === 'request') this.#tell(step, 'skipped', { reason: this.#skipped.get(step)! })
  }

  #played(conversation: Conversation): Played {
    let played = this.played.get(conversation)
    if (!played) {
      const isLeftOut = (step: RecordedRequest): boolean => this.#skipped.has(step) || step.cancelled !== undefined
      const statusOf = (step: RecordedRequest): RequestStatus | undefined => this.requests.get(step)?.status
      const isCompared = (step: RecordedRequest): boolean => !isLeftOut(step) && !NOT_SENT_STATUS.has(statusOf(step))
      const hasNoEnd = (step: RecordedRequest): boolean => this.requests.get(step)?.reason === NOTHING_TO_COMPARE.reason
      const isSent = (step: RecordedRequest): boolean => isCompared(step) || (!isLeftOut(step) && hasNoEnd(step))
      const facts = { isSent, isCompared }
      played = new Played(conversation, this.#target, this.#comparer, step => this.#outgoing.sending(step), facts)
      this.played.set(conversation, played)
      this.#open.set(conversation, lastOrderOf(conversation))
    }
    return played
  }

  async #request(played: Played, steps: readonly RecordedRequest[]): Promise<void> {
    const call = steps.find(step => step.method === 'tools/call' && !this.#skipped.has(step))
    if (call && !played.isRefused && !this.#options.allowWrites) {
      this.hasSent = true
      await this.#outgoing.askTools(played.session, call)
    }
    if (this.#options.signal?.aborted) return
    const sent: RecordedRequest[] = []
    for (const step of steps) {
      const why = played.isRefused ? NOT_BEGUN : this.#outgoing.whyNot(played.session, step)
      if (why) this.#tell(step, why.status, why)
      else sent.push(step)
    }
    if (sent.length === 0) return
    const long = sent.some(step => step.outcome.kind === 'open')
    this.hasSent = true
    const options = { timeout: long ? 0 : this.#timeout, headers: sentHeaders(sent[0]!) }
    const live = played.session.request(
      sent.map(step => this.#outgoing.sending(step)),
      options
    )
    for (const [i, step] of sent.entries()) this.#await(played, step, live[i]!)
  }

  #await(played: Played, step: RecordedRequest, live: LiveRequest): void {
    this.#live.set(step, { live, played })
    played.session.voices.isOf(live, step)
    const { outcome, cancelled } = step
    // Closed with its session: nobody waits for what was open to the end.
    const end = outcome.kind === 'open' ? Number.POSITIVE_INFINITY : outcome.order
    const over = cancelled ? Math.max(cancelled.order, outcome.kind === 'open' ? 0 : end) : end
    const done = live.ended.then(() => {
      this.#live.delete(step)
      return this.#ended(played, step, live)
    })
    this.#pending.add(done, over)
  }

  async #ended(played: Played, step: RecordedRequest, live: LiveRequest): Promise<void> {
    const { outcome } = live
    if (this.#options.signal?.aborted && outcome?.kind !== 'response') return this.#tell(step, 'skipped', INTERRUPTED)
    if (outcome?.kind === 'failed') this.failure ??= outcome.error
    if (step.method === 'initialize' && outcome?.kind !== 'response') played.isRefused = true
    if (outcome?.kind === 'response') {
      const json = jsonOfText(outcome.message.bytes.toString('utf8'))
      this.bound.learn(step, json)
      this.#consents.answered(step, json)
      await this.#listed(played, step, live, json)
    }
    this.onAnswer?.(step, live)
    this.#compare(step, live, this.#comparer)
  }

  /** Compares once more, with other rules. */
  recompare(answers: Iterable<readonly [RecordedRequest, LiveAnswer]>, comparer: Comparer): void {
    for (const [step, live] of answers) this.#compare(step, live, comparer)
    for (const played of this.played.values()) played.comparer = comparer
  }

  #compare(step: RecordedRequest, live: LiveAnswer, comparer: Comparer): void {
    const all = comparer.request(step, live)
    // Only what the lists hold is compared, and that as a whole.
    const isListed = this.#options.driftOnly && live.outcome?.kind === 'response' && !live.outcome.message.isError
    const differences = [...(isListed ? [] : all), ...this.offers.troubleAt(step).map(withText)]
    const ms = live.ms === undefined ? {} : { ms: rounded(live.ms) }
    const recordedMs = step.outcome.kind === 'open' ? {} : { recordedMs: rounded(step.outcome.at - step.at) }
    const more = { differences, ...ms, ...recordedMs }
    if (differences.length > 0) this.#tell(step, 'different', more)
    else if (isUnanswered(step)) this.#tell(step, 'skipped', { ...more, ...NOTHING_TO_COMPARE })
    else this.#tell(step, 'same', more)
  }

  async #listed(played: Played, step: RecordedRequest, live: LiveRequest, json: unknown): Promise<void> {
    this.offers.answered(step, json)
    const more = { timeout: this.#timeout, headers: sentHeaders(step) }
    const further = await furtherPages(played.session, step, this.offers, json, more)
    const isLast = nextOf(answerOf(step)) === undefined
    if (further.length > 0 && isLast) this.further.set(step, further)
    const isFirst = cursorOf(step) === undefined
    const pages = [json, ...further]
    if (step.method === 'tools/list' && isFirst) this.#outgoing.gate.learn(played.session, pages, live.toolChanges)
  }

  async #notify(played: Played, step: RecordedNotification): Promise<void> {
    const { cancels } = step
    const live = cancels && this.#live.get(cancels)?.live
    // What is to be cancelled was not sent, or is over.
    if (cancels && !live) return
    if (cancels && live) await this.#progressed(played, cancels, live, step.order)
    if (this.bound.missing(step) !== undefined) return
    const message = this.#outgoing.sending(step)
    await played.session.say(message, sentHeaders(step))
    if (cancels && live) live.giveUpAfter(cancels.outcome.kind === 'response' ? OVERTAKE : 0)
  }

  async #leave(step: RecordedRequest, order: number): Promise<void> {
    const one = this.#live.get(step)
    if (!one) return
    await this.#progressed(one.played, step, one.live, order)
    one.live.leave('client-gone')
  }

  /** As much has come for the request as when the client cancelled it. */
  async #progressed(played: Played, step: RecordedRequest, live: LiveRequest, order: number): Promise<void> {
    await played.session.happenings.until(() => hasHeard(step, live, order), this.#timeout)
  }

  #tell(step: RecordedRequest, status: RequestStatus, more: Partial<RequestReport>): void {
    const { method, subject: name, place } = step
    const about = { method, ...(name !== undefined && { name }), place: placeFacts(place) }
    this.requests.set(step, { ...about, status, differences: [], ...more })
  }
}

/** To the microsecond. */
function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000
}
