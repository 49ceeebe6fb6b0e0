import type { ToolHeaders } from '../protocol/tool-headers.ts'
import { ToolCatalog } from '../protocol/tool-headers.ts'
import { ended } from '../transport/upstream/no-call.ts'
import type { Verdict } from '../transport/upstream/shared-child-probe.ts'
import type { SharedServer, SharedServerEvents } from '../transport/upstream/shared-server.ts'
import type { CallInput, CallReceiver, Leg, UpstreamCall } from '../transport/upstream.ts'
import { NamedSessions } from './named-sessions.ts'
import type { Replay } from './replay.ts'
import type { Outlet } from './replay-session.ts'
import { messageOf } from './spoken.ts'
import { stepsInTurn } from './steps-of.ts'
import { overHttp, tell, tellAny } from './tape-leg.ts'

/** A tape as one server for many clients over HTTP that have no sessions. */
export class SharedTape implements SharedServer {
  readonly tools: SharedServer['tools']
  readonly #replay: Replay
  readonly #modern: NamedSessions
  readonly #legacy: NamedSessions
  readonly #leg: Leg
  readonly #unbegun: Leg | undefined

  constructor(replay: Replay, events: SharedServerEvents) {
    this.#replay = replay
    this.tools = recordedTools(replay)
    const outlet = outletTo(events)
    this.#modern = new NamedSessions(replay, outlet)
    this.#legacy = new NamedSessions(replay, outlet)
    // Other clients use them too.
    const close = async (): Promise<void> => {}
    const call = (input: CallInput, receiver: CallReceiver): UpstreamCall =>
      tell(this.#modern.of(input), input, receiver, true)
    this.#leg = { upstreamId: undefined, call, close }
    if (replay.unbegun)
      this.#unbegun = {
        upstreamId: undefined,
        // All count their requests from one: a cancellation may be meant for somebody else's. Who leaves ends its own.
        call: (input, receiver) =>
          input.message?.method === 'notifications/cancelled'
            ? ended(receiver)
            : tellAny(this.#legacy.of(input), input, receiver, true),
        close
      }
  }

  ready(): Verdict {
    const { modern, legacy } = this.#replay.revisions
    if (modern || this.#replay.isLiveAlone) return { era: 'modern', versions: modern }
    const reason = 'The tape was recorded in a revision before 2026-07-28.'
    return { era: 'legacy', error: undefined, reason, vague: false, versions: legacy }
  }

  leg(): Leg {
    return this.#leg
  }

  /** What is logged belongs to its request here. */
  exclusive(): Leg {
    return this.#leg
  }

  unbegun(): Leg | undefined {
    return this.#unbegun
  }

  async refreshTools(): Promise<void> {}

  pause(): void {
    this.#modern.pause()
    this.#legacy.pause()
  }

  resume(): void {
    this.#modern.resume()
    this.#legacy.resume()
  }
}

function outletTo({ late, unowned, speaking }: SharedServerEvents): Outlet {
  return overHttp({
    late,
    message(message, call) {
      speaking?.()
      if (!call) return unowned(message)
      if (!call.deliver?.(message)) late(message)
    }
  })
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
