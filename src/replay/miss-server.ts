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
  /** Calls without an end so far, by what the client calls them. */
  readonly #open = new Map<string, Relay>()
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
    const key = idKey(message.idText!)
    const relay: Relay = new Relay(receiver, this.#tape?.call(message, { modern }), {
      modern,
      failed: reason => {
        if (!this.#closed) failed(reason)
      },
      over: () => {
        if (this.#open.get(key) === relay) this.#open.delete(key)
      }
    })
    this.#open.set(key, relay)
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
    const failed = (): void => {
      this.#begun = false
    }
    const taped = this.#tape?.call(initialize, { modern: false, own: true })
    this.#leg.call(inputOf(initialize, false), new Relay(SILENT, taped, { modern: false, failed, over() {} }))
    const initialized = Message.from({ jsonrpc: '2.0', method: 'notifications/initialized' })
    this.#tape?.told(initialized)
    this.#leg.call(inputOf(initialized, false), SILENT)
  }

  tell(notification: Message): void {
    if (notification.method === 'notifications/cancelled' && this.#cancel(notification)) return
    if (!this.#begun) return
    if (notification.method === 'notifications/initialized') {
      if (this.#initialized) return
      this.#initialized = true
    }
    this.#tape?.told(notification)
    this.#leg.call(inputOf(notification, false), SILENT)
  }

  /** False: it is about none of the server's calls. */
  #cancel(notification: Message): boolean {
    const { requestIdText } = notification
    const relay = requestIdText === undefined ? undefined : this.#open.get(idKey(requestIdText))
    if (!relay) return false
    relay.cancel(notification)
    this.#leg.call(inputOf(notification, relay.modern), SILENT)
    return true
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

interface RelayHow {
  readonly modern: boolean
  /** Hears why no answer comes, where the client still wants one. */
  readonly failed: (reason: string) => void
  /** Nothing more comes. */
  readonly over: () => void
}

/** Passes on what a call brings, and has it written down. */
class Relay implements CallReceiver {
  readonly receiver: CallReceiver
  readonly taped: TapedCall | undefined
  readonly modern: boolean
  readonly #how: RelayHow
  #answered = false
  /** By the client. */
  #cancelled = false

  constructor(receiver: CallReceiver, taped: TapedCall | undefined, how: RelayHow) {
    this.receiver = receiver
    this.taped = taped
    this.modern = how.modern
    this.#how = how
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
    this.#over(this.#answered ? undefined : 'it ended without an answer')
    this.receiver.onEnd()
  }

  onError(...[error]: Parameters<CallReceiver['onError']>): void {
    this.#over(error.message)
    this.receiver.onError(error)
  }

  /** The client has cancelled it: most servers give no answer then. */
  cancel(notification: Message): void {
    if (this.#cancelled) return
    this.#cancelled = true
    this.taped?.cancelled(notification)
  }

  /** Whoever asked waits no longer, and nothing more is heard here. */
  left(reason: CancelReason): void {
    if (reason === 'client-gone' && this.modern) this.taped?.left()
    this.#over(reason === 'timeout' ? 'no answer in time' : undefined)
  }

  #over(reason: string | undefined): void {
    this.#how.over()
    if (this.#answered) return
    this.taped?.failed()
    if (reason !== undefined && !this.#cancelled) this.#how.failed(reason)
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
