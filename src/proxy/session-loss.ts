import { EVENT_ID_HEADER, removeHeader } from '../protocol/headers.ts'
import type { Session } from '../session/manager.ts'
import { Recovery } from '../session/recovery.ts'
import type { Leg } from '../transport/upstream.ts'
import type { Exchange } from './exchange.ts'
import type { Answer } from './interceptor.ts'
import { applyChange } from './rederive.ts'
import { watchQuestions } from './session-state.ts'

/**
 * The server has answered 404 to an exchange in a session: resolves with the leg on which the session goes on, or with undefined
 * where it cannot. Undefined at once where the 404 is the client's in any case. However many exchanges notice, the session is made
 * anew once.
 */
export function keepSession(x: Exchange): Promise<Leg | undefined> | undefined {
  const { core, session, leg } = x
  if (core.sessionLoss !== 'reinitialize' || !session || session.ended || leg?.upstreamId === undefined)
    return undefined
  if (x.connection || session.channel || x.kind === 'terminate' || x.message?.method === 'initialize') return undefined
  // Somebody has noticed before.
  if (leg !== session.leg) return Promise.resolve(session.leg)
  session.recovery ??= new Recovery()
  const recovery = session.recovery
  recovery.pending ??= renew(x, session).finally(() => {
    recovery.pending = undefined
  })
  return recovery.pending
}

/** Loaded when it happens, which for most proxies is never. */
async function renew(x: Exchange, session: Session): Promise<Leg | undefined> {
  const { renewSession } = await import('./renew-session.ts')
  return await renewSession(x, session)
}

/**
 * The session goes on: what got the 404 is made ready to be sent again. Answers to questions of the lost server are not, as a
 * new one may have asked something else under the same id; where nothing else is left, the client has its answer.
 */
export function readyAgain(x: Exchange, leg: Leg): Answer | undefined {
  x.leg = leg
  // Ids of the lost server's events mean nothing to another.
  removeHeader(x.headers, EVENT_ID_HEADER)
  const { message, batch } = x
  // The server has just heard it.
  if (message?.kind === 'response' || message?.method === 'notifications/initialized') return ACCEPTED
  if (x.session) watchQuestions(x, x.session)
  const kept = batch?.filter(m => m.kind !== 'response')
  if (kept?.length === 0) return ACCEPTED
  if (kept && kept.length < batch!.length) applyChange(x, kept)
  return undefined
}

const ACCEPTED: Answer = { http: { status: 202, headers: [], body: undefined } }
