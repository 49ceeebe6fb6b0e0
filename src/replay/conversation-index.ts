import type { Conversation, RecordedNotification, Said, Step } from './recording.ts'

/** What a replay looks up in a conversation. Built once, when somebody first replays it. */
export class ConversationIndex {
  /** What the server said before the client had done anything. */
  readonly before: readonly Said[]
  readonly #notifications = new Map<string, RecordedNotification[]>()
  /** Behind GETs and ends, which a replay may not have: it counts as said behind what the client did before them. */
  readonly #moved = new Map<Step, Said[]>()
  /** When the client did something and when it was answered, in order. */
  readonly #moments: number[] = []
  /** When the client did something that a replay does again. */
  readonly #begins: number[] = []

  constructor(conversation: Conversation) {
    let last: Step | undefined
    let before: readonly Said[] = conversation.before
    for (const step of conversation.steps) {
      this.#moments.push(step.order)
      if (step.kind === 'listen' || step.kind === 'end') {
        if (step.after.length === 0 || step.kind === 'end') continue
        if (last) this.#moved.set(last, [...(this.#moved.get(last) ?? []), ...step.after])
        else before = [...before, ...step.after]
        continue
      }
      last = step
      this.#begins.push(step.order)
      if (step.kind === 'request' && step.outcome.kind !== 'open') this.#moments.push(step.outcome.order)
      if (step.kind === 'notification') this.#notification(step)
    }
    this.before = before
    this.#moments.sort((a, b) => a - b)
  }

  #notification(step: RecordedNotification): void {
    const all = this.#notifications.get(step.method)
    if (all) all.push(step)
    else this.#notifications.set(step.method, [step])
  }

  /** The recorded one; `n`: so many of that method came before. */
  notification(method: string, n: number): RecordedNotification | undefined {
    return this.#notifications.get(method)?.[n]
  }

  /** What the server said, of the session at large, behind this. */
  after(step: Step): readonly Said[] {
    const moved = this.#moved.get(step)
    return moved ? [...step.after, ...moved] : step.after
  }

  /** The last thing that happened before then; 0: nothing did. */
  momentBefore(order: number): number {
    return lastBefore(this.#moments, order)
  }

  /** The last thing that the client did before then; 0: nothing. */
  begunBefore(order: number): number {
    return lastBefore(this.#begins, order)
  }
}

function lastBefore(sorted: readonly number[], order: number): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (sorted[middle]! < order) low = middle + 1
    else high = middle
  }
  return low === 0 ? 0 : sorted[low - 1]!
}
