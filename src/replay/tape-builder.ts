import { eraOf } from '../protocol/versions.ts'
import { TapeError, type TapeFrame } from '../tape/format.ts'
import { ConversationBuilder } from './conversation-builder.ts'
import { type Envelope, envelopesOf, isBatch } from './envelope.ts'
import type { TapeText } from './recording.ts'
import { Room } from './room.ts'
import { keyOf, Lists, Names, NONE, ownText, Recent } from './shared-strings.ts'
import {
  AnswerOnTape,
  EndOnTape,
  ListenOnTape,
  NotificationOnTape,
  type Origin,
  RequestOnTape,
  ResponseOnTape,
  SaidOnTape,
  StatusOnTape,
  type StepOn,
  UNREAD
} from './steps.ts'
import { StreamOnTape } from './streams.ts'
import { type TapeLine, TextPart } from './tape-source.ts'
import type { Pending } from './waiting.ts'

/** Sessions whose ids are told apart at once; of others the conversation is known, and no longer what waited in it. */
const MAX_ROOMS = 10_000
const MAX_SESSIONS = 1_000_000
const MAX_STREAMS = 100_000
const MAX_ENDED = 10_000
/** Messages in batches, over a whole tape: a line can hold a million of them. */
const MAX_BATCHED = 1_000_000

/** Of one frame: what is the same for all that it holds. */
interface Context {
  readonly frame: TapeFrame
  readonly line: TapeLine
  readonly room: Room
  readonly stream: StreamOnTape | undefined
}

/** Takes the frames of one tape, in order, and puts the conversations together that they tell of. */
export class TapeBuilder {
  readonly name: string
  modern: ConversationBuilder | undefined
  requests = 0
  /** Frames that the recorder left out. */
  missing = 0
  readonly #sessions = new Map<string, ConversationBuilder>()
  readonly #rooms = new Recent<Room>(MAX_ROOMS)
  readonly #streams = new Recent<StreamOnTape>(MAX_STREAMS)
  /** By the last event's id: streams that can be taken up again. */
  readonly #ended = new Recent<StreamOnTape>(MAX_ENDED)
  readonly #names = new Names()
  readonly #lists = new Lists()
  #early: SaidOnTape[] = []
  #order = 0
  #batches = 0
  #batched = 0

  constructor(name: string) {
    this.name = name
  }

  get legacy(): readonly ConversationBuilder[] {
    return [...this.#sessions.values()]
  }

  /** How many places in the order were given away. */
  get orders(): number {
    return this.#order
  }

  /** Only what passed between the client and catflap counts: that side is complete. `mark` tells where the frame stands. */
  frame(frame: TapeFrame, mark: () => TapeLine): void {
    if (frame.kind === 'note') return this.#note(frame, mark)
    if (frame.side !== 'client') return
    if (frame.dir === 'up') this.#up(frame, mark)
    else this.#down(frame, mark)
    if (frame.outcome !== undefined) this.#streamEnded(frame, frame.outcome)
  }

  /** The end of the tape. */
  end(): void {
    if (this.#early.length === 0) return
    const first = this.modern ?? this.legacy[0] ?? this.#conversation('legacy', this.#room(undefined, undefined))
    for (const said of this.#early) first.addBefore(said)
  }

  #up(frame: TapeFrame, mark: () => TapeLine): void {
    const room = this.#room(frame.session, frame.process)
    if (frame.stream === 'stdio') room.isStdio = true
    if (frame.kind === 'open') this.#opened(frame, room, mark)
    if (frame.kind !== 'message' || frame.text === undefined) return
    const envelopes = this.#envelopes(frame, frame.text)
    const stream = frame.stream === 'stdio' ? undefined : this.#newStream(frame, new StreamOnTape(room))
    const at: Context = { frame, line: mark(), room, stream }
    const batch = isBatch(frame.text) ? ++this.#batches : undefined
    const origin = this.#origin(at)
    for (const e of envelopes) {
      const text = batch === undefined ? at.line : new TextPart(at.line, e.from, e.to)
      const own = { ...origin, order: this.#order++, text }
      if (e.kind === 'request') this.#request(at, e, own, batch)
      else if (e.kind === 'notification') this.#notification(at, e, own)
      else if (e.kind === 'response') this.#answer(at, e, own)
    }
  }

  #request(at: Context, e: Envelope, origin: Origin, batch: number | undefined): void {
    const conversation = this.#conversation(this.#eraOf(at, e), at.room)
    const request = new RequestOnTape(origin, {
      method: this.#names.of(e.method!),
      subject: e.subject === undefined ? undefined : this.#names.of(e.subject),
      id: ownText(e.id!),
      progressToken: e.progressToken === undefined ? undefined : ownText(e.progressToken),
      batch,
      truncated: at.frame.truncated !== undefined
    })
    const version = e.metaVersion === undefined ? undefined : this.#names.of(e.metaVersion)
    if (conversation.era === 'modern' && version !== undefined) conversation.named(version)
    const pending: Pending = {
      request,
      conversation,
      stream: at.stream,
      key: keyOf(e.id!),
      version,
      done: false,
      cancelled: false
    }
    this.requests++
    this.#did(at.room, conversation, request)
    at.room.waiting.add(pending)
    at.room.began(request, pending.key)
    at.stream?.add(pending)
  }

  #notification(at: Context, e: Envelope, origin: Origin): void {
    const cancels = e.method === 'notifications/cancelled' && e.requestId !== undefined
    const request = cancels ? at.room.cancels(e.requestId!) : undefined
    if (request && !request.isAnswered)
      request.cancelled ??= { at: at.frame.t, order: origin.order, how: 'notification' }
    const conversation = this.#conversation(this.#eraOf(at, e), at.room)
    this.#did(at.room, conversation, new NotificationOnTape(origin, this.#names.of(e.method!), request))
  }

  #answer(at: Context, e: Envelope, origin: Origin): void {
    const to = e.id === undefined ? undefined : at.room.answers(e.id)
    const answer = new AnswerOnTape(origin, to)
    if (to) to.answer = answer
    this.#did(at.room, at.room.last ?? this.#conversation('legacy', at.room), answer)
  }

