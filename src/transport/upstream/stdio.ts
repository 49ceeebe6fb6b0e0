import { CatflapError } from '../../errors.ts'
import { idKey } from '../../protocol/id.ts'
import { MalformedMessage, Message } from '../../protocol/message.ts'
import type { CallInput, CallReceiver, Leg, LegEvents, UpstreamCall } from '../upstream.ts'
import { BatchReceiver } from './batch-receiver.ts'
import { Child, type ChildOptions } from './child.ts'
import { glimpse } from './glimpse.ts'
import { type CallKeeper, StdioCall } from './stdio-call.ts'
import { WireKeys } from './wire-keys.ts'

export interface StdioLegOptions extends ChildOptions {
  /** For people: the command, without secrets. */
  readonly label: string
  /** Bytes that may wait for a child that does not read its stdin. */
  readonly maxInput: number
  /** Takes secrets out of what the child said last, before clients are told. */
  readonly scrub?: (text: string) => string
}

/**
 * One child process as a leg: one pipe that every call shares. Ids and progress tokens are changed only where two calls in
 * flight would otherwise share one (clients do reuse ids, concurrently too), and changed back with their JSON type.
 */
export class StdioLeg implements Leg, CallKeeper {
  readonly upstreamId = undefined
  readonly #options: StdioLegOptions
  readonly #events: LegEvents
  readonly #child: Child
  readonly #calls = new WireKeys<StdioCall>()
  readonly #tokens = new WireKeys<StdioCall>()
  /** Cancelled and not answered: their ids stay taken, so that a late answer never meets a newer call of the same id. */
  readonly #abandoned = new Set<StdioCall>()
  #minted = 0
  #waiting = 0
  #lost: CatflapError | undefined
  #closing = false

