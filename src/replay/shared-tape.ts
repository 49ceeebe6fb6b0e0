import { getHeader } from '../protocol/headers.ts'
import type { ToolHeaders } from '../protocol/tool-headers.ts'
import { ToolCatalog } from '../protocol/tool-headers.ts'
import type { Verdict } from '../transport/upstream/shared-child-probe.ts'
import type { SharedServer, SharedServerEvents } from '../transport/upstream/shared-server.ts'
import type { CallInput, Leg } from '../transport/upstream.ts'
import type { Replay } from './replay.ts'
import type { ReplaySession } from './replay-session.ts'
import { messageOf } from './spoken.ts'
import { tell } from './tape-leg.ts'

/** Names a replay session of the modern era, which has none of its own: as a header, or as `replay-session` in the URL. */
export const REPLAY_SESSION_HEADER = 'catflap-replay-session'
const REPLAY_SESSION_PARAM = 'replay-session'

const MAX_SESSIONS = 1000
const MAX_NAME = 200

/** A tape as one server for many modern clients over HTTP. Who gives no name shares a replay session with all who give none. */
export class SharedTape implements SharedServer {
  readonly tools: SharedServer['tools']
  readonly #replay: Replay
  readonly #events: SharedServerEvents
  readonly #sessions = new Map<string, ReplaySession>()
  readonly #leg: Leg

  constructor(replay: Replay, events: SharedServerEvents) {
    this.#replay = replay
    this.#events = events
    this.tools = recordedTools(replay)
    this.#leg = {
      upstreamId: undefined,
      call: (input, receiver) => tell(this.#sessionOf(input), input, receiver, true),
      // Other clients use it too.
      close: async () => {}
    }
  }

  ready(): Verdict {
    const versions = this.#replay.modernVersions
    if (versions || this.#replay.isLiveAlone) return { era: 'modern', versions }
    const reason = 'The tape was recorded in a revision before 2026-07-28.'
    return { era: 'legacy', error: undefined, reason, vague: false }
  }

  leg(): Leg {
    return this.#leg
  }

  /** What is logged belongs to its request here. */
  exclusive(): Leg {
    return this.#leg
  }

  async refreshTools(): Promise<void> {}

  pause(): void {
    for (const session of this.#sessions.values()) session.pause()
  }

  resume(): void {
    for (const session of this.#sessions.values()) session.resume()
  }

  #sessionOf({ headers, query }: CallInput): ReplaySession {
    const named = getHeader(headers, REPLAY_SESSION_HEADER) ?? parameter(query)
    const name = named?.slice(0, MAX_NAME) ?? ''
    const known = this.#sessions.get(name)
    // The one that was used last stands last.
    if (known) this.#sessions.delete(name)
    const session = known ?? this.#open()
    this.#sessions.set(name, session)
    if (this.#sessions.size > MAX_SESSIONS) this.#forgetOldest()
    return session
  }

  #open(): ReplaySession {
    const { late, unowned, speaking } = this.#events
    return this.#replay.session({
      message(message, call) {
        speaking?.()
        if (!call) return unowned(message)
        if (!call.deliver?.(message)) late(message)
      }
    })
  }

  #forgetOldest(): void {
    for (const [name, session] of this.#sessions) {
      if (!session.idle) continue
      this.#sessions.delete(name)
      return void session.close()
    }
  }
}

function parameter(query: string | undefined): string | undefined {
  return query?.includes(REPLAY_SESSION_PARAM)
    ? (new URLSearchParams(query).get(REPLAY_SESSION_PARAM) ?? undefined)
    : undefined
}

/** What tools want in headers, as the recorded lists say it. Nothing can change them any more. */
function recordedTools({ recording }: Replay): SharedServer['tools'] {
  let catalog: ToolCatalog | undefined
  const learned = (): ToolCatalog => {
    catalog ??= new ToolCatalog()
    return catalog
  }
  return {
    known(name): ToolHeaders | undefined {
      if (catalog) return catalog.get(name)
      for (const step of recording.modern?.steps ?? []) {
        if (step.kind !== 'request' || step.method !== 'tools/list' || step.outcome.kind !== 'response') continue
        const { result } = (messageOf(step.outcome.text)?.json ?? {}) as { result?: { tools?: unknown } | null }
        learned().learn(result?.tools)
      }
      return learned().get(name)
    },
    doubtful: () => false,
    askable: false,
    learn() {}
  }
}
