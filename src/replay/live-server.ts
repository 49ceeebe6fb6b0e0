import type { Message } from '../protocol/message.ts'
import type { CallReceiver, UpstreamCall } from '../transport/upstream.ts'

/** The real server, as one replay session has it: asked for what the tape does not know. */
export interface LiveServer {
  ask(message: Message, receiver: CallReceiver, how: LiveAsk): UpstreamCall
  tell(notification: Message): void
  /** False: it has not asked that. */
  answer(message: Message): boolean
  pause(): void
  resume(): void
  close(): Promise<void>
}

export interface LiveAsk {
  /** What the client itself has begun with, where it has. */
  readonly initialize: Message | undefined
  /** The server has given no answer, and will give none. */
  readonly failed: (reason: string) => void
}
