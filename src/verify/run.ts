import type { CatflapError } from '../errors.ts'
import { Message } from '../protocol/message.ts'
import type { Target } from '../proxy/core.ts'
import { parseJson } from '../replay/canonical.ts'
import type { Conversation, RecordedNotification, RecordedRequest, Recording } from '../replay/recording.ts'
import { DEFAULT_RULES } from '../replay/rules.ts'
import type { BindingPlan } from './bindings.ts'
import { Bound } from './bound.ts'
import { Comparer } from './compare.ts'
import { LISTS, Offers } from './drift.ts'
import { hasHeard, type LiveAnswer, type LiveRequest } from './live-request.ts'
import { DEFAULT_TIMEOUT, type VerifyOptions } from './options.ts'
import { allPages, furtherPages } from './pages.ts'
import { type Act, answerOf, batchAt, jsonOf, lastOrderOf, type Plan, placeFacts, type Spoken } from './plan.ts'
import { Played } from './played.ts'
import { sentHeaders, supplied } from './redactions.ts'
import type { RequestReport, RequestStatus } from './report.ts'
import { ReadOnlyTools } from './writes.ts'

/** How long what follows an announcement (of a changed list, say) waits for it, in ms. */
const ANNOUNCEMENT = 2_000
/** How long an answer may take to overtake its cancellation, in ms. */
const OVERTAKE = 1_000

const NOT_BEGUN = { status: 'skipped', reason: 'initialize, with which its session begins, was not answered' } as const

const NOT_SENT_STATUS: ReadonlySet<RequestStatus | undefined> = new Set(['skipped', 'refused'])
const NOT_SENT = { reason: 'the check was ended before it was sent' } as const
const INTERRUPTED = { reason: 'the check was ended before the answer came' } as const

