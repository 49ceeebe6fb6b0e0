import { CatflapError } from '../../errors.ts'
import { excerpt, printable } from '../../printable.ts'
import { answersOne } from '../../protocol/answers-one.ts'
import { MalformedMessage, Message } from '../../protocol/message.ts'
import { skipSpace, skipValue, walkObject } from '../../protocol/scan.ts'
import { refusesInWords, refusesSession } from '../../protocol/session-refusal.ts'
import type { ReplyHead } from '../upstream.ts'
import { isSuccess } from './reply-reader.ts'

/** What people are shown of a body that is no message. */
const SHOWN = 200
/** More than is shown: no secret may be cut in two before it is taken out. */
const READ = 16 * 1024

/** The JSON-RPC error that a server sent with an HTTP status, or undefined. */
export function errorIn(body: Buffer): Message | undefined {
  try {
    const parsed = Message.parseBody(body, 'server')
    const message = parsed instanceof Message ? parsed : parsed[0]
    return message?.isError ? message : undefined
  } catch (error) {
    if (error instanceof MalformedMessage) return undefined
    throw error
  }
}

/** Its number; undefined where it has none. */
export function errorCodeOf(message: Message): number | undefined {
  const { error } = message.json as { error?: { code?: unknown } }
  return typeof error?.code === 'number' ? error.code : undefined
}

/** The same error as the answer to that request: what is refused unread has no id, or one that the server made up. */
export function errorFor(message: Message, idText: string): Message {
  const b = message.bytes
  let error: Buffer = Buffer.from('null')
  walkObject(b, skipSpace(b, 0, b.length), b.length, (key, start, end) => {
    const after = skipValue(b, start, end)
    if (key === 'error') error = b.subarray(start, after)
    return after
  })
  return Message.parse(
    Buffer.concat([Buffer.from(`{"jsonrpc":"2.0","id":${idText},"error":`), error, Buffer.from('}')]),
    'server'
  )
}

/** An answer over HTTP that has no message in it. `hide` takes out what the client must not see of it. */
export function noMessage(label: string, head: ReplyHead, body: Buffer, hide: (text: string) => string): CatflapError {
  const told = shown(body, hide)
  const status = `HTTP ${head.status}${head.statusText ? ` ${printable(hide(head.statusText))}` : ''}`
  const text = `${label} answered with ${status} and no JSON-RPC message${told ? `: ${told}` : '.'}${adviceFor(head.status)}`
  const code = isSuccess(head) ? 'upstream_protocol' : 'upstream_status'
  return new CatflapError(code, text, { data: { target: label, status: head.status } })
}

/**
 * Whether this answer to a POST in a session says that the server has lost it. Not where it answers what was sent: then the
 * server has looked at that.
 */
export function tellsLoss(head: ReplyHead, body: Buffer, sent: readonly Message[]): boolean {
  if (head.status === 400 && head.type === 'other') return refusesInWords(body)
  if (head.status === 400) return head.type === 'json' && refusesSession(body)
  if (head.status !== 404) return false
  const requests = sent.filter(m => m.kind === 'request')
  return requests.length === 0 || (head.type !== 'sse' && !answersOne(body, requests))
}

export function sessionLost(label: string): CatflapError {
  const text = `${label}: the server no longer knows the session. Start anew.`
  return new CatflapError('upstream_session_lost', text, { data: { target: label } })
}

export function adviceFor(status: number): string {
  if (status !== 401 && status !== 403) return ''
  return " Give credentials with --header 'Authorization: …'."
}

/** The beginning of a text, on one line. */
function shown(body: Buffer, hide: (text: string) => string): string {
  const whole = body.subarray(0, READ).toString('utf8').replace(/\s+/g, ' ').trim()
  return printable(excerpt(hide(whole), SHOWN))
}
