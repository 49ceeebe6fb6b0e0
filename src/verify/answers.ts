import { Message } from '../protocol/message.ts'
import type { RecordedRequest } from '../replay/recording.ts'
import type { LiveAnswer, LiveOutcome } from './live-request.ts'
import { type PutAway, Spill } from './spill.ts'

interface Kept extends Omit<LiveAnswer, 'outcome' | 'said'> {
  readonly outcome:
    | Exclude<LiveOutcome, { kind: 'response' }>
    | { readonly at: number; readonly bytes: PutAway }
    | undefined
  readonly said: readonly { readonly owned: boolean; readonly bytes: PutAway }[]
}

/** What one run brought, by request. Of many and large answers the texts are on the disk until they are asked for. */
export class Answers implements Iterable<readonly [RecordedRequest, LiveAnswer]> {
  readonly #kept = new Map<RecordedRequest, Kept>()
  readonly spill: Spill

  constructor(spill = new Spill()) {
    this.spill = spill
  }

  /** As it is now: what comes for it later is not seen. Throws TapeError `tape_unwritable`. */
  add(request: RecordedRequest, { outcome, said, unkept, alone, onPipe, ms }: LiveAnswer): void {
    const kept = {
      outcome:
        outcome?.kind === 'response' ? { at: outcome.at, bytes: this.spill.put(outcome.message.bytes) } : outcome,
      said: said.map(({ message, owned }) => ({ owned, bytes: this.spill.put(message.bytes) })),
      ...{ unkept, alone, onPipe, ms }
    }
    this.#kept.set(request, kept)
  }

  get(request: RecordedRequest): LiveAnswer | undefined {
    const kept = this.#kept.get(request)
    return kept && answerOf(kept)
  }

  *[Symbol.iterator](): Generator<readonly [RecordedRequest, LiveAnswer], void, void> {
    for (const [request, kept] of this.#kept) yield [request, answerOf(kept)]
  }

  close(): void {
    this.spill.close()
  }
}

function answerOf({ outcome, said, unkept, alone, onPipe, ms }: Kept): LiveAnswer {
  return {
    outcome:
      outcome && 'bytes' in outcome
        ? { kind: 'response', message: Message.parse(outcome.bytes()), at: outcome.at }
        : outcome,
    said: said.map(({ owned, bytes }) => ({ owned, message: Message.parse(bytes()) })),
    ...{ unkept, alone, onPipe, ms }
  }
}
