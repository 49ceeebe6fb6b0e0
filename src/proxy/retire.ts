import type { Place } from './place.ts'

const LOOK_EVERY = 250

/**
 * Nobody new comes to this one any more. `done` is called when its last session has ended and the last answer is out; sessions
 * end by their clients, or when their time is over. Returns how to stop waiting.
 */
export function retire(place: Place, done: () => void): () => void {
  const { core } = place.route
  // Streams that belong to no session would never end by themselves; their clients open them anew where others are served now.
  const endStreams = (): void => {
    for (const x of [...core.inFlight]) if (x.longLived && !x.session) x.finish()
  }
  endStreams()
  const timer = setInterval(() => {
    // An `initialize` may have been under way when its token was taken back, and the body of a request for a stream.
    endRevoked(place)
    endStreams()
    if (core.sessions.size > 0 || core.inFlight.size > 0 || place.pages?.busy) return
    clearInterval(timer)
    done()
  }, LOOK_EVERY)
  timer.unref()
  return () => clearInterval(timer)
}

/** A token that was taken back opens nothing, not even what it had opened. */
export function endRevoked({ route, gate, pages }: Place): void {
  const { sessions } = route.core
  for (const session of [...sessions.live])
    if (!gate.keeps(session.record.principal)) void sessions.end(session, 'revoked')
  pages?.endRevoked()
}
