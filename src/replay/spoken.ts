import type { CatflapError } from '../errors.ts'
import { idKey } from '../protocol/id.ts'
import { MalformedMessage, Message } from '../protocol/message.ts'
import { TapeError } from '../tape/format.ts'
import { ended } from '../transport/upstream/no-call.ts'
import type { CallReceiver, UpstreamCall } from '../transport/upstream.ts'
import { META_LOG_LEVEL, wantsLog } from './capabilities.ts'
import type { Play } from './play.ts'
import type { Said, TapeText } from './recording.ts'
import type { ReplaySession } from './replay-session.ts'
import { isObject } from './values.ts'

/** A text of the recording. Undefined: the tape was changed meanwhile. */
export function textOf(text: TapeText | undefined): string | undefined {
  try {
    return text?.get() ?? ''
  } catch (error) {
    if (error instanceof TapeError) return undefined
    throw error
  }
}

/** A message of the recording. Undefined: it is none, or the tape was changed meanwhile. */
export function messageOf(text: TapeText): Message | undefined {
  try {
    return Message.parse(Buffer.from(textOf(text) ?? ''), 'server')
  } catch (error) {
    if (error instanceof MalformedMessage) return undefined
    throw error
  }
}

/** The server says this once more: with the names that this client has for its requests. */
export function readText(session: ReplaySession, said: Said, play: Play | undefined): void {
  const message = said.truncated ? undefined : messageOf(said.text)
  if (!message) return session.replay.unreadable(said)
  const modern = play?.modern === true
  const isLog = message.method === 'notifications/message'
  if (modern && isLog && !asksForLog(play.message, message)) return
  if (message.kind === 'request') return session.asks.ask(said, message, play)
  const named = forThisClient(session, message, play)
  // Logs of the modern era belong to their request (spec 2026-07-28 server/utilities/logging), whatever pipe they came on.
  if (named) session.say(named, said.owned || (modern && isLog) ? play : undefined)
}

/** Undefined: it is about something that this client does not have. */
function forThisClient(session: ReplaySession, message: Message, play: Play | undefined): Message | undefined {
  const subscription = message.subscriptionIdText
  if (subscription !== undefined && play && same(subscription, play.recorded.id))
    return message.withSubscriptionId(play.idText)
  if (message.method === 'notifications/progress') return withToken(session, message, play)
  const cancelled = message.method === 'notifications/cancelled' ? message.requestIdText : undefined
  if (cancelled === undefined) return message
  if (play && same(cancelled, play.recorded.id)) return message.withRequestId(play.idText)
  const asked = session.asks.takeBack(cancelled)
  return asked === undefined ? undefined : message.withRequestId(asked)
}

function withToken(session: ReplaySession, message: Message, play: Play | undefined): Message | undefined {
  const recorded = message.progressTokenText
  if (recorded === undefined) return message
  const own = play?.recorded.progressToken
  const token = own !== undefined && same(own, recorded) ? play!.message.progressTokenText : session.tokens.of(recorded)
  return token === undefined ? undefined : message.withProgressToken(token)
}

function same(a: string, b: string): boolean {
  return idKey(a) === idKey(b)
}

function asksForLog(request: Message, log: Message): boolean {
  const { params } = request.json as { params?: { _meta?: Record<string, unknown> } }
  const wanted = isObject(params?._meta) ? params._meta[META_LOG_LEVEL] : undefined
  return wantsLog(wanted, (log.json as { params?: { level?: unknown } }).params?.level)
}

export function answerError(receiver: CallReceiver, { idText }: Message, error: CatflapError): UpstreamCall {
  return answerText(receiver, error.toJsonRpc(idText).toString())
}

/** Answers with this text, in the next turn, when whoever called has the call. */
export function answerText(receiver: CallReceiver, text: string): UpstreamCall {
  let cancelled = false
  const call = ended({
    ...SILENT,
    onEnd() {
      if (cancelled) return
      receiver.onMessage(Message.parse(Buffer.from(text), 'server'), true)
      receiver.onEnd()
    }
  })
  return {
    ...call,
    cancel() {
      cancelled = true
    }
  }
}

export const SILENT: CallReceiver = { onHead() {}, onData() {}, onMessage() {}, onEnd() {}, onError() {} }
