import type { CatflapError } from '../errors.ts'
import type { Message } from '../protocol/message.ts'
import type { ReplyHead } from './upstream.ts'

/** What is answered in the server's place. */
export interface WholeAnswer {
  readonly status: number
  readonly headers: readonly string[]
  readonly body: Buffer | undefined
}

/** Hears of the client. An object instead of functions, since one is set for every exchange. */
export interface ReplyListener {
  /** There is room again; told once each time. */
  onDrained(): void
  /** The client is gone before the answer was complete. */
  onGone(): void
}

/**
 * The client's half of an answer: pending → json | sse | raw → ended. Nothing commits the head before it is known what will
 * be in it. Whatever returns false is full: wait for `drained`.
 */
export interface Reply {
  readonly state: 'pending' | 'json' | 'sse' | 'raw' | 'ended'
  /** Bytes that wait for a slow client. */
  readonly queued: number
  /** Bytes of content that were written; absent where others write on the same stream. */
  readonly sent?: number
  /** Headers to go with a head that has not been written yet (name, value …). */
  extra: string[]
  head(head: ReplyHead): void
  /** Content as it came. `atBoundary`: an SSE stream stands between two events behind it. */
  data(chunk: Buffer, atBoundary: boolean): boolean
  /** A message from an upstream that has no heads. `last`: it is the answer. */
  message(message: Message, last: boolean): boolean
  /** Becomes a stream now, or (`afterSilence`) once nothing was said for a while. HTTP only. */
  openStream?(afterSilence?: boolean): void
  /** Says a last message on a stream, before its end. False: there is no stream, or nothing fits in where it stands. */
  farewell?(message: Message): boolean
  end(): void
  /** Answers with an error where that is still possible; otherwise breaks off, so that nobody takes a part for the whole. */
  fail(error: CatflapError, idText: string | undefined): void
  answer(answer: WholeAnswer): void
  listener: ReplyListener | undefined
}
