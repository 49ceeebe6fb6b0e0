import type { Leg } from '../upstream.ts'
import type { ExclusiveEvents } from './shared-child-pool.ts'
import type { Verdict } from './shared-child-probe.ts'
import type { ToolLists } from './shared-child-tools.ts'

/** What is told of it besides what belongs to a call. */
export type SharedServerEvents = ExclusiveEvents

/**
 * One server for many modern clients over HTTP, where none of its own is behind catflap: nothing in that era binds a request to a
 * connection.
 */
export interface SharedServer {
  /** What its tools want in headers. */
  readonly tools: Pick<ToolLists, 'known' | 'doubtful' | 'askable' | 'learn'>
  /** What the server is. A promise only where something has to be started. */
  ready(): Verdict | Promise<Verdict>
  /** For one client. Only after `ready`. */
  leg(client: string): Leg
  /** For one call alone, with whatever comes meanwhile. Only after `ready`. */
  exclusive(): Leg
  /** For clients of the legacy era that have no session, where it serves these. */
  unbegun?(): Leg | undefined
  /** Asks for the whole list of tools. Only after `ready`. Does not reject. */
  refreshTools(): Promise<void>
  /** It is read no further until `resume`. */
  pause(): void
  resume(): void
}
