import type { Message } from '../protocol/message.ts'
import type { CallReceiver, UpstreamCall } from '../transport/upstream.ts'
import { Asides } from './asides.ts'
import { Asks } from './asks.ts'
import { type Capabilities, declaredIn } from './capabilities.ts'
import { isInstead } from './faults.ts'
import type { LiveServer } from './live-server.ts'
import type { Hit } from './matching.ts'
import { OpenPlays } from './open-plays.ts'
import { OwnRecordings } from './own-recordings.ts'
import { Play } from './play.ts'
import type { RecordedRequest, Said } from './recording.ts'
import type { Replay } from './replay.ts'
import { ReplayTokens } from './replay-tokens.ts'
import { Schedule } from './schedule.ts'
import type { Cue, Stage, Waiting } from './sequence.ts'
import { answerError, answerText, readText } from './spoken.ts'
import { isObject } from './values.ts'

/** Where what the server says goes. */
export interface Outlet {
  /** A message outside any answer; `call` is the one that it belongs to, where that is known. */
  message(message: Message, call: CallReceiver | undefined): void
}

/**
 * One client's replay: which of the recordings of a request is its next, what the server has asked it, what it has declared. Nothing of
 * it is shared with other clients.
 */
export class ReplaySession implements Stage {
  readonly schedule: Schedule = new Schedule()
  readonly replay: Replay
  readonly asks: Asks
  readonly tokens: ReplayTokens = new ReplayTokens()
  paused = false
  readonly #outlet: Outlet
  readonly #own: OwnRecordings
  readonly #plays = new OpenPlays()
  readonly #waiting = new Set<Waiting>()
  readonly #asides: Asides
  #declared: Capabilities = {}
  #reached = 0
  #initialize: Message | undefined
  #live: LiveServer | undefined
  #closed = false

  constructor(replay: Replay, outlet: Outlet, name?: string) {
    this.replay = replay
    this.#outlet = outlet
    this.asks = new Asks(this)
    const tell = (said: Said): void => readText(this, said, undefined)
    this.#asides = new Asides(this, { tell, holds: cue => this.#plays.before(cue) }, () => this.goOn())
    this.#own = new OwnRecordings(replay, name, before => this.#aside(before, before[0]!))
    replay.report.sessions++
  }

  get speed(): number {
    return this.replay.speed
  }

  get idle(): boolean {
    return this.#plays.size === 0 && this.#asides.size === 0
  }

