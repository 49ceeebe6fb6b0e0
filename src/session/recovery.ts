import type { CatflapError } from '../errors.ts'
import { idKey, roundedKey } from '../protocol/id.ts'
import { MalformedMessage, Message } from '../protocol/message.ts'
import type { Leg } from '../transport/upstream.ts'

/** How long an answer to a question of the lost server may still come, in ms: people take their time, but not for ever. */
const LATE = 300_000
const SLACK = 60_000
/** Questions of a server that are remembered. */
const MAX_ASKED = 1_024

/** What is known of a session whose server has lost it. Most sessions have none. */
export class Recovery {
  /** A new leg is being opened; undefined in the end where it cannot be. */
  pending: Promise<Leg | undefined> | undefined
  /** Why there is no leg at the moment; the next call opens one. */
  lost: CatflapError | undefined
  /** Events of the present leg have ids: what a client names from now on may be one of them. */
  hasIds = false
  /** No server could be asked to take it, and somebody was told. */
  inVain = false
  /** There may be streams of the leg before, which nothing will come on any more. */
  oldStreams = false
  #renewedAt = Number.NEGATIVE_INFINITY
  /** Ids of what the present server has asked its client. */
  readonly #asked = new Set<string>()

  /** There is a new leg, since so many ms. */
  renewed(ago = 0): void {
    this.lost = undefined
    this.inVain = false
    this.hasIds = false
    this.oldStreams = true
    this.#renewedAt = performance.now() - Math.max(0, ago)
    this.#asked.clear()
  }

  /** Answers may still come that were meant for the server before. */
  get recent(): boolean {
    return performance.now() - this.#renewedAt < LATE
  }

  /** What the server asks has to be known: for longer than answers are looked at, as clocks of several processes differ. */
  get hears(): boolean {
    return performance.now() - this.#renewedAt < LATE + SLACK
  }

  /** The server has said this: what it asks may be answered. Returns what it has asked, as `answers` knows it. */
  heard(bytes: Buffer): string | undefined {
    if (!bytes.includes('"method"')) return undefined
    const message = parse(bytes)
    if (message?.kind !== 'request') return undefined
    if (this.#asked.size >= MAX_ASKED) for (const oldest of this.#asked) if (this.#asked.delete(oldest)) break
    const key = idKey(message.idText!)
    this.#asked.add(key)
    return key
  }

  /**
   * Whether the present server has asked what this answers. Servers count their questions from the same number again: an answer to
   * one that the lost server has asked would be taken for another.
   */
  answers(response: Message): boolean {
    if (!this.recent || response.idText === undefined) return true
    const key = idKey(response.idText)
    if (this.#asked.has(key)) return true
    // Clients that read numbers as doubles echo big ids rounded.
    for (const asked of this.#asked) if (roundedKey(asked) === key) return true
    return false
  }
}

function parse(bytes: Buffer): Message | undefined {
  try {
    return Message.parse(bytes, 'server')
  } catch (error) {
    if (error instanceof MalformedMessage) return undefined
    throw error
  }
}
