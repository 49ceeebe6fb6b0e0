import { CatflapError } from '../errors.ts'
import { contentTypeOf, forwardableResponseHeaders, getHeader, removeHeader } from '../protocol/headers.ts'
import type { Message } from '../protocol/message.ts'
import { statusError } from '../transport/upstream/status-error.ts'
import type { CallReceiver, ReplyHead } from '../transport/upstream.ts'
import type { Outcome } from './recording.ts'

/** Of the recorded connection, or of the session that it was in. */
const NOT_AGAIN = ['mcp-session-id', 'content-length', 'content-encoding', 'date', 'via']

/** An HTTP answer that is no JSON-RPC. Who cannot be told a status gets an error, which names the server as `label` has it. */
export function tellStatus(
  receiver: CallReceiver,
  outcome: Outcome & { readonly kind: 'status' },
  text: string,
  label: string | undefined
): void {
  if (label !== undefined) return receiver.onError(statusError(label, outcome.status))
  const body = Buffer.from(text)
  const headers = headersAgain(outcome.headers)
  const type = body.length === 0 ? 'none' : contentTypeOf(getHeader(headers, 'content-type'))
  tellBody(receiver, { status: outcome.status, headers, type, body })
}

/** A JSON-RPC message under a status that says more, with what its headers say (`WWW-Authenticate`, `Retry-After`). */
export function tellMessage(
  receiver: CallReceiver,
  message: Message,
  { status, headers: recorded = [] }: { readonly status: number; readonly headers?: readonly string[] }
): void {
  const headers = headersAgain(recorded)
  removeHeader(headers, 'content-type')
  headers.push('Content-Type', 'application/json')
  tellBody(receiver, { status, headers, type: 'json', body: message.bytes })
}

function headersAgain(recorded: readonly string[]): string[] {
  const headers = forwardableResponseHeaders(recorded)
  for (const name of NOT_AGAIN) removeHeader(headers, name)
  return headers
}

/** Head and body at once. */
export function tellBody(
  receiver: CallReceiver,
  { status, headers, type, body }: Pick<ReplyHead, 'status' | 'headers' | 'type'> & { readonly body: Buffer }
): void {
  const all = [...headers, 'Content-Length', String(body.length)]
  receiver.onHead({ status, statusText: '', headers: all, type, length: body.length, encoding: undefined })
  if (body.length > 0) receiver.onData(body)
  receiver.onEnd()
}

/** The connection breaks. An error in order would be an answer, so something is begun that then is not completed. */
export function breakOff(receiver: CallReceiver, streaming: boolean): void {
  if (!streaming) {
    const headers = ['Content-Type', 'application/json']
    receiver.onHead({ status: 200, statusText: '', headers, type: 'json', length: undefined, encoding: undefined })
  }
  receiver.onData(Buffer.from(streaming ? ':' : '{'))
  receiver.onError(new CatflapError('upstream_reset'))
}
