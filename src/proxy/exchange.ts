import { asCatflapError, CatflapError } from '../errors.ts'
import { Message } from '../protocol/message.ts'
import type { Era } from '../protocol/versions.ts'
import { QueueNode } from '../queue.ts'
import type { Channel, Listener } from '../session/channel.ts'
import type { Session } from '../session/session.ts'
import type { Frame } from '../tape/frame.ts'
import { Brake } from '../transport/brake.ts'
import type { Reply, ReplyListener } from '../transport/reply.ts'
import type { CancelReason, ExchangeKind, Leg, ReplyHead } from '../transport/upstream.ts'
import { AnswerPath } from './answer-path.ts'
import type { Call, CallProbe } from './call.ts'
import type { ClientFacts, Connection, OpeningPipe } from './client.ts'
import type { Core } from './core.ts'
import { callOf } from './exchange-call.ts'
import { HeldAnswer } from './held-answer.ts'
import { callEach } from './hook-calls.ts'
import type { Answer, Outcome } from './interceptor.ts'
import { refusal, sendOwn, subscriptionEnd } from './own-message.ts'
import { applyChange } from './rederive.ts'
import {
  endsUnheard,
  isGivenUp,
  isLost,
  isUnsent,
  keepSession,
  mayTellLoss,
  readyAgain,
  requestsOf,
  saidWith400,
  withoutServer
} from './session-loss.ts'
import { foundIds } from './session-state.ts'

/**
 * One thing a client does and what it gets back: the client's half. The upstream half is its call, which may outlive it.
 */
export class Exchange implements Listener, ReplyListener {
  readonly core: Core
  readonly number: number
  readonly client: ClientFacts | undefined
  /** The client's half; over HTTP+SSE not the answer to its POST, but its place on the stream. */
  reply: Reply
  transport: 'http' | 'sse' | 'stdio'
  /** Where the client hears everything on one pipe. */
  connection: Connection | undefined
  /** The way of what comes back. */
  answer: AnswerPath
  readonly startedAt = performance.now()
  /** Among those in flight. */
  readonly place: QueueNode<Exchange> = new QueueNode<Exchange>(this)
  kind: ExchangeKind = 'request'
  era: Era = 'legacy'
  /** `MCP-Protocol-Version`, or what `_meta` says. */
  version: string | undefined
  message: Message | undefined
  batch: readonly Message[] | undefined
  /** The bytes that go upstream over HTTP. */
  body: Buffer | undefined
  /** False: what the client sent is no message. */
  wellFormed = true
  /** Who asks; bound to the sessions it makes. */
  principal = 'anonymous'
  session: Session | undefined
  /** The handle of a session that this exchange may be about to make: its first frame should carry it already. */
  handle: string | undefined
  /** What the client sent, for whoever watches; told once the session is known. */
  received: { readonly bytes: Buffer | undefined; readonly truncated?: Frame['truncated'] } | undefined
  leg: Leg | undefined
  /** What stands behind the path of the client's URL (`?…`); it goes to the server as well. */
  query: string | undefined
  /** End-to-end headers for the server (HTTP); hooks change them in place. */
  headers: string[] = []
  slots: unknown[] | undefined
  /** This GET opens a pipe of HTTP+SSE. */
  opens: OpeningPipe | undefined
  /** The server turned out to speak another transport than the leg's: chooses another leg. */
  onOtherTransport: (() => Answer | undefined | Promise<Answer | undefined>) | undefined
  /** Another instance has handed it over: who may come in was settled there. */
  fromPeer = false
  /** Over HTTP+SSE, to a pipe that another process holds: what it brought goes there as it is. */
  posted = false
  /** The process that carries it out in the place of this one (`Membership.id`). */
  peer: string | undefined
  /** Nothing of it was done there: chooses once more who is to carry it out. */
  chooseAgain: (() => Promise<Answer | undefined>) | undefined
  /** How often it was looked for once more. */
  lookedAgain = 0
  /** Wants to see the messages of the answer without changing them (besides taps). */
  onAnswer: ((message: Buffer) => void) | undefined
  /** What catflap itself says first on a stream, right behind its head. */
  greeting: readonly Message[] | undefined
  /** The server had lost the session, and this exchange has gone to it once more (or is about to). */
  again = false
  /** The answer says so. */
  lost = false
  /** Where numbers are kept: what watches the call. */
  probe: CallProbe | undefined
  #call: Call | undefined
  #brake: Brake | undefined
  #leave: (() => void) | undefined
  /** Of a 404 or 400, while and after it was found out what it means. */
  #judged: ReplyHead | undefined
  #ended = false
  #entered = false

