import { SILENT } from '../log.ts'
import type { Era } from '../protocol/versions.ts'
import type { TapeTargetOptions } from '../replay/options.ts'
import { Replay } from '../replay/replay.ts'
import type { ReplaySummary } from '../replay/report.ts'
import { SharedTape } from '../replay/shared-tape.ts'
import { TapeLeg } from '../replay/tape-leg.ts'
import type { SharedServer, SharedServerEvents } from '../transport/upstream/shared-server.ts'
import type { Leg, LegEvents } from '../transport/upstream.ts'
import type { Target } from './core.ts'
import type { Settings } from './options.ts'
import type { OpenTarget } from './target.ts'

/** One or several tapes in the place of a server. */
export class TapeTarget implements Target {
  readonly kind = 'tape'
  readonly name: string
  readonly label: string
  readonly era: Era | undefined
  readonly sessionless = undefined
  readonly #replay: Replay
  #shared: SharedServer | undefined

  /** Throws a TapeError, and what is wrong with the rules. */
  static async open(
    name: string,
    options: TapeTargetOptions,
    _settings: Settings,
    { log = SILENT }: OpenTarget
  ): Promise<TapeTarget> {
    return new TapeTarget(name, await Replay.open(options, { log, onProgress: options.onProgress }))
  }

  constructor(name: string, replay: Replay) {
    this.name = name
    this.label = replay.label
    this.#replay = replay
    this.era = replay.modernVersions && !replay.hasLegacy ? 'modern' : undefined
  }

  open(events: LegEvents): Leg {
    return new TapeLeg(this.#replay, events)
  }

  /** Each session has a replay of its own, which ends with it. */
  resume(): undefined {
    return undefined
  }

  shared(events?: () => SharedServerEvents): SharedServer | undefined {
    if (!this.#shared && events) this.#shared = new SharedTape(this.#replay, events())
    return this.#shared
  }

  replayed(): ReplaySummary {
    return this.#replay.summary()
  }

  async close(): Promise<void> {
    await this.#replay.close()
  }
}
