import type { CatflapError } from '../errors.ts'
import type { RawHeaders } from '../protocol/headers.ts'
import type { Message } from '../protocol/message.ts'
import type { Session } from '../session/session.ts'
import type { Leg } from '../transport/upstream.ts'
import type { Exchange } from './exchange.ts'
import type { InOrder } from './in-order.ts'

/** What a client on HTTP told about itself. */
export interface ClientFacts {
  readonly method: string
  /** Path and query. */
  readonly path: string
  readonly headers: RawHeaders
  readonly remoteAddress: string | undefined
  /** It came over TLS. */
  readonly encrypted?: boolean
  /** Who presented a certificate (`cert:…`), where one was asked for. */
  readonly tlsPrincipal?: string
}

/** A client's pipe: it is one conversation, so it holds the leg and, once there is one, the session. */
export interface Connection {
  /** What its stream is called on tapes. */
  readonly stream: string
  readonly leg: Leg
  session: Session | undefined
  /** The server's requests that wait for the client. */
  readonly awaiting: number
  /** `performance.now()` of the client's last answer to one. */
  readonly answeredAt: number
  /** In which everything goes out to the client. */
  readonly order: InOrder
  /** Tells the server that its request will not reach the client. */
  refuse(request: Message, error: CatflapError): void
}

/** A pipe of HTTP+SSE, as the exchange of its GET knows it. */
export interface OpeningPipe {
  /** Begins its session. */
  begin(): Promise<void>
  /** The GET was let in: its answer is the stream. */
  opened(x: Exchange): void
  /** The client has room again. */
  roomAgain(): void
  /** The stream has ended. */
  close(): void
}
