import { idKey } from '../protocol/id.ts'
import { Message } from '../protocol/message.ts'
import type { CallInput, CallReceiver, Leg, LegEvents, UpstreamCall } from '../transport/upstream.ts'
import type { LiveServer } from './live-server.ts'
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
  /** The server's questions: what the client knows them by → what the server does. */
  readonly #asked = new Map<string, string>()
  #begun = false
  #initialized = false

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

  ask(message: Message, receiver: CallReceiver, initialize: Message | undefined): UpstreamCall {
    const modern = message.metaVersion !== undefined
    if (!modern && !this.#begun && message.method !== 'initialize') this.#begin(initialize)
    if (message.method === 'initialize') this.#begun = true
    const taped = this.#tape?.call(message, modern)
    return this.#leg.call(inputOf(message, modern), new Relay(receiver, taped))
  }

  /** What the client has begun with goes first; the leg keeps the rest waiting until it is answered. */
  #begin(initialize: Message | undefined): void {
    this.#begun = true
    this.#initialized = true
    if (!initialize) return
    this.#leg.call(inputOf(initialize, false), new Relay(SILENT, this.#tape?.call(initialize, false)))
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
    const idText = key === undefined ? undefined : this.#asked.get(key)
    if (key === undefined || idText === undefined) return false
    this.#asked.delete(key)
    const answer = message.withId(idText)
    this.#tape?.told(answer)
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
    await this.#leg.close()
  }

  /** Its questions get ids that the tape's questions do not have. */
  #said(message: Message, call: CallReceiver | undefined): void {
    const relay = call instanceof Relay ? call : undefined
    if (relay?.taped) relay.taped.said(message)
    else this.#tape?.said(message)
    if (message.kind !== 'request') return this.#outlet.message(message, relay?.receiver)
    const idText = this.#session.asks.mint(message.idText!)
    this.#asked.set(idKey(idText), message.idText!)
    if (this.#asked.size > MAX_ASKED) for (const oldest of this.#asked.keys()) return void this.#asked.delete(oldest)
    this.#outlet.message(message.withId(idText), relay?.receiver)
  }
}

const MAX_ASKED = 1024

/** Passes on what a call brings, and has it written down. */
class Relay implements CallReceiver {
  readonly receiver: CallReceiver
  readonly taped: TapedCall | undefined

  constructor(receiver: CallReceiver, taped: TapedCall | undefined) {
    this.receiver = receiver
    this.taped = taped
  }

  onHead(...[head]: Parameters<CallReceiver['onHead']>): void {
    this.receiver.onHead(head)
  }

  onData(chunk: Buffer): void {
    this.receiver.onData(chunk)
  }

  onMessage(message: Message, last: boolean): void {
    if (last) this.taped?.answered(message)
    else this.taped?.said(message)
    this.receiver.onMessage(message, last)
  }

  onEnd(): void {
    this.receiver.onEnd()
  }

  onError(...[error]: Parameters<CallReceiver['onError']>): void {
    this.taped?.failed(error.code)
    this.receiver.onError(error)
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
