import { TapeError, type TapeFrame } from '../tape/format.ts'
import { InUse, Recent } from './bounded-maps.ts'
import { Conversations } from './conversations.ts'
import { type Envelope, envelopesOf } from './envelope.ts'
import { type Mark, type Origin, UNREAD } from './on-tape.ts'
import type { Room } from './room.ts'
import { Lists, Names, NONE, ownText } from './shared-strings.ts'
import type { StepTable } from './step-table.ts'
import type { StreamOnTape } from './streams.ts'
import type { TapeSource, TextRange } from './tape-source.ts'

const MAX_STREAMS = 20_000
const MAX_ENDED = 10_000
/** Messages in batches, over a whole tape: one line can hold a million of them. */
const MAX_BATCHED = 1_000_000

/** A frame that is being read. */
export interface FrameAt {
  readonly frame: TapeFrame
  readonly source: TapeSource
  /** Makes the text (or of a batch a part of it) one that can be asked for; returns its number. */
  mark(part?: TextRange): number
}

/** What is known of a tape while it is read. All of it is bounded, but for the conversations themselves. */
export class TapeState {
  readonly name: string
  readonly table: StepTable
  readonly conversations: Conversations
  readonly names = new Names()
  readonly #lists = new Lists()
  readonly #streams = new InUse<StreamOnTape>(MAX_STREAMS, stream => stream.isAwaited)
  /** By the last event's id: streams that may be taken up again. */
  readonly #ended = new Recent<StreamOnTape>(MAX_ENDED)
  /** How many places in the order were given away. */
  orders = 0
  #batched = 0

  constructor(name: string, table: StepTable) {
    this.name = name
    this.table = table
    this.conversations = new Conversations(name, table)
  }

  streamOf(frame: TapeFrame): StreamOnTape | undefined {
    const stream = this.#streams.get(streamKey(frame))
    return stream?.ended ? undefined : stream
  }

  opened(frame: TapeFrame, stream: StreamOnTape): StreamOnTape {
    this.#streams.set(streamKey(frame), stream)
    return stream
  }

  /** Nothing more comes there. */
  ended(stream: StreamOnTape): void {
    stream.ended = true
    if (stream.lastEventId !== undefined) this.#ended.set(eventKey(stream.room, stream.lastEventId), stream)
  }

  /** The stream that a GET takes up again. */
  takenUp(frame: TapeFrame, room: Room): StreamOnTape | undefined {
    const lastEventId = headerOf(frame, 'last-event-id')
    return lastEventId === undefined ? undefined : this.#ended.get(eventKey(room, lastEventId))
  }

  mark({ source, mark }: FrameAt, part?: TextRange): Mark {
    return { order: this.orders++, source, index: mark(part) }
  }

  /** What all that stands in one frame has in common. */
  facts(at: FrameAt): Pick<Origin, 'redacted' | 'headers'> {
    return { redacted: this.#held(at.frame.redacted ?? NONE, at), headers: this.headers(at) }
  }

  headers(at: FrameAt): Origin['headers'] {
    const headers = at.frame.http?.headers
    if (!headers) return undefined
    return this.#held(headers.flat(), at)
  }

  #held(list: readonly string[], { source }: FrameAt): readonly string[] | typeof UNREAD {
    const shared = this.#lists.of(list)
    if (shared || !source.canReadAgain) return shared ?? list
    source.keepOpen()
    return UNREAD
  }

  /** Throws TapeError: more messages in batches than anybody sends. */
  envelopes(frame: TapeFrame, text: string): readonly Envelope[] {
    const all = envelopesOf(text, MAX_BATCHED)
    if (all.length > 1) this.#batched += all.length
    if (this.#batched < MAX_BATCHED) return all
    throw new TapeError(
      'tape_malformed',
      `${this.name}: frame ${frame.n}: batches with more than ${MAX_BATCHED} messages; use a part of the tape`
    )
  }
}

export function headerOf(frame: TapeFrame, wanted: string): string | undefined {
  return frame.http?.headers?.find(([name]) => name.length === wanted.length && name.toLowerCase() === wanted)?.[1]
}

function streamKey({ stream = '', process }: TapeFrame): string {
  return process === undefined ? ownText(stream) : `${process} ${ownText(stream)}`
}

function eventKey(room: Room, id: string): string {
  return `${room.session ?? ''} ${ownText(id)}`
}