  constructor(options: StdioLegOptions, events: LegEvents) {
    this.#options = options
    this.#events = events
    this.#child = new Child(options, {
      line: line => this.#line(line),
      oversize: info => this.#oversize(info),
      stderr: line => events.stderr(line),
      exit: info => {
        const how = info.signal ? `was ended by ${info.signal}` : `exited with code ${info.code}`
        const last = info.stderr.slice(-5).map(line => options.scrub?.(line) ?? line)
        const tail = last.length > 0 ? ` Its last words on stderr: ${last.join(' | ')}` : ''
        const error = new CatflapError('child_exited', `${options.label} ${how}.${tail}`, {
          data: { target: options.label, exitCode: info.code, signal: info.signal, stderr: last }
        })
        this.#lose(error, { code: info.code, signal: info.signal })
      },
      error: reason => {
        const text = `${options.label} could not be started: ${reason.message}`
        this.#lose(new CatflapError('child_start_failed', text, { cause: reason, data: { target: options.label } }), {
          reason: reason.message
        })
      },
      drain: () => {
        this.#waiting = 0
        events.drain?.()
      }
    })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  /** Calls the child has not answered yet. */
  get inFlight(): number {
    return this.#calls.size - this.#abandoned.size
  }

  call(input: CallInput, receiver: CallReceiver): UpstreamCall {
    if (this.#lost) return failed(receiver, this.#lost)
    if (this.#waiting > this.#options.maxInput) {
      const text = `${this.#options.label} does not read its input. Try again later.`
      return failed(receiver, new CatflapError('upstream_queue_full', text))
    }
    if (input.kind === 'batch') return this.#batch(input.batch ?? [], receiver)
    const message = input.message
    if (!message || input.kind === 'listen' || input.kind === 'terminate') return ended(receiver)
    if (message.kind === 'request') return this.#request(message, receiver)
    this.send(message)
    return ended(receiver)
  }

  /** Writes a notification or an answer. Returns false when the child's input is full: wait for `drain`. */
  send(message: Message): boolean {
    return this.#write(message.method === 'notifications/cancelled' ? this.#mapCancelled(message) : message)
  }

  sendOwn(message: Message): void {
    this.#events.own?.(message)
    this.#write(message)
  }

  /** stdout is read no further until `resume`: for a leg that one client owns, whose output is full. */
  pause(): void {
    this.#child.pause()
  }

  resume(): void {
    this.#child.resume()
  }

  /** The client has nothing more to say; the child may finish what it has. */
  endInput(): void {
    this.#child.endInput()
  }

  async close(): Promise<void> {
    this.#closing = true
    const error = new CatflapError('session_not_found', 'The session has ended.')
    for (const call of [...this.#calls.values()]) call.fail(error)
    await this.#child.close()
  }

  abandon(call: StdioCall): void {
    this.#abandoned.add(call)
    if (this.#abandoned.size > MAX_ABANDONED) for (const oldest of this.#abandoned) return this.forget(oldest)
  }

  forget(call: StdioCall): void {
    this.#abandoned.delete(call)
    if (this.#calls.find(call.wireKey) === call) this.#calls.delete(call.wireKey)
    if (call.tokenKey !== undefined && this.#tokens.find(call.tokenKey) === call) this.#tokens.delete(call.tokenKey)
  }

  #request(original: Message, receiver: CallReceiver): UpstreamCall {
    const idText = original.idText!
    let wire = original
    let wireText = idText
    if (this.#calls.collides(idKey(idText))) {
      this.#supersede(idKey(idText))
      wireText = this.#mint(idText)
      wire = wire.withId(wireText)
    }
    const token = original.progressTokenText
    let wireToken = token
    if (token !== undefined && this.#tokens.collides(idKey(token))) {
      wireToken = this.#mint(token)
      wire = wire.withProgressToken(wireToken)
    }
    const call = new StdioCall(this, receiver, {
      idText,
      wireText,
      wireKey: idKey(wireText),
      token,
      tokenKey: wireToken === undefined ? undefined : idKey(wireToken),
      method: original.method!
    })
    this.#calls.set(call.wireKey, call)
    if (call.tokenKey !== undefined) this.#tokens.set(call.tokenKey, call)
    if (wire !== original) this.#events.changed?.(original, wire, 'up')
    this.#write(wire)
    return call
  }

  /** Several messages, each correlated on its own; the receiver's last message is the last answer. */
  #batch(messages: readonly Message[], receiver: CallReceiver): UpstreamCall {
    const requests = messages.filter(m => m.kind === 'request')
    for (const m of messages) if (m.kind !== 'request') this.send(m)
    if (requests.length === 0) return ended(receiver)
    const batch = new BatchReceiver(receiver, requests.length)
    const calls = requests.map(m => this.#request(m, batch))
    return {
      pause() {},
      resume() {},
      cancel(reason) {
        for (const call of calls) call.cancel(reason)
      }
    }
  }

  #line(line: Buffer): void {
    let parsed: Message | readonly Message[]
    try {
      parsed = Message.parseBody(line, 'server')
    } catch (error) {
      if (error instanceof MalformedMessage) return this.#events.noise(line)
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
      return this.#events.message(back, call.receiver)
    }
    // The server of a modern subscription ends it with notifications/cancelled that names our id for it.
    const requestId = m.method === 'notifications/cancelled' ? m.requestIdText : undefined
    const ended = requestId === undefined ? undefined : this.#find(requestId)
    if (ended && ended.method === 'subscriptions/listen') {
      return this.#events.message(
        this.#back(m, ended.wireText === ended.idText ? m : m.withRequestId(ended.idText)),
        ended.receiver
      )
    }
    this.#events.message(m, undefined)
  }

  #response(m: Message): void {
    const call = m.idText === undefined ? undefined : this.#find(m.idText)
    if (!call?.live) {
      if (call) this.forget(call)
      return this.#events.late(m)
    }
    let back = m
    if (call.wireText !== call.idText) {
      back = m.withId(call.idText)
      if (back.subscriptionIdText !== undefined) back = back.withSubscriptionId(call.idText)
      this.#events.changed?.(back, m, 'down')
    }
    call.answer(back)
  }

  #progress(m: Message): void {
    const token = m.progressTokenText
    const call = token === undefined ? undefined : this.#tokens.find(idKey(token))
    if (!call || token === undefined) return this.#events.message(m, undefined)
    if (!call.live) return this.#events.late(m)
    const changed = call.tokenKey !== idKey(call.token!)
    this.#events.message(this.#back(m, changed ? m.withProgressToken(call.token!) : m), call.receiver)
  }

  #back(wire: Message, back: Message): Message {
    if (wire !== back) this.#events.changed?.(back, wire, 'down')
    return back
  }

  #find(idText: string): StdioCall | undefined {
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
      if (!this.#calls.find(made) && !this.#tokens.find(made)) return made
    }
  }

  /** The client names its own id; of several calls under it, the newest is meant. */
  #mapCancelled(message: Message): Message {
    const requestId = message.requestIdText
    if (requestId === undefined) return message
    const key = idKey(requestId)
    let found: StdioCall | undefined
    for (const call of this.#calls.values())
      if (call.live && !call.cancelled && idKey(call.idText) === key) found = call
    if (!found) return message
    found.cancelled = true
    found.receiver.onCancelled?.()
    if (found.wireText === found.idText) return message
    const wire = message.withRequestId(found.wireText)
    this.#events.changed?.(message, wire, 'up')
    return wire
  }

  #write(message: Message): boolean {
    if (this.#lost) return true
    const line = message.oneLine()
    const free = this.#child.write(line)
    if (!free) {
      this.#waiting += line.length
      this.#events.full?.()
    }
    return free
  }

  #oversize(info: { length: number; head: Buffer; tail: Buffer; sha256: string }): void {
    const error = new CatflapError(
      'message_too_large',
      `${this.#options.label} sent a message of ${info.length} bytes; --max-message allows ${this.#options.maxLine}.`
    )
    this.#events.noise(info.head)
    const { kind, idText } = glimpse(info.head, info.tail)
    if (kind === 'request') this.sendOwn(Message.parse(error.toJsonRpc(idText)))
    else if (kind === 'answer') this.#answered(idText)?.fail(error)
  }

  /** The call that such an answer is for; where it does not say, the only one. */
  #answered(idText: string | undefined): StdioCall | undefined {
    if (idText !== undefined) return this.#find(idText)
    return this.#calls.size === 1 ? [...this.#calls.values()][0] : undefined
  }

  #lose(error: CatflapError, facts: Readonly<Record<string, string | number | null>>): void {
    if (this.#lost) return
    this.#lost = error
    for (const call of [...this.#calls.values()]) call.fail(error)
    this.#events.lost(error, { ...facts, expected: this.#closing ? 1 : 0 })
  }
}

const MAX_ABANDONED = 1024

const NO_CALL: UpstreamCall = { pause() {}, resume() {}, cancel() {} }

function ended(receiver: CallReceiver): UpstreamCall {
  queueMicrotask(() => receiver.onEnd())
  return NO_CALL
}

function failed(receiver: CallReceiver, error: CatflapError): UpstreamCall {
  queueMicrotask(() => receiver.onError(error))
  return NO_CALL
}
