import type { Message } from '../protocol/message.ts'
import { kindOf } from './asking.ts'
import type { ConversationIndex } from './conversation-index.ts'
import { NamedCounts } from './counts.ts'
import type { Cursor, Hit, Match } from './matching.ts'
import { Owed } from './owed.ts'
import type { Conversation, RecordedNotification, Said } from './recording.ts'
import type { Replay } from './replay.ts'

/** Which of the recordings are one client's next. */
export class OwnRecordings {
  readonly #replay: Replay
  readonly #name: string | undefined
  readonly #before: (said: readonly Said[]) => void
  readonly #cursors: { legacy?: Cursor; modern?: Cursor } = {}
  readonly #owed = { legacy: new Owed(), modern: new Owed() }
  /** How often a method was used: of notifications, and of requests where faults depend on it. */
  readonly counts: NamedCounts = new NamedCounts()
  #index: ConversationIndex | undefined
  #begun = false

  /** `name`: the client's own for its session. `before` is told what the server said before the client did anything. */
  constructor(replay: Replay, name: string | undefined, before: (said: readonly Said[]) => void) {
    this.#replay = replay
    this.#name = name
    this.#before = before
  }

  begin(initialize: Message): void {
    if (this.#begun) return
    this.#begun = true
    const conversation = this.#replay.conversationLike(initialize, this.#name)
    if (conversation) this.#beginAs(conversation)
  }

  find(message: Message, modern: boolean): Match {
    return this.#replay.find(message, this.#cursor(modern))
  }

  /** What is due whatever the cursors say: what was told something else in its place before, and who is refused at the door. */
  due(message: Message, modern: boolean): Hit | undefined {
    const owed = this.#owed[modern ? 'modern' : 'legacy']
    const kind = owed.any ? this.#kindOf(message, modern) : undefined
    const hit = kind === undefined ? undefined : owed.take(kind)
    if (!hit) return this.#replay.refusedBeginning(message, modern)
    this.#replay.hit(hit.request)
    return hit
  }

  /** The client has to make the request once more to get its recording. */
  owes(message: Message, modern: boolean, hit: Hit): void {
    const kind = this.#kindOf(message, modern)
    if (kind !== undefined) this.#owed[modern ? 'modern' : 'legacy'].give(kind, hit)
  }

  #kindOf(message: Message, modern: boolean): number | undefined {
    const cursor = modern ? this.#cursors.modern : this.#cursors.legacy
    return cursor && kindOf(cursor, message)
  }

  /** The client's next of that method. */
  notification(method: string): RecordedNotification | undefined {
    return this.index?.notification(method, this.counts.next(method))
  }

  /** Of what the client plays; undefined while that is not known. */
  get index(): ConversationIndex | undefined {
    const { modern } = this.#replay.recording
    return this.#index ?? (modern && !this.#begun ? this.#replay.indexOf(modern) : undefined)
  }

  #beginAs(conversation: Conversation): void {
    this.#cursors.legacy = this.#replay.cursor('legacy', conversation)
    this.#index = this.#replay.indexOf(conversation)
    const { before } = this.#index
    if (before.length > 0) this.#before(before)
  }

  #cursor(modern: boolean): Cursor | undefined {
    if (modern) return (this.#cursors.modern ??= this.#replay.cursor('modern'))
    if (this.#cursors.legacy) return this.#cursors.legacy
    const { unbegun } = this.#replay
    if (unbegun) this.#beginAs(unbegun)
    return (this.#cursors.legacy ??= this.#replay.cursor('legacy'))
  }
}
