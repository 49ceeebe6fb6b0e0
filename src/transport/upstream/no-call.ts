import type { CatflapError } from '../../errors.ts'
import type { CallReceiver, UpstreamCall } from '../upstream.ts'

/** Calls that were over before they began: their receivers are told in the next turn, when whoever made them has them. */

const NO_CALL: UpstreamCall = { pause() {}, resume() {}, cancel() {} }

export function ended(receiver: CallReceiver): UpstreamCall {
  queueMicrotask(() => receiver.onEnd())
  return NO_CALL
}

export function failed(receiver: CallReceiver, error: CatflapError): UpstreamCall {
  queueMicrotask(() => receiver.onError(error))
  return NO_CALL
}
