import { CatflapError } from '../../errors.ts'
import { idKey } from '../../protocol/id.ts'
import { MalformedMessage, Message } from '../../protocol/message.ts'
import type { CallInput, CallReceiver, Leg, LegEvents, UpstreamCall } from '../upstream.ts'
import { BatchReceiver } from './batch-receiver.ts'
import { glimpse } from './glimpse.ts'
import { ended, failed } from './no-call.ts'
import { type CallKeeper, PipeCall } from './pipe-call.ts'
import { WireKeys } from './wire-keys.ts'

export interface PipeLegOptions {
  /** For people: the command or the URL, without secrets. */
  readonly label: string
  /** Bytes that may wait for a server that does not read. */
  readonly maxInput: number
  /** Bytes of one message of the server. */
  readonly maxLine: number
}

/**
 * A leg whose calls share one pipe. Ids and progress tokens are changed only where two calls in flight would otherwise share
 * one (clients do reuse ids, concurrently too), and changed back with their JSON type.
 */
export abstract class PipeLeg implements Leg, CallKeeper {
  readonly upstreamId = undefined
  answered = false
  protected readonly events: LegEvents
  protected closing = false
  readonly #options: PipeLegOptions
  readonly #calls = new WireKeys<PipeCall>()
  readonly #tokens = new WireKeys<PipeCall>()
  /** Cancelled and not answered: their ids stay taken, so that a late answer never meets a newer call of the same id. */
  readonly #abandoned = new Set<PipeCall>()
  /** Answered with a task, which goes on: its progress still comes under their tokens. */
  readonly #tasks = new Set<PipeCall>()
  /** What was in use when the first unanswered call was forgotten; undefined as long as none was. */
  #doubtful: WireKeys<true> | undefined
  #minted = 0
  #waiting = 0
  #lost: CatflapError | undefined

  constructor(options: PipeLegOptions, events: LegEvents) {
    this.#options = options
    this.events = events
  }

  /** Writes one message. Returns false when the pipe is full: `drained` follows. */
  protected abstract transmit(message: Message, input: CallInput | undefined): boolean
  /** Ends what is beneath, on the server's side as well. */
  protected abstract end(): Promise<void>
  /** The server is read no further until `resume`: for a leg that one client owns, whose output is full. */
  abstract pause(): void
  abstract resume(): void
  abstract endInput(): void

  /** It was told to end. */
  get ending(): boolean {
    return this.closing
  }

  /** Calls the server has not answered yet. */
  get inFlight(): number {
    return this.#calls.size - this.#abandoned.size
  }

