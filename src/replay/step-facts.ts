/** What each step is, and its bits, as they stand in one column. */

export const KINDS = { request: 0, notification: 1, answer: 2, listen: 3, end: 4 } as const

/** The bits that hold its kind. */
export const KIND = 7
export const TRUNCATED = 8
/** The progress token is the id, as with most clients. */
export const TOKEN_IS_ID = 16
/** It is another: it stands on the tape. */
export const HAS_TOKEN = 32
export const HAS_CANCELLED = 256
/** What came of a request is a plain answer, and stands in columns; */
export const ANSWERED = 512
/** or it is something else, and stands beside them. */
export const ENDED_OTHERWISE = 1024
export const ANSWER_IS_ERROR = 2048
export const ANSWER_TRUNCATED = 4096
export const ANSWER_OWN = 8192
export const ANSWER_200 = 16_384
