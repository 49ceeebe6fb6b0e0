import type { ToolHeaders } from '../protocol/tool-headers.ts'
import { ToolCatalog } from '../protocol/tool-headers.ts'
import type { Verdict } from '../transport/upstream/shared-child-probe.ts'
import type { SharedServer, SharedServerEvents } from '../transport/upstream/shared-server.ts'
import type { CallInput, Leg } from '../transport/upstream.ts'
import type { Replay } from './replay.ts'
import type { ReplaySession } from './replay-session.ts'
import { namedSession } from './session-name.ts'
import { messageOf } from './spoken.ts'
import { stepsInTurn } from './steps-of.ts'
import { tell } from './tape-leg.ts'

const MAX_SESSIONS = 1000

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

  #sessionOf(input: CallInput): ReplaySession {
    const name = namedSession(input)
    const known = this.#sessions.get(name)
    // The one that was used last stands last.
    if (known) this.#sessions.delete(name)
    else if (this.#sessions.size >= MAX_SESSIONS) this.#forgetIdle()
    const session = known ?? this.#open()
    this.#sessions.set(name, session)
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
      for (const [, step] of recording.modern ? stepsInTurn(recording.modern) : []) {
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
