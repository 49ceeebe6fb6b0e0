import type { Message } from './message.ts'

/** What is passed on of a list that somebody else has written. */
const MAX_NAMES = 32
const MAX_NAME = 64

/** The revisions that an answer to `server/discover` names, or an error that only knows others; undefined: none. */
export function versionsIn(message: Message | undefined): readonly string[] | undefined {
  const { result, error } = (message?.json ?? {}) as {
    result?: { supportedVersions?: unknown } | null
    error?: { data?: { supported?: unknown } | null } | null
  }
  const versions = result?.supportedVersions ?? error?.data?.supported
  if (!Array.isArray(versions)) return undefined
  const named = versions.filter((v): v is string => typeof v === 'string' && v.length <= MAX_NAME).slice(0, MAX_NAMES)
  return named.length > 0 ? named : undefined
}
