import { EVENT_ID_HEADER, getHeader, removeHeader } from '../protocol/headers.ts'
import { idKey } from '../protocol/id.ts'
import { MalformedMessage, Message } from '../protocol/message.ts'
import { serverIdentity } from '../protocol/server-identity.ts'
import { factsOf, withFacts, withLogLevel, withSubscription } from '../session/facts.ts'
import type { Recovery } from '../session/recovery.ts'
import type { Session } from '../session/session.ts'
import { storeFailed } from '../session/store-failed.ts'
import type { ReplyHead } from '../transport/upstream.ts'
import type { Core } from './core.ts'
import type { Exchange } from './exchange.ts'
import { type Answer, Slot } from './interceptor.ts'
import { applyChange } from './rederive.ts'

/** Looks into the messages of the answer, whoever else does. */
export function onAnswer(x: Exchange, look: (bytes: Buffer) => void): void {
  const before = x.onAnswer
  x.onAnswer = before
    ? bytes => {
        before(bytes)
        look(bytes)
      }
    : look
}

/** The server's message, where it is one. */
export function parseAnswer(bytes: Buffer): Message | undefined {
  try {
    return Message.parse(bytes, 'server')
  } catch (error) {
    if (error instanceof MalformedMessage) return undefined
    throw error
  }
}

/** `initialize` was answered: what was negotiated is written down, and with whom. */
export function initialized(x: Exchange, session: Session, answer: Message): void {
  const version = answer.protocolVersion
  if (version === undefined) return
  const server = x.core.sessionLoss === 'reinitialize' && session.stored ? serverIdentity(answer) : undefined
  x.core.sessions.negotiated(session, version, server).catch(error => storeFailed(x.core.log, error))
}

/** Remembers what a new session of this client's would have to be told again: log level and subscriptions, once they are accepted. */
export function rememberWishes(x: Exchange, session: Session): void {
  const method = x.message?.method
  if (method !== 'logging/setLevel' && method !== 'resources/subscribe' && method !== 'resources/unsubscribe') return
  if (x.kind !== 'request' || x.core.sessionLoss !== 'reinitialize') return
  onAnswer(x, bytes => {
    const answer = parseAnswer(bytes)
    if (answer?.kind === 'response' && !answer.isError) void remember(x, session, method)
  })
}

async function remember(x: Exchange, session: Session, method: string): Promise<void> {
  const { params } = (x.message?.json ?? {}) as { params?: { level?: unknown; uri?: unknown } | null }
  try {
    await x.core.sessions.change(session, record => {
      const facts =
        method === 'logging/setLevel'
          ? withLogLevel(record, params?.level)
          : withSubscription(record, params?.uri, method === 'resources/subscribe')
      return facts && { facts }
    })
  } catch (error) {
    storeFailed(x.core.log, error)
  }
}

/** In a session whose server has lost it before: what is left of that time does not reach the new one. */
export function sinceLoss(
  x: Exchange,
  session: Session,
  recovery: Recovery
): Answer | undefined | Promise<Answer | undefined> {
  const { message, batch } = x
  // A pipe's channel knows itself what is still open.
  if (session.channel) return undefined
  const { sessions } = x.core
  const unknown = [...(batch ?? []), message].filter(m => m?.kind === 'response' && !recovery.answers(m)) as Message[]
  const asked = unknown.map(m => sessions.marks.wasAsked(session, idKey(m.idText!)))
  const names = x.kind === 'listen' && !recovery.hasIds && getHeader(x.headers, EVENT_ID_HEADER) !== undefined
  const ids = names ? sessions.marks.hadIds(session) : undefined
  if (ids === undefined && asked.every(one => one === undefined)) return behindLoss(x, session, recovery, unknown)
  return Promise.all([ids, ...asked]).then(([hadIds, ...known]) => {
    // What others knew of it, nobody tells any more.
    if (hadIds || (names && !recovery.hears)) recovery.hasIds = true
    const late = unknown.filter((_, i) => known[i] !== true)
    return behindLoss(x, session, recovery, late)
  })
}

/** `late`: answers to what the lost server has asked. */
function behindLoss(x: Exchange, session: Session, recovery: Recovery, late: readonly Message[]): Answer | undefined {
  const { batch, core } = x
  if (late.length > 0) {
    core.log.debug('late', `session ${session.handle}: an answer to a question of the server that was lost`)
    if (core.bus.active) core.tap.note(x, 'late', 'an answer to a question of the server that was lost')
    const kept = batch?.filter(m => !late.includes(m)) ?? []
    if (kept.length === 0) return { http: { status: 202, headers: [], body: undefined } }
    applyChange(x, kept)
  }
  if (recovery.oldStreams) void endOldStreams(x, session, recovery)
  if (x.kind === 'listen' && !recovery.hasIds) removeHeader(x.headers, EVENT_ID_HEADER)
  watchQuestions(x, session)
  return undefined
}

/** Where it was another process that made the session anew, its streams here do not know yet. */
async function endOldStreams(x: Exchange, session: Session, recovery: Recovery): Promise<void> {
  recovery.oldStreams = false
  if (session.streams === 0) return
  try {
    const { tellStreams } = await import('./renew-session.ts')
    await tellStreams(x.core, session)
  } catch (error) {
    storeFailed(x.core.log, error)
  }
}

/** Which event ids the client may know from the new server: the first of them is told to others. */
export function foundIds({ sessions }: Core, session: Session, recovery: Recovery): void {
  if (recovery.hasIds) return
  recovery.hasIds = true
  if (recovery.hears) sessions.marks.hasIds(session)
}

/** Notes what the new server asks, so that an answer to it is known from one to the server before. */
export function watchQuestions(x: Exchange, session: Session): void {
  const { recovery } = session
  if (!recovery?.hears || x.kind === 'notify' || x.kind === 'terminate') return
  onAnswer(x, bytes => {
    const key = x.leg === session.leg ? recovery.heard(bytes) : undefined
    if (key !== undefined) x.core.sessions.marks.asked(session, key)
  })
}

/** What the client is to be told on its stream, for whoever gets it first. */
export async function takeUntold(core: Core, session: Session): Promise<readonly Message[]> {
  let untold: readonly string[] = []
  const taken = await core.sessions.change(session, record => {
    untold = factsOf(record).untold ?? []
    return untold.length > 0 ? { facts: withFacts(record, { untold: undefined }) } : undefined
  })
  return taken ? untold.map(method => Message.from({ jsonrpc: '2.0', method })) : []
}

const listening = new Slot<true>()

/** The server has answered a GET: counts it where it is a stream, and finds what has waited for one. */
export function streamOpened(x: Exchange, session: Session, head: ReplyHead): void | Promise<void> {
  if (head.status !== 200 || head.type !== 'sse') return
  session.streams++
  listening.set(x, true)
  // Nothing of ours fits into compressed content.
  if (head.encoding !== undefined || factsOf(session.record).untold === undefined) return
  return takeUntold(x.core, session).then(
    messages => {
      x.greeting = messages
    },
    error => storeFailed(x.core.log, error)
  )
}

export function streamEnded(x: Exchange): void {
  if (listening.get(x) && x.session) x.session.streams--
}
