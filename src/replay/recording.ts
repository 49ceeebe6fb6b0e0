import type { Era } from '../protocol/versions.ts'

export { readRecording } from './read-recording.ts'

export interface ReadRecordingOptions {
  readonly onProgress?: (bytesRead: number, bytesTotal: number) => void
  /** Bytes of texts that are kept; beyond it they are read from the file when they are asked for. Default 64 MiB. */
  readonly keepInMemory?: number
  /** Bytes; a longer line is an error. Default 64 MiB. */
  readonly maxLine?: number
  /** Reading ends with its reason. */
  readonly signal?: AbortSignal
}

/**
 * What tapes say of conversations, taken apart the way replaying and checking need it: each request with all that came of it,
 * in the order in which it happened. Read from the client's side of the tape, which is complete.
 */
export interface Recording {
  readonly tapes: readonly RecordedTape[]
  /** Sessions of the legacy era, in the order of their first frame. What came without any session is one of its own. */
  readonly legacy: readonly Conversation[]
  /** All requests of the modern era: they have no sessions. */
  readonly modern: Conversation | undefined
  /** Of requests and answers: for messages to people. */
  readonly counts: { readonly requests: number; readonly frames: number }
  /** Files that are read from later (texts that were too many to keep). */
  close(): void
}

export interface RecordedTape {
  readonly file: string
  readonly started: string
  /** `http`, `sse`, `stdio` or `tape`. */
  readonly targetKind: string
  /** The last line was cut off, and left out. */
  readonly torn: boolean
  /** Frames that the recorder had to leave out: what stands here may lack answers. */
  readonly missing: number
}

/** A text on a tape. It may be read anew each time it is asked for. */
export interface TapeText {
  /** In characters. */
  readonly length: number
  /** Throws a TapeError, with file and line, where the tape was changed meanwhile. */
  get(): string
}

/** Where it stands, for messages to people. */
export interface TapePlace {
  readonly file: string
  readonly line: number
}

export interface Conversation {
  readonly era: Era
  /** The session's handle on the tape. */
  readonly session: string | undefined
  /** It holds what was missing on the tape, and was added later: catflap began it, as the client had begun that asked for it. */
  readonly added: boolean
  /** The revision that was negotiated, or (modern) the one most requests named. */
  readonly version: string | undefined
  /** Modern: all that requests named and the server did not refuse. */
  readonly versions: readonly string[]
  /** What the client did, in order. */
  readonly steps: readonly Step[]
  /** What the server said before the client had done anything. */
  readonly before: readonly Said[]
}

/** One thing the client did. `at` counts in ms from the start of the tape; `order` grows over all of the recording. */
export type Step = RecordedRequest | RecordedNotification | RecordedAnswer | RecordedListen | RecordedEnd

interface Base {
  readonly at: number
  readonly order: number
  readonly place: TapePlace
  /** What was taken out of it: marks of the tape format. */
  readonly redacted: readonly string[]
  /** HTTP headers, name and value in turn; undefined for a pipe. Where they are many they are read anew, as a TapeText is. */
  readonly headers: readonly string[] | undefined
}

export interface RecordedRequest extends Base {
  readonly kind: 'request'
  readonly method: string
  /** Tool, prompt, or URI of the resource. */
  readonly subject: string | undefined
  /** The whole message. */
  readonly text: TapeText
  /** JSON text of its id. Ids, tokens and names of more than 1000 characters are told by a stand-in. */
  readonly id: string
  /** JSON text of `params._meta.progressToken`. */
  readonly progressToken: string | undefined
  /** Requests of one batch share a number; undefined outside of one. */
  readonly batch: number | undefined
  /** The tape holds only its beginning. */
  readonly truncated: boolean
  /**
   * What the server said before the answer, in order: on the request's own stream or for its token, whatever else happened
   * meanwhile; and loose, behind this and before the next thing that happened.
   */
  readonly said: readonly Said[]
  /** What the server said behind the answer, and before the next thing that happened. */
  readonly after: readonly Said[]
  readonly outcome: Outcome
  /** The client cancelled it, by `notifications/cancelled` or by leaving: when. */
  readonly cancelled:
    | { readonly at: number; readonly order: number; readonly how: 'notification' | 'disconnect' }
    | undefined
}

export interface RecordedNotification extends Base {
  readonly kind: 'notification'
  readonly method: string
  readonly text: TapeText
  /** The request that `notifications/cancelled` names, where it is one on the tape. */
  readonly cancels?: RecordedRequest
  readonly after: readonly Said[]
}

/** What the client answered to a request of the server's. */
export interface RecordedAnswer extends Base {
  readonly kind: 'answer'
  readonly text: TapeText
  /** What it answers, where that is on the tape. */
  readonly to: Said | undefined
  readonly after: readonly Said[]
}

/** A GET for a stream. */
export interface RecordedListen extends Base {
  readonly kind: 'listen'
  readonly status: number | undefined
  readonly after: readonly Said[]
}

/** DELETE, or the end of the pipe. */
export interface RecordedEnd extends Base {
  readonly kind: 'end'
  readonly status: number | undefined
  readonly after: readonly Said[]
}

/** A request or notification of the server's. */
export interface Said {
  readonly at: number
  readonly order: number
  readonly place: TapePlace
  readonly method: string
  readonly text: TapeText
  /** JSON text of the id, where it is a request. */
  readonly id: string | undefined
  /** It came on the stream of the request it stands with, or names its progress token or subscription; else it is of the session at large. */
  readonly owned: boolean
  /**
   * The request whose progress token or subscription it names, wherever it stands: the progress of a task goes on behind the
   * answer that made it.
   */
  readonly names: RecordedRequest | undefined
  /** What the client answered. */
  readonly answer: RecordedAnswer | undefined
  /** `tools/list_changed` and the like name what has changed; true: catflap itself said it. */
  readonly own: boolean
  readonly truncated: boolean
}

/** What came of a request in the end. */
export type Outcome =
  /** `status` of the HTTP answer, where there was one. */
  | {
      readonly kind: 'response'
      readonly at: number
      readonly order: number
      readonly text: TapeText
      readonly isError: boolean
      readonly status: number | undefined
      /** Of a status other than 200: name and value in turn. */
      readonly headers?: readonly string[]
      readonly truncated: boolean
      /** catflap answered in the server's place. */
      readonly own: boolean
      readonly place: TapePlace
    }
  /** An HTTP answer that is no JSON-RPC response. */
  | {
      readonly kind: 'status'
      readonly at: number
      readonly order: number
      readonly status: number
      /** Name and value in turn. */
      readonly headers: readonly string[]
      readonly body: TapeText | undefined
      readonly truncated: boolean
      readonly own: boolean
      readonly place: TapePlace
    }
  /**
   * The stream ended (`complete`), broke (`upstream_reset`, …), or the client went away (`disconnect`): without a response, and
   * nothing was taken up again.
   */
  | { readonly kind: 'cut'; readonly at: number; readonly order: number; readonly how: string }
  /** It was still open when the tape ended. */
  | { readonly kind: 'open' }
