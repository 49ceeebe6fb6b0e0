import { idKey } from '../protocol/id.ts'
import type { Message } from '../protocol/message.ts'
import type { CallReceiver, UpstreamCall } from '../transport/upstream.ts'
import { Asks } from './asks.ts'
import { type Capabilities, META_CAPABILITIES } from './capabilities.ts'
import type { ConversationIndex } from './conversation-index.ts'
import { isInstead } from './faults.ts'
import type { LiveServer } from './live-server.ts'
import type { Cursor } from './matching.ts'
import { Owed } from './owed.ts'
import { Play } from './play.ts'
import type { RecordedAnswer, RecordedRequest, Said, Step } from './recording.ts'
import type { Replay } from './replay.ts'
import { Schedule } from './schedule.ts'
import { type Cue, Sequence, type Stage, type Waiting } from './sequence.ts'
import { answerText, readText } from './spoken.ts'
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
  paused = false
  readonly #outlet: Outlet
  readonly #name: string | undefined
  readonly #cursors: { legacy?: Cursor; modern?: Cursor } = {}
  readonly #plays = new Set<Play>()
  /** Those that bring something of the session at large. */
  readonly #loosePlays = new Set<Play>()
  readonly #waiting = new Set<Waiting>()
  /** What the server says that belongs to no request. */
  readonly #asides = new Set<Sequence<Said>>()
  /** How often a method was used: of notifications, and of requests where faults depend on it. */
  readonly #times = new Map<string, number>()
  readonly #owed = new Owed()
  /** The recording's progress tokens, as this client calls them. */
  readonly #tokens = new Map<string, string>()
  #index: ConversationIndex | undefined
  #declared: Capabilities = {}
  #reached = 0
  #initialize: Message | undefined
  #live: LiveServer | undefined
  #begun = false
  #closed = false

  constructor(replay: Replay, outlet: Outlet, name?: string) {
    this.replay = replay
    this.#outlet = outlet
    this.#name = name
    this.asks = new Asks(this)
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
    if (refused) return answerText(receiver, refused)
    replay.report.requests++
    const due = this.#owedTo(message) ?? replay.refusedBeginning(message, modern)
    if (due) return this.#play({ request: due, again: false }, { message, receiver, heads, modern })
    if (message.method === 'initialize') this.#begin(message)
    const found = replay.find(message, this.#cursor(modern))
    if ('request' in found) {
      const diverging = replay.answersOtherwise(found)
      if (diverging) return answerText(receiver, diverging.toJsonRpc(message.idText).toString())
      return this.#play(found, { message, receiver, heads, modern })
    }
    if (message.method === 'ping') return answerText(receiver, `{"jsonrpc":"2.0","id":${message.idText},"result":{}}`)
    const live = this.#liveServer()
    if (live) {
      replay.report.asked++
      const failed = (reason: string): void => replay.unanswered(message, found.miss, reason)
      return live.ask(message, receiver, { initialize: this.#initialize, failed })
    }
    return answerText(receiver, replay.missed(message, found.miss).toJsonRpc(message.idText).toString())
  }

  /** The client tells something. */
  notification(message: Message): void {
    const method = message.method!
    if (method === 'notifications/cancelled') this.#cancelled(message)
    this.#live?.tell(message)
    const index = this.#conversationIndex()
    const recorded = index?.notification(method, this.#count(method))
    if (!recorded) return
    this.#reachedWith(recorded.order, index!.after(recorded), recorded)
  }

  /** The client answers a question of the server's. */
  answer(message: Message): void {
    if (!this.#live?.answer(message)) this.asks.answer(message)
  }

  #begin(initialize: Message): void {
    this.#initialize = initialize
    const { params } = initialize.json as { params?: { capabilities?: unknown } }
    this.#declared = isObject(params?.capabilities) ? params.capabilities : {}
    if (this.#begun) return
    this.#begun = true
    const conversation = this.replay.conversationLike(initialize, this.#name)
    if (!conversation) return
    this.#cursors.legacy = this.replay.cursor('legacy', conversation)
    this.#index = this.replay.indexOf(conversation)
    const { before } = this.#index
    if (before.length > 0) this.#sequence(before, before[0]!.at)
  }

  /** The recording of the same request that a fault was told in the place of. */
  #owedTo(message: Message): RecordedRequest | undefined {
    const { replay } = this
    const owed = replay.faults.any ? this.#owed.take(message) : undefined
    if (owed) replay.hit(owed)
    return owed
  }

  #cursor(modern: boolean): Cursor | undefined {
    const era = modern ? 'modern' : 'legacy'
    this.#cursors[era] ??= this.replay.cursor(era)
    return this.#cursors[era]
  }

  #play(
    { request: recorded, again }: { readonly request: RecordedRequest; readonly again: boolean },
    { message, receiver, heads, modern }: { message: Message; receiver: CallReceiver; heads: boolean; modern: boolean }
  ): UpstreamCall {
    const { replay } = this
    const after = again ? NOTHING : (this.#index?.after(recorded) ?? recorded.after)
    const declared = modern ? declaredIn(message) : this.#declared
    const token = message.progressTokenText
    if (token !== undefined && recorded.progressToken !== undefined) this.#knowToken(recorded.progressToken, token)
    const faults = replay.faults.any ? replay.faults.of(recorded.method, this.#count(`fault ${recorded.method}`)) : []
    if (faults.some(isInstead)) this.#owed.give(message, recorded)
    const play = new Play(this, recorded, { message, receiver, heads, declared, modern, faults, again, after })
    this.#plays.add(play)
    if (play.isLoose) this.#loosePlays.add(play)
    this.reached(recorded.order)
    // Whoever calls has the call by then, and what was read together is there together: each finds its place among the others.
    setImmediate(() => play.start())
    return play
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
    this.#loosePlays.delete(play)
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
    const index = this.#conversationIndex()
    this.#aside(after, recorded.cancelled, index && (order => index.begunBefore(order) > this.#reached))
  }

  /** A question of the recording is settled: the client has answered it, or could not be asked. */
  settled(said: Said): void {
    const { answer } = said
    if (!answer) return
    for (const play of this.#plays) play.rebase(answer.at)
    this.#reachedWith(answer.order, this.#afterAnswer(answer), answer)
    this.goOn()
  }

  /** The client has come so far, and what the server said then is in its place before anything goes on. */
  #reachedWith(order: number, said: readonly Said[], behind: { readonly at: number }): void {
    const isFurther = order > this.#reached
    if (isFurther) this.#reached = order
    this.#aside(said, behind)
    if (isFurther) this.goOn()
  }

  #conversationIndex(): ConversationIndex | undefined {
    const { modern } = this.replay.recording
    return this.#index ?? (modern && !this.#begun ? this.replay.indexOf(modern) : undefined)
  }

  #afterAnswer(answer: RecordedAnswer): readonly Said[] {
    return this.#index?.after(answer) ?? answer.after
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
    for (const play of this.#plays) if (play.isBehind(said)) return play
    return undefined
  }

  // What sequences ask of their stage.

  /** What was said of the session at large keeps its place among all that is being told; answers need not wait for one another. */
  holds(order: number, by: Waiting): boolean {
    if (this.asks.unansweredBefore(order)) return true
    for (const aside of this.#asides) if (aside !== by && aside.next < order) return true
    return false
  }

  /** The same between requests that were open at one time: what was said at large waits for all, and all wait for it. */
  holdsBack(play: Play, cue: Cue, isLoose: boolean): boolean {
    if (play.again) return false
    const { order } = play.recorded
    for (const other of isLoose ? this.#plays : this.#loosePlays) {
      if (other === play || other.again || other.until < order) continue
      if ((isLoose ? other.next : other.nextLoose) < cue.order) return true
    }
    return false
  }

  #isBehindPlay({ order }: Cue): boolean {
    for (const play of this.#plays) if (!play.again && play.next < order) return true
    return false
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

  /** The client's name for a progress token of the recording. */
  tokenFor(token: string): string | undefined {
    return this.#tokens.get(idKey(token))
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
    for (const aside of this.#asides) aside.stop()
    for (const play of [...this.#plays]) play.endSession()
    this.schedule.close()
    this.replay.left(this)
    await this.#live?.close()
  }

  /** What was said of the session at large, behind something that has just happened. */
  #aside(said: readonly Said[], behind: Step | { readonly at: number }, waits?: (order: number) => boolean): void {
    if (said.length > 0 && !this.#closed) this.#sequence(said, behind.at, waits)
  }

  #sequence(said: readonly Said[], from: number, waits?: (order: number) => boolean): void {
    const tell = (one: Said): void => readText(this, one, undefined)
    const holds = (one: Said): boolean => this.#isBehindPlay(one)
    const done = (): void => {
      this.#asides.delete(aside)
      this.goOn()
    }
    const aside: Sequence<Said> = new Sequence(this, said, from, { tell, done, holds }, waits)
    this.#asides.add(aside)
    aside.advance()
  }

  #cancelled(message: Message): void {
    if (message.requestIdText === undefined) return
    const key = idKey(message.requestIdText)
    let found: Play | undefined
    for (const play of this.#plays) if (!play.cancelled && idKey(play.idText) === key) found = play
    found?.clientCancelled()
  }

  #count(what: string): number {
    const n = this.#times.get(what) ?? 0
    if (n > 0 || this.#times.size < MAX_NAMES) this.#times.set(what, n + 1)
    return n
  }

  #knowToken(recorded: string, clients: string): void {
    const key = idKey(recorded)
    this.#tokens.delete(key)
    this.#tokens.set(key, clients)
    if (this.#tokens.size > MAX_NAMES) for (const oldest of this.#tokens.keys()) return void this.#tokens.delete(oldest)
  }

  #liveServer(): LiveServer | undefined {
    this.#live ??= this.replay.liveServer(this, this.#outlet)
    return this.#live
  }
}

/** Methods and tokens that are remembered. */
const MAX_NAMES = 1024
const NOTHING: readonly Said[] = []

function declaredIn(message: Message): Capabilities {
  const { params } = message.json as { params?: { _meta?: Record<string, unknown> } }
  const declared = isObject(params?._meta) ? params._meta[META_CAPABILITIES] : undefined
  return isObject(declared) ? declared : {}
}
