import { CatflapError } from '../errors.ts'
import { Message } from '../protocol/message.ts'
import type { CallReceiver, UpstreamCall } from '../transport/upstream.ts'
import { type Capabilities, lacksFor } from './capabilities.ts'
import type { FaultRule } from './faults.ts'
import type { Outcome, RecordedRequest, Said } from './recording.ts'
import type { ReplaySession } from './replay-session.ts'
import { breakOff, tellMessage, tellStatus } from './replies.ts'
import { type Cue, Sequence } from './sequence.ts'
import { messageOf, readText, textOf } from './spoken.ts'

export interface Asked {
  readonly message: Message
  readonly receiver: CallReceiver
  /** The receiver can be told a status. */
  readonly heads: boolean
  readonly modern: boolean
  readonly declared: Capabilities
  readonly faults: readonly FaultRule[]
}

/** A request that is being answered from the tape: what the server said meanwhile, then what came of it. */
export class Play implements UpstreamCall {
  readonly recorded: RecordedRequest
  readonly message: Message
  readonly receiver: CallReceiver
  readonly idText: string
  readonly modern: boolean
  readonly declared: Capabilities
  /** By the client itself. */
  cancelled = false
  readonly #session: ReplaySession
  readonly #heads: boolean
  readonly #faults: readonly FaultRule[]
  readonly #sequence: Sequence<Cue>
  #told = 0
  #live = true

  constructor(session: ReplaySession, recorded: RecordedRequest, asked: Asked) {
    this.#session = session
    this.recorded = recorded
    this.message = asked.message
    this.receiver = asked.receiver
    this.idText = asked.message.idText!
    this.modern = asked.modern
    this.declared = asked.declared
    this.#heads = asked.heads
    this.#faults = asked.faults
    const { said, outcome, at } = recorded
    const cues = endsByClient(recorded) || outcome.kind === 'open' ? said : [...said, outcome]
    const tell = (cue: Cue): void => (cue === outcome ? this.#conclude(outcome) : this.#say(cue as Said))
    this.#sequence = new Sequence<Cue>(session, cues, at, { tell }, session.patience(recorded))
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
    else if (endsByClient(this.recorded)) this.#session.left(this.recorded)
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
  }

  #cuts(): boolean {
    return this.#faults.some(fault => fault.kind === 'cut' && this.#told >= fault.events!)
  }

  #conclude(outcome: Outcome): void {
    if (this.#cuts()) return this.#break()
    switch (outcome.kind) {
      case 'open':
        return
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
    const lacking = this.modern ? lacksFor((recorded.json as { result?: unknown }).result, this.declared) : undefined
    if (lacking) return this.fail(missingCapability(lacking))
    const message = withOwnId(recorded, this.idText)
    this.#end(true, () => {
      const { status } = outcome
      if (status !== undefined && status !== 200 && this.#heads && this.#told === 0)
        tellMessage(this.receiver, message, status)
      else this.#tell(message)
    })
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

  #end(answered: boolean, tell?: () => void): void {
    if (!this.#live) return
    this.#live = false
    this.#sequence.stop()
    tell?.()
    this.#session.ended(this, answered)
  }
}

/** On the tape it was the client that ended it: it got no answer, or one of catflap's own. */
function endsByClient({ cancelled, outcome }: RecordedRequest): boolean {
  if (!cancelled) return false
  return outcome.kind === 'cut' || (outcome.kind !== 'open' && outcome.own)
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

function missingCapability(requiredCapabilities: Capabilities): CatflapError {
  return new CatflapError('missing_capability', undefined, { data: { requiredCapabilities } })
}
