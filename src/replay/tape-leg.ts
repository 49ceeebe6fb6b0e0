import { CatflapError } from '../errors.ts'
import { BatchReceiver } from '../transport/upstream/batch-receiver.ts'
import { ended, failed } from '../transport/upstream/no-call.ts'
import type { CallInput, CallReceiver, Leg, LegEvents, UpstreamCall } from '../transport/upstream.ts'
import type { Replay } from './replay.ts'
import type { ReplaySession } from './replay-session.ts'

/** A leg whose server is a tape. It is a pipe in all but bytes: each call is an object, so that ids need not be told apart. */
export class TapeLeg implements Leg {
  readonly upstreamId = undefined
  readonly #session: ReplaySession
  readonly #heads: boolean
  #closed = false

  constructor(replay: Replay, events: LegEvents, name?: string) {
    this.#session = replay.session(events, name)
    this.#heads = events.heads === true
  }

  call(input: CallInput, receiver: CallReceiver): UpstreamCall {
    if (this.#closed) return failed(receiver, new CatflapError('session_not_found', 'The session has ended.'))
    if (input.kind === 'batch') return this.#batch(input, receiver)
    return tell(this.#session, input, receiver, this.#heads)
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

  /** Each is answered on its own; a status that one of them had has no place in the answer to all. */
  #batch(input: CallInput, receiver: CallReceiver): UpstreamCall {
    const messages = input.batch ?? []
    const requests = messages.filter(m => m.kind === 'request').length
    const batch = new BatchReceiver(receiver, requests, () => this.#closed)
    const calls: UpstreamCall[] = []
    for (const message of messages)
      if (message.kind === 'request') calls.push(this.#session.request(message, batch.member(message.idText!), false))
      else if (message.kind === 'response') this.#session.answer(message)
      else this.#session.notification(message)
    if (requests === 0) return ended(receiver)
    return {
      pause() {},
      resume() {},
      cancel(reason) {
        for (const call of calls) call.cancel(reason)
      }
    }
  }
}

export function tell(session: ReplaySession, input: CallInput, receiver: CallReceiver, heads: boolean): UpstreamCall {
  const { message } = input
  if (!message || input.kind === 'listen' || input.kind === 'terminate') return ended(receiver)
  if (message.kind === 'request') return session.request(message, receiver, heads)
  if (message.kind === 'response') session.answer(message)
  else session.notification(message)
  return ended(receiver)
}
