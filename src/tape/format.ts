import type { Direction, FrameKind, NoteKind, Side } from './frame.ts'

/** The tape format; docs/tape-format.md is its reference, docs/tape.schema.json its schema. */

export const TAPE_VERSION = 1
export const TAPE_SUFFIX = '.tape.jsonl'

/** What stands wherever something secret stood. */
export const MARK = '[redacted]'

export interface TapeTarget {
  /** `http`, `sse`, `stdio` or `tape`. */
  readonly kind: string
  readonly url?: string
  readonly argv?: readonly string[]
}

export interface TapeSoftware {
  readonly name: string
  readonly version: string
}

export interface TapeHeader {
  readonly catflap: 'tape'
  readonly version: number
  /** ISO 8601 in UTC: the moment from which `t` counts. */
  readonly started: string
  readonly target: TapeTarget
  readonly software: TapeSoftware
  readonly pid?: number
  /** The one session this tape holds, where a folder has one tape a session. */
  readonly session?: string
  readonly redacted?: readonly string[]
}

export interface TapeHttp {
  readonly method?: string
  readonly path?: string
  readonly status?: number
  readonly headers?: readonly (readonly [name: string, value: string])[]
}

export interface TapeSse {
  readonly id?: string
  readonly event?: string
  readonly retry?: number
}

/** A frame as it is on a tape. Kinds and notes of later minor additions may be unknown to this version. */
export interface TapeFrame {
  readonly n: number
  /** Milliseconds since `started`. */
  readonly t: number
  readonly side: Side
  readonly dir: Direction
  readonly kind: FrameKind | (string & {})
  readonly session?: string
  readonly stream?: string
  readonly http?: TapeHttp
  readonly sse?: TapeSse
  readonly text?: string
  readonly base64?: string
  readonly truncated?: { readonly length: number; readonly sha256: string }
  readonly own?: boolean
  readonly outcome?: string
  readonly note?: NoteKind | (string & {})
  readonly remark?: string
  readonly data?: Readonly<Record<string, string | number | boolean | null>>
  readonly redacted?: readonly string[]
  /** Who saw it, in what `catflap tail --json` writes of several processes. */
  readonly process?: number
}

export type TapeErrorCode =
  | 'tape_exists'
  | 'tape_unwritable'
  | 'tape_write_failed'
  | 'tape_unreadable'
  | 'tape_malformed'
  | 'tape_too_new'
  | 'tape_line_too_long'
  | 'tape_replaced'
  | 'tape_nothing_kept'
  | 'tape_pointer'
  | 'tape_missing'
  | 'tape_missed'
  | 'tape_failed'
  | 'rules_unreadable'
  | 'rules_invalid'
  | 'rules_unwritable'
  | 'runtime_folder'

/** `message` is one sentence that names the file (and line) and says what to do. */
export class TapeError extends Error {
  readonly code: TapeErrorCode
  constructor(code: TapeErrorCode, message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'TapeError'
    this.code = code
  }
}

/** The bytes of a message as they were observed (of a truncated one, its beginning). */
export function contentOf(frame: TapeFrame): Buffer | undefined {
  if (frame.text !== undefined) return Buffer.from(frame.text)
  return frame.base64 === undefined ? undefined : Buffer.from(frame.base64, 'base64')
}

/** A system error in a few words: `ENOSPC: no space left on device, write`. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

export function errnoOf(error: unknown): string | undefined {
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  return typeof code === 'string' ? code : undefined
}
