import { CatflapError } from '../errors.ts'
import { EVENT_ID_HEADER, getHeader, removeHeader } from '../protocol/headers.ts'
import type { Message } from '../protocol/message.ts'
import { MAX_REFUSAL_TEXT } from '../protocol/session-refusal.ts'
import { Recovery } from '../session/recovery.ts'
import type { Session } from '../session/session.ts'
import type { Leg, ReplyHead } from '../transport/upstream.ts'
import type { Exchange } from './exchange.ts'
import { type HeldAnswer, MAX_HELD } from './held-answer.ts'
import type { Answer } from './interceptor.ts'
import { applyChange } from './rederive.ts'
import { watchQuestions } from './session-state.ts'

/** Whether it is in a session at a server over HTTP, which that server can lose. */
export function mayBeLost(x: Exchange): boolean {
  return isInSession(x) && x.kind !== 'terminate'
}

function isInSession({ session, leg, connection }: Exchange): boolean {
  if (!session || session.ended || connection || session.channel) return false
  return leg?.upstreamId !== undefined
}

/**
 * Whether an answer with this head may say that the server has lost the session: 404, or 400 as many servers say it. What is no
 * more than a refusal is not held back: of the 400s that answer what was said, only short ones are.
 */
export function mayTellLoss(x: Exchange, { status, type, length: known }: ReplyHead): boolean {
  if (status === 404) return mayBeLost(x)
  if (status !== 400 || (known ?? 0) > MAX_HELD || !isInSession(x)) return false
  if (x.kind === 'listen') return type !== 'sse'
  const short = type === 'json' || (type === 'other' && known !== undefined && known <= MAX_REFUSAL_TEXT)
  return short && x.message?.method !== 'initialize'
}

/**
 * Whether the answer that is held means that the server has lost the session. It does not where it answers the request itself, which
 * must then not be sent again; nor where it only says that there is no stream to be had; nor where it is a 400 about anything else.
 */
export async function isLost(x: Exchange, held: HeldAnswer): Promise<boolean> {
  if (x.kind === 'listen') return await isLostByPing(x, x.session!, held)
  if (held.head.status === 400) return await held.refusesSession()
  const requests = requestsOf(x)
  // Who says no more than that it does not know a notification, or a question that was answered late, may well know the session.
  return requests.length === 0 ? await isLostByPing(x, x.session!, held) : !(await held.answers(requests))
}

/** What the client waits for an answer to. */
export function requestsOf({ batch, message }: Exchange): readonly Message[] {
  return (batch ?? (message ? [message] : [])).filter(m => m.kind === 'request')
}

/** A session is asked for once, however much is refused at once; for GETs once on each of its legs. */
async function isLostByPing(x: Exchange, session: Session, held: HeldAnswer): Promise<boolean> {
  const { leg } = x
  const listens = x.kind === 'listen'
  if (leg !== session.leg || session.recovery?.pending) return true
  if (listens && session.streamless === leg) return false
  // With an id, it may be that which the server does not like: another GET may well have its stream.
  const forAll = listens && (held.head.status === 404 || getHeader(x.headers, EVENT_ID_HEADER) === undefined)
  session.doubt ??= asked(x, session, forAll).finally(() => {
    session.doubt = undefined
  })
  // What is longer than is kept is no refusal of a session, and is not kept waiting.
  return await Promise.race([session.doubt, held.tooLong.then(() => false)])
}

async function asked(x: Exchange, session: Session, forAll: boolean): Promise<boolean> {
  const { leg } = x
  const { refusesPing } = await import('./session-doubt.ts')
  const lost = await refusesPing(x, session)
  if (!lost && forAll) session.streamless = leg
  return lost
}

/** Nothing of the request has left: it can be sent to another server, and is carried out once. */
const UNSENT: ReadonlySet<string> = new Set(['upstream_unreachable', 'upstream_connect_timeout', 'target_unavailable'])
/** The server did not answer, or not with what HTTP allows. */
const UNANSWERED: ReadonlySet<string> = new Set([...UNSENT, 'upstream_reset', 'upstream_timeout', 'upstream_protocol'])

/** Nothing of the request has left. */
export function isUnsent({ code }: CatflapError): boolean {
  return UNSENT.has(code)
}

/** Nobody has answered: that may pass. */
export function isUnanswered(error: unknown): boolean {
  return error instanceof CatflapError && UNANSWERED.has(error.code)
}

/** The client ends a session whose server does not answer: it has ended, whatever becomes of that. */
export function endsUnheard(x: Exchange, error: CatflapError): boolean {
  const { session, leg, kind, connection } = x
  if (kind !== 'terminate' || !session || connection || leg?.upstreamId === undefined) return false
  if (!UNANSWERED.has(error.code)) return false
  void x.core.sessions.end(session, 'client')
  return true
}

/** The session's server has been out of reach for so long that the session counts as lost. */
export function isGivenUp(x: Exchange, error: CatflapError): boolean {
  return error.data?.lost === true && mayBeLost(x)
}

/**
 * Where the session goes on, and with what. What may have reached the server that was given up is not sent again. Where no other can
 * be asked either, the session stays what it was.
 */
export async function withoutServer(x: Exchange, error: CatflapError): Promise<Leg | CatflapError> {
  let leg: Leg | undefined
  try {
    leg = await keepSession(x, true)
  } catch (reason) {
    if (isUnanswered(reason)) return error
    throw reason
  }
  if (leg) return UNSENT.has(error.code) ? leg : error
  if (x.session) endLost(x, x.session, 'its server has been out of reach for too long')
  return new CatflapError('session_not_found')
}

/**
 * The server of an exchange has lost its session: resolves with the leg on which the session goes on, or with undefined
 * where it cannot. Undefined at once where the client is to begin anew in any case. However many exchanges notice, the session is
 * made anew once. `left`: the server was given up, and may know the session still.
 */
export function keepSession(x: Exchange, left = false): Promise<Leg | undefined> | undefined {
  const { core, session, leg } = x
  if (core.sessionLoss !== 'reinitialize' || !session || session.ended) return undefined
  if (x.message?.method === 'initialize' || x.kind === 'terminate') return undefined
  // Somebody has noticed before.
  if (leg !== session.leg) return Promise.resolve(session.leg)
  session.recovery ??= new Recovery()
  const recovery = session.recovery
  recovery.pending ??= renew(x, session, left).finally(() => {
    recovery.pending = undefined
  })
  return recovery.pending
}

/** Loaded when it happens, which for most proxies is never. */
async function renew(x: Exchange, session: Session, left: boolean): Promise<Leg | undefined> {
  const { moveSession, renewSession } = await import('./renew-session.ts')
  if (!left) return await renewSession(x, session)
  const before = session.leg
  const leg = await moveSession(x, session)
  if (leg) void before.close(x.headers)
  return leg
}

/** The session ends as its server has lost it, unless others have made it anew meanwhile, or are about to. */
export function endLost(x: Exchange, session: Session, why: string): void {
  const { core } = x
  if (session.ended || x.leg !== session.leg || session.recovery?.pending) return
  core.log.info('session-lost', `session ${session.handle}: ${why}`, { session: session.handle })
  if (core.bus.active) core.tap.note(x, 'session-lost', why)
  void core.sessions.end(session, 'lost')
}

/** Clients begin anew on 404 alone: what they get where the server said it with 400. The session ends with it. */
export function saidWith400(x: Exchange): CatflapError {
  const { core, session, kind } = x
  if (session && kind === 'terminate') void core.sessions.end(session, 'client')
  else if (session) endLost(x, session, 'the server no longer knows it')
  return new CatflapError('session_not_found')
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
