import { CatflapError } from '../errors.ts'
import { ended, failed } from '../transport/upstream/no-call.ts'
import type { CallInput, CallReceiver, Leg, LegEvents, UpstreamCall } from '../transport/upstream.ts'
import type { Replay } from './replay.ts'
import type { Outlet, ReplaySession } from './replay-session.ts'
import { tellBatch } from './tape-batch.ts'

/** A leg whose server is a tape. It is a pipe in all but bytes: each call is an object, so that ids need not be told apart. */
export class TapeLeg implements Leg {
  readonly upstreamId = undefined
  readonly #session: ReplaySession
  readonly #heads: boolean
  #closed = false

  constructor(replay: Replay, events: LegEvents, name?: string) {
    this.#session = replay.session(events.heads ? overHttp(events) : events, name)
    this.#heads = events.heads === true
  }

  call(input: CallInput, receiver: CallReceiver): UpstreamCall {
    if (this.#closed) return failed(receiver, new CatflapError('session_not_found', 'The session has ended.'))
    return tellAny(this.#session, input, receiver, this.#heads, () => this.#closed)
  }

  pause(): void {
    this.#session.pause()
  }

  resume(): void {
    this.#session.resume()
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#session.close()
  }
}

/** An error that answers nothing has no place on HTTP's streams. */
export function overHttp(outlet: Outlet & Pick<LegEvents, 'late'>): Outlet {
  return {
    message: (message, call) => (message.kind === 'response' ? outlet.late(message) : outlet.message(message, call))
  }
}

/** The same for the legacy era, which has batches. */
export function tellAny(
  session: ReplaySession,
  input: CallInput,
  receiver: CallReceiver,
  heads: boolean,
  isOver: () => boolean = () => false
): UpstreamCall {
  if (input.kind === 'batch') return tellBatch(session, input, receiver, { heads, isOver })
  return tell(session, input, receiver, heads)
}

export function tell(session: ReplaySession, input: CallInput, receiver: CallReceiver, heads: boolean): UpstreamCall {
  const { message } = input
  if (!message || input.kind === 'listen' || input.kind === 'terminate') return ended(receiver)
  if (message.kind === 'request') return session.request(message, receiver, heads)
  if (message.kind === 'response') session.answer(message)
  else session.notification(message)
  return ended(receiver)
}
