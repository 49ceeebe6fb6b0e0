import type { Log } from '../log.ts'
import type { Era } from '../protocol/versions.ts'
import type { TapeTargetOptions } from '../replay/options.ts'
import type { Redactor } from '../tape/redact.ts'
import type { ChildLimit } from '../transport/upstream/child-limit.ts'
import type { Balance } from './balancer.ts'
import type { MemberHealth, Target } from './core.ts'
import type { Settings } from './options.ts'
import type { HealthOptions } from './reverse-options.ts'

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

/** One of several that answer alike: it gets a share of what goes to all, by its weight (1 to 1000, default 1). */
export interface WeightedUrl extends UrlTarget {
  readonly weight?: number
}

export type TargetOptions = UrlTarget | CommandTarget | TapeTargetOptions

/** A server is asked no more, or again. */
export interface HealthChange extends Pick<MemberHealth, 'member' | 'label' | 'reason'> {
  readonly state: 'up' | 'ejected' | 'down'
  /** `ejected`: for how long at first; `up`: how long it was left out, where it was ejected. In ms. */
  readonly ms?: number
}

export interface OpenTarget {
  readonly name?: string
  /** Our name in the Via header of answers; undefined: none is added. */
  readonly via?: string
  /** Takes secrets out of what clients are told of a server's own words. */
  readonly scrub?: (text: string) => string
  /** What keeps a server from being asked. Default: nothing where there is one, the defaults where there are several. */
  readonly health?: HealthOptions
  /** How one of several servers is chosen. Default `round-robin`. */
  readonly balance?: Balance
  readonly onHealth?: (change: HealthChange) => void
  readonly log?: Log
  /** Keeps secrets off what a tape target adds to its tape. */
  readonly redactor?: Redactor
  /** Of a command, where others have a part in it. Default: one of its own. */
  readonly childLimit?: ChildLimit
}

/** Only what this kind of target needs is loaded. */
export async function openTarget(
  options: TargetOptions | readonly WeightedUrl[],
  settings: Settings,
  parts: OpenTarget = {}
): Promise<Target> {
  const { name = 'default', via, scrub } = parts
  if (Array.isArray(options) || 'url' in options) {
    const urls: readonly WeightedUrl[] = Array.isArray(options) ? options : [options as UrlTarget]
    if (urls.length > 1 || parts.health) {
      const { openWatched } = await import('./watched-target.ts')
      return await openWatched(urls, settings, { ...parts, name })
    }
    const [only] = urls
    if (!only) throw new TypeError('target: none is given')
    const { HttpTarget } = await import('./http-target.ts')
    return new HttpTarget(name, only, settings, { via, scrub })
  }
  if ('tape' in options) {
    const { TapeTarget } = await import('./tape-target.ts')
    return await TapeTarget.open(name, options, settings, parts)
  }
  const { StdioTarget } = await import('./stdio-target.ts')
  return new StdioTarget(name, options as CommandTarget, settings, parts)
}
