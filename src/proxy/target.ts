import type { Era } from '../protocol/versions.ts'
import type { Target } from './core.ts'
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

/** Only what this kind of target needs is loaded. */
export async function openTarget(
  options: TargetOptions,
  settings: Settings,
  { name = 'default', via, scrub }: OpenTarget = {}
): Promise<Target> {
  if ('url' in options) {
    const { HttpTarget } = await import('./http-target.ts')
    return new HttpTarget(name, options, settings, { via, scrub })
  }
  const { StdioTarget } = await import('./stdio-target.ts')
  return new StdioTarget(name, options, settings, scrub)
}
