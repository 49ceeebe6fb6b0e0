/** What each revision of the protocol has, as far as the script asks for it. */

export const REVISIONS = ['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25', '2026-07-28'] as const
export type Revision = (typeof REVISIONS)[number]

export interface Features {
  /** A session begins with `initialize`; else every request speaks for itself, and `server/discover` tells of the server. */
  readonly handshake: boolean
  readonly ping: boolean
  /** `logging/setLevel`; else the level stands in each request. */
  readonly setLevel: boolean
  /** The level of logs stands in each request. */
  readonly logLevel: boolean
  /** `resources/subscribe`, and changes that are told without being asked for. */
  readonly subscribe: boolean
  /** `subscriptions/listen`. */
  readonly listen: boolean
  /** The server asks by requests of its own, also on no call's behalf; else by results that say `input_required`. */
  readonly serverRequests: boolean
  readonly elicitation: boolean
  /** `structuredContent` in a tool's result. */
  readonly structured: boolean
}

export type Feature = keyof Features

const FIRST: Features = {
  handshake: true,
  ping: true,
  setLevel: true,
  logLevel: false,
  subscribe: true,
  listen: false,
  serverRequests: true,
  elicitation: false,
  structured: false
}

const SINCE_JUNE_2025: Features = { ...FIRST, elicitation: true, structured: true }

const MODERN: Features = {
  ...SINCE_JUNE_2025,
  handshake: false,
  ping: false,
  setLevel: false,
  logLevel: true,
  subscribe: false,
  listen: true,
  serverRequests: false
}

export const FEATURES: Readonly<Record<Revision, Features>> = {
  '2024-11-05': FIRST,
  '2025-03-26': FIRST,
  '2025-06-18': SINCE_JUNE_2025,
  '2025-11-25': SINCE_JUNE_2025,
  '2026-07-28': MODERN
}

export function isModern(revision: Revision): boolean {
  return !FEATURES[revision].handshake
}