  call(input: CallInput, receiver: CallReceiver): UpstreamCall {
    if (this.#lost) return failed(receiver, this.#lost)
    if (this.#waiting > this.#options.maxInput) {
      const text = `${this.#options.label} does not read its input. Try again later.`
      return failed(receiver, new CatflapError('upstream_queue_full', text))
    }
    if (input.kind === 'batch') return this.#batch(input, receiver)
    const message = input.message
    if (!message || input.kind === 'listen' || input.kind === 'terminate') return ended(receiver)
    if (message.kind === 'request') return this.#request(message, input, receiver)
    this.send(message, input)
    return ended(receiver)
  }

  /** Writes a notification or an answer. Returns false when the child's input is full: wait for `drain`. */
  send(message: Message, input?: CallInput): boolean {
    return this.#write(message.method === 'notifications/cancelled' ? this.#mapCancelled(message) : message, input)
  }

  sendOwn(message: Message): void {
    this.events.own?.(message)
    this.#write(message)
  }

  async close(): Promise<void> {
    this.closing = true
    const error = new CatflapError('session_not_found', 'The session has ended.')
    for (const call of [...this.#calls.values()]) call.fail(error)
    await this.end()
  }

  abandon(call: PipeCall): void {
    this.#abandoned.add(call)
    if (this.#abandoned.size > MAX_ABANDONED) this.#giveUp(this.#abandoned)
  }

  /** Answered, but the task it began goes on (spec 2025-11-25 basic/utilities/tasks, "Progress"): the token stays its own. */
  outlive(call: PipeCall): void {
    this.#abandoned.delete(call)
    if (this.#calls.find(call.wireKey) === call) this.#calls.delete(call.wireKey)
    this.#tasks.add(call)
    if (this.#tasks.size > MAX_TASKS) this.#giveUp(this.#tasks)
  }

  /**
   * There is no room to remember the oldest, which may be answered all the same: from now on every id and token on the wire is
   * one that was never there before, so that nothing late can be taken for something newer.
   */
  #giveUp(calls: ReadonlySet<PipeCall>): void {
    this.#doubtful ??= copyOf([...this.#calls.keys(), ...this.#tokens.keys()])
    for (const oldest of calls) return this.forget(oldest)
  }

  forget(call: PipeCall): void {
    this.#abandoned.delete(call)
    this.#tasks.delete(call)
    if (this.#calls.find(call.wireKey) === call) this.#calls.delete(call.wireKey)
    if (call.tokenKey !== undefined && this.#tokens.find(call.tokenKey) === call) this.#tokens.delete(call.tokenKey)
  }

  #request(original: Message, input: CallInput, receiver: CallReceiver): UpstreamCall {
    const idText = original.idText!
    let wire = original
    let wireText = idText
    const collides = this.#calls.collides(idKey(idText))
    if (collides) this.#supersede(idKey(idText))
    if (collides || this.#doubtful) {
      wireText = this.#mint(idText)
      wire = wire.withId(wireText)
    }
    const token = original.progressTokenText
    let wireToken = token
    if (token !== undefined && (this.#doubtful || this.#tokens.collides(idKey(token)))) {
      wireToken = this.#mint(token)
      wire = wire.withProgressToken(wireToken)
    }
    const call = new PipeCall(this, receiver, {
      idText,
      wireText,
      wireKey: idKey(wireText),
      token,
      tokenKey: wireToken === undefined ? undefined : idKey(wireToken),
      method: original.method!,
      task: original.asksForTask
    })
    this.#calls.set(call.wireKey, call)
    if (call.tokenKey !== undefined) this.#tokens.set(call.tokenKey, call)
    if (wire !== original) this.events.changed?.(original, wire, 'up')
    this.#write(wire, input)
    return call
  }

  /** Several messages, each correlated on its own; the receiver's last message is the last answer. */
  #batch(input: CallInput, receiver: CallReceiver): UpstreamCall {
    const messages = input.batch ?? []
    const requests = messages.filter(m => m.kind === 'request').length
    const batch = new BatchReceiver(receiver, requests, () => this.#lost !== undefined || this.closing)
    const calls: UpstreamCall[] = []
    // In their order, so that one can be about another.
    for (const m of messages)
      if (m.kind === 'request') calls.push(this.#request(m, input, batch.member(m.idText!)))
      else this.send(m, input)
    if (requests === 0) return ended(receiver)
    return {
      pause() {},
      resume() {},
      cancel(reason) {
        for (const call of calls) call.cancel(reason)
      }
    }
  }

  /** The server said something. */
  protected line(line: Buffer): void {
    let parsed: Message | readonly Message[]
    try {
      parsed = Message.parseBody(line, 'server')
    } catch (error) {
      if (error instanceof MalformedMessage) return this.events.noise(line)
      throw error
    }
    if (parsed instanceof Message) this.#message(parsed)
    else for (const m of parsed) this.#message(m)
  }

  #message(m: Message): void {
    if (m.kind === 'response') return this.#response(m)
    if (m.method === 'notifications/progress') return this.#progress(m)
    const subscription = m.subscriptionIdText
    const call = subscription === undefined ? undefined : this.#find(subscription)
    if (call) {
      const back = this.#back(m, call.wireText === call.idText ? m : m.withSubscriptionId(call.idText))
      return this.events.message(back, call.receiver)
    }
    // The server of a modern subscription ends it with notifications/cancelled that names our id for it.
    const requestId = m.method === 'notifications/cancelled' ? m.requestIdText : undefined
    const ended = requestId === undefined ? undefined : this.#find(requestId)
    if (ended && ended.method === 'subscriptions/listen') {
      return this.events.message(
        this.#back(m, ended.wireText === ended.idText ? m : m.withRequestId(ended.idText)),
        ended.receiver
      )
    }
    this.events.message(m, undefined)
  }

  #response(m: Message): void {
    if (!this.answered) {
      this.answered = true
      this.events.answered?.()
    }
    const call = m.idText === undefined ? undefined : this.#find(m.idText)
    if (!call?.live) {
      if (call) this.forget(call)
      return this.events.late(m)
    }
    let back = m
    if (call.wireText !== call.idText) {
      back = m.withId(call.idText)
      if (back.subscriptionIdText !== undefined) back = back.withSubscriptionId(call.idText)
      this.events.changed?.(back, m, 'down')
    }
    call.answer(back)
  }

  #progress(m: Message): void {
    const token = m.progressTokenText
    const call = token === undefined ? undefined : this.#tokens.find(idKey(token))
    if (!call || token === undefined) return this.events.message(m, undefined)
    if (!call.live && !this.#tasks.has(call)) return this.events.late(m)
    const changed = call.tokenKey !== idKey(call.token!)
    const back = this.#back(m, changed ? m.withProgressToken(call.token!) : m)
    this.events.message(back, call.live ? call.receiver : undefined)
  }

  #back(wire: Message, back: Message): Message {
    if (wire !== back) this.events.changed?.(back, wire, 'down')
    return back
  }

  #find(idText: string): PipeCall | undefined {
    return this.#calls.find(idKey(idText))
  }

  /** The client cancelled calls of this id and uses it again: it would take their late answers for the new call's. */
  #supersede(key: string): void {
    for (const call of this.#calls.values()) if (call.cancelled && idKey(call.idText) === key) call.supersede()
  }

  #mint(text: string): string {
    for (;;) {
      this.#minted++
      const made = text.startsWith('"') ? `"catflap-${this.#minted}"` : String(2_000_000_000 + this.#minted)
      if (!this.#calls.find(made) && !this.#tokens.find(made) && !this.#doubtful?.find(made)) return made
    }
  }

  /** The client names its own id; of several calls under it, the newest is meant. */
  #mapCancelled(message: Message): Message {
    const requestId = message.requestIdText
    if (requestId === undefined) return message
    const key = idKey(requestId)
    let found: PipeCall | undefined
    for (const call of this.#calls.values())
      if (call.live && !call.cancelled && idKey(call.idText) === key) found = call
    if (!found) return message
    found.cancelled = true
    found.receiver.onCancelled?.()
    if (found.wireText === found.idText) return message
    const wire = message.withRequestId(found.wireText)
    this.events.changed?.(message, wire, 'up')
    return wire
  }

  #write(message: Message, input?: CallInput): boolean {
    if (this.#lost) return true
    const free = this.transmit(message, input)
    if (!free) {
      this.#waiting += message.bytes.length
      this.events.full?.()
    }
    return free
  }

  /** There is room in the pipe again. */
  protected drained(): void {
    this.#waiting = 0
    this.events.drain?.()
  }

  /** A message did not reach the server: nobody will answer it. */
  protected undelivered(message: Message, error: CatflapError): void {
    if (message.kind === 'request') this.#find(message.idText!)?.fail(error)
  }

  protected oversize(info: { length: number; head: Buffer; tail: Buffer; sha256: string }): void {
    const error = new CatflapError(
      'message_too_large',
      `${this.#options.label} sent a message of ${info.length} bytes; --max-message allows ${this.#options.maxLine}.`
    )
    this.events.noise(info.head)
    const { kind, idText } = glimpse(info.head, info.tail)
    if (kind === 'request') this.sendOwn(Message.parse(error.toJsonRpc(idText)))
    else if (kind === 'answer') this.#answered(idText)?.fail(error)
  }

  /** The call that such an answer is for; where it does not say, the only one. */
  #answered(idText: string | undefined): PipeCall | undefined {
    if (idText !== undefined) return this.#find(idText)
    return this.#calls.size === 1 ? [...this.#calls.values()][0] : undefined
  }

  /** The server is gone by itself, or was told to go. */
  protected lose(error: CatflapError, facts: Readonly<Record<string, string | number | null>>): void {
    if (this.#lost) return
    this.#lost = error
    for (const call of [...this.#calls.values()]) call.fail(error)
    this.events.lost(error, { ...facts, expected: this.closing ? 1 : 0 })
  }
}

/** Cancelled calls are mostly never answered, so these fill up in time. What a call of them keeps is its ids alone. */
const MAX_ABANDONED = 1024
const MAX_TASKS = 1024

function copyOf(keys: readonly string[]): WireKeys<true> {
  const copy = new WireKeys<true>()
  for (const key of keys) copy.set(key, true)
  return copy
}
