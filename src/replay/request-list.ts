import { uint32s } from './column.ts'
import type { Conversation, RecordedRequest } from './recording.ts'
import { addedSessions, isOwnBeginning } from './refused-beginnings.ts'
import { stepAt, stepsInTurn } from './steps-of.ts'

/** The requests of some conversations, one conversation after the other, each at its position. */
export class RequestList {
  readonly length: number
  readonly #conversations: readonly Conversation[]
  /** The first position of each conversation. */
  readonly #starts: Uint32Array
  readonly #numbers = new Map<Conversation, number>()
  /** For each position, the number of its step in its conversation. */
  readonly #steps = uint32s()

  constructor(
    conversations: readonly Conversation[],
    onRequest: (request: RecordedRequest, position: number, conversation: Conversation) => void
  ) {
    this.#conversations = conversations
    this.#starts = new Uint32Array(conversations.length)
    const added = addedSessions(conversations)
    let position = 0
    for (const [number, conversation] of conversations.entries()) {
      this.#starts[number] = position
      this.#numbers.set(conversation, number)
      for (const [number, step] of stepsInTurn(conversation)) {
        if (step.kind !== 'request' || (added.has(conversation) && isOwnBeginning(conversation, step))) continue
        onRequest(step, position, conversation)
        this.#steps.set(position++, number)
      }
    }
    this.length = position
  }

  at(position: number): RecordedRequest {
    return stepAt(this.#conversations[this.conversationOf(position)]!, this.#steps.get(position)) as RecordedRequest
  }

  /** The positions of a conversation's requests; undefined for one that is none of these. */
  rangeOf(conversation: Conversation): readonly [from: number, to: number] | undefined {
    const number = this.#numbers.get(conversation)
    if (number === undefined) return undefined
    return [this.#starts[number]!, this.#starts[number + 1] ?? this.length]
  }

  /** A number that tells conversations apart. */
  conversationOf(position: number): number {
    let low = 0
    let high = this.#starts.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#starts[middle]! <= position) low = middle + 1
      else high = middle
    }
    return low - 1
  }
}
