import type { Core } from './core.ts'

const LOOK_EVERY = 250

/**
 * Nobody new comes to this one any more. `done` is called when its last session has ended and the last answer is out; sessions
 * end by their clients, or when their time is over. `busy`: something besides MCP is still under way. Returns how to stop waiting.
 */
export function retire(core: Core, done: () => void, busy?: () => boolean): () => void {
  // Streams that belong to no session would never end by themselves; their clients open them anew where others are served now.
  for (const x of [...core.inFlight]) if (x.longLived && !x.session) x.finish()
  const timer = setInterval(() => {
    if (core.sessions.size > 0 || core.inFlight.size > 0 || busy?.()) return
    clearInterval(timer)
    done()
  }, LOOK_EVERY)
  timer.unref()
  return () => clearInterval(timer)
}
