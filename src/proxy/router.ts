import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { CatflapError } from '../errors.ts'
import { bareHost } from '../interceptors/admission.ts'
import { getHeader, SESSION_HEADER, setHeader, VERSION_HEADER } from '../protocol/headers.ts'
import { eraOf } from '../protocol/versions.ts'
import type { HttpReply } from '../transport/downstream/http-reply.ts'
import type { RequestHandler, Upgrades } from '../transport/downstream/http-server.ts'
import type { Place } from './place.ts'
import { SESSION_PARAM } from './serve-sse.ts'

/** One path: who takes what is asked there. */
interface Served {
  /** Without a host of its own. */
  any: Place | undefined
  byHost: Map<string, Place> | undefined
}

/**
 * Hands each request to the handler of its route. Routes that were replaced keep the sessions they have until these end: who
 * names one of them is led there, everybody else to what is served now.
 */
export class Router implements Upgrades {
  #served: ReadonlyMap<string, Served> = new Map()
  #places: readonly Place[] = []
  /** Of these, the ones that pass what is not MCP. */
  #passing: readonly Place[] = []
  /** No longer served to anybody new. */
  readonly #retiring = new Set<Place>()

  get places(): readonly Place[] {
    return this.#places
  }

  get retiring(): ReadonlySet<Place> {
    return this.#retiring
  }

  /** From now on these are served. Returns those that are not served any more: they keep their sessions until `forget`. */
  serve(places: readonly Place[]): readonly Place[] {
    const served = new Map<string, Served>()
    for (const place of places)
      for (const path of [place.path, place.sse.stream, place.sse.messages]) put(served, path, place)
    const gone = this.#places.filter(place => !places.includes(place))
    for (const place of gone) this.#retiring.add(place)
    this.#served = served
    this.#places = places
    this.#passing = places.filter(place => place.pages)
    return gone
  }

  /** It has no sessions any more. */
  forget(place: Place): void {
    this.#retiring.delete(place)
  }

  /** What a retiring place is now: what goes by its name, wherever, or else what is served at its path. */
  successor({ name, path, host }: Place): Place | undefined {
    const at = this.#served.get(path)
    const there = (host === undefined ? undefined : at?.byHost?.get(host)) ?? at?.any
    return this.#places.find(place => place.name === name) ?? there
  }

  /** Who holds a session of the route of this name, or else serves that now. */
  holderOf(name: string, session: string): Place | undefined {
    for (const place of this.#retiring)
      if (place.name === name && place.route.core.sessions.holds(session)) return place
    return this.#places.find(place => place.name === name)
  }

  readonly handle: RequestHandler = (req, reply) => {
    heedTarget(req)
    const path = pathOf(req.url ?? '/')
    const place = (this.#retiring.size > 0 ? this.#holder(req, path) : undefined) ?? this.#placeFor(req, path)
    if (place) return place.handler(req, reply)
    const pages = this.#passing.length > 0 ? this.#passer(req)?.pages : undefined
    if (pages) return pages.web(req, reply)
    refuse(reply)
  }

  wants(req: IncomingMessage): boolean {
    heedTarget(req)
    return this.#passing.length > 0 && this.#passer(req)?.pages?.wants(req) === true
  }

  take(req: IncomingMessage, socket: Socket, head: Buffer): void {
    const pages = this.#passer(req)?.pages
    if (pages) pages.upgrade(req, socket, head)
    else socket.destroy()
  }

  #placeFor(req: IncomingMessage, path: string): Place | undefined {
    const served = this.#served.get(path)
    if (!served) return undefined
    return served.byHost?.get(hostOf(req)) ?? served.any
  }

  /** Whose page it is: of a route for this host, or else of one for any. */
  #passer(req: IncomingMessage): Place | undefined {
    const url = req.url ?? '/'
    const named = this.#passing.filter(place => place.pages?.handles(url))
    if (named.length === 0) return undefined
    const host = hostOf(req)
    return named.find(place => place.host === host) ?? named.find(place => place.host === undefined)
  }

  /** Who holds the session that is named: a route that was replaced. */
  #holder(req: IncomingMessage, path: string): Place | undefined {
    const id = getHeader(req.rawHeaders, SESSION_HEADER) ?? sessionParam(req.url ?? '')
    if (id === undefined || isModern(req)) return undefined
    for (const place of this.#retiring) {
      const here = path === place.path || path === place.sse.messages
      if (here && place.route.core.sessions.holds(id)) return place
    }
    return undefined
  }
}

function put(served: Map<string, Served>, path: string, place: Place): void {
  let at = served.get(path)
  if (!at) {
    at = { any: undefined, byHost: undefined }
    served.set(path, at)
  }
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

/** RFC 9112 §3.2.2: where the request target names a host, that counts, and what the header says is ignored. */
function heedTarget(req: IncomingMessage): void {
  const { url = '/' } = req
  if (url.charCodeAt(0) === SLASH || !URL.canParse(url)) return
  const { host } = new URL(url)
  setHeader(req.rawHeaders, 'Host', host)
  req.headers.host = host
}

function hostOf(req: IncomingMessage): string {
  return bareHost(getHeader(req.rawHeaders, 'host') ?? '')
}

/** It belongs to no session, whatever it names. */
function isModern(req: IncomingMessage): boolean {
  const version = getHeader(req.rawHeaders, VERSION_HEADER)
  return version !== undefined && eraOf(version) === 'modern'
}

function sessionParam(url: string): string | undefined {
  const at = url.indexOf('?')
  return at < 0 ? undefined : (new URLSearchParams(url.slice(at)).get(SESSION_PARAM) ?? undefined)
}

function refuse(reply: HttpReply): void {
  reply.fail(new CatflapError('not_found', 'Nothing is served at this path. Each route is at /NAME/mcp.'), undefined)
}
