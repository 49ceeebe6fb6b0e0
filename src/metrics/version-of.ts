import type { Exchange } from '../proxy/exchange.ts'
import { versionPlace } from './operations.ts'

/** The revision an exchange speaks: what its session negotiated, else what it says itself. */
export function versionOf(x: Exchange): number {
  const said = x.session?.record.protocolVersion ?? x.version
  if (said === undefined && x.message?.method === 'initialize') return versionPlace(x.message.protocolVersion)
  return versionPlace(said)
}
