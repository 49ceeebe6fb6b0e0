import type { Message } from '../protocol/message.ts'
import type { CallReceiver, UpstreamCall } from '../transport/upstream.ts'
import { Asides } from './asides.ts'
import { Asks } from './asks.ts'
import type { Capabilities } from './capabilities.ts'
import { type FaultRule, isInstead } from './faults.ts'
import type { Standing } from './line.ts'
import type { LiveServer } from './live-server.ts'
import type { Hit } from './matching.ts'
import { OpenPlays } from './open-plays.ts'
import { OwnRecordings } from './own-recordings.ts'
import { Patience, type Patient } from './patience.ts'
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
  /** The client has come so far on the tape. */
  place = 0
  readonly #outlet: Outlet
  readonly #own: OwnRecordings
  readonly #plays: OpenPlays
  readonly #asides: Asides
  readonly #patience = new Patience()
  /** While the reader asks for a pause. */
  readonly #resting = new Set<Waiting>()
  #woken: Waiting[] = []
  #declared: Capabilities = {}
  #initialize: Message | undefined
  #live: LiveServer | undefined
  #closed = false

  constructor(replay: Replay, outlet: Outlet, name?: string) {
    this.replay = replay
    this.#outlet = outlet
    const wake = (one: Waiting): void => this.#wake(one)
    this.asks = new Asks(this, wake)
    this.#plays = new OpenPlays(wake)
    const tell = (said: Said): void => readText(this, said, undefined)
    this.#asides = new Asides(this, { tell, wake, ahead: cue => this.#plays.before(cue) })
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
    if (recorded) this.#reached(recorded.order, this.replay.after(recorded), recorded)
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
  owes({ message, modern, recorded, again }: Play): void {
    this.#own.owes(message, modern, { request: recorded, again })
  }

  #play(
    { request: recorded, again }: Hit,
    { message, receiver, heads, modern }: { message: Message; receiver: CallReceiver; heads: boolean; modern: boolean }
  ): UpstreamCall {
    const { replay } = this
    const after = again ? NOTHING : replay.after(recorded)
    const declared = modern ? undefined : this.#declared
    const token = message.progressTokenText
    if (token !== undefined && recorded.progressToken !== undefined) this.tokens.know(recorded.progressToken, token)
    const faults = replay.faults.any ? this.#faultsOf(recorded) : NONE
    const play = new Play(this, recorded, { message, receiver, heads, declared, modern, faults, again, after })
    if (faults.some(isInstead)) this.owes(play)
    this.#plays.add(play)
    this.#reached(recorded.order)
    this.#start(play)
    return play
  }

  /** Clients that try again begin in a session of their own: their beginnings are counted over the whole tape. */
  #faultsOf({ method }: RecordedRequest): readonly FaultRule[] {
    const { faults, counts } = this.replay
    return faults.of(method, (method === 'initialize' ? counts : this.#own.counts).next(`fault ${method}`))
  }

  /**
   * Not at once: whoever calls has the call by then, what was read together is there together, so that each finds its place among the
   * others, and answers to clients beside each other leave together, which spares them from being woken one by one.
   */
  #start(play: Play): void {
    setImmediate(() => play.start())
  }

  /** A subscription's events come behind what they came behind on the tape. */
  momentBefore(order: number): number {
    return this.replay.indexOf(this.replay.recording.modern!).momentBefore(order)
  }

  /** This request is over: what the server said behind its answer follows. */
  ended(play: Play, answered: boolean): void {
    if (!this.#plays.delete(play)) return
    this.asks.drop(play)
    const { recorded, after } = play
    const { outcome } = recorded
    if (answered && !this.#closed) {
      const end = outcome.kind === 'open' ? recorded : outcome
      this.#reached(end.order, after, end)
    } else if (!play.cancelled) this.left(play)
  }

  /** A client left it, as on the tape. What was said behind an end that nobody is told comes when the client has come as far as then. */
  left({ recorded, after }: Play): void {
    if (!recorded.cancelled) return
    const { index } = this.#own
    this.#aside(after, recorded.cancelled, index && (order => index.begunBefore(order)))
  }

  /** A question of the recording is settled: the client has answered it, or could not be asked. */
  settled(said: Said): void {
    const { answer } = said
    if (!answer) return
    if (this.speed !== Number.POSITIVE_INFINITY) this.#plays.rebase(answer)
    this.#reached(answer.order, this.replay.after(answer), answer)
  }

  /** The client has come so far on the tape, and what the server said then is in its place before anything goes on. */
  #reached(order: number, said: readonly Said[] = NOTHING, behind?: { readonly at: number }): void {
    if (behind) this.#aside(said, behind)
    if (order <= this.place) return
    this.place = order
    this.#patience.reached(order)
  }

  /** The live request that waits for this question's answer. */
  waitsFor(said: Said): Play | undefined {
    return this.#plays.behind(said)
  }

  /** What it waited for may have come. It looks when all that happens now has happened, however much waits for one another. */
  #wake(one: Waiting): void {
    if (this.#woken.push(one) === 1) queueMicrotask(this.#goOn)
  }

  readonly #goOn = (): void => {
    const woken = this.#woken
    this.#woken = []
    for (const one of woken) one.advance()
  }

  // What sequences ask of their stage.

  /** What was said of the session at large keeps its place among all that is being told; answers need not wait for one another. */
  ahead(order: number): Standing | undefined {
    return this.asks.before(order) ?? this.#asides.before(order)
  }

  aheadOf(play: Play, cue: Cue, isLoose: boolean): Standing | undefined {
    return this.#plays.ahead(play, cue, isLoose)
  }

  moved(play: Play): void {
    this.#plays.moved(play)
  }

  rests(one: Waiting): boolean {
    if (this.paused) this.#resting.add(one)
    return this.paused
  }

  wait(one: Patient, place: number): void {
    this.#patience.wait(one, place)
  }

  leave(one: Patient): void {
    this.#patience.leave(one)
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
    for (const one of this.#resting) {
      // What the first of them tell may be too much again.
      if (this.paused) return
      this.#resting.delete(one)
      one.advance()
    }
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
  #aside(said: readonly Said[], behind: { readonly at: number }, waitsFor?: (order: number) => number): void {
    if (said.length > 0 && !this.#closed) this.#asides.add(said, behind.at, waitsFor)
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
const NONE: readonly FaultRule[] = []
