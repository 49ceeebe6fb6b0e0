import type { Conversation, RecordedRequest, Said } from '../replay/recording.ts'
import { allSaid } from './plan.ts'

/** Finds what the server said on the tape while a request was under way, whomever it belongs to. */
export class SaidBetween {
  readonly #conversations: Iterable<Conversation>
  #owners: Map<RecordedRequest, Conversation> | undefined
  readonly #said = new Map<Conversation, readonly Said[]>()

  constructor(conversations: Iterable<Conversation>) {
    this.#conversations = conversations
  }

  of(request: RecordedRequest): readonly Said[] {
    const conversation = this.#ownerOf(request)
    if (!conversation || request.outcome.kind === 'open') return []
    let said = this.#said.get(conversation)
    if (!said) this.#said.set(conversation, (said = allSaid(conversation)))
    const { order } = request.outcome
    return said.filter(s => s.order > request.order && s.order < order)
  }

  #ownerOf(request: RecordedRequest): Conversation | undefined {
    if (!this.#owners) {
      this.#owners = new Map()
      for (const conversation of this.#conversations)
        for (const step of conversation.steps) if (step.kind === 'request') this.#owners.set(step, conversation)
    }
    return this.#owners.get(request)
  }
}
