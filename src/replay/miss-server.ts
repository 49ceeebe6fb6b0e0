import { idKey } from '../protocol/id.ts'
import { Message } from '../protocol/message.ts'
import type { CallInput, CallReceiver, CancelReason, Leg, LegEvents, UpstreamCall } from '../transport/upstream.ts'
import type { LiveAsk, LiveServer } from './live-server.ts'
import type { LiveTape, TapedCall } from './live-tape.ts'
import type { Outlet, ReplaySession } from './replay-session.ts'
import { SILENT } from './spoken.ts'

export interface MissServerOptions {
  /** Opens a leg that is this session's alone. */
  readonly open: (events: LegEvents) => Leg
  /** Writes down what is said. */
  readonly tape?: LiveTape
  readonly note: (text: string) => void
}

/**
 * The real server, as one replay session has it. It is told of the client at the first miss, by the client's own `initialize`; from then
 * on it hears what the client tells.
 */
export class MissServer implements LiveServer {
  readonly #leg: Leg
  readonly #session: ReplaySession
  readonly #outlet: Outlet
  readonly #tape: LiveTape | undefined
  /** The server's questions, by what the client calls them. */
  readonly #asked = new Map<string, Question>()
  #begun = false
  #initialized = false
  #closed = false

  constructor(session: ReplaySession, outlet: Outlet, { open, tape, note }: MissServerOptions) {
    this.#session = session
    this.#outlet = outlet
    this.#tape = tape
    this.#leg = open({
      message: (message, call) => this.#said(message, call),
      late() {},
      noise() {},
      stderr() {},
      lost: error => note(`the server of --on-miss is lost: ${error.message}`),
      note
    })
  }

  ask(message: Message, receiver: CallReceiver, { initialize, failed }: LiveAsk): UpstreamCall {
    const modern = message.metaVersion !== undefined || message.method === 'server/discover'
    if (!modern && !this.#begun && message.method !== 'initialize') this.#begin(initialize)
    if (message.method === 'initialize') this.#begun = true
    const relay = new Relay(receiver, this.#tape?.call(message, modern), reason => {
      if (!this.#closed) failed(reason)
    })
    const call = this.#leg.call(inputOf(message, modern), relay)
    return {
      pause: () => call.pause(),
      resume: () => call.resume(),
      cancel(reason) {
        relay.left(reason)
        call.cancel(reason)
      }
    }
  }

  /** What the client has begun with goes first; the leg keeps the rest waiting until it is answered. */
  #begin(initialize: Message | undefined): void {
    this.#begun = true
    this.#initialized = true
    if (!initialize) return
    const again = (): void => {
      this.#begun = false
    }
    this.#leg.call(inputOf(initialize, false), new Relay(SILENT, this.#tape?.call(initialize, false), again))
    const initialized = Message.from({ jsonrpc: '2.0', method: 'notifications/initialized' })
    this.#tape?.told(initialized)
    this.#leg.call(inputOf(initialized, false), SILENT)
  }

  tell(notification: Message): void {
    if (!this.#begun) return
    if (notification.method === 'notifications/initialized') {
      if (this.#initialized) return
      this.#initialized = true
    }
    this.#tape?.told(notification)
    this.#leg.call(inputOf(notification, false), SILENT)
  }

  answer(message: Message): boolean {
    const key = message.idText === undefined ? undefined : idKey(message.idText)
    const question = key === undefined ? undefined : this.#asked.get(key)
    if (key === undefined || !question) return false
    this.#asked.delete(key)
    const answer = message.withId(question.idText)
    if (question.taped) question.taped.replied(answer)
    else this.#tape?.told(answer)
    this.#leg.call(inputOf(answer, false), SILENT)
    return true
  }

  pause(): void {
    this.#leg.pause?.()
  }

  resume(): void {
    this.#leg.resume?.()
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#leg.close()
    this.#tape?.close()
  }

  /** Its questions get ids that the tape's questions do not have. */
  #said(message: Message, call: CallReceiver | undefined): void {
    const relay = call instanceof Relay ? call : undefined
    if (relay?.taped) relay.taped.said(message)
    else this.#tape?.said(message)
    if (message.kind !== 'request') return this.#outlet.message(message, relay?.receiver)
    const idText = this.#session.asks.mint(message.idText!)
    this.#asked.set(idKey(idText), { idText: message.idText!, taped: relay?.taped })
    if (this.#asked.size > MAX_ASKED) for (const oldest of this.#asked.keys()) return void this.#asked.delete(oldest)
    this.#outlet.message(message.withId(idText), relay?.receiver)
  }
}

const MAX_ASKED = 1024

interface Question {
  /** What the server calls it. */
  readonly idText: string
  readonly taped: TapedCall | undefined
}

/** Passes on what a call brings, and has it written down. `failed` hears why no answer comes. */
class Relay implements CallReceiver {
  readonly receiver: CallReceiver
  readonly taped: TapedCall | undefined

  readonly #failed: (reason: string) => void
  #answered = false

  constructor(receiver: CallReceiver, taped: TapedCall | undefined, failed: (reason: string) => void) {
    this.receiver = receiver
    this.taped = taped
    this.#failed = failed
  }

  onHead(...[head]: Parameters<CallReceiver['onHead']>): void {
    this.receiver.onHead(head)
  }

  onData(chunk: Buffer): void {
    this.receiver.onData(chunk)
  }

  onMessage(message: Message, last: boolean): void {
    if (last) this.#answered = true
    if (last) this.taped?.answered(message)
    else this.taped?.said(message)
    this.receiver.onMessage(message, last)
  }

  onEnd(): void {
    if (!this.#answered) this.#fail('it ended without an answer')
    this.receiver.onEnd()
  }

  onError(...[error]: Parameters<CallReceiver['onError']>): void {
    this.#fail(error.message)
    this.receiver.onError(error)
  }

  /** Whoever asked waits no longer, and nothing more is heard here. */
  left(reason: CancelReason): void {
    if (reason === 'timeout' && !this.#answered) this.#failed('no answer in time')
    this.taped?.failed()
  }

  #fail(reason: string): void {
    this.taped?.failed()
    if (!this.#answered) this.#failed(reason)
  }

  onCancelled(): void {
    this.receiver.onCancelled?.()
  }

  deliver(message: Message): boolean {
    return this.receiver.deliver?.(message) ?? false
  }
}

function inputOf(message: Message, modern: boolean): CallInput {
  const kind = message.kind === 'request' ? 'request' : 'notify'
  return { kind, era: modern ? 'modern' : 'legacy', message, batch: undefined, body: undefined, headers: [] }
}
