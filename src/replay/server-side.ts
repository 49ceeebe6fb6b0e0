import type { TapeFrame } from '../tape/format.ts'
import { type Envelope, isBatch } from './envelope.ts'
import { RefusalOnTape, ResponseOnTape, StatusOnTape } from './on-tape.ts'
import type { Room } from './room.ts'
import { UNADDRESSED } from './said-on-tape.ts'
import { keyOf, ownText } from './shared-strings.ts'
import type { StreamOnTape } from './streams.ts'
import type { TextRange } from './tape-source.ts'
import { type FrameAt, headerOf, type TapeState } from './tape-state.ts'
import type { Pending } from './waiting.ts'

/** A message to the client. */
interface Heard {
  readonly at: FrameAt
  readonly room: Room
  /** Of an HTTP request; a pipe has none. */
  readonly stream: StreamOnTape | undefined
  readonly e: Envelope
  readonly part: TextRange | undefined
}

/** What came back to the client. */
export class ServerSide {
  readonly #state: TapeState

  constructor(state: TapeState) {
    this.#state = state
  }

  frame(at: FrameAt): void {
    const { frame } = at
    const stream = this.#state.streamOf(frame)
    if (stream) noteFacts(stream, frame)
    if (frame.kind === 'message' && frame.text !== undefined) this.#message(at, frame.text, stream)
    if (!stream) return
    if (frame.kind === 'head' ? !isAccepted(frame) : frame.kind === 'message' || frame.kind === 'body')
      this.#wholeAnswer(at, stream)
    if (frame.kind === 'event' && frame.sse?.event === 'endpoint') stream.room.pipe = frame.stream
    if (frame.kind === 'end' || frame.outcome !== undefined) this.ended(frame, frame.outcome ?? 'complete')
  }

  /** No more comes on the stream; what was asked there has no answer yet. */
  ended(frame: TapeFrame, how: string): void {
    const stream = this.#state.streamOf(frame)
    if (!stream) return
    this.#state.ended(stream)
    this.#cut(frame, stream.room, stream.waiting, how, false)
  }

  /** The client went away. */
  left(frame: TapeFrame): StreamOnTape | undefined {
    const stream = this.#state.streamOf(frame)
    if (stream) {
      this.#state.ended(stream)
      this.#cut(frame, stream.room, stream.waiting, 'disconnect', true)
    } else if (frame.stream === 'stdio') {
      const room = this.#state.conversations.room(frame.session, frame.process)
      this.#cut(frame, room, room.waiting.takeAll(), 'disconnect', true)
    }
    return stream
  }

