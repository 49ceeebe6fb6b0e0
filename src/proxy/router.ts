import type { IncomingMessage } from 'node:http'
import { CatflapError } from '../errors.ts'
import { getHeader, SESSION_HEADER } from '../protocol/headers.ts'
import type { HttpReply } from '../transport/downstream/http-reply.ts'
import type { RequestHandler } from '../transport/downstream/http-server.ts'
import type { Route } from './route.ts'
import { SESSION_PARAM, type SsePaths } from './serve-sse.ts'

/** A route, and where it is served. */
export interface RoutePlace {
  readonly name: string
  readonly path: string
  readonly sse: SsePaths
  /** Only requests for this host; undefined: all that no other route has a host for. In lower case. */
  readonly host: string | undefined
  readonly route: Route
  readonly handler: RequestHandler
}

/** One path: who takes what is asked there. */
interface Served {
  /** Without a host of its own. */
  any: RoutePlace | undefined
  byHost: Map<string, RoutePlace> | undefined
}

/**
 * Hands each request to the handler of its route. Routes that were replaced keep the sessions they have until these end: who
 * names one of them is led there, everybody else to what is served now.
 */
export class Router {
  #served: ReadonlyMap<string, Served> = new Map()
  #places: readonly RoutePlace[] = []
  /** No longer served to anybody new. */
  readonly #retiring = new Set<RoutePlace>()
  /** Requests that belong to no route. */
  strangers = 0

  get places(): readonly RoutePlace[] {
    return this.#places
  }

  get retiring(): ReadonlySet<RoutePlace> {
    return this.#retiring
  }

  /** From now on these are served. Returns those that are not served any more: they keep their sessions until `forget`. */
  serve(places: readonly RoutePlace[]): readonly RoutePlace[] {
    const served = new Map<string, Served>()
    for (const place of places)
      for (const path of [place.path, place.sse.stream, place.sse.messages]) put(served, path, place)
    const gone = this.#places.filter(place => !places.includes(place))
    for (const place of gone) this.#retiring.add(place)
    this.#served = served
    this.#places = places
    return gone
  }

  /** It has no sessions any more. */
  forget(place: RoutePlace): void {
    this.#retiring.delete(place)
  }

  readonly handle: RequestHandler = (req, reply) => {
    const path = pathOf(req.url ?? '/')
    const place = (this.#retiring.size > 0 ? this.#holder(req, path) : undefined) ?? this.#placeFor(req, path)
    if (place) return place.handler(req, reply)
    this.strangers++
    refuse(reply)
  }

  #placeFor(req: IncomingMessage, path: string): RoutePlace | undefined {
    const served = this.#served.get(path)
    if (!served) return undefined
    return served.byHost?.get(hostOf(getHeader(req.rawHeaders, 'host'))) ?? served.any
  }

  /** Who holds the session that is named: a route that was replaced. */
  #holder(req: IncomingMessage, path: string): RoutePlace | undefined {
    const id = getHeader(req.rawHeaders, SESSION_HEADER) ?? sessionParam(req.url ?? '')
    if (id === undefined) return undefined
    for (const place of this.#retiring) {
      const here = path === place.path || path === place.sse.messages
      if (here && place.route.core.sessions.holds(id)) return place
    }
    return undefined
  }
}

function put(served: Map<string, Served>, path: string, place: RoutePlace): void {
  let at = served.get(path)
  if (!at) served.set(path, (at = { any: undefined, byHost: undefined }))
  if (place.host === undefined) at.any = place
  else (at.byHost ??= new Map()).set(place.host, place)
}

/** Without its query. A whole URL as request target (RFC 9112 §3.2.2) is rare, and taken apart as such. */
function pathOf(target: string): string {
  if (target.charCodeAt(0) !== SLASH && URL.canParse(target)) return new URL(target).pathname
  const end = target.indexOf('?')
  return end < 0 ? target : target.slice(0, end)
}

const SLASH = 0x2f

/** Of a Host header, without its port, in lower case. */
export function hostOf(header: string | undefined): string {
  return (header ?? '').toLowerCase().replace(/:\d+$/, '')
}

function sessionParam(url: string): string | undefined {
  const at = url.indexOf('?')
  return at < 0 ? undefined : (new URLSearchParams(url.slice(at)).get(SESSION_PARAM) ?? undefined)
}

function refuse(reply: HttpReply): void {
  reply.fail(new CatflapError('not_found', 'Nothing is served at this path. Each route is at /NAME/mcp.'), undefined)
}
