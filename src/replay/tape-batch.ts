import { BatchReceiver } from '../transport/upstream/batch-receiver.ts'
import { ended } from '../transport/upstream/no-call.ts'
import type { CallInput, CallReceiver, UpstreamCall } from '../transport/upstream.ts'
import type { ReplaySession } from './replay-session.ts'

/** Each is answered on its own; a status that one of them had has no place in the answer to all. */
export function tellBatch(
  session: ReplaySession,
  { batch: messages = [] }: CallInput,
  receiver: CallReceiver,
  isOver: () => boolean
): UpstreamCall {
  const requests = messages.filter(m => m.kind === 'request').length
  const batch = new BatchReceiver(receiver, requests, isOver)
  const calls: UpstreamCall[] = []
  for (const message of messages)
    if (message.kind === 'request') calls.push(session.request(message, batch.member(message.idText!), false))
    else if (message.kind === 'response') session.answer(message)
    else session.notification(message)
  if (requests === 0) return ended(receiver)
  return {
    pause() {},
    resume() {},
    cancel(reason) {
      for (const call of calls) call.cancel(reason)
    }
  }
}