  #message(at: FrameAt, text: string, stream: StreamOnTape | undefined): void {
    const { frame } = at
    const room = stream?.room ?? this.#state.conversations.room(frame.session, frame.process)
    if (frame.stream === 'stdio') room.isStdio = true
    const batch = isBatch(text)
    for (const e of this.#state.envelopes(frame, text)) {
      const heard: Heard = { at, room, stream, e, part: batch ? e : undefined }
      if (e.kind === 'response' || (e.kind === 'other' && frame.truncated)) this.#response(heard)
      else if (e.kind !== 'other') this.#said(heard)
    }
  }

  #response(heard: Heard): void {
    const pending = answeredBy(heard)
    if (!pending) return isUnaddressed(heard) ? this.#said(heard) : undefined
    const { at, room, stream, e, part } = heard
    const { request, conversation, version } = pending
    // On a pipe of HTTP+SSE the status is that of the stream, and says nothing of this answer.
    const status = room.pipe !== undefined && room.pipe === at.frame.stream ? undefined : stream?.status
    request.revive()
    const facts = {
      status: at.frame.http?.status ?? status,
      isError: e.isError,
      truncated: at.frame.truncated !== undefined,
      own: at.frame.own === true
    }
    const mark = this.#state.mark(at, part)
    request.outcome =
      facts.status === undefined || facts.status === 200
        ? new ResponseOnTape(mark, facts)
        : new RefusalOnTape(mark, { ...facts, headers: this.#state.headers(at) })
    room.settled(pending, e.isTask)
    if (e.isError) return
    if (version !== undefined) conversation.accepted(version)
    if (request.method !== 'initialize') return
    conversation.negotiated(e.version)
    conversation.unassigned = status !== undefined && !stream?.assigns
  }

  #said({ at, room, stream, e, part }: Heard): void {
    const { names, conversations, table } = this.#state
    const named = room.named(e)
    const owner = room.ownerOf(e, stream)
    // What looked broken goes on.
    owner?.revive()
    const waits = owner !== undefined && !owner.isAnswered
    const said = table.sayings.add(this.#state.mark(at, part), {
      method: names.of(e.method ?? UNADDRESSED),
      id: e.id === undefined ? undefined : ownText(e.id),
      owned: waits || (owner !== undefined && owner === room.anchor),
      names: named?.row,
      own: at.frame.own === true,
      truncated: at.frame.truncated !== undefined
    })
    if (said.id !== undefined) room.asked(said)
    if (waits) owner.addSaid(said)
    else conversations.place(room, said)
  }

  /** An HTTP answer that is complete with this frame: what has no response by now gets none. */
  #wholeAnswer(at: FrameAt, stream: StreamOnTape): void {
    const { frame } = at
    if (stream.isSse || frame.http?.status === undefined) return
    this.#state.ended(stream)
    const { waiting } = stream
    if (waiting.length === 0) return
    const outcome = new StatusOnTape(this.#state.mark(at), {
      headers: this.#state.headers(at),
      status: frame.http.status,
      hasBody: frame.kind !== 'head',
      truncated: frame.truncated !== undefined,
      own: frame.own === true
    })
    for (const pending of waiting) {
      pending.request.revive()
      pending.request.outcome = outcome
      stream.room.settled(pending)
    }
  }

  #cut(frame: TapeFrame, room: Room, waiting: Iterable<Pending>, how: string, left: boolean): void {
    for (const pending of waiting) {
      const { request } = pending
      const order = this.#state.orders++
      request.outcome = { kind: 'cut', at: frame.t, order, how: this.#state.names.of(how) }
      if (left) request.cancelled ??= { at: frame.t, order, how: 'disconnect' }
      room.did(request, pending.conversation)
    }
  }
}

/** On a pipe, a server's error that could not say whose it is ends no request; catflap says its own again by itself. */
function isUnaddressed({ at, room, stream, e }: Heard): boolean {
  const isPipe = stream === undefined || (room.pipe !== undefined && room.pipe === at.frame.stream)
  return isPipe && e.isError && e.id === undefined && at.frame.own !== true && at.frame.truncated === undefined
}

/** The request on the answer's own stream is meant, else the oldest with that id. */
function answeredBy({ at, room, stream, e }: Heard): Pending | undefined {
  if (e.id !== undefined) return stream?.find(keyOf(e.id)) ?? room.waiting.peek(e.id)
  // The id may stand in what was cut off.
  return at.frame.truncated && stream?.waiting.length === 1 ? stream.next : undefined
}

function noteFacts(stream: StreamOnTape, frame: TapeFrame): void {
  if (frame.sse?.id !== undefined) stream.lastEventId = frame.sse.id
  const status = frame.http?.status
  if (status === undefined) return
  stream.status ??= status
  if (stream.step) stream.step.status ??= status
  // Of a stream that catflap itself opens no headers are told.
  const isStream = stream.step?.kind === 'listen' && frame.own === true && status === 200
  const isSse = /^text\/event-stream\b/i.test(headerOf(frame, 'content-type') ?? '')
  if (frame.kind === 'head' && (isStream || isSse)) stream.isSse = true
  if (headerOf(frame, 'mcp-session-id') !== undefined) stream.assigns = true
}

/** Over HTTP+SSE a POST is answered at once, and what it asks for comes on the stream. */
function isAccepted({ own, http }: TapeFrame): boolean {
  return own === true && http?.status === 202
}
