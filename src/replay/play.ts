import { CatflapError } from '../errors.ts'
import { Message } from '../protocol/message.ts'
import type { CallReceiver, UpstreamCall } from '../transport/upstream.ts'
import { type Capabilities, declaredIn, lacks } from './capabilities.ts'
import { endsByClient } from './ends-by-client.ts'
import type { FaultRule } from './faults.ts'
import { Standing } from './line.ts'
import type { Outcome, RecordedRequest, Said } from './recording.ts'
import type { ReplaySession } from './replay-session.ts'
import { breakOff, tellMessage, tellStatus } from './replies.ts'
import { type Cue, Sequence, type SequenceEvents } from './sequence.ts'
import { messageOf, readText, textOf } from './spoken.ts'

export interface Asked {
  readonly message: Message
  readonly receiver: CallReceiver
  /** The receiver can be told a status. */
  readonly heads: boolean
  readonly modern: boolean
  /** Undefined: what its own message says. */
  readonly declared: Capabilities | undefined
  readonly faults: readonly FaultRule[]
  /** Its recordings were used up: it has no place of its own on the tape any more. */
  readonly again: boolean
  /** What the server said behind the answer. */
  readonly after: readonly Said[]
}

/** A request that is being answered from the tape: what the server said meanwhile, then what came of it. */
export class Play implements UpstreamCall, SequenceEvents<Cue> {
  readonly recorded: RecordedRequest
  readonly message: Message
  readonly receiver: CallReceiver
  readonly idText: string
  readonly modern: boolean
  readonly again: boolean
  readonly after: readonly Said[]
  /** Where it stands among those that are open. */
  readonly place: Standing
  /** The same, by what it brings of the session at large; undefined: nothing. */
  readonly loosePlace: Standing | undefined
  /** By the client itself. */
  cancelled = false
  readonly #session: ReplaySession
  readonly #declared: Capabilities | undefined
  readonly #heads: boolean
  readonly #faults: readonly FaultRule[]
  readonly #sequence: Sequence<Cue>
  readonly #said: readonly Said[]
  readonly #isSubscription: boolean
  /** Where the client cancelled it. */
  readonly #patientUntil: number
  /** Undefined: none that the server told. */
  readonly #outcome: Exclude<Outcome, { readonly kind: 'open' }> | undefined
  /** Up to here, nothing of the session at large is left to be told. */
  #loose = 0
  #told = 0
  /** When the client was last told of progress. */
  #progressed: number | undefined
  #live = true

  constructor(session: ReplaySession, recorded: RecordedRequest, asked: Asked) {
    this.#session = session
    this.recorded = recorded
    this.message = asked.message
    this.receiver = asked.receiver
    this.idText = asked.message.idText!
    this.modern = asked.modern
    this.#declared = asked.declared
    this.#heads = asked.heads
    this.#faults = asked.faults
    this.again = asked.again
    this.after = asked.after
    const { outcome } = recorded
    this.#said = this.again ? recorded.said.filter(isSaidAgain) : recorded.said
    this.#outcome = endsByClient(recorded) || outcome.kind === 'open' ? undefined : outcome
    const cues: readonly Cue[] = this.#outcome ? [...this.#said, this.#outcome] : this.#said
    const until = this.#tailOrder(asked.after.at(-1)) ?? cues.at(-1)?.order ?? recorded.order
    this.#isSubscription = asked.modern && recorded.method === 'subscriptions/listen'
    this.#patientUntil = recorded.cancelled?.order ?? Number.POSITIVE_INFINITY
    this.place = new Standing(until)
    this.loosePlace = this.#isLoose ? new Standing(until) : undefined
    const from = session.speed === Number.POSITIVE_INFINITY ? 0 : recorded.at
    this.#sequence = new Sequence<Cue>(session, cues, from, this)
  }

