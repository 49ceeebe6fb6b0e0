import type { CatflapError } from '../errors.ts'
import { EVENT_ID_HEADER, removeHeader, setHeader } from '../protocol/headers.ts'
import { Message } from '../protocol/message.ts'
import { META_SUBSCRIPTION } from '../protocol/versions.ts'
import type { CallInput, Leg } from '../transport/upstream.ts'

/** Nobody waits for the outcome, so nobody else would end it, in ms. */
const TIMEOUT = 5_000

/** What of an exchange a message of our own on the same leg needs. */
export type OwnContext = Pick<CallInput, 'era' | 'headers' | 'query'>

/** Says something to the server on our own account, beside an exchange. */
export function sendOwn(leg: Leg, context: OwnContext, message: Message): void {
  const headers = [...context.headers]
  removeHeader(headers, EVENT_ID_HEADER)
  setHeader(headers, 'Content-Type', 'application/json')
  setHeader(headers, 'Accept', 'application/json, text/event-stream')
  const { era, query } = context
  const input: CallInput = { kind: 'notify', era, message, batch: undefined, body: message.bytes, query, headers }
  let timer: NodeJS.Timeout | undefined
  let done = false
  const end = (): void => {
    done = true
    clearTimeout(timer)
  }
  const call = leg.call(input, { onHead() {}, onData() {}, onMessage() {}, onEnd: end, onError: end })
  if (done) return
  timer = setTimeout(() => call.cancel('timeout'), TIMEOUT)
  timer.unref()
}

/**
 * Tells a legacy server over HTTP that a call is not wanted any more: closing its stream says nothing there (spec 2025-11-25
 * basic/transports, "Sending Messages").
 */
export function sendCancelled(leg: Leg, input: CallInput, why: string, onSend?: (message: Message) => void): void {
  const id = input.message?.idText
  if (id === undefined || input.message?.method === 'initialize') return
  const text = `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":${id},"reason":${JSON.stringify(why)}}}`
  const message = Message.parse(Buffer.from(text))
  onSend?.(message)
  sendOwn(leg, input, message)
}

/** The answer to `subscriptions/listen`, which its server gives when it ends the subscription. */
export function subscriptionEnd({ idText }: Message): Message {
  const result = `{"resultType":"complete","_meta":{"${META_SUBSCRIPTION}":${idText}}}`
  return Message.parse(Buffer.from(`{"jsonrpc":"2.0","id":${idText},"result":${result}}`), 'server')
}

/** The server asked the client something, and this is all that it will hear. */
export function refusal(request: Message, error: CatflapError): Message {
  return Message.parse(error.toJsonRpc(request.idText))
}
