import type { TapeFrame } from './format.ts'
import type { Seen } from './pairing.ts'
import { Remembered } from './remembered.ts'

/** Requests without an answer that are thought of; a tape may hold millions. */
const MAX_OPEN = 10_000

/** Of requests, which stay on a tape that is cut: for what belongs to them, and stands elsewhere than on their own stream. */
export class RequestFates {
  /** By the number of the frame. */
  readonly #stayed = new Remembered<number>()
  readonly #byToken = new Remembered<string>()
  readonly #byId = new Remembered<string>()
  /** Requests of clients that stay and are open, by conversation and id, the oldest first. */
  readonly #open = new Map<string, Set<string>>()
  #count = 0

  /** Undefined for a request that is not known any more. */
  stayed(n: number): boolean | undefined {
    return this.#stayed.get(n)
  }

  /** Of progress and cancellations, and of what the server asks while requests that stay are open: true, as it may belong to one. */
  fateOf(frame: TapeFrame, { kind, method, progressToken, requestId }: Seen): boolean | undefined {
    if (kind === 'request') return frame.dir === 'down' && this.#open.has(conversationOf(frame)) ? true : undefined
    // The other side was given the token; it is the asker who cancels.
    if (method === 'notifications/progress' && progressToken !== undefined)
      return this.#byToken.get(nameOf(frame, frame.dir === 'up' ? 'down' : 'up', progressToken))
    if (method === 'notifications/cancelled' && requestId !== undefined)
      return this.#byId.get(nameOf(frame, frame.dir, requestId))
    return undefined
  }

  /** Each message of the tape, in order, with what has become of it. */
  saw(frame: TapeFrame, { kind, method, id, progressToken, requestId }: Seen, stays: boolean): void {
    if (kind === 'request' && id !== undefined) {
      this.#stayed.set(frame.n, stays)
      this.#byId.set(nameOf(frame, frame.dir, id), stays)
      if (progressToken !== undefined) this.#byToken.set(nameOf(frame, frame.dir, progressToken), stays)
      if (stays && frame.dir === 'up') this.#opened(conversationOf(frame), bounded(id))
    } else if (kind === 'response' && id !== undefined && frame.dir === 'down') this.#closed(frame, id)
    else if (method === 'notifications/cancelled' && requestId !== undefined && frame.dir === 'up')
      this.#closed(frame, requestId)
  }

  #opened(conversation: string, id: string): void {
    const open = this.#open.get(conversation)
    if (!open) this.#open.set(conversation, new Set([id]))
    else if (open.has(id)) return
    else open.add(id)
    if (++this.#count > MAX_OPEN) this.#forget()
  }

  #closed(frame: TapeFrame, id: string): void {
    const conversation = conversationOf(frame)
    const open = this.#open.get(conversation)
    if (!open?.delete(bounded(id))) return
    this.#count--
    if (open.size === 0) this.#open.delete(conversation)
  }

  /** Half of them at once: to look for the oldest of a map takes as long as there are gaps before it. */
  #forget(): void {
    for (const [conversation, open] of this.#open) {
      if (this.#count <= MAX_OPEN / 2) return
      for (const id of open) {
        if (this.#count <= MAX_OPEN / 2) return
        open.delete(id)
        this.#count--
      }
      this.#open.delete(conversation)
    }
  }
}

function conversationOf({ process, side, session }: TapeFrame): string {
  return `${process ?? ''} ${side} ${session ?? ''}`
}

/** Ids and tokens are the asker's own. */
function nameOf(frame: TapeFrame, asker: 'up' | 'down', text: string): string {
  return `${asker} ${bounded(text)} ${conversationOf(frame)}`
}

/** Real ones are short. */
function bounded(text: string): string {
  return text.length <= 100 ? text : `${text.slice(0, 100)} ${text.length}`
}
