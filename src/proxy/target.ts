import type { Era } from '../protocol/versions.ts'
import { SharedChild, type SharedChildEvents } from '../transport/upstream/shared-child.ts'
import { StdioLeg } from '../transport/upstream/stdio.ts'
import type { Leg, LegEvents } from '../transport/upstream.ts'
import type { Target, TargetStats } from './core.ts'
import { HttpTarget } from './http-target.ts'
import type { Settings } from './options.ts'

/** A server over HTTP. */
export interface UrlTarget {
  readonly url: string
  /** Name, value, name, value …: set on every request in place of the client's. */
  readonly headers?: readonly string[]
  /** PEM text of certificate authorities to trust besides the system's. */
  readonly ca?: string
  /** Do not verify the server's certificate. */
  readonly insecure?: boolean
  /** Default `auto`: Streamable HTTP, and the older HTTP+SSE where the server turns out to speak that. */
  readonly transport?: 'auto' | 'streamable-http' | 'sse'
  /** Default `auto`: as the server's answers tell. */
  readonly era?: 'auto' | Era
}

/** A server on stdio, spawned by catflap: an argument vector, never a shell's line. */
export interface CommandTarget {
  readonly command: string
  readonly args?: readonly string[]
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Default `auto`: where a modern client over HTTP asks, the server is asked with server/discover. */
  readonly era?: 'auto' | Era
}

export type TargetOptions = UrlTarget | CommandTarget

export interface OpenTarget {
  readonly name?: string
  /** Our name in the Via header of answers; undefined: none is added. */
  readonly via?: string
  /** Takes secrets out of what clients are told of a server's own words. */
  readonly scrub?: (text: string) => string
}

export function openTarget(
  options: TargetOptions,
  settings: Settings,
  { name = 'default', via, scrub }: OpenTarget = {}
): Target {
  return 'url' in options
    ? new HttpTarget(name, options, settings, { via, scrub })
    : new StdioTarget(name, options, settings, scrub)
}

/** What modern clients over HTTP share of a command; made at the first use, where `events` are given. Undefined for a URL. */
export function sharedChild(target: Target, events?: () => SharedChildEvents): SharedChild | undefined {
  return target instanceof StdioTarget ? target.shared(events) : undefined
}

class StdioTarget implements Target {
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

  shared(events: (() => SharedChildEvents) | undefined): SharedChild | undefined {
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
