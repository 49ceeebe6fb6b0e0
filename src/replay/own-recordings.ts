import type { Message } from '../protocol/message.ts'
import type { ConversationIndex } from './conversation-index.ts'
import type { Cursor, Hit, Match } from './matching.ts'
import { Owed } from './owed.ts'
import type { Conversation, RecordedNotification, Said } from './recording.ts'
import type { Replay } from './replay.ts'

/** Methods that are remembered. */
const MAX_NAMES = 1024

/** Which of the recordings are one client's next. */
export class OwnRecordings {
  readonly #replay: Replay
  readonly #name: string | undefined
  readonly #before: (said: readonly Said[]) => void
  readonly #cursors: { legacy?: Cursor; modern?: Cursor } = {}
  readonly #owed = new Owed()
  /** How often a method was used: of notifications, and of requests where faults depend on it. */
  readonly #times = new Map<string, number>()
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
    const owed = this.#owed.take(message)
    if (!owed) return this.#replay.refusedBeginning(message, modern)
    this.#replay.hit(owed.request)
    return owed
  }

  /** The client has to make the request once more to get its recording. */
  owes(message: Message, hit: Hit): void {
    this.#owed.give(message, hit)
  }

  /** The client's next of that method. */
  notification(method: string): RecordedNotification | undefined {
    return this.index?.notification(method, this.count(method))
  }

  /** Of what the client plays; undefined while that is not known. */
  get index(): ConversationIndex | undefined {
    const { modern } = this.#replay.recording
    return this.#index ?? (modern && !this.#begun ? this.#replay.indexOf(modern) : undefined)
  }

  /** How often it was counted before. */
  count(what: string): number {
    const n = this.#times.get(what) ?? 0
    if (n > 0 || this.#times.size < MAX_NAMES) this.#times.set(what, n + 1)
    return n
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
