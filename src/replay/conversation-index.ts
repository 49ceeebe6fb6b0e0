import { uint32s } from './column.ts'
import { endsByClient } from './ends-by-client.ts'
import type { Conversation, RecordedNotification, Said } from './recording.ts'
import { countBelow } from './sorted.ts'
import { stepAt, stepsInTurn } from './steps-of.ts'

/** What a replay looks up in a conversation. Built once, when somebody first replays it. */
export class ConversationIndex {
  /** What the server said before the client had done anything. */
  readonly before: readonly Said[]
  readonly #conversation: Conversation
  /** By method: which of the steps. */
  readonly #notifications = new Map<string, number[]>()
  /** When the client did something and when it was answered, in order. */
  readonly #moments: Uint32Array
  /** When the client did something that a replay does again. */
  readonly #begins: Uint32Array

  constructor(conversation: Conversation) {
    this.#conversation = conversation
    let before: readonly Said[] = conversation.before
    let isFirst = true
    const moments = new Orders()
    const begins = new Orders()
    for (const [number, step] of stepsInTurn(conversation)) {
      moments.add(step.order)
      if (step.kind === 'listen' || step.kind === 'end') {
        // A replay may have no GET.
        if (isFirst && step.kind === 'listen' && step.after.length > 0) before = [...before, ...step.after]
        continue
      }
      isFirst = false
      begins.add(step.order)
      // Nobody waits for a client that leaves: it does so whenever it likes.
      if (step.kind === 'request' && step.outcome.kind !== 'open' && !endsByClient(step))
        moments.add(step.outcome.order)
      if (step.kind === 'notification') this.#notification(step.method, number)
    }
    this.before = before
    this.#begins = begins.all()
    this.#moments = moments.all().sort()
  }

  #notification(method: string, number: number): void {
    const all = this.#notifications.get(method)
    if (all) all.push(number)
    else this.#notifications.set(method, [number])
  }

  /** The recorded one; `n`: so many of that method came before. */
  notification(method: string, n: number): RecordedNotification | undefined {
    const number = this.#notifications.get(method)?.[n]
    return number === undefined ? undefined : (stepAt(this.#conversation, number) as RecordedNotification)
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

class Orders {
  readonly #orders = uint32s()
  #count = 0

  add(order: number): void {
    this.#orders.set(this.#count++, order)
  }

  all(): Uint32Array {
    return new Uint32Array(this.#count).map((_, i) => this.#orders.get(i))
  }
}

function lastBefore(sorted: Uint32Array, order: number): number {
  const count = countBelow(sorted, order)
  return count === 0 ? 0 : sorted[count - 1]!
}
