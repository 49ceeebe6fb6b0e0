import type { RecordedRequest } from './recording.ts'

/** `keyed`: by method and parameters, whatever the order. `strict`: the same, in recorded order. `method`: by method and name alone. */
export type MatchMode = 'keyed' | 'strict' | 'method'

/** What equal requests get when each of their recordings was used: the last again, all from the first again, or a miss. */
export type RepeatMode = 'last' | 'cycle' | 'error'

/** Which of the recorded requests one is, or why none. */
export type Match = { readonly request: RecordedRequest; readonly again: boolean } | { readonly miss: Miss }

export interface Miss {
  /** One sentence, for people. */
  readonly text: string
  readonly closest: RecordedRequest | undefined
  /** Recorded → asked, as readable lines: `params.arguments.path: "/a" → "/b"`. */
  readonly difference: readonly string[]
}
