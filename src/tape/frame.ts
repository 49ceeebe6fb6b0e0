/**
 * Frames: what the two taps see. One frame is one observed event on one side of the door; nothing here formats, redacts or
 * stores. Making a frame must stay cheap (the traffic waits for it), so byte ranges are kept as they arrived.
 */

export type Side = 'client' | 'server'
/** `up` runs from the client towards the server, `down` the other way. */
export type Direction = 'up' | 'down'

/**
 * - `message` one JSON-RPC message (or one batch array); `bytes` is its original text
 * - `head` status line and headers of a reply whose content follows in frames of its own (SSE), or has none
 * - `event` an SSE event that carries no message (priming, `retry`)
 * - `body` content that is no JSON-RPC (an HTML error page, an OAuth answer)
 * - `open` a client's request that carries no message (GET, DELETE)
 * - `end` the stream has ended; `outcome` says how
 * - `note` something that is no traffic: see `note`
 */
export type FrameKind = 'message' | 'head' | 'event' | 'body' | 'open' | 'end' | 'note'

export type NoteKind =
  | 'noise' // a line on a child's stdout that is no JSON-RPC
  | 'stderr' // a line on a child's stderr
  | 'cancel' // catflap cancelled a call upstream
  | 'disconnect' // the client went away before its answer
  | 'error' // catflap answered in the server's place, or could not
  | 'refused' // catflap refused what a client asked for
  | 'session-start'
  | 'session-end'
  | 'session-lost'
  | 'session-reinitialized' // the server had lost it, and has it again
  | 'child-start'
  | 'child-exit'
  | 'late' // an answer, or progress, that nobody waits for any more
  | 'notice' // worth knowing: a stream taken up again, a tool left out
  | 'dropped' // frames that were lost (overflow policy `drop`)

export interface HttpFacts {
  readonly method?: string
  /** Path and query as they came. */
  readonly path?: string
  readonly status?: number
  /** Name, value, name, value … as they came. */
  readonly headers?: readonly string[]
}

export interface SseFacts {
  readonly id?: string
  readonly event?: string
  /** Milliseconds. */
  readonly retry?: number
}

export interface Frame {
  /** `performance.now()` when it was observed. */
  readonly time: number
  readonly side: Side
  readonly dir: Direction
  readonly kind: FrameKind
  /** The session's handle (never its id). */
  readonly session?: string
  /** Which stream within the session: `post-7`, `get-8`, `delete-9`, `stdio`. */
  readonly stream?: string
  readonly http?: HttpFacts
  readonly sse?: SseFacts
  /** The original text. With `truncated`, only its beginning. */
  readonly bytes?: Buffer
  /** Of the whole text, when `bytes` holds only its beginning. `sha256` is lower-case hex. */
  readonly truncated?: { readonly length: number; readonly sha256: string }
  /** catflap made this itself; no peer sent it. */
  readonly own?: boolean
  /** Of one who was refused before anybody knew who it is: nothing in it is taken for a credential elsewhere. */
  readonly unproven?: boolean
  /** The stream ended with this frame. */
  readonly outcome?: string
  readonly note?: NoteKind
  /** A sentence for people, with `note`. */
  readonly text?: string
  /** Facts for programs, with `note`. */
  readonly data?: Readonly<Record<string, string | number | boolean | null>>
}
