import { InUse, Recent } from './bounded-maps.ts'
import type { ConversationBuilder } from './conversation-builder.ts'
import type { Envelope } from './envelope.ts'
import type { RequestOnTape } from './request-on-tape.ts'
import type { SaidOnTape } from './said-on-tape.ts'
import { keyOf } from './shared-strings.ts'
import type { StepOn } from './steps.ts'
import type { StreamOnTape } from './streams.ts'
import { type Pending, Waiting } from './waiting.ts'

/** Requests that were answered, and may be named all the same: cancelled too late, or in what was said at the same time. */
const MAX_ANSWERED = 100
/** Tasks and subscriptions, which go on behind their answers or for long. */
const MAX_LASTING = 1000
/** Requests that may be named by a token, or as a subscription. */
const MAX_NAMED = 10_000
const MAX_ASKED = 10_000
const MAX_SAME = 100
/** Those who share ids: a session, or all who have none. */
export class Room {
  readonly session: string | undefined
  readonly waiting = new Waiting()
  /** What happened last that the server's loose messages can stand behind. */
  anchor: StepOn | undefined
  /** Where that belongs to. */
  last: ConversationBuilder | undefined
  /** Its client is on stdin and stdout. */
  isStdio = false
  /** The stream of a client on HTTP+SSE: with it the session ends. */
  pipe: string | undefined
  /** What the server said before there was any conversation. */
  early: SaidOnTape[] = []
  readonly #tokens = new InUse<RequestOnTape>(MAX_NAMED, request => !request.isAnswered)
  readonly #lateTokens = new Recent<RequestOnTape>(MAX_ANSWERED)
  readonly #tasks = new Recent<RequestOnTape>(MAX_LASTING)
  readonly #subscriptions = new Recent<RequestOnTape>(MAX_LASTING)
  readonly #answered = new Recent<RequestOnTape>(MAX_ANSWERED)
  readonly #asked = new InUse<SaidOnTape[]>(MAX_ASKED, same => same.length > 0)

  constructor(session: string | undefined) {
    this.session = session
  }

  did(step: StepOn, conversation: ConversationBuilder): void {
    this.anchor = step
    this.last = conversation
  }

  began(pending: Pending): void {
    const { request, key } = pending
    this.waiting.add(pending)
    if (request.progressToken !== undefined) this.#tokens.set(keyOf(request.progressToken), request)
    if (request.method === 'subscriptions/listen') this.#subscriptions.set(key, request)
  }

  /** `goesOn`: its answer is that it has become a task. */
  settled(pending: Pending, goesOn = false): void {
    const { request, key, conversation } = pending
    this.waiting.remove(pending)
    this.#answered.set(key, request)
    if (request.progressToken !== undefined) {
      const token = keyOf(request.progressToken)
      const late = goesOn ? this.#tasks : this.#lateTokens
      late.set(token, request)
    }
    this.did(request, conversation)
  }

  /** The request that the client cancels; it may be answered already. */
  cancelled(id: string): RequestOnTape | undefined {
    const pending = this.waiting.peek(id)
    if (pending) pending.cancelled = true
    return pending?.request ?? this.#answered.get(keyOf(id))
  }

  /** The request whose token or subscription a message of the server's names. */
  named(e: Envelope): RequestOnTape | undefined {
    if (e.subscription !== undefined) {
      const found = this.#subscriptions.get(keyOf(e.subscription))
      if (found) return found
    }
    if (e.progressToken === undefined) return undefined
    const token = keyOf(e.progressToken)
    const latest = this.#tokens.get(token)
    if (latest && !latest.isAnswered) return latest
    return this.#lateTokens.get(token) ?? this.#tasks.get(token)
  }

  asked(said: SaidOnTape): void {
    const key = keyOf(said.id!)
    const same = this.#asked.get(key)
    if (!same) this.#asked.set(key, [said])
    // Equal ids at once are a server's mistake: no more than a few are told apart.
    else if (same.length < MAX_SAME) same.push(said)
  }

  /** What the client's answer with this id answers. */
  answers(id: string): SaidOnTape | undefined {
    return this.#asked.get(keyOf(id))?.shift()
  }

  /** The request on whose stream, or for whose token or subscription, the server speaks. */
  ownerOf(e: Envelope, stream: StreamOnTape | undefined): RequestOnTape | undefined {
    const named = this.named(e)
    const here = stream?.last
    if (!here) return named
    // Of a batch any may be meant, unless it is named.
    if (named && here.request.batch !== undefined && here.request.batch === named.batch) return named
    return (stream.next ?? here).request
  }
}
