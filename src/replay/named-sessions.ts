import type { CallInput } from '../transport/upstream.ts'
import type { Replay } from './replay.ts'
import type { Outlet, ReplaySession } from './replay-session.ts'
import { namedSession } from './session-name.ts'

const MAX_SESSIONS = 1000

/** The replays of clients that have no sessions. Who gives no name shares one with all who give none. */
export class NamedSessions {
  readonly #replay: Replay
  readonly #outlet: Outlet
  readonly #sessions = new Map<string, ReplaySession>()

  constructor(replay: Replay, outlet: Outlet) {
    this.#replay = replay
    this.#outlet = outlet
  }

  of(input: Pick<CallInput, 'headers' | 'query'>): ReplaySession {
    const name = namedSession(input)
    const known = this.#sessions.get(name)
    // The one that was used last stands last.
    if (known) this.#sessions.delete(name)
    else if (this.#sessions.size >= MAX_SESSIONS) this.#forgetIdle()
    const session = known ?? this.#replay.session(this.#outlet)
    this.#sessions.set(name, session)
    return session
  }

  pause(): void {
    for (const session of this.#sessions.values()) session.pause()
  }

  resume(): void {
    for (const session of this.#sessions.values()) session.resume()
  }

  /** Those that were used longest ago. One that is busy stays, even if that makes more of them: requests are open in it. */
  #forgetIdle(): void {
    for (const [name, session] of this.#sessions) {
      if (this.#sessions.size < MAX_SESSIONS) return
      if (!session.idle) continue
      this.#sessions.delete(name)
      void session.close()
    }
  }
}
