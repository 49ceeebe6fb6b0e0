import { CatflapError } from '../errors.ts'
import { Message } from '../protocol/message.ts'
import type { Session } from '../session/session.ts'
import type { Exchange } from './exchange.ts'
import { asker } from './renew-leg.ts'

/** How long the server may take, in ms: a GET waits for it. */
const PING_TIME = 5_000

/**
 * A GET was answered 404: many servers answer so because they have no such stream, and the session is well. Asks for `ping` in
 * the session; true: that is 404 as well.
 */
export async function refusesPing(x: Exchange, session: Session): Promise<boolean> {
  const late = new AbortController()
  const timer = setTimeout(() => late.abort(), Math.min(PING_TIME, x.core.settings.requestTimeout || PING_TIME))
  const ping = Message.from({ jsonrpc: '2.0', id: 'catflap-ping', method: 'ping' })
  try {
    await asker(x, session, late.signal)(x.leg!, ping, session.record.protocolVersion)
    return false
  } catch (error) {
    return error instanceof CatflapError && error.code === 'upstream_status' && error.data?.lost === true
  } finally {
    clearTimeout(timer)
  }
}
