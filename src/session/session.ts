import type { Leg } from '../transport/upstream.ts'
import type { Channel } from './channel.ts'
import type { Recovery } from './recovery.ts'
import type { SessionRecord } from './store.ts'

/** A session as this process holds it: the record, and what cannot be stored (a child, open streams). */
export class Session {
  record: SessionRecord
  /** Another one once the server has lost the session and it could be made anew. */
  leg: Leg
  /** False: the client is a pipe, and the session lives exactly as long. No store knows it, and no clock ends it. */
  readonly stored: boolean
  /** Where the upstream is one pipe, and what the server says must be handed to the right stream. */
  channel: Channel | undefined
  /** The client's one pipe, where it has one that ends with the session (HTTP+SSE). */
  pipe: { sessionEnded(): void } | undefined
  /** Exchanges and streams that are open now: such a session is in use, whatever the clock says. */
  inFlight = 0
  /** GET streams of a server over HTTP that are open now. */
  streams = 0
  /** Once its server has lost it. */
  recovery: Recovery | undefined
  /** On this leg a GET gets 404 or 400, and the session is well. */
  streamless: Leg | undefined
  /** `performance.now()` when it was last used here. */
  usedAt: number = performance.now()
  /** The server is being asked whether it still knows the session. */
  doubt: Promise<boolean> | undefined
  ended = false
  /** Only this process can act for it, as the shared store knows. */
  held = false
  /** The process that alone can act for it, where that is not this one (`Membership.id`; `''`: it has let go). */
  remote: string | undefined
  /** `performance.now()` when the record was learned. */
  learnedAt: number = performance.now()
  /** Stops hearing of changes by others. */
  unfollow: (() => void) | undefined
  /** The client's last Authorization, in memory only: a server that asks for one asks for it at the end as well. */
  authorization: string | undefined

  constructor(record: SessionRecord, leg: Leg, stored = true) {
    this.record = record
    this.leg = leg
    this.stored = stored
  }

  get id(): string {
    return this.record.id
  }

  get handle(): string {
    return this.record.handle
  }
}

export type SessionEnd = 'client' | 'expired' | 'lost' | 'shutdown' | 'failed' | 'admin' | 'revoked'

/** Headers of the request that ends a session upstream. */
export function farewell(session: Session): string[] {
  const headers: string[] = []
  if (session.authorization !== undefined) headers.push('Authorization', session.authorization)
  if (session.record.protocolVersion !== undefined) headers.push('MCP-Protocol-Version', session.record.protocolVersion)
  return headers
}