  /** `heads`: whoever asks can be told a status. */
  request(message: Message, receiver: CallReceiver, heads: boolean): UpstreamCall {
    const { replay } = this
    const modern = replay.isModern(message)
    const refused = replay.refusal(message, modern)
    if (refused) return answerError(receiver, message, refused)
    replay.report.requests++
    const due = this.#own.due(message, modern)
    if (due) return this.#play(due, { message, receiver, heads, modern })
    if (message.method === 'initialize') this.#begin(message)
    const found = this.#own.find(message, modern)
    if ('request' in found) {
      const diverging = replay.answersOtherwise(found)
      if (diverging) return answerError(receiver, message, diverging)
      return this.#play(found, { message, receiver, heads, modern })
    }
    if (message.method === 'ping') return answerText(receiver, `{"jsonrpc":"2.0","id":${message.idText},"result":{}}`)
    const otherEra = modern ? replay.revisions.legacyRefusal(message) : undefined
    if (otherEra) return answerError(receiver, message, otherEra)
    const live = this.#liveServer()
    if (live) {
      replay.report.asked++
      const failed = (reason: string): void => replay.unanswered(message, found.miss, reason)
      return live.ask(message, receiver, { initialize: this.#initialize, failed })
    }
    return answerError(receiver, message, replay.missed(message, found.miss))
  }

  /** The client tells something. */
  notification(message: Message): void {
    const method = message.method!
    if (method === 'notifications/cancelled') this.#cancelled(message)
    this.#live?.tell(message)
    const recorded = this.#own.notification(method)
    if (recorded) this.#reachedWith(recorded.order, this.replay.after(recorded), recorded)
  }

  /** The client answers a question of the server's. */
  answer(message: Message): void {
    if (!this.#live?.answer(message)) this.asks.answer(message)
  }

  #begin(initialize: Message): void {
    this.#initialize = initialize
    const { params } = initialize.json as { params?: { capabilities?: unknown } }
    this.#declared = isObject(params?.capabilities) ? params.capabilities : {}
    this.#own.begin(initialize)
  }

  /** The client has to make the request once more to get its recording. */
  owes({ message, recorded, again }: Play): void {
    this.#own.owes(message, { request: recorded, again })
  }

  #play(
    { request: recorded, again }: Hit,
    { message, receiver, heads, modern }: { message: Message; receiver: CallReceiver; heads: boolean; modern: boolean }
  ): UpstreamCall {
    const { replay } = this
    const after = again ? NOTHING : replay.after(recorded)
    const declared = modern ? declaredIn(message) : this.#declared
    const token = message.progressTokenText
    if (token !== undefined && recorded.progressToken !== undefined) this.tokens.know(recorded.progressToken, token)
    const faults = replay.faults.any
      ? replay.faults.of(recorded.method, this.#own.count(`fault ${recorded.method}`))
      : []
    const play = new Play(this, recorded, { message, receiver, heads, declared, modern, faults, again, after })
    if (faults.some(isInstead)) this.owes(play)
    this.#plays.add(play)
    this.reached(recorded.order)
    this.#start(play)
    return play
  }

  /** In a turn of its own, as whoever calls has the call by then. */
  #start(play: Play): void {
    if (this.#plays.size === 1 && this.#asides.size === 0 && play.isAlone) queueMicrotask(() => play.start())
    // What was read together is there together: each finds its place among the others.
    else setImmediate(() => play.start())
  }

  /** A subscription's events come behind what they came behind on the tape. */
  patience(recorded: RecordedRequest): ((order: number) => boolean) | undefined {
    if (recorded.method !== 'subscriptions/listen') return undefined
    const index = this.replay.indexOf(this.replay.recording.modern!)
    return order => index.momentBefore(order) > this.#reached
  }

  /** This request is over: what the server said behind its answer follows. */
  ended(play: Play, answered: boolean): void {
    if (!this.#plays.delete(play)) return
    this.asks.drop(play)
    const { recorded, after } = play
    const { outcome } = recorded
    if (answered && !this.#closed) {
      const end = outcome.kind === 'open' ? recorded : outcome
      this.#reachedWith(end.order, after, end)
    } else {
      if (!play.cancelled) this.left(play)
      this.goOn()
    }
  }

  /** A client left it, as on the tape. What was said behind an end that nobody is told comes when the client has come as far as then. */
  left({ recorded, after }: Play): void {
    if (!recorded.cancelled) return
    const { index } = this.#own
    this.#aside(after, recorded.cancelled, index && (order => index.begunBefore(order) > this.#reached))
  }

  /** A question of the recording is settled: the client has answered it, or could not be asked. */
  settled(said: Said): void {
    const { answer } = said
    if (!answer) return
    this.#plays.rebase(answer)
    this.#reachedWith(answer.order, this.replay.after(answer), answer)
    this.goOn()
  }

  /** The client has come so far, and what the server said then is in its place before anything goes on. */
  #reachedWith(order: number, said: readonly Said[], behind: { readonly at: number }): void {
    const isFurther = order > this.#reached
    if (isFurther) this.#reached = order
    this.#aside(said, behind)
    if (isFurther) this.goOn()
  }

  /** The client has come so far on the tape. */
  reached(order: number): void {
    if (order <= this.#reached) return
    this.#reached = order
    this.goOn()
  }

  goOn(): void {
    if (this.#waiting.size > 0) for (const one of [...this.#waiting]) one.advance()
  }

  /** The live request that waits for this question's answer. */
  waitsFor(said: Said): Play | undefined {
    return this.#plays.behind(said)
  }

  // What sequences ask of their stage.

  /** What was said of the session at large keeps its place among all that is being told; answers need not wait for one another. */
  holds(order: number, by: Waiting): boolean {
    return this.asks.unansweredBefore(order) || this.#asides.before(order, by)
  }

  holdsBack(play: Play, cue: Cue, isLoose: boolean): boolean {
    return this.#plays.holdsBack(play, cue, isLoose)
  }

  told(): void {
    this.goOn()
  }

  wait(one: Waiting): void {
    this.#waiting.add(one)
  }

  leave(one: Waiting): void {
    this.#waiting.delete(one)
  }

  say(message: Message, play: Play | undefined): void {
    this.#outlet.message(message, play?.receiver)
  }

  /** What the client can do, as it said at the start. */
  get declared(): Capabilities {
    return this.#declared
  }

  pause(): void {
    this.paused = true
    this.#live?.pause()
  }

  resume(): void {
    if (!this.paused) return
    this.paused = false
    this.goOn()
    this.#live?.resume()
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#asides.stop()
    for (const play of [...this.#plays.all]) play.endSession()
    this.schedule.close()
    this.replay.left(this)
    await this.#live?.close()
  }

  /** What was said of the session at large, behind something that has just happened. */
  #aside(said: readonly Said[], behind: { readonly at: number }, waits?: (order: number) => boolean): void {
    if (said.length > 0 && !this.#closed) this.#asides.add(said, behind.at, waits)
  }

  #cancelled(message: Message): void {
    if (message.requestIdText !== undefined) this.#plays.called(message.requestIdText)?.clientCancelled()
  }

  #liveServer(): LiveServer | undefined {
    this.#live ??= this.replay.liveServer(this, this.#outlet)
    return this.#live
  }
}

const NOTHING: readonly Said[] = []
