import type { Message } from '../protocol/message.ts'
import type { CallReceiver, UpstreamCall } from '../transport/upstream.ts'

/** The real server, as one replay session has it: asked for what the tape does not know. */
export interface LiveServer {
  /** `initialize`: what the client itself has begun with, where it has. */
  ask(message: Message, receiver: CallReceiver, initialize: Message | undefined): UpstreamCall
  tell(notification: Message): void
  /** False: it has not asked that. */
  answer(message: Message): boolean
  pause(): void
  resume(): void
  close(): Promise<void>
}
