import { randomBytes } from 'node:crypto'
import type { Leg } from '../transport/upstream.ts'
import type { NewSession, SessionRecord } from './store.ts'

export interface SessionStart {
  readonly principal: string
  readonly leg: Leg
  readonly initialize: string | undefined
  readonly protocolVersion?: string
  /** From `newHandle`, where it was needed before the session. */
  readonly handle?: string
  /** Only this process can act for it: it holds what the session needs. */
  readonly held?: boolean
}

/** A name for logs and tapes. */
export function newHandle(): string {
  return `s-${randomBytes(4).toString('hex')}`
}

/** Characters of an `initialize` that are kept, so that ten thousand sessions cannot hold ten thousand huge ones. */
const MAX_INITIALIZE = 64 * 1024

/**
 * A session under a new id, as a store is to keep it; `target` is the name its leg stands under where the leg has none of its own, `owner` the
 * process that alone can act for it.
 */
export function newSession(
  start: SessionStart,
  target: string,
  owner?: string
): NewSession & Pick<SessionRecord, 'legs'> {
  const { leg, initialize = '' } = start
  const kept = initialize.length > 0 && initialize.length <= MAX_INITIALIZE ? initialize : undefined
  return {
    id: randomBytes(24).toString('base64url'),
    handle: start.handle ?? newHandle(),
    principal: start.principal,
    protocolVersion: start.protocolVersion,
    legs: { [leg.member ?? target]: { upstreamId: leg.upstreamId, initialize: kept, epoch: 1, owner } }
  }
}
