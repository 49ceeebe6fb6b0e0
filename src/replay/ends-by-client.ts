import type { RecordedRequest } from './recording.ts'

/** On the tape it was the client that ended it: it got no answer, or one of catflap's own. */
export function endsByClient({ cancelled, outcome }: RecordedRequest): boolean {
  if (!cancelled) return false
  return outcome.kind === 'cut' || (outcome.kind !== 'open' && outcome.own)
}
