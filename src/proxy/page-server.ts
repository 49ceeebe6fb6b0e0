import type { Agent, IncomingMessage } from 'node:http'
import { headerChange, type RouteHeaders } from '../interceptors/route-headers.ts'
import {
  addVia,
  forwardableRequestHeaders,
  forwardableResponseHeaders,
  getHeader,
  removeHeader,
  setHeader
} from '../protocol/headers.ts'
import { basicCredentials } from '../transport/upstream/http-fields.ts'
import type { Forwarding } from './forwarded.ts'
import type { Settings } from './options.ts'
import type { PassageRules } from './passage.ts'
import { PassthroughPaths, requestTarget } from './passthrough-paths.ts'
import { agentFor } from './passthrough-request.ts'

/** Where pages are. */
export interface PageTarget {
  readonly url: URL
  /** For people; no secrets. Default: its origin. */
  readonly label?: string
  /** Name, value …: set on every request in place of the client's. */
  readonly headers?: readonly string[]
  /** PEM text of certificate authorities to trust besides the system's. */
  readonly ca?: string
  /** Do not verify the server's certificate. */
  readonly insecure?: boolean
}

/** What holds for all servers of a route. */
export interface PageServerOptions {
  /** Where the route serves MCP, e.g. `/name/mcp`. */
  readonly route: string
  /** Exact paths, or all below one: `/pages/*`. */
  readonly paths: readonly string[]
  /** Our name in Via; undefined: none is added. */
  readonly via: string | undefined
  /** Undefined: what comes in under these names passes, and nothing is added. */
  readonly forwarded?: Forwarding
  readonly rules?: RouteHeaders
  readonly settings: Settings
}

/** One server of a passthrough: what it is sent, and how its answers are named here. */
export class PageServer {
  readonly target: URL
  readonly agent: Agent
  readonly paths: PassthroughPaths
  readonly rules: PassageRules
  readonly #options: PageServerOptions
  readonly #isOwn: (value: string) => boolean
  readonly #extra: readonly string[]
  readonly #change: ReturnType<typeof headerChange>

  /** `isOwn`: an Authorization that ends here. Throws a TypeError for a path or a header rule that is not allowed. */
  constructor(target: PageTarget, options: PageServerOptions, isOwn: (value: string) => boolean) {
    const { settings, rules = {} } = options
    const { url, headers = [] } = target
    this.#options = options
    this.#isOwn = isOwn
    this.target = url
    this.paths = new PassthroughPaths({ ...options, target: url })
    this.rules = {
      label: target.label ?? url.origin,
      headTimeout: settings.headersTimeout || settings.requestTimeout,
      silence: settings.requestTimeout,
      maxBody: settings.maxBody,
      responseHeaders: this.#responseHeaders(headerChange('response', rules.response))
    }
    const credentials = basicCredentials(url)
    this.#extra = [...(credentials ? ['Authorization', credentials] : []), ...headers]
    this.#change = headerChange('request', rules.request)
    this.agent = agentFor(url, target)
  }

  /** What it calls the thing that is asked for. */
  path(req: IncomingMessage): string {
    const { path, query } = requestTarget(req.url ?? '')!
    return this.paths.up(path) + query
  }

  /** End-to-end headers. */
  headers(req: IncomingMessage, path: string): string[] {
    const { forwarded, via } = this.#options
    const raw = req.rawHeaders
    // HTTP/2's own fields (`:path`) are no headers.
    const headers = forwardableRequestHeaders(
      raw.some(isPseudo) ? raw.filter((_, i) => !isPseudo(raw[i & ~1]!, 0)) : raw
    )
    const accepted = getHeader(raw, 'accept-encoding')
    if (accepted !== undefined) headers.push('Accept-Encoding', accepted)
    removeHeader(headers, 'authorization', this.#isOwn)
    const host = getHeader(raw, 'host') ?? getHeader(raw, ':authority')
    forwarded?.receive(raw, req.socket).write(headers, host, this.paths.prefixOf(path))
    if (via !== undefined) addVia(headers, req.httpVersion, via)
    this.#change?.(headers)
    for (let i = 0; i < this.#extra.length; i += 2) setHeader(headers, this.#extra[i]!, this.#extra[i + 1]!)
    setHeader(headers, 'Host', this.target.host)
    return headers
  }

  #responseHeaders(change: ReturnType<typeof headerChange>): PassageRules['responseHeaders'] {
    return (from, path) => {
      const headers = forwardableResponseHeaders(from.rawHeaders)
      // Where else the target can be reached is of no use to who reaches it through here.
      removeHeader(headers, 'alt-svc')
      for (let i = 0; i < headers.length; i += 2) {
        const name = headers[i]!.toLowerCase()
        if (name === 'location' || name === 'content-location')
          headers[i + 1] = this.paths.location(headers[i + 1]!, path)
        else if (name === 'set-cookie') headers[i + 1] = this.paths.cookie(headers[i + 1]!, path)
      }
      if (this.#options.via !== undefined) addVia(headers, from.httpVersion, this.#options.via)
      change?.(headers)
      return headers
    }
  }
}

function isPseudo(name: string, i: number): boolean {
  return i % 2 === 0 && name.startsWith(':')
}