  /** GET and DELETE. */
  #opened(frame: TapeFrame, room: Room, mark: () => TapeLine): void {
    const method = frame.http?.method
    if (method !== 'GET' && method !== 'DELETE') return void this.#newStream(frame, new StreamOnTape(room))
    const line = mark()
    const origin = { ...this.#origin({ frame, line }), order: this.#order++, text: line }
    const step = method === 'GET' ? new ListenOnTape(origin) : new EndOnTape(origin)
    const lastId = headerOf(frame, 'last-event-id')
    const taken = lastId === undefined ? undefined : this.#ended.get(eventKey(room, lastId))
    for (const { request } of taken?.waiting ?? []) request.revive()
    this.#newStream(frame, new StreamOnTape(room, step, taken))
    this.#did(room, this.#conversation('legacy', room), step)
  }

  #down(frame: TapeFrame, mark: () => TapeLine): void {
    const stream = this.#streams.get(streamKey(frame))
    if (stream && frame.sse?.id !== undefined) stream.lastEventId = frame.sse.id
    if (stream && frame.http?.status !== undefined) this.#hasHead(stream, frame)
    if (frame.kind === 'message' && frame.text !== undefined) this.#message(frame, frame.text, stream, mark)
    else if (frame.kind === 'head' && stream && !isAccepted(frame)) this.#wholeAnswer(frame, stream, mark, false)
    else if (frame.kind === 'body' && stream) this.#wholeAnswer(frame, stream, mark, true)
    else if (frame.kind === 'event' && frame.sse?.event === 'endpoint' && stream) stream.room.pipe = frame.stream
    else if (frame.kind === 'end') this.#streamEnded(frame, frame.outcome ?? 'complete')
  }

  #hasHead(stream: StreamOnTape, frame: TapeFrame): void {
    stream.status ??= frame.http!.status
    if (stream.step) stream.step.status ??= frame.http!.status
    if (frame.kind === 'head' && /^text\/event-stream\b/i.test(headerOf(frame, 'content-type') ?? ''))
      stream.isSse = true
    if (headerOf(frame, 'mcp-session-id') !== undefined) stream.assigns = true
  }

  #message(frame: TapeFrame, text: string, stream: StreamOnTape | undefined, mark: () => TapeLine): void {
    const room = stream?.room ?? this.#room(frame.session, frame.process)
    if (frame.stream === 'stdio') room.isStdio = true
    const at: Context = { frame, line: mark(), room, stream }
    const batch = isBatch(text)
    for (const e of this.#envelopes(frame, text)) {
      const own = batch ? new TextPart(at.line, e.from, e.to) : at.line
      if (e.kind === 'response' || (e.kind === 'other' && frame.truncated)) this.#response(at, e, own)
      else if (e.kind !== 'other') this.#said(at, e, own)
    }
    if (stream && frame.http?.status !== undefined) this.#wholeAnswer(frame, stream, () => at.line, true)
  }

  #response(at: Context, e: Envelope, text: TapeText): void {
    const pending = this.#answered(at, e)
    if (!pending) return
    const { request, conversation } = pending
    request.revive()
    request.outcome = new ResponseOnTape(this.#order++, at.line, text, {
      status: at.frame.http?.status ?? at.stream?.status,
      isError: e.isError,
      truncated: at.frame.truncated !== undefined,
      own: at.frame.own === true
    })
    this.#settled(at.room, pending)
    if (e.isError) return
    if (pending.version !== undefined) conversation.accepted(pending.version)
    if (request.method !== 'initialize') return
    conversation.negotiated(e.version)
    conversation.unassigned = at.stream?.status !== undefined && !at.stream.assigns
  }

  /** The request on the answer's own stream is meant, else the oldest with that id. */
  #answered(at: Context, e: Envelope): Pending | undefined {
    const next = at.stream?.next
    if (e.id !== undefined) return at.stream?.find(keyOf(e.id)) ?? at.room.waiting.peek(e.id)
    // The id may stand in what was cut off.
    return at.frame.truncated && next && at.stream?.waiting.length === 1 ? next : undefined
  }

  #settled(room: Room, pending: Pending): void {
    room.waiting.remove(pending)
    room.answered(pending.request, pending.key)
    room.did(pending.request, pending.conversation)
  }

  #said(at: Context, e: Envelope, text: TapeText): void {
    const { room } = at
    const owner = room.ownerOf(e, at.stream)
    // A stream that looked broken goes on.
    owner?.revive()
    const waits = owner !== undefined && !owner.isAnswered
    const said = new SaidOnTape(this.#order++, at.line, text, {
      method: this.#names.of(e.method!),
      id: e.id === undefined ? undefined : ownText(e.id),
      owned: waits || (owner !== undefined && owner === room.anchor),
      names: room.named(e),
      own: at.frame.own === true,
      truncated: at.frame.truncated !== undefined
    })
    if (said.id !== undefined) room.asked(said)
    if (waits) owner.addSaid(said)
    else this.#place(room, said)
  }

  /** Behind what happened last. */
  #place(room: Room, said: SaidOnTape): void {
    const { anchor } = room
    if (anchor?.kind === 'request' && anchor.outcome.kind === 'open') anchor.addSaid(said)
    else if (anchor) anchor.addAfter(said)
    else if (room.session !== undefined) this.#conversation('legacy', room).addBefore(said)
    else this.#early.push(said)
  }

  /** An HTTP answer that is complete with this frame: what has no response gets none any more. */
  #wholeAnswer(frame: TapeFrame, stream: StreamOnTape, mark: () => TapeLine, hasBody: boolean): void {
    if (stream.isSse || frame.http?.status === undefined) return
    this.#streams.delete(streamKey(frame))
    const { waiting } = stream
    if (waiting.length === 0) return
    const line = mark()
    const headers = this.#headers(frame, line)
    const outcome = new StatusOnTape(
      { order: this.#order++, line, headers },
      {
        status: frame.http.status,
        body: hasBody ? line : undefined,
        truncated: frame.truncated !== undefined,
        own: frame.own === true
      }
    )
    for (const pending of waiting) {
      pending.request.revive()
      pending.request.outcome = outcome
      this.#settled(stream.room, pending)
    }
  }

  #streamEnded(frame: TapeFrame, how: string): void {
    const stream = this.#streams.get(streamKey(frame))
    if (!stream) return
    this.#streams.delete(streamKey(frame))
    if (stream.lastEventId !== undefined) this.#ended.set(eventKey(stream.room, stream.lastEventId), stream)
    this.#cut(frame, stream.room, stream.waiting, how)
  }

  #cut(frame: TapeFrame, room: Room, waiting: Iterable<Pending>, how: string, left = false): void {
    for (const pending of waiting) {
      const { request } = pending
      const order = this.#order++
      request.outcome = { kind: 'cut', at: frame.t, order, how: this.#names.of(how) }
      if (left) request.cancelled ??= { at: frame.t, order, how: 'disconnect' }
      room.did(request, pending.conversation)
    }
  }

  #note(frame: TapeFrame, mark: () => TapeLine): void {
    if (frame.note === 'dropped' && typeof frame.data?.count === 'number') this.missing += frame.data.count
    else if (frame.note === 'disconnect') this.#left(frame, mark)
    else if (frame.note === 'error' && frame.stream !== 'stdio')
      this.#streamEnded(frame, String(frame.data?.code ?? 'error'))
    else if (frame.note === 'session-end') this.#sessionEnded(frame, mark)
  }

  /** The client went away. */
  #left(frame: TapeFrame, mark: () => TapeLine): void {
    const stream = this.#streams.get(streamKey(frame))
    if (frame.stream === 'stdio') {
      const room = this.#room(frame.session, frame.process)
      return this.#cut(frame, room, room.waiting.takeAll(), 'disconnect', true)
    }
    if (!stream) return
    const { room } = stream
    this.#cut(frame, room, stream.waiting, 'disconnect', true)
    this.#streamEnded(frame, 'disconnect')
    if (room.pipe === frame.stream) this.#pipeEnded(room, mark)
  }

  #sessionEnded(frame: TapeFrame, mark: () => TapeLine): void {
    const room = this.#rooms.get(roomKey(frame.session, frame.process))
    if (room?.isStdio && frame.remark?.endsWith(': client')) this.#pipeEnded(room, mark)
  }

  #pipeEnded(room: Room, mark: () => TapeLine): void {
    const line = mark()
    const origin = { order: this.#order++, line, text: line, redacted: NONE, headers: undefined }
    this.#did(room, this.#conversation('legacy', room), new EndOnTape(origin))
  }

  #did(room: Room, conversation: ConversationBuilder, step: StepOn): void {
    if (room.session === undefined && this.#early.length > 0) {
      for (const said of this.#early) conversation.addBefore(said)
      this.#early = []
    }
    conversation.steps.push(step)
    room.did(step, conversation)
  }

  #room(session: string | undefined, process: number | undefined): Room {
    const key = roomKey(session, process)
    let room = this.#rooms.get(key)
    if (!room) {
      room = new Room(session === undefined ? undefined : ownText(session))
      this.#rooms.set(key, room)
    }
    return room
  }

  #conversation(era: 'legacy' | 'modern', room: Room): ConversationBuilder {
    if (era === 'modern') return (this.modern ??= new ConversationBuilder('modern', undefined))
    const key = roomKey(room.session, undefined)
    let conversation = this.#sessions.get(key)
    if (conversation) return conversation
    if (this.#sessions.size >= MAX_SESSIONS)
      throw new TapeError('tape_malformed', `${this.name}: more than ${MAX_SESSIONS} sessions; cut the tape first`)
    conversation = new ConversationBuilder('legacy', room.session)
    this.#sessions.set(key, conversation)
    return conversation
  }

  #eraOf({ frame, room }: Context, e: Envelope): 'legacy' | 'modern' {
    if (e.metaVersion !== undefined) return 'modern'
    if (room.session !== undefined) return 'legacy'
    const named = headerOf(frame, 'mcp-protocol-version')
    if (named !== undefined) return eraOf(named) ?? 'legacy'
    // Notifications of the modern era need not name a version.
    return e.kind === 'notification' && room.last?.era === 'modern' ? 'modern' : 'legacy'
  }

  #newStream(frame: TapeFrame, stream: StreamOnTape): StreamOnTape {
    this.#streams.set(streamKey(frame), stream)
    return stream
  }

  #origin({ frame, line }: Pick<Context, 'frame' | 'line'>): Pick<Origin, 'line' | 'redacted' | 'headers'> {
    return {
      line,
      redacted: this.#lists.of(frame.redacted ?? NONE) ?? frame.redacted!,
      headers: this.#headers(frame, line)
    }
  }

  #headers(frame: TapeFrame, line: TapeLine): Origin['headers'] {
    const headers = frame.http?.headers
    if (!headers) return undefined
    const flat = headers.flat()
    const shared = this.#lists.of(flat)
    if (shared || !line.source.canReadAgain) return shared ?? flat
    line.source.keepOpen()
    return UNREAD
  }

  #envelopes(frame: TapeFrame, text: string): readonly Envelope[] {
    const all = envelopesOf(text, MAX_BATCHED)
    if (all.length > 1) this.#batched += all.length
    if (this.#batched < MAX_BATCHED) return all
    throw new TapeError(
      'tape_malformed',
      `${this.name}: frame ${frame.n}: more than ${MAX_BATCHED} messages in batches`
    )
  }
}

/** Over HTTP+SSE a POST is answered at once, and what it asks for comes on the stream. */
function isAccepted({ own, http }: TapeFrame): boolean {
  return own === true && http?.status === 202
}

function headerOf(frame: TapeFrame, wanted: string): string | undefined {
  return frame.http?.headers?.find(([name]) => name.toLowerCase() === wanted)?.[1]
}

function roomKey(session: string | undefined, process: number | undefined): string {
  return `${process ?? ''} ${session === undefined ? '' : `s${ownText(session)}`}`
}

function streamKey({ stream, process }: TapeFrame): string {
  return `${process ?? ''} ${ownText(stream ?? '')}`
}

function eventKey(room: Room, id: string): string {
  return `${room.session ?? ''} ${ownText(id)}`
}
