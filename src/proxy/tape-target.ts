import { type Log, SILENT } from '../log.ts'
import type { Era } from '../protocol/versions.ts'
import { type MissServer as MissServerOptions, type TapeTargetOptions, tapesOf } from '../replay/options.ts'
import { type OpenLive, Replay } from '../replay/replay.ts'
import type { ReplaySummary } from '../replay/report.ts'
import { namedSession } from '../replay/session-name.ts'
import { SharedTape } from '../replay/shared-tape.ts'
import { TapeLeg } from '../replay/tape-leg.ts'
import { Redactor } from '../tape/redact.ts'
import type { SharedServer, SharedServerEvents } from '../transport/upstream/shared-server.ts'
import type { CallInput, Leg, LegEvents } from '../transport/upstream.ts'
import { closeAll } from './closing.ts'
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
  readonly #live: LiveParts | undefined
  #shared: SharedServer | undefined

  /** Throws a TapeError, and a RulesError for the rules. */
  static async open(
    name: string,
    options: TapeTargetOptions,
    settings: Settings,
    parts: OpenTarget
  ): Promise<TapeTarget> {
    const { log = SILENT } = parts
    const { onMiss = 'error', onProgress } = options
    const live = onMiss === 'error' ? undefined : await openLiveParts(options, onMiss, settings, { ...parts, log })
    try {
      const replay = await Replay.open(options, { log, onProgress, openLive: live?.openLive })
      return new TapeTarget(name, replay, live)
    } catch (error) {
      await live?.close()
      throw error
    }
  }

  constructor(name: string, replay: Replay, live: LiveParts | undefined) {
    this.name = name
    this.label = replay.label
    this.#replay = replay
    this.#live = live
    this.era = replay.revisions.modern && !replay.revisions.legacy ? 'modern' : undefined
  }

  open(events: LegEvents, from?: Pick<CallInput, 'headers' | 'query'>): Leg {
    return new TapeLeg(this.#replay, events, from && namedSession(from))
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

  hurry(): void {
    this.#replay.hurry()
  }

  async close(): Promise<void> {
    await this.#replay.close()
    await this.#live?.close()
  }
}

/** Who is asked what the tape does not know, and where that is written down. */
interface LiveParts {
  readonly openLive: OpenLive
  close(): Promise<void>
}

/** Loaded only where it is wanted. */
async function openLiveParts(
  options: TapeTargetOptions,
  onMiss: MissServerOptions,
  settings: Settings,
  { log, scrub, redactor = new Redactor({}) }: OpenTarget & { readonly log: Log }
): Promise<LiveParts> {
  const [{ HttpTarget }, { MissServer }, { LiveTape }, { TapeAppender }] = await Promise.all([
    import('./http-target.ts'),
    import('../replay/miss-server.ts'),
    import('../replay/live-tape.ts'),
    import('../replay/tape-appender.ts')
  ])
  const { record, ...url } = onMiss
  const appender = record
    ? await TapeAppender.open(tapesOf(options)[0]!, {
        redactor,
        target: { kind: url.transport === 'sse' ? 'sse' : 'http', url: url.url },
        onError: reason => log.error('recording-stopped', `nothing more is added to the tape: ${reason}`)
      })
    : undefined
  const server = new HttpTarget('on-miss', url, settings, { scrub })
  const note = (text: string): void => log.warn('server', text)
  return {
    openLive: (session, outlet) =>
      new MissServer(session, outlet, {
        open: events => server.open(events),
        ...(appender && { tape: new LiveTape(appender, note) }),
        note
      }),
    close: () =>
      closeAll(
        [
          ['the server of --on-miss', () => server.close()],
          ['the tape that is added to', () => appender?.close()]
        ],
        10_000,
        log
      )
  }
}
