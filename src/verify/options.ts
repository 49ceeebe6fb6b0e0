import type { TargetOptions } from '../proxy/target.ts'
import type { Rules } from '../replay/rules.ts'

export interface VerifyOptions {
  /** The server to check: a URL or a command. */
  readonly target: TargetOptions
  /** What does not count. Default: the built-in rules. */
  readonly rules?: Rules
  /** Calls of tools that are not marked read-only are sent as well. Default: they are refused. */
  readonly allowWrites?: boolean
  /** They are left out, and what depends on them. */
  readonly onlySafe?: boolean
  /** Values that the server made up are sent as they were recorded. */
  readonly noBind?: boolean
  /** Sessions to check, by their handles on the tape. Default: all. */
  readonly sessions?: readonly string[]
  /** In ms: how long the server may take for one request; begins anew with each message that belongs to it. Default 30 s. */
  readonly timeout?: number
  /** In place of what redaction took out: JSON pointer within the message → value. */
  readonly set?: Readonly<Record<string, unknown>>
  /** Names of headers that are known not to be needed, though they were redacted. */
  readonly withoutHeaders?: readonly string[]
  /** Only lists are asked for, and compared as a whole. */
  readonly driftOnly?: boolean
  /** What of drift makes the outcome `different`. Default `any`. */
  readonly failOn?: 'any' | 'breaking'
  readonly onProgress?: (done: number, total: number) => void
  readonly signal?: AbortSignal
}

/** Nothing was sent: the tape asks for something that the options do not allow, or do not supply. */
export class VerifyRefusal extends Error {
  /** A sentence each. */
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.name = 'VerifyRefusal'
    this.problems = problems
  }
}

export const DEFAULT_TIMEOUT = 30_000
