import type { Era } from '../protocol/versions.ts'
import { TapeError } from '../tape/format.ts'
import { Recent } from './bounded-maps.ts'
import { ConversationBuilder } from './conversation-builder.ts'
import { Room } from './room.ts'
import type { SaidOnTape } from './said-on-tape.ts'
import { ownText } from './shared-strings.ts'
import type { StepTable } from './step-table.ts'
import type { StepOn } from './steps.ts'

/** Sessions whose ids are told apart at once; of older ones the conversation is known, and no longer what waited in it. */
const MAX_ROOMS = 2_000
const MAX_SESSIONS = 1_000_000

/** The conversations of one tape, and where in them things stand. */
export class Conversations {
  modern: ConversationBuilder | undefined
  readonly #name: string
  readonly #table: StepTable
  readonly #sessions = new Map<string, ConversationBuilder>()
  readonly #rooms = new Recent<Room>(MAX_ROOMS)
  /** Rows of what the server said, outside of any session, before the client had done anything. */
  #early: number[] = []

  constructor(name: string, table: StepTable) {
    this.#name = name
    this.#table = table
  }

  get legacy(): readonly ConversationBuilder[] {
    return [...this.#sessions.values()]
  }

  room(session: string | undefined, process: number | undefined): Room {
    const key = roomKey(session, process)
    let room = this.#rooms.get(key)
    if (!room) {
      room = new Room(session === undefined ? undefined : ownText(session))
      this.#rooms.set(key, room)
    }
    return room
  }

  /** Throws TapeError: more sessions than anybody has. */
  of(era: Era, { session }: Room): ConversationBuilder {
    if (era === 'modern') return (this.modern ??= new ConversationBuilder(this.#table, 'modern', undefined))
    const key = roomKey(session, undefined)
    let conversation = this.#sessions.get(key)
    if (conversation) return conversation
    if (this.#sessions.size >= MAX_SESSIONS)
      throw new TapeError(
        'tape_malformed',
        `${this.#name}: it has more than ${MAX_SESSIONS} sessions; use a part of it`
      )
    conversation = new ConversationBuilder(this.#table, 'legacy', session)
    this.#sessions.set(key, conversation)
    return conversation
  }

  /** The client did something. */
  did(room: Room, conversation: ConversationBuilder, step: StepOn): void {
    if (room.session === undefined && this.#early.length > 0) this.#begin(conversation)
    conversation.add(step)
    room.did(step, conversation)
  }

  /** What names no request stands behind what happened last. */
  place(room: Room, said: SaidOnTape): void {
    const { anchor } = room
    if (anchor?.kind === 'request' && anchor.isOpen) anchor.addSaid(said)
    else if (anchor) anchor.addAfter(said)
    else if (room.session !== undefined) this.of('legacy', room).addBefore(said)
    else this.#early.push(said.row)
  }

  /** The end of the tape. */
  end(): void {
    if (this.#early.length === 0) return
    const [first] = this.#sessions.values()
    this.#begin(this.modern ?? first ?? this.of('legacy', this.room(undefined, undefined)))
  }

  #begin(conversation: ConversationBuilder): void {
    conversation.insert(Uint32Array.from(this.#early))
    this.#early = []
  }
}

function roomKey(session: string | undefined, process: number | undefined): string {
  return `${process ?? ''} ${session === undefined ? '' : `s${ownText(session)}`}`
}
