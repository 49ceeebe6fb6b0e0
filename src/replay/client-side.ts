import { type Era, eraOf } from '../protocol/versions.ts'
import type { TapeFrame } from '../tape/format.ts'
import { type Envelope, isBatch } from './envelope.ts'
import type { Origin } from './on-tape.ts'
import { RequestOnTape } from './request-on-tape.ts'
import type { Room } from './room.ts'
import { keyOf, ownText } from './shared-strings.ts'
import { AnswerOnTape, EndOnTape, ListenOnTape, NotificationOnTape } from './steps.ts'
import { StreamOnTape } from './streams.ts'
import { type FrameAt, headerOf, type TapeState } from './tape-state.ts'
import type { Pending } from './waiting.ts'

/** A message of the client's. */
interface Sent {
  readonly at: FrameAt
  readonly room: Room
  readonly stream: StreamOnTape | undefined
  readonly e: Envelope
  readonly origin: Origin
  readonly batch: number | undefined
}

/** What the client did. */
export class ClientSide {
  requests = 0
  readonly #state: TapeState
  #batches = 0

  constructor(state: TapeState) {
    this.#state = state
  }

  frame(at: FrameAt): void {
    const { frame } = at
    const room = this.#state.conversations.room(frame.session, frame.process)
    if (frame.kind === 'open') this.#opened(at, room)
    else if (frame.kind === 'message' && frame.text !== undefined) this.#message(at, room, frame.text)
  }

  #message(at: FrameAt, room: Room, text: string): void {
    const { frame } = at
    const state = this.#state
    if (frame.stream === 'stdio') room.isStdio = true
    const stream = frame.stream === 'stdio' ? undefined : state.opened(frame, new StreamOnTape(room))
    const batch = isBatch(text) ? ++this.#batches : undefined
    const facts = state.facts(at)
    for (const e of state.envelopes(frame, text)) {
      if (e.kind === 'other') continue
      const origin = { ...state.mark(at, batch === undefined ? undefined : e), ...facts }
      const sent: Sent = { at, room, stream, e, origin, batch }
      if (e.kind === 'request') this.#request(sent)
      else if (e.kind === 'notification') this.#notification(sent)
      else this.#answer(sent)
    }
  }

  #request({ at, room, stream, e, origin, batch }: Sent): void {
    const { names, conversations, table } = this.#state
    const conversation = conversations.of(eraOfSent(at.frame, room, e), room)
    const id = ownText(e.id!)
    const request = RequestOnTape.add(table, origin, {
      method: names.of(e.method!),
      subject: e.subject === undefined ? undefined : names.of(e.subject),
      id,
      // Most clients use the id.
      progressToken:
        e.progressToken === undefined || e.progressToken === id ? e.progressToken && id : ownText(e.progressToken),
      batch,
      truncated: at.frame.truncated !== undefined
    })
    if (at.frame.own && e.method === 'initialize') conversation.added = true
    const version = e.metaVersion === undefined ? undefined : names.of(e.metaVersion)
    if (version !== undefined) conversation.named(version)
    const pending: Pending = { request, conversation, key: keyOf(e.id!), version, done: false, cancelled: false }
    this.requests++
    conversations.did(room, conversation, request)
    room.began(pending)
    stream?.add(pending)
  }

  #notification({ at, room, e, origin }: Sent): void {
    const { names, conversations, table } = this.#state
    const cancels = e.method === 'notifications/cancelled' && e.requestId !== undefined
    const request = cancels ? room.cancelled(e.requestId!) : undefined
    if (request && !request.isAnswered)
      request.cancelled ??= { at: at.frame.t, order: origin.order, how: 'notification' }
    const conversation = conversations.of(eraOfSent(at.frame, room, e), room)
    conversations.did(room, conversation, NotificationOnTape.add(table, origin, names.of(e.method!), request))
  }

  #answer({ room, e, origin }: Sent): void {
    const { conversations, table } = this.#state
    const to = e.id === undefined ? undefined : room.answers(e.id)
    const answer = AnswerOnTape.add(table, origin, to)
    to?.answeredBy(answer.row)
    conversations.did(room, room.last ?? conversations.of('legacy', room), answer)
  }

  /** GET and DELETE; anything else was refused. */
  #opened(at: FrameAt, room: Room): void {
    const { frame } = at
    const state = this.#state
    const method = frame.http?.method
    if (method !== 'GET' && method !== 'DELETE') return void state.opened(frame, new StreamOnTape(room))
    const origin = { ...state.mark(at), ...state.facts(at) }
    const step = method === 'GET' ? ListenOnTape.add(state.table, origin) : EndOnTape.add(state.table, origin)
    const taken = state.takenUp(frame, room)
    for (const { request } of taken?.waiting ?? []) request.revive()
    state.opened(frame, new StreamOnTape(room, step, taken))
    state.conversations.did(room, state.conversations.of('legacy', room), step)
  }
}

function eraOfSent(frame: TapeFrame, room: Room, e: Envelope): Era {
  if (e.metaVersion !== undefined) return 'modern'
  if (room.session !== undefined) return 'legacy'
  const named = headerOf(frame, 'mcp-protocol-version')
  if (named !== undefined) return eraOf(named) ?? 'legacy'
  // Notifications of the modern era need not name a version.
  return e.kind === 'notification' && room.last?.era === 'modern' ? 'modern' : 'legacy'
}