  constructor(core: Core, reply: Reply, from: ClientFacts | Connection) {
    this.core = core
    this.reply = reply
    if ('leg' in from) {
      this.transport = 'stdio'
      this.connection = from
      this.leg = from.leg
      this.session = from.session
    } else {
      this.transport = 'http'
      this.client = from
    }
    this.number = core.nextNumber()
    this.answer = new AnswerPath(this)
    reply.listener = this
    core.enter(this)
  }

  get stream(): string {
    return this.client ? `${this.client.method.toLowerCase()}-${this.number}` : 'stdio'
  }

  /** Where the answer goes. */
  get downStream(): string {
    return this.connection?.stream ?? this.stream
  }

  get ended(): boolean {
    return this.#ended
  }

  /** Over HTTP+SSE: the POST has had its answer (202), and what it brought goes on as on any pipe. */
  join(connection: Connection, reply: Reply): void {
    this.reply.listener = undefined
    this.connection = connection
    this.transport = 'sse'
    this.session = connection.session
    this.leg = connection.leg
    this.reply = reply
    reply.listener = this
    this.answer = new AnswerPath(this)
  }

  /** The client no longer wants the answer. */
  get cancelled(): boolean {
    return this.#call?.cancelled ?? false
  }

  /** The client waits for an answer. */
  get #asks(): boolean {
    return this.kind === 'request' || this.kind === 'batch'
  }

  /** Meant to stay open: a GET stream, a subscription. */
  get longLived(): boolean {
    return this.kind === 'listen' || this.message?.method === 'subscriptions/listen'
  }

  /**
   * The request is whole and classified: past the hooks, and on to the server. A promise where a hook made one; it resolves
   * when the request has been handed over or answered, so that a pipe can keep its order.
   */
  run(): void | Promise<void> {
    try {
      const answer = this.core.pipeline.request(this)
      if (!(answer instanceof Promise)) return this.#guard(this.#routed(answer))
      return this.#guard(answer.then(a => this.#routed(a)))
    } catch (error) {
      this.fail(asCatflapError(error))
    }
  }

  #guard(step: void | Promise<void>): void | Promise<void> {
    return step?.catch(error => this.fail(asCatflapError(error)))
  }

  #routed(answer: Answer | undefined): void | Promise<void> {
    if (this.#ended) return
    this.tellRequest()
    if (answer) return this.#answerInstead(answer)
    if (this.core.pipeline.hasMessage && this.core.pipeline.wants(this)) return this.#pastHooks()
    return this.#dispatch()
  }

  #pastHooks(): void | Promise<void> {
    const before = this.batch ?? (this.message ? [this.message] : [])
    const after = callEach(before, m => this.core.pipeline.message(this, m, 'up'))
    const go = (messages: readonly (Message | undefined)[]): void | Promise<void> => {
      if (this.#ended) return
      const kept = messages.filter(m => m !== undefined)
      if (before.length > 0 && kept.length === 0) return this.#dropped()
      if (kept.length !== before.length || kept.some((m, i) => m !== before[i])) applyChange(this, kept)
      return this.#dispatch()
    }
    return after instanceof Promise ? after.then(go) : go(after)
  }

  /** Whoever watches is told what the client sent, once. */
  tellRequest(): void {
    const received = this.received
    if (!received) return
    this.received = undefined
    if (this.core.bus.active) this.core.tap.request(this, received.bytes, received.truncated)
  }

  /** A hook swallowed what the client sent: a request needs an answer all the same. */
  #dropped(): void {
    if (this.#asks) this.fail(new CatflapError('blocked', 'An interceptor dropped the message.'))
    else this.#answerInstead({ http: { status: 202, headers: [], body: undefined } })
  }

  #dispatch(): void | Promise<void> {
    const blocked = this.core.bus.blocked()
    if (blocked) return blocked.then(() => this.#dispatch())
    if (this.#ended) return
    const session = this.session
    // This process may have been stopped a moment ago, and another one have taken what it held.
    if (session?.held && this.peer === undefined && !isOurs(this.core, session)) return this.#whose(session)
    if (session) session.inFlight++
    this.#entered = session !== undefined
    const channel = session?.channel
    if (this.opens) return this.opens.opened(this)
    if (channel && this.kind === 'listen') return this.#listen(session)
    if (channel && this.message?.kind === 'response') {
      if (!channel.answer(this.message) && this.core.bus.active)
        this.core.tap.note(this, 'late', 'an answer to a request that the server no longer waits for')
      return this.answer.onEnd()
    }
    if (!this.leg) return this.fail(new CatflapError('internal', 'no leg to the server'))
    if (channel && this.batch) this.#answersOfBatch(channel, this.batch)
    if (channel && (this.kind === 'request' || this.batch?.some(m => m.kind === 'request'))) {
      this.#leave = channel.enter(this)
      this.reply.openStream?.(true)
    }
    const asking = channel ?? this.connection
    if (this.peer !== undefined) return this.#askPeer(this.leg)
    this.#ask(this.leg, asking && (() => isExcused(asking, this.core.settings.requestTimeout)))
  }

  /** Whoever carries it out keeps the time. */
  #askPeer(leg: Leg): void {
    this.core.handOver?.entered(this)
    this.#ask(leg, () => true)
  }

  /** Answers to the server's requests take their own way out of a batch, like those that come alone. */
  #answersOfBatch(channel: Channel, batch: readonly Message[]): void {
    for (const m of batch) if (m.kind === 'response') channel.answer(m)
    this.batch = batch.filter(m => m.kind !== 'response')
  }

  /** Nothing was done yet: the request goes on as if this had been known when its leg was chosen. */
  otherTransport(): void {
    if (this.#ended) return
    this.#call = undefined
    const chosen = this.onOtherTransport?.()
    const go = (answer: Answer | undefined): void | Promise<void> => {
      if (this.#ended) return
      return answer ? this.#answerInstead(answer) : this.#dispatch()
    }
    void this.#guard(chosen instanceof Promise ? chosen.then(go) : go(chosen))
  }

  /**
   * The server answered 404 or 400 in a session. True: that may mean that the session is lost, and until it is known the answer waits. If
   * it does, and the session can be kept, the request is sent again, once, on the session's new leg; else the client gets a 404.
   */
  sessionLost(head: ReplyHead): boolean {
    const call = this.#call
    if (!call || head === this.#judged || !mayTellLoss(this, head)) return false
    this.#judged = head
    const held = new HeldAnswer(head, head.status === 404 && requestsOf(this).length > 0)
    call.attach(held)
    void this.#guard(this.#judge(call, held))
    return true
  }

  async #judge(call: Call, held: HeldAnswer): Promise<void> {
    this.lost = await isLost(this, held)
    const kept = this.lost && !this.again ? keepSession(this) : undefined
    if (this.core.bus.active && (kept || this.#hides(held))) this.core.tap.refusal(this, held.head)
    if (!kept) return this.#releaseHeld(call, held)
    this.again = true
    const leg = await kept
    return leg ? this.#sendAgain(call, leg) : this.#releaseHeld(call, held)
  }

  /** The server could not be asked. True: the client need not hear of that, or will hear something else. */
  outOfReach(error: CatflapError): boolean {
    const call = this.#call
    if (!call || this.#ended) return false
    if (endsUnheard(this, error)) {
      this.#answerInstead({ http: { status: 200, headers: [], body: undefined } })
      return true
    }
    if (this.peer !== undefined) return this.#handOverAgain(error)
    if (this.again || !isGivenUp(this, error)) return false
    this.again = true
    void this.#guard(this.#elsewhere(call, error))
    return true
  }

  /** It is carried out by whoever `chooseAgain` says, and nobody here looks at it. */
  relay(choose: () => Promise<Answer | undefined>): void {
    this.chooseAgain = choose
    this.tellRequest()
    void this.#guard(this.#chooseAgain())
  }

  /** False: something of it may have been done where it was handed over. */
  #handOverAgain(error: CatflapError): boolean {
    if (!this.chooseAgain || !(isUnsent(error) || error.code === 'session_moved')) return false
    this.core.handOver?.left(this)
    this.core.handOver?.vain(this, error)
    this.#leave?.()
    this.#leave = undefined
    if (this.#entered && this.session) this.session.inFlight--
    this.#entered = false
    this.#call = undefined
    void this.#guard(this.#chooseAgain())
    return true
  }

  /** What this process held may be another one's by now: nothing is done before that is known. */
  async #whose(session: Session): Promise<void> {
    if (this.chooseAgain) return await this.#chooseAgain()
    await this.core.handOver?.membership.confirm()
    if (this.#ended) return
    return session.ended ? this.fail(new CatflapError('owner_unreachable')) : this.#dispatch()
  }

  /** Nothing of it was done yet. */
  async #chooseAgain(): Promise<void> {
    const answer = await this.chooseAgain?.()
    if (this.#ended) return
    return answer ? this.#answerInstead(answer) : this.#dispatch()
  }

  /** The process that was to carry it out is gone: nobody knows what it has done. */
  ownerLost(): void {
    const call = this.#call
    if (call?.unsent) {
      call.detach()
      call.cancel('client-gone')
      if (this.#handOverAgain(new CatflapError('session_moved'))) return
    }
    // It may all be here, and its client not read it.
    if (this.#brake?.held) return
    if (this.longLived && this.streaming) return this.finish()
    this.broken(new CatflapError('owner_lost'))
  }

  async #elsewhere(call: Call, error: CatflapError): Promise<void> {
    const next = await withoutServer(this, error)
    return next instanceof CatflapError ? this.fail(next) : this.#sendAgain(call, next)
  }

  /** Of the server's answer the client hears no more than what it means. */
  #hides(held: HeldAnswer): boolean {
    return this.lost && held.head.status === 400
  }

  #releaseHeld(call: Call, held: HeldAnswer): void {
    if (this.#ended) return
    if (this.#hides(held)) return this.broken(saidWith400(this))
    call.attach(this.answer)
    if (!held.release(this.answer)) call.cancel('client-gone')
  }

  #sendAgain(call: Call, leg: Leg): void | Promise<void> {
    call.detach()
    this.lost = false
    if (this.#ended) return
    // A refusal of a stream that never ends would last as long as one.
    if (this.kind === 'listen') call.cancel('client-gone')
    const instead = readyAgain(this, leg)
    if (instead) return this.#answerInstead(instead)
    this.core.meter?.again('session_lost')
    const blocked = this.core.bus.blocked()
    const go = (): void => {
      if (!this.#ended) this.#ask(leg, undefined)
    }
    return blocked ? blocked.then(go) : go()
  }

  #ask(leg: Leg, excused: (() => boolean) | undefined): void {
    this.#call = callOf(this, leg, excused)
    this.#call.start()
  }

  /** A stream of the server's own messages that has begun. */
  get streaming(): boolean {
    return this.kind === 'listen' && this.reply.state === 'sse' && !this.#ended
  }

  /** Something of ours would stand between two events there, and go out at once. */
  get canSay(): boolean {
    return this.streaming && this.#call?.betweenEvents === true && !this.#brake?.held
  }

  /** Nothing will come on this stream any more: says these last where it can, and ends it, so that the client opens another. */
  sayAndEnd(messages: readonly Message[]): void {
    if (this.#ended) return
    const clean = this.canSay
    this.#call?.detach()
    this.#call?.cancel('shutdown')
    if (!clean) return this.fail(new CatflapError('upstream_session_lost'))
    for (const message of messages) this.answer.say(message)
    this.answer.onEnd()
  }

  /** A stream of the session's channel, where the upstream is a pipe. */
  #listen(session: Session): void {
    this.reply.openStream?.()
    if (this.core.bus.active) this.core.tap.own(this, 200, [], undefined)
    this.#leave = session.channel?.openStream(this)
  }

  /** The session's channel hands over a message of the server's own. */
  deliver(message: Message): boolean {
    if (this.#ended || this.full) return false
    this.probe?.message(message, false)
    this.answer.onMessage(message, false)
    return true
  }

  /** More waits for this client than it may keep waiting. */
  get full(): boolean {
    return this.reply.queued + this.answer.waiting > this.core.settings.maxExchangeQueue
  }

  /** A request of the server's that came on this exchange will never reach the client: the server is not left waiting. */
  refuseServer(request: Message): void {
    const error = new CatflapError('blocked', 'An interceptor kept the request from the client.')
    if (this.connection) return this.connection.refuse(request, error)
    if (this.session?.channel) return this.session.channel.refuse(request, error)
    if (!this.leg) return
    const message = refusal(request, error)
    if (this.core.bus.active) this.core.tap.loose(this.session, this.stream, 'server', 'up', message, true)
    sendOwn(this.leg, this, message)
  }

  /** The session is over, and with it this stream of its own messages. */
  channelClosed(): void {
    this.finish()
  }

  /** Refuses, or gives up: the client gets an error where that is still possible. */
  fail(error: CatflapError): void {
    if (this.#ended) return
    const status = this.reply.state === 'pending' || this.reply.state === 'json' ? error.status : this.answer.status
    const refused = this.#call === undefined
    if (error.code === 'internal') this.core.log.error('internal', error.message, { cause: String(error.cause ?? '') })
    this.tellRequest()
    // A stream with ids that breaks has not failed: the client comes back with Last-Event-ID, and an error would end its wait.
    const resumed = error.code === 'upstream_reset' && this.reply.state === 'sse' && this.#call?.resumable === true
    if (this.core.bus.active) {
      // On a pipe, a client that has cancelled is told nothing any more.
      const told = !this.connection || (this.#asks && error.code !== 'cancelled')
      if (!resumed && told)
        this.core.tap.own(this, this.connection ? undefined : status, [], error.toJsonRpc(this.message?.idText))
      this.core.tap.note(this, refused ? 'refused' : 'error', error.message, { code: error.code }, 'client')
    }
    // What was meant for the server's answer (a session's id) is no part of ours.
    if (!refused) this.reply.extra = []
    if (this.batch) this.#failEach(error)
    this.reply.fail(error, this.message?.kind === 'request' && !resumed ? this.message.idText : undefined)
    this.#end({
      result: error.code === 'cancelled' ? 'cancelled' : refused ? 'refused' : 'failed',
      status,
      code: error.code,
      duration: this.#age()
    })
  }

  /** On a pipe, and on a stream that has begun, nothing but an answer of its own ends a request's wait. */
  #failEach(error: CatflapError): void {
    // What is no batch is refused as a whole (JSON-RPC 2.0 §6); who has cancelled is told nothing any more.
    if (error.code === 'invalid_request' || error.code === 'cancelled') return
    const oneByOne =
      this.connection !== undefined || (this.session?.channel !== undefined && this.reply.state === 'sse')
    if (!oneByOne) return
    for (const m of this.answer.unanswered) this.reply.message(Message.parse(error.toJsonRpc(m.idText)), false)
  }

  onDrained(): void {
    this.opens?.roomAgain()
    this.#brake?.release('reader')
  }

  onGone(): void {
    this.abandon('client-gone')
  }

  /** Nobody waits for the answer any more. What that means upstream depends on era and wire (the detach policy). */
  abandon(reason: CancelReason): void {
    if (this.#ended) return
    this.tellRequest()
    if (this.core.bus.active && reason === 'client-gone')
      this.core.tap.note(this, 'disconnect', 'the client went away', undefined, 'client')
    const call = this.#call
    // A legacy server on a pipe finishes what it was asked: disconnecting is no cancellation there, and nobody hears it.
    const onPipe = this.peer === undefined && (this.core.target.kind !== 'http' || this.session?.channel !== undefined)
    if (call && this.era === 'legacy' && onPipe && reason === 'client-gone') call.detach()
    else call?.cancel(reason)
    if (reason === 'shutdown') return this.fail(new CatflapError(this.cancelled ? 'cancelled' : 'shutting_down'))
    this.#end({ result: 'gone', duration: this.#age() })
  }

  /** Ends a stream that would never end by itself, the way a server would. */
  finish(): void {
    if (this.#ended || this.#call?.done) return
    this.#call?.detach()
    this.#call?.cancel('shutdown')
    this.#endSubscription()
    // Nothing was promised yet: to end it here would be an answer that the server never gave.
    if (this.reply.state === 'pending') return this.fail(new CatflapError('shutting_down'))
    this.reply.end()
    this.answered()
  }

  /** In the modern era a stream that is ended in order says so (spec 2026-07-28 basic/patterns/subscriptions, "Graceful Closure"). */
  #endSubscription(): void {
    if (this.era !== 'modern' || this.kind !== 'request' || !this.reply.farewell) return
    const message = subscriptionEnd(this.message!)
    if (this.reply.farewell(message) && this.core.bus.active) this.core.tap.own(this, undefined, [], message.bytes)
  }

  #answerInstead(answer: Answer): void {
    if ('error' in answer) return this.fail(answer.error)
    if ('message' in answer) {
      if (this.core.bus.active) this.core.tap.own(this, this.connection ? undefined : 200, [], answer.message.bytes)
      this.reply.message(answer.message, true)
    } else {
      const { status, headers, body } = answer.http
      // On a pipe there is no status: who asks gets an error in its place, and anybody else nothing.
      if (this.connection && this.#asks)
        return this.fail(new CatflapError('blocked', `Answered with HTTP status ${status}.`))
      if (this.core.bus.active && !this.connection) this.core.tap.own(this, status, headers, body)
      this.reply.answer(answer.http)
    }
    this.#end({ result: 'refused', status: 'http' in answer ? answer.http.status : 200, duration: this.#age() })
  }

  // What the answer's path tells.

  /** Holds what the server says to this exchange. */
  get brake(): Brake {
    this.#brake ??= new Brake(
      () => this.#call?.pause(),
      () => this.#call?.resume()
    )
    return this.#brake
  }

  /** The answer went out whole. */
  answered(): void {
    // A server on a pipe says none.
    const usual = this.kind === 'notify' ? 202 : 200
    this.#end({ result: 'answered', status: this.answer.status ?? usual, duration: this.#age() })
  }

  /** What came cannot be passed on: the server need not send the rest. */
  broken(error: CatflapError): void {
    this.#call?.detach()
    this.#call?.cancel('client-gone')
    this.fail(error)
  }

  #end(outcome: Outcome): void {
    this.#ended = true
    if (outcome.result !== 'answered') this.answer.stop()
    this.#leave?.()
    if (this.peer !== undefined) this.core.handOver?.left(this)
    this.opens?.close()
    if (this.#entered && this.session) {
      const { session } = this
      session.inFlight--
      this.core.sessions.touch(session)
      // Behind its server's restart: which event ids the client may know from the new one.
      if (session.recovery && this.leg === session.leg && this.#call?.resumable)
        foundIds(this.core, session, session.recovery)
    }
    this.core.leave(this)
    this.core.pipeline.end(this, outcome, error =>
      this.core.log.error('internal', `an interceptor's end hook failed: ${error}`)
    )
  }

  #age(): number {
    return performance.now() - this.startedAt
  }
}

/** Surely so: what this process holds has not been taken from it. */
function isOurs({ handOver }: Core, session: Session): boolean {
  return !session.ended && handOver?.membership.holds !== false
}

/** The server waits for its client, or has just had its answer: it gets its whole time to go on with it. */
function isExcused(asking: { readonly awaiting: number; readonly answeredAt: number }, time: number): boolean {
  return asking.awaiting > 0 || performance.now() - asking.answeredAt < time
}