  start(): void {
    if (!this.#live) return
    for (const fault of this.#faults) {
      this.#session.replay.fault(fault.kind, this.recorded)
      if (fault.kind === 'delay') this.#sequence.delay(fault.ms!)
      if (fault.kind === 'drop') return this.#break()
      if (fault.kind === 'error') return this.fail(new CatflapError('fault_injected'))
    }
    this.#sequence.advance()
  }

  tell(cue: Cue): void {
    if (cue === this.#outcome) this.#conclude(this.#outcome)
    else this.#say(cue as Said)
  }

  ahead(cue: Cue): Standing | undefined {
    return this.#session.aheadOf(this, cue, cue !== this.#outcome && !(cue as Said).owned)
  }

  moved(): void {
    this.#session.moved(this)
  }

  /** What waits for more than others in the replay. */
  waitsFor(order: number): number {
    if (order > this.#patientUntil && !this.cancelled) return Number.POSITIVE_INFINITY
    return this.#isSubscription ? this.#session.momentBefore(order) : 0
  }

  /** Whether, on the tape, this answer came behind the answer to that question. */
  isBehind(said: Said): boolean {
    const { outcome, order } = this.recorded
    if (!said.answer || order > said.answer.order) return false
    return outcome.kind === 'open' || outcome.order > said.answer.order
  }

  /** Place of what it tells next, on the tape. */
  get next(): number {
    return this.#sequence.next
  }

  /** Place of what it tells next that is of the session at large, behind its answer as well; `Infinity`: nothing. */
  get nextLoose(): number {
    const { next } = this
    if (next === Number.POSITIVE_INFINITY) return next
    for (let said = this.#said[this.#loose]; said && (said.owned || said.order < next); )
      said = this.#said[++this.#loose]
    return (this.#said[this.#loose] ?? { order: this.#tailOrder(this.after[0]) }).order ?? Number.POSITIVE_INFINITY
  }

  /** Whether anything of it is of the session at large. */
  get #isLoose(): boolean {
    return this.#said.some(({ owned }) => !owned) || this.#tailOrder(this.after[0]) !== undefined
  }

  rebase(tapeTime: number): void {
    this.#sequence.rebase(tapeTime)
  }

  pause(): void {
    this.#sequence.hold()
  }

  resume(): void {
    if (this.#live) this.#sequence.release()
  }

  /** Nobody waits for it any more. */
  cancel(): void {
    this.#end(false)
  }

  clientCancelled(): void {
    this.cancelled = true
    // The recorded server went on to answer only where the tape says so.
    if (!this.recorded.cancelled) this.#silence()
    else if (endsByClient(this.recorded)) this.#session.left(this)
    else if (this.#live) this.#sequence.look()
    this.receiver.onCancelled?.()
  }

  /** An error in the place of the answer. */
  fail(error: CatflapError): void {
    if (!this.#live) return
    this.#end(false)
    this.#tell(Message.parse(error.toJsonRpc(this.idText), 'server'))
  }

  /** The session has ended, and with it whatever is open. */
  endSession(): void {
    if (!this.#live) return
    this.#end(false)
    this.receiver.onError(new CatflapError('session_not_found', 'The session has ended.'))
  }

  #say(said: Said): void {
    if (this.#cuts()) return this.#break()
    this.#told++
    readText(this.#session, said, this)
    if (said.method === 'notifications/progress') this.#progressed = performance.now()
    if (this.#progressed !== undefined && said === this.#said.at(-1)) this.#sequence.notBefore(this.#progressed + APART)
  }

  /** What the client can do. */
  get declared(): Capabilities {
    return this.#declared ?? declaredIn(this.message)
  }

  #cuts(): boolean {
    return this.#faults.some(fault => fault.kind === 'cut' && this.#told >= fault.events!)
  }

  #conclude(outcome: Exclude<Outcome, { readonly kind: 'open' }>): void {
    if (this.#cuts()) return this.#break()
    switch (outcome.kind) {
      case 'cut':
        return this.#break()
      case 'status':
        return this.#tellStatus(outcome)
      case 'response':
        return this.#answer(outcome)
    }
  }

  #tellStatus(outcome: Outcome & { readonly kind: 'status' }): void {
    const body = textOf(outcome.body)
    if (body === undefined) return this.fail(this.#session.replay.unreadableAnswer(this.recorded))
    const { label } = this.#session.replay
    this.#end(true, () => tellStatus(this.receiver, outcome, body, this.#heads ? undefined : label))
  }

  #answer(outcome: Outcome & { readonly kind: 'response' }): void {
    const recorded = messageOf(outcome.text)
    if (!recorded) return this.fail(this.#session.replay.unreadableAnswer(this.recorded))
    const lacking = this.modern ? lacks(recorded, this) : undefined
    if (lacking) return this.#refuse(lacking)
    const message = withOwnId(recorded, this.idText)
    this.#end(true, () => {
      const { status, headers } = outcome
      if (status !== undefined && status !== 200 && this.#heads && this.#told === 0)
        tellMessage(this.receiver, message, { status, headers })
      else this.#tell(message)
    })
  }

  /** Clients that can do it come again. */
  #refuse(requiredCapabilities: Capabilities): void {
    this.#session.owes(this)
    this.fail(new CatflapError('missing_capability', undefined, { data: { requiredCapabilities } }))
  }

  #tell(message: Message): void {
    this.receiver.onMessage(message, true)
    this.receiver.onEnd()
  }

  #break(): void {
    // On a pipe there is no stream of its own to break: the answer just never comes.
    if (!this.#heads) return this.#silence()
    this.#end(false)
    breakOff(this.receiver, this.#told > 0)
  }

  /** Nothing more comes, and the client waits for as long as it likes. */
  #silence(): void {
    this.#sequence.stop()
    this.#session.asks.drop(this)
  }

  /** Only where an answer comes does what was said behind it follow. */
  #tailOrder(said: Said | undefined): number | undefined {
    const { kind } = this.recorded.outcome
    return kind === 'response' || kind === 'status' ? said?.order : undefined
  }

  #end(answered: boolean, tell?: () => void): void {
    if (!this.#live) return
    this.#live = false
    this.#sequence.stop()
    tell?.()
    this.#session.ended(this, answered)
  }
}

/**
 * Of progress and the answer behind it, in ms. The SDKs take an answer at once but a notification in a later microtask, and by then
 * have forgotten who wanted progress: where both come in one read, progress is lost.
 */
const APART = 8

/**
 * What was said to the session at large is said once, and what has changed on the call's own stream did so once: a client that asks anew
 * would be told so again, and again. A question is part of what comes of the request.
 */
function isSaidAgain({ owned, method, id }: Said): boolean {
  if (id !== undefined) return true
  return owned && !method.endsWith('/list_changed') && method !== 'notifications/resources/updated'
}

/** As this client knows it. An error that could not say whose it is gets the id of the one whose it was. */
function withOwnId(recorded: Message, idText: string): Message {
  if (recorded.idText === undefined) {
    const text = recorded.bytes.toString()
    return Message.parse(Buffer.from(`{"id":${idText},${text.slice(text.indexOf('{') + 1)}`), 'server')
  }
  const message = recorded.idText === idText ? recorded : recorded.withId(idText)
  return message.subscriptionIdText === undefined ? message : message.withSubscriptionId(idText)
}
