import type { UrlTarget } from '../proxy/target.ts'
import type { FaultRule } from './faults.ts'
import type { MatchMode, RepeatMode } from './matching.ts'

/** One or several tapes in the place of a server. */
export interface TapeTargetOptions extends ReplayOptions {
  /** Files, or folders with one tape a session. */
  readonly tape: string | readonly string[]
  /** Told how far the reading of it is, in bytes. */
  readonly onProgress?: (read: number, total: number) => void
}

/** How a tape is replayed; docs/replay.md tells more. */
export interface ReplayOptions {
  /** How requests find their recordings. Default `keyed`. */
  readonly match?: MatchMode
  /** What equal requests get when each of their recordings was used. Default `last`. */
  readonly repeat?: RepeatMode
  /** The file of rules. Default: the one beside the first tape (`NAME.rules.yaml`), where there is one. */
  readonly rules?: string
  /** What becomes of a request that is not on the tape. Default: an error. */
  readonly onMiss?: 'error' | MissServer
  /** What becomes of a call whose client answers the server's question otherwise than recorded. Default `continue`. */
  readonly onDivergence?: 'continue' | 'error'
  /** `instant` (default): without pauses. A number: so many times as fast as recorded. */
  readonly speed?: 'instant' | number
  readonly faults?: readonly FaultRule[]
  /** What makes faults the same again. Default: made up. */
  readonly seed?: number
}

/** Who is asked what the tape does not know. */
export interface MissServer extends UrlTarget {
  /** What it answers is added to the (first) tape. */
  readonly record?: boolean
}

export const MATCH_MODES: readonly MatchMode[] = ['keyed', 'strict', 'method']
export const REPEAT_MODES: readonly RepeatMode[] = ['last', 'cycle', 'error']

export function tapesOf({ tape }: Pick<TapeTargetOptions, 'tape'>): readonly string[] {
  return typeof tape === 'string' ? [tape] : tape
}
