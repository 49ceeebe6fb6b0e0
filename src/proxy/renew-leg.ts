import { CatflapError } from '../errors.ts'
import { getHeader, SESSION_HEADER } from '../protocol/headers.ts'
import { Message } from '../protocol/message.ts'
import { factsOf } from '../session/facts.ts'
import type { Session } from '../session/session.ts'
import type { Leg } from '../transport/upstream.ts'
import type { Exchange } from './exchange.ts'
import { type OwnAnswer, ownCall } from './own-call.ts'

/**
 * What became of a session that its server had lost. `kept`: it was made anew. `shared`: another process has done that.
 * `changed`: the server says something else of itself. `refused`: it did not take the `initialize`, or what follows it.
 * `unreachable`: there was no answer. `unknown`: what the client said at first is not known any more.
 */
export type LossOutcome = 'kept' | 'shared' | 'changed' | 'refused' | 'unreachable' | 'unknown'

/** Why a session cannot go on. */
export class Unrecoverable extends Error {
  readonly outcome: LossOutcome

  constructor(outcome: LossOutcome, message: string) {
    super(message)
    this.name = 'Unrecoverable'
    this.outcome = outcome
  }
}

/** Requests at once while a session is restored. */
const AT_ONCE = 8

/** Says something to the server and returns its answer. */
type Ask = (leg: Leg, message: Message, version?: string, avoid?: string) => Promise<OwnAnswer>

/**
 * Repeats a client's `initialize` at a server over HTTP, with the headers of the exchange that needs it, and brings the new session
 * to where the lost one was. `avoid`: the one of several servers that it is not to go on at. Rejects where the server does not take it.
 */
export async function renewLeg(
  x: Exchange,
  session: Session,
  initialize: Message,
  signal: AbortSignal,
  avoid?: string
): Promise<{ readonly leg: Leg; readonly answer: Message }> {
  const { target } = x.core
  const ask = asker(x, session, signal)
  const front = target.sessionless
  if (!front) throw new Unrecoverable('changed', 'the server speaks another transport by now')
  const { head, message: answer } = await ask(front, initialize, undefined, avoid)
  const upstreamId = getHeader(head.headers, SESSION_HEADER)
  if (!answer || answer.isError) throw new Unrecoverable('refused', 'the server refused its initialize')
  if (upstreamId === undefined) throw new Unrecoverable('changed', 'the server has no sessions any more')
  const leg = target.resume(upstreamId, head.member)
  if (!leg) throw new CatflapError('internal', 'no leg for a session that was just made')
  try {
    await ask(leg, Message.from({ jsonrpc: '2.0', method: 'notifications/initialized' }), answer.protocolVersion)
    await restore(x, session, message => ask(leg, message, answer.protocolVersion), signal)
    return { leg, answer }
  } catch (error) {
    void leg.close(x.headers)
    throw error
  }
}

/** Speaks to a server over HTTP in the place of the client, with the headers that it sends now. */
export function asker(x: Exchange, session: Session, signal: AbortSignal): Ask {
  const { core, era, query } = x
  const { bus, tap } = core
  // As they are now: a client may have another token than when it began.
  const context = { era, query, headers: [...x.headers] }
  const label = core.target.label
  return async (leg, message, version, avoid) => {
    if (bus.active) tap.loose(session, x.stream, 'server', 'up', message, true)
    const answer = await ownCall(leg, message, {
      label,
      context,
      version,
      signal,
      avoid,
      watch: (method, path, headers) => (bus.active ? tap.upstreamRequest(session, method, path, headers) : undefined)
    })
    if (answer.message && bus.active) tap.loose(session, x.stream, 'server', 'down', answer.message)
    return answer
  }
}

/**
 * Log level and subscriptions, as the server last accepted them, several at once. One that it does not take any more is left out. Rejects
 * with the signal's reason where it has not answered by then.
 */
export async function restore(
  x: Exchange,
  session: Session,
  ask: (message: Message) => Promise<{ readonly message: Message | undefined }>,
  signal: AbortSignal
): Promise<void> {
  const { logLevel, subscriptions = [] } = factsOf(session.record)
  const requests = subscriptions.map(uri => ({ method: 'resources/subscribe', params: { uri } as object }))
  if (logLevel !== undefined) requests.push({ method: 'logging/setLevel', params: { level: logLevel } })
  let left = 0
  const worker = async (): Promise<void> => {
    for (let next = requests.pop(); next && !signal.aborted; next = requests.pop()) {
      // No client counts like this.
      const message = Message.from({ jsonrpc: '2.0', id: `catflap-restore-${requests.length}`, ...next })
      const answer = await ask(message).catch(() => undefined)
      if (!answer?.message || answer.message.isError) left++
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  signal.throwIfAborted()
  if (left > 0)
    x.core.log.warn(
      'session-restore',
      `session ${session.handle}: the server did not take ${left} of its subscriptions`
    )
}
