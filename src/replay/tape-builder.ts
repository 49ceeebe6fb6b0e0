import { ClientSide } from './client-side.ts'
import type { Conversations } from './conversations.ts'
import type { Room } from './room.ts'
import { ServerSide } from './server-side.ts'
import { NONE } from './shared-strings.ts'
import type { StepTable } from './step-table.ts'
import { EndOnTape } from './steps.ts'
import { type FrameAt, TapeState } from './tape-state.ts'

/** Takes the frames of one tape, in order, and puts the conversations together that they tell of. */
export class TapeBuilder {
  /** Frames that the recorder left out. */
  missing = 0
  readonly #state: TapeState
  readonly #client: ClientSide
  readonly #server: ServerSide

  constructor(name: string, table: StepTable) {
    this.#state = new TapeState(name, table)
    this.#client = new ClientSide(this.#state)
    this.#server = new ServerSide(this.#state)
  }

  get conversations(): Conversations {
    return this.#state.conversations
  }

  get requests(): number {
    return this.#client.requests
  }

  /** How many places in the order were given away. */
  get orders(): number {
    return this.#state.orders
  }

  /** Of what passed on the server's side nothing is needed: the client's is complete. */
  frame(at: FrameAt): void {
    const { frame } = at
    if (frame.kind === 'note') this.#note(at)
    else if (frame.side === 'client') (frame.dir === 'up' ? this.#client : this.#server).frame(at)
  }

  #note(at: FrameAt): void {
    const { frame } = at
    if (frame.note === 'dropped' && typeof frame.data?.count === 'number') this.missing += frame.data.count
    else if (frame.note === 'disconnect') this.#left(at)
    else if (frame.note === 'error') this.#server.ended(frame, String(frame.data?.code ?? 'error'))
    else if (frame.note === 'session-end') this.#sessionEnded(at)
  }

  #left(at: FrameAt): void {
    const stream = this.#server.left(at.frame)
    if (stream !== undefined && stream.room.pipe === at.frame.stream) this.#pipeEnded(at, stream.room)
  }

  #sessionEnded(at: FrameAt): void {
    const { session, process, remark } = at.frame
    const room = this.#state.conversations.room(session, process)
    if (room.isStdio && remark?.endsWith(': client')) this.#pipeEnded(at, room)
  }

  #pipeEnded(at: FrameAt, room: Room): void {
    const step = EndOnTape.add(this.#state.table, { ...this.#state.mark(at), redacted: NONE, headers: undefined })
    this.conversations.did(room, this.conversations.of('legacy', room), step)
  }

  /** The end of the tape. */
  end(): void {
    this.conversations.end()
  }
}
