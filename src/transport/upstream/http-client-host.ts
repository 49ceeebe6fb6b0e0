import type { CatflapError } from '../../errors.ts'
import type { Message } from '../../protocol/message.ts'
import type { CallReceiver, LegEvents, ReplyHead } from '../upstream.ts'
import type { ReopenDelays } from './http-client-reopen.ts'
import type { ToolHeaderBook } from './http-client-tools.ts'
import type { HttpClientWire, Outgoing } from './http-client-wire.ts'

/** What the client said last and the server has not finished with. */
export interface InFlight {
  /** It is over, for this reason. */
  fail(error: CatflapError): void
  /** The server speaks another transport: it was never sent. */
  otherTransport(): void
}

/** The leg, as what is under way on it knows it. */
export interface ClientHost {
  readonly wire: HttpClientWire
  readonly tools: ToolHeaderBook
  readonly events: LegEvents
  readonly delays: ReopenDelays
  /** The server has accepted a POST, with that head. */
  accepted(out: Outgoing, head: ReplyHead): void
  /** The server's answer to `initialize`. */
  negotiated(answer: Message): void
  /** Something of the server's own, and the call it came with. */
  fromServer(message: Message, call: CallReceiver | undefined): void
  /** The server understood nothing yet, since it speaks another transport. */
  otherTransport(): void
  /** `done` once the tools were asked for anew, for the sake of that call. Returns how to wait no longer. */
  refreshTools(call: Message, headers: readonly string[], done: () => void): () => void
  /** The server no longer knows the session. */
  sessionLost(): void
  /** Says something on catflap's own account. */
  sendOwn(message: Message, headers: readonly string[]): void
  forget(over: InFlight): void
}