/** Sends what the client said, in its order, and compares what comes. */
export class Run {
  readonly bound: Bound
  readonly offers = new Offers()
  readonly played = new Map<Conversation, Played>()
  readonly requests = new Map<RecordedRequest, RequestReport>()
  /** Answers as they came, where somebody wants them. */
  readonly onAnswer: ((request: RecordedRequest, live: LiveRequest) => void) | undefined
  readonly #plan: Plan
  readonly #target: Target
  readonly #options: VerifyOptions
  readonly #comparer: Comparer
  readonly #skipped: ReadonlyMap<Spoken, string>
  readonly #liveTools = new ReadOnlyTools()
  /** What they are is known, or was not told. */
  #hasAskedTools = false
  /** Begun, and when each was over on the tape. */
  readonly #pending = new Map<Promise<void>, number>()
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
    this.#timeout = options.timeout ?? DEFAULT_TIMEOUT
    this.onAnswer = parts.onAnswer
    this.bound = new Bound(parts.bindings)
    this.#comparer = new Comparer(parts.recording, options.rules ?? DEFAULT_RULES, this.bound)
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
      await Promise.all(this.#pending.keys())
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
    await Promise.all([...this.#pending].filter(([, over]) => over < order).map(([done]) => done))
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
    if (step.kind === 'answer') return step.to && (await played.answerDue(step.to, this.#timeout))
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
      const isSent = (step: RecordedRequest): boolean =>
        !this.#skipped.has(step) && !step.cancelled && !NOT_SENT_STATUS.has(this.requests.get(step)?.status)
      played = new Played(conversation, this.#target, this.#comparer, step => this.#messageOf(step), isSent)
      this.played.set(conversation, played)
      this.#open.set(conversation, lastOrderOf(conversation))
    }
    return played
  }

  async #request(played: Played, steps: readonly RecordedRequest[]): Promise<void> {
    const call = steps.find(step => step.method === 'tools/call' && !this.#skipped.has(step))
    if (call && !played.isRefused && !this.#options.allowWrites) await this.#askTools(played, call)
    if (this.#options.signal?.aborted) return
    const sent: RecordedRequest[] = []
    for (const step of steps) {
      const why = played.isRefused ? NOT_BEGUN : this.#whyNot(step)
      if (why) this.#tell(step, why.status, { reason: why.reason })
      else sent.push(step)
    }
    if (sent.length === 0) return
    const long = sent.some(step => step.outcome.kind === 'open')
    this.hasSent = true
    const options = { timeout: long ? 0 : this.#timeout, headers: sentHeaders(sent[0]!) }
    const live = played.session.request(
      sent.map(step => this.#messageOf(step)!),
      options
    )
    for (const [i, step] of sent.entries()) this.#await(played, step, live[i]!)
  }

  /** What the tools do is known before the first of them is called, whenever the client asked. */
  async #askTools(played: Played, call: RecordedRequest): Promise<void> {
    if (this.#hasAskedTools) return
    this.#hasAskedTools = true
    this.hasSent = true
    const options = { timeout: this.#timeout, headers: sentHeaders(call) }
    for (const page of await allPages(played.session, 'tools/list', call, options)) this.#liveTools.learn(page)
  }

  #await(played: Played, step: RecordedRequest, live: LiveRequest): void {
    this.#live.set(step, { live, played })
    played.session.voices.isOf(live, step)
    const { outcome, cancelled } = step
    // Closed with its session: nobody waits for what was open to the end.
    const end = outcome.kind === 'open' ? Number.POSITIVE_INFINITY : outcome.order
    const over = cancelled ? Math.max(cancelled.order, outcome.kind === 'open' ? 0 : end) : end
    const done = live.ended.then(async () => {
      this.#live.delete(step)
      await this.#ended(played, step, live)
      this.#pending.delete(done)
    })
    this.#pending.set(done, over)
  }

  async #ended(played: Played, step: RecordedRequest, live: LiveRequest): Promise<void> {
    const { outcome } = live
    if (this.#options.signal?.aborted && outcome?.kind !== 'response') return this.#tell(step, 'skipped', INTERRUPTED)
    if (outcome?.kind === 'failed') this.failure ??= outcome.error
    if (step.method === 'initialize' && outcome?.kind !== 'response') played.isRefused = true
    if (outcome?.kind === 'response') {
      const json = parseJson(outcome.message.bytes.toString('utf8'))
      this.bound.learn(step, json)
      await this.#listed(played, step, json)
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
    const differences = isListed ? [] : all
    const status = differences.length > 0 ? 'different' : 'same'
    const ms = live.ms === undefined ? {} : { ms: rounded(live.ms) }
    const recordedMs = step.outcome.kind === 'open' ? {} : { recordedMs: rounded(step.outcome.at - step.at) }
    this.#tell(step, status, { differences, ...ms, ...recordedMs })
  }

  async #listed(played: Played, step: RecordedRequest, json: unknown): Promise<void> {
    if (!LISTS.has(step.method)) return
    this.offers.add(step.method, 'then', answerOf(step))
    const more = { timeout: this.#timeout, headers: sentHeaders(step) }
    for (const page of [json, ...(await furtherPages(played.session, step, json, more))]) {
      this.offers.add(step.method, 'now', page)
      if (step.method === 'tools/list') this.#liveTools.learn(page)
    }
    if (step.method === 'tools/list') this.#hasAskedTools = true
  }

  async #notify(played: Played, step: RecordedNotification): Promise<void> {
    const { cancels } = step
    const live = cancels && this.#live.get(cancels)?.live
    // What is to be cancelled was not sent, or is over.
    if (cancels && !live) return
    if (cancels && live) await this.#progressed(played, cancels, live, step.order)
    const message = this.#messageOf(step)
    if (message) await played.session.say(message, sentHeaders(step))
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

  /** Why a request is not sent. */
  #whyNot(step: RecordedRequest): { readonly status: RequestStatus; readonly reason: string } | undefined {
    const skipped = this.#skipped.get(step)
    if (skipped !== undefined) return { status: 'skipped', reason: skipped }
    const missing = this.bound.missing(step)
    if (missing) {
      const reason = `the server's answer to ${missing.request.method} has no ${missing.path.at(-1)} any more`
      return { status: 'skipped', reason }
    }
    if (step.method !== 'tools/call' || this.#options.allowWrites) return undefined
    // Of the very message that is sent.
    const name = this.#messageOf(step)?.name
    const says = this.#liveTools.says(name)
    if (says === true || (says === undefined && name === step.subject)) return undefined
    const reason = 'the server does not mark the tool read-only any more; --allow-writes calls it all the same'
    return { status: 'refused', reason }
  }

  #tell(step: RecordedRequest, status: RequestStatus, more: Partial<RequestReport>): void {
    const { method, subject: name, place } = step
    const about = { method, ...(name !== undefined && { name }), place: placeFacts(place) }
    this.requests.set(step, { ...about, status, differences: [], ...more })
  }

  /** As recorded, with what the server made up anew, and with what redaction took out. */
  #messageOf(step: Spoken): Message | undefined {
    const text = step.text.get()
    const isRedacted = this.#options.set !== undefined && text.includes('[redacted]')
    if (!isRedacted && !this.bound.changes(step)) return Message.parse(Buffer.from(text))
    const json = supplied(jsonOf(step), this.#options.set)
    this.bound.apply(step, json)
    return Message.parse(Buffer.from(JSON.stringify(json)))
  }
}

/** To the microsecond. */
function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000
}
