import { routeSsePaths } from './serve-sse.ts'

/** Which paths of a route lead to its target besides MCP, under which path there, and how what comes back is named here. */

export interface PathOptions {
  /** Where the route serves MCP, e.g. `/name/mcp`. What stands before its last slash is the route's prefix. */
  readonly route: string
  readonly target: URL
  /** Exact paths, or all below one: `/pages/*`. */
  readonly paths: readonly string[]
}

/** RFC 3986 §3.3, and nothing that is not in it. */
const PATH = /^(?:\/(?:[\w.~!$&'()*+,;=:@-]|%[0-9a-f]{2})*)+$/i

/**
 * What servers read in different ways, so that a path could be one thing here and another there: empty segments, dot segments
 * (`..;x` is one to some), and escapes (also of escapes) that hide a dot, a slash, a backslash, a control character or the
 * overlong forms of these.
 */
const DISGUISES = [/\/\//, /\/\.{1,2}(?:;[^/]*)?(?:\/|$)/, /%(?:25)*(?:2e|2f|5c|7f|c0|c1|[01][0-9a-f])/i]

const QUERY = /^[\x21\x22\x24-\x7e]*$/

/** Path and query (`?…` or nothing) of a request; undefined where the path is no plain one. */
export function requestTarget(raw: string): { readonly path: string; readonly query: string } | undefined {
  // RFC 9112 §3.2.2 has servers take whole URLs. Which host one names does not matter: there is one target.
  const local = raw.startsWith('/') ? raw : raw.replace(/^https?:\/\/[^/?#]+/i, '')
  const mark = local.indexOf('?')
  const path = mark < 0 ? local : local.slice(0, mark)
  const query = mark < 0 ? '' : local.slice(mark)
  return isPlain(path) && QUERY.test(query) ? { path, query } : undefined
}

function isPlain(path: string): boolean {
  return PATH.test(path) && !DISGUISES.some(d => d.test(path))
}

/** `/.well-known/name`, and the path of what it tells about (RFC 9728 §3.1, RFC 8414 §3.1). */
const WELL_KNOWN = /^(\/\.well-known\/[^/]+)(\/.*)?$/

/** The two sides' names for the same things. */
export class PassthroughPaths {
  readonly prefix: string
  readonly #route: string
  readonly #target: URL
  readonly #exact: ReadonlySet<string>
  /** With the slash at their ends. */
  readonly #below: readonly string[]
  /** Where MCP is, here and there, as the most lenient of servers would read it. */
  readonly #mcp: ReadonlySet<string>
  readonly #targetMcp: string

  /** Throws a TypeError for a pattern that is none. */
  constructor({ route, target, paths }: PathOptions) {
    for (const pattern of paths) checkPattern(pattern)
    this.#route = route
    this.prefix = route.slice(0, route.lastIndexOf('/'))
    this.#target = target
    this.#exact = new Set(paths.filter(p => !p.endsWith('/*')))
    const { stream, messages } = routeSsePaths(route)
    this.#mcp = new Set([route, stream, messages].map(leniently))
    this.#targetMcp = leniently(target.pathname)
    this.#below = paths.filter(p => p.endsWith('/*')).map(p => p.slice(0, -1))
  }

  /** Of a request as it came; its query does not matter. */
  handles(raw: string): boolean {
    const target = requestTarget(raw)
    return target !== undefined && this.#named(target.path)
  }

  #named(path: string): boolean {
    const named = this.#exact.has(path) || this.#below.some(folder => path.startsWith(folder) && isPlain(path))
    return named && !this.#isMcp(path)
  }

  /** Or could be taken for it: MCP has a way of its own, on which everything is seen. */
  #isMcp(path: string): boolean {
    return this.#mcp.has(leniently(path)) || leniently(this.up(path)) === this.#targetMcp
  }

  /** What the target calls it. */
  up(path: string): string {
    const [, known, about] = WELL_KNOWN.exec(path) ?? []
    if (known !== undefined && about !== undefined) {
      if (about === this.#route) return known + (this.#target.pathname === '/' ? '' : this.#target.pathname)
      return this.#isBelow(about) ? known + about.slice(this.prefix.length) : path
    }
    if (path === this.#route) return this.#target.pathname
    return this.#isBelow(path) ? path.slice(this.prefix.length) || '/' : path
  }

  /** What the path loses on its way to the target. */
  prefixOf(path: string): string {
    return this.#isBelow(path) ? this.prefix : ''
  }

  /** Whether it is asked for under the route's prefix. */
  #isBelow(path: string): boolean {
    return this.prefix !== '' && (path === this.prefix || path.startsWith(`${this.prefix}/`))
  }

  /**
   * What a Location or Content-Location of the answer to `path` is called here: a path, as that names this origin however it is
   * reached. Where it names another origin than the target's it stays as it is.
   */
  location(value: string, path: string): string {
    const to = resolve(value, `${this.#target.origin}${this.up(path)}`)
    if (to?.origin !== this.#target.origin) return value
    const local = this.#down(to.pathname, path)
    // Two slashes at the beginning would name a host (RFC 3986 §4.2).
    return `${local.startsWith('//') ? '/.' : ''}${local}${to.search}${to.hash}`
  }

  /** Of the names it may have here the first that leads anywhere, beginning with the kind that was asked for. */
  #down(up: string, path: string): string {
    const { pathname } = this.#target
    const prefixed = this.prefix + up
    if (up === pathname) return this.#route
    const names = this.#isBelow(path) ? [prefixed, up] : [up, prefixed]
    const [, known, about = ''] = WELL_KNOWN.exec(up) ?? []
    if (known !== undefined)
      names.unshift(known + (about === pathname.replace(/^\/$/, '') ? this.#route : this.prefix + about))
    return names.find(name => this.#named(name)) ?? prefixed
  }

  /**
   * A Set-Cookie of the answer to `path`. Where the target's paths have a prefix here, so has the cookie's; a Domain that means
   * the target would keep the cookie from clients, as they know this host alone.
   */
  cookie(value: string, path: string): string {
    const [pair = '', ...attributes] = value.split(';')
    // Browsers take a cookie of that name for the path `/` alone.
    const movable = this.#isBelow(path) && !/^\s*__Host-/i.test(pair)
    const kept = attributes.flatMap(attribute => {
      const [name = '', text = ''] = attribute.split(/=(.*)/s).map(s => s.trim())
      if (name.toLowerCase() === 'domain' && this.#isTargets(text)) return []
      if (name.toLowerCase() !== 'path' || !movable || !text.startsWith('/')) return [attribute]
      return [
        ` ${name}=${text === '/' ? this.prefix : text === this.#target.pathname ? this.#route : this.prefix + text}`
      ]
    })
    return [pair, ...kept].join(';')
  }

  #isTargets(domain: string): boolean {
    const name = domain.replace(/^\./, '').toLowerCase()
    const { hostname } = this.#target
    return name !== '' && (hostname === name || hostname.endsWith(`.${name}`))
  }
}

/** The same for all paths that some server takes for one. */
function leniently(path: string): string {
  let plain = path
  // Escapes of escapes, too; what hides more of them is nothing that a server would undo.
  for (let n = 0; n < 3 && plain.includes('%'); n++)
    plain = plain
      .replace(/%(?:25)+/g, '%')
      .replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  plain = plain.replace(/[?#].*$/s, '').replace(/;[^/]*/g, '')
  // A pattern that looks for these at the end alone tries at each of them, and takes for ever where there are many.
  let end = plain.length
  while (end > 0 && /[/.\s]/.test(plain[end - 1]!)) end--
  return plain.slice(0, end).toLowerCase()
}

function resolve(value: string, base: string): URL | undefined {
  // Header bytes are handed over as Latin-1; a URL's are UTF-8.
  const text = Buffer.from(value, 'latin1').toString()
  return URL.canParse(text, base) ? new URL(text, base) : undefined
}

function checkPattern(pattern: unknown): void {
  const path = typeof pattern === 'string' ? pattern.replace(/\/\*$/, '/') : ''
  if (isPlain(path) && !path.includes('*')) return
  throw new TypeError(
    `passthrough: ${JSON.stringify(pattern)} is not allowed; give a path like '/health', or '/pages/*' for all below it`
  )
}
