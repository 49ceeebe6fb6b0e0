import type { Difference } from '../replay/json-diff.ts'
import type { TapePlace } from '../replay/recording.ts'
import type { Drift } from './drift.ts'

/**
 * What a check found. Its shape is what `--reporter json` writes; members may be added within a version, none is taken away or
 * changes its meaning.
 */
export interface VerifyReport {
  readonly report: 'catflap-verify'
  readonly version: 1
  /** `interrupted`: ended before all was asked. `refused`: something would have been changed on the server that nobody allowed. `unreachable`: the server never answered. */
  readonly outcome: 'same' | 'different' | 'refused' | 'unreachable' | 'interrupted'
  readonly tapes: readonly string[]
  /** For people; without credentials. */
  readonly target: string
  /** ISO 8601, UTC. */
  readonly started: string
  readonly ms: number
  readonly counts: Readonly<Record<RequestStatus, number>> & { readonly requests: number }
  readonly sessions: readonly SessionReport[]
  readonly bindings: readonly BindingReport[]
  readonly drift: Drift
  /** Which changes of lists make the outcome `different`. */
  readonly failOn: 'any' | 'breaking'
  /** Why the server could not be reached. */
  readonly error?: string
}

/**
 * `skipped`: not sent, or what came could not be compared; `reason` says why. `refused`: learned on the way that it writes.
 */
export type RequestStatus = 'same' | 'different' | 'skipped' | 'refused'

export interface SessionReport {
  /** The session's handle on the tape. */
  readonly session?: string
  readonly era: 'legacy' | 'modern'
  readonly requests: readonly RequestReport[]
  /** Of what belongs to no request: questions of the server's that are new, or came no more. */
  readonly differences: readonly FoundDifference[]
  /** Notifications of the client's that were not sent; undefined where all were. */
  readonly unsent?: readonly Unsent[]
}

export interface Unsent {
  readonly method: string
  readonly place: TapePlace
  readonly reason: string
}

export interface RequestReport {
  readonly method: string
  /** Tool, prompt, or URI of the resource. */
  readonly name?: string
  readonly place: TapePlace
  readonly status: RequestStatus
  readonly reason?: string
  /** How long the server took, and how long it took when it was recorded. */
  readonly ms?: number
  readonly recordedMs?: number
  readonly differences: readonly FoundDifference[]
}

export interface FoundDifference extends Difference {
  /** One line, safe for a terminal. */
  readonly text: string
}

/** A value that the server made up, and the client used later. */
export interface BindingReport {
  readonly minted: BoundPlace
  readonly old: string | number
  readonly new: string | number
  readonly used: readonly BoundPlace[]
}

export interface BoundPlace {
  readonly method: string
  readonly name?: string
  readonly place: TapePlace
  /** `result.content[0].text` */
  readonly path: string
}
