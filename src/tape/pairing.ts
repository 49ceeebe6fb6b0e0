import { factsOf, type MessageFacts } from './facts.ts'
import type { TapeFrame } from './format.ts'

/** A message and, for an answer, the request it belongs to. */
export interface Seen extends MessageFacts {
  readonly request?: {
    readonly method: string
    readonly subject?: string
    readonly latency: number
    readonly n: number
  }
}

/** What pairing needs to know of a frame. */
export type FramePlace = Pick<TapeFrame, 'n' | 't' | 'side' | 'dir' | 'session' | 'stream' | 'process'>

interface Pending {
  readonly method: string
  readonly subject: string | undefined
  readonly stream: string | undefined
  readonly t: number
  readonly n: number
}

/** Requests that wait for their answer. Beyond it the oldest are forgotten: a tape may hold millions that were never answered. */
const MAX_PENDING = 10_000
const MAX_SAME_ID = 1000

const NOTHING: readonly Seen[] = []

/**
 * Pairs requests with answers, each side of the door on its own. Clients reuse ids, concurrently too, so among requests
 * with the same id the one on the answer's own stream goes first.
 */
export class Pairing {
  readonly #pending = new Map<string, Pending[]>()
  #count = 0

  get pending(): number {
    return this.#count
  }

  /** What the frame's messages are. Every frame must pass here, in order. */
  see(frame: TapeFrame): readonly Seen[] {
    if (frame.kind !== 'message' || frame.text === undefined) return NOTHING
    return factsOf(frame.text).map(facts => this.pair(frame, facts))
  }

  /** One message, for those who know already what it is. */
  pair(frame: FramePlace, facts: MessageFacts): Seen {
    if (facts.id === undefined) return facts
    if (facts.kind === 'request') this.#add(frame, facts)
    return facts.kind === 'response' ? this.#answered(frame, facts) : facts
  }

  #add(frame: FramePlace, facts: MessageFacts): void {
    const key = keyOf(frame, frame.dir, facts.id!)
    const subject = facts.subject === undefined ? undefined : detached(facts.subject)
    const entry = { method: detached(facts.method!), subject, stream: frame.stream, t: frame.t, n: frame.n }
    const list = this.#pending.get(key)
    if (!list) this.#pending.set(key, [entry])
    else if (list.push(entry) > MAX_SAME_ID) {
      list.shift()
      return
    }
    this.#count++
    if (this.#count > MAX_PENDING) this.#forget()
  }

  /** Many at once: to look for the oldest of a map takes as long as there are gaps before it. */
  #forget(): void {
    for (const [oldest, forgotten] of this.#pending) {
      this.#pending.delete(oldest)
      this.#count -= forgotten.length
      if (this.#count <= MAX_PENDING - MAX_SAME_ID) return
    }
  }

  #answered(frame: FramePlace, facts: MessageFacts): Seen {
    const key = keyOf(frame, frame.dir === 'up' ? 'down' : 'up', facts.id!)
    const list = this.#pending.get(key)
    if (!list) return facts
    const sameStream = list.findIndex(p => p.stream === frame.stream)
    const [found] = list.splice(Math.max(0, sameStream), 1)
    this.#count--
    if (list.length === 0) this.#pending.delete(key)
    const { method, subject, t, n } = found!
    return { ...facts, request: { method, subject, latency: frame.t - t, n } }
  }
}

function keyOf(frame: FramePlace, dir: string, id: string): string {
  const bounded = id.length <= 200 ? id : `${id.slice(0, 200)} ${id.length}`
  return `${frame.process ?? ''} ${frame.side} ${dir} ${bounded} ${frame.session ?? ''}`
}

/** A copy: V8 keeps the whole message alive for the sake of a slice of it. */
function detached(text: string): string {
  return Buffer.from(text.slice(0, 200)).toString()
}
