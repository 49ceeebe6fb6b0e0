import type { Era } from '../protocol/versions.ts'
import { SharedChild, type SharedChildEvents } from '../transport/upstream/shared-child.ts'
import { StdioLeg } from '../transport/upstream/stdio.ts'
import type { Leg, LegEvents } from '../transport/upstream.ts'
import type { Target, TargetStats } from './core.ts'
import type { Settings } from './options.ts'
import type { CommandTarget, OpenTarget } from './target.ts'

/** A command, and the children that run it. */
export class StdioTarget implements Target {
  readonly kind = 'stdio'
  readonly name: string
  readonly label: string
  readonly era: Era | undefined
  readonly sessionless = undefined
  readonly #options: CommandTarget
  readonly #settings: Settings
  readonly #scrub: OpenTarget['scrub']
  readonly #legs = new Set<StdioLeg>()
  #started = 0
  #lost = 0
  #shared: SharedChild | undefined

  constructor(name: string, options: CommandTarget, settings: Settings, scrub: OpenTarget['scrub']) {
    this.name = name
    // Arguments can hold secrets, so a command is called by its name alone.
    this.label = options.command
    this.era = options.era === 'auto' ? undefined : options.era
    this.#options = options
    this.#settings = settings
    this.#scrub = scrub
  }

  open(events: LegEvents): Leg {
    const { command, args = [], env, cwd } = this.#options
    const { maxMessage, maxExchangeQueue, killAfter } = this.#settings
    const leg = new StdioLeg(
      {
        label: this.label,
        command,
        args,
        cwd,
        env: { ...withoutOwn(process.env), ...env },
        maxLine: maxMessage,
        maxInput: maxExchangeQueue,
        scrub: this.#scrub,
        killGrace: { stdin: killAfter, term: killAfter }
      },
      {
        ...events,
        lost: (error, facts) => {
          this.#legs.delete(leg)
          if (facts.expected !== 1) this.#lost++
          events.lost(error, facts)
        }
      }
    )
    this.#legs.add(leg)
    this.#started++
    return leg
  }

  /** A child cannot be found again by a name: whoever made it holds it. */
  resume(): undefined {
    return undefined
  }

  shared(events?: () => SharedChildEvents): SharedChild | undefined {
    if (this.#shared || !events) return this.#shared
    this.#shared = new SharedChild(
      {
        label: this.label,
        open: legEvents => this.open(legEvents),
        era: this.#options.era,
        maxQueue: this.#settings.maxExchangeQueue,
        probeTimeout: this.#settings.probeTimeout,
        maxExclusive: this.#settings.maxLogChildren,
        exclusiveIdle: this.#settings.logChildIdle
      },
      events()
    )
    return this.#shared
  }

  stats(): TargetStats {
    const restarted = this.#shared?.restarts ?? 0
    return { children: { alive: this.#legs.size, started: this.#started, lost: this.#lost, restarted } }
  }

  async close(): Promise<void> {
    await Promise.all([this.#shared?.close(), ...[...this.#legs].map(leg => leg.close())])
  }
}

/** catflap's own settings (its token among them) are no business of the server's. */
function withoutOwn(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^CATFLAP_/i.test(name)))
}
