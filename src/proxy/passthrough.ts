import type { Agent, ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { createProxyServer } from 'http-proxy-3'
import { CatflapError } from '../errors.ts'
import { headerChange, type RouteHeaders } from '../interceptors/route-headers.ts'
import { bearerOf, tokenJudge } from '../interceptors/token.ts'
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
import { Passage, type PassageEnded, type PassageRules } from './passage.ts'
import { byName } from './passage-answer.ts'
import { PassthroughPaths, requestTarget } from './passthrough-paths.ts'
import { agentFor, framingOf, passageOf, viewOf } from './passthrough-request.ts'

export interface PassthroughOptions {
  /** Where the route serves MCP, e.g. `/name/mcp`. */
  readonly route: string
  readonly target: URL
  /** Exact paths, or all below one: `/pages/*`. */
  readonly paths: readonly string[]
  /** Our name in Via; undefined: none is added. */
  readonly via: string | undefined
  /** Name, value …: set on every request in place of the client's. */
  readonly headers?: readonly string[]
  /** PEM text of certificate authorities to trust besides the system's. */
  readonly ca?: string
  /** Do not verify the server's certificate. */
  readonly insecure?: boolean
  /** Undefined: what comes in under these names passes, and nothing is added. */
  readonly forwarded?: Forwarding
  /** catflap's own: an Authorization that carries one of them ends here. */
  readonly tokens?: readonly string[]
  readonly rules?: RouteHeaders
  readonly settings: Settings
}

/**
 * What is not MCP on a route, for the paths that its `passthrough` names: pages, metadata documents, WebSockets. Made only where
 * a route names some, so that nobody else loads http-proxy-3. Who may come in has been settled before.
 */
export class Passthrough {
  readonly #options: PassthroughOptions
  readonly #paths: PassthroughPaths
  readonly #rules: PassageRules
  readonly #proxy: ReturnType<typeof createProxyServer>
  readonly #agent: Agent
  readonly #isOwn: (value: string) => boolean
  readonly #extra: readonly string[]
  readonly #change: ReturnType<typeof headerChange>
  readonly #open = new Set<Passage>()
  readonly #webSockets = new Set<Passage>()
  readonly #idle = new Set<() => void>()
  #closed = false

  /** Throws a TypeError for a path or a header rule that is not allowed. */
  constructor(options: PassthroughOptions) {
    const { settings, target, rules = {} } = options
    this.#options = options
    this.#paths = new PassthroughPaths(options)
    this.#rules = {
      label: target.origin,
      headTimeout: settings.headersTimeout || settings.requestTimeout,
      silence: settings.requestTimeout,
      maxBody: settings.maxBody,
      responseHeaders: this.#responseHeaders(headerChange('response', rules.response))
    }
    const credentials = basicCredentials(target)
    this.#extra = [...(credentials ? ['Authorization', credentials] : []), ...(options.headers ?? [])]
    this.#change = headerChange('request', rules.request)
    const judge = tokenJudge(options.tokens ?? [])
    this.#isOwn = value => judge(bearerOf(value)) !== undefined
    this.#agent = agentFor(target, options)
    this.#proxy = createProxyServer({
      target,
      agent: this.#agent,
      connectTimeout: settings.connectTimeout,
      // The path is sent as it stands in the view, and every answer is given by its passage.
      prependPath: false,
      toProxy: true,
      selfHandleResponse: true
    })
    this.#proxy.on('proxyReq', (upstream, req) => passageOf(req).started(upstream))
    this.#proxy.on('proxyReqWs', (upstream, req) => passageOf(req).started(upstream))
    this.#proxy.on('proxyRes', (from, req) => {
      passageOf(req).answer(from)
      this.#tellIdle()
    })
    // Each call has a callback for its errors; this one hears of the client's connection as well, which the passage watches.
    this.#proxy.on('error', () => {})
  }

  /** Requests and WebSockets that have begun and not ended. */
  get inFlight(): { readonly requests: number; readonly webSockets: number } {
    return { requests: this.#open.size, webSockets: this.#webSockets.size }
  }

  /** Nothing is in flight but what may go on for ever: WebSockets, and streams of events. */
  get idle(): boolean {
    for (const passage of this.#open) if (!passage.endless) return false
    return true
  }

  /** Whether a path (what stands behind `?` does not matter) is one of those that are passed. */
  handles(path: string): boolean {
    return this.#paths.handles(path)
  }

  /** Over HTTP/1.1, or as Node's HTTP/2 has it. `ended` is called once. */
  web(req: IncomingMessage, res: ServerResponse, ended?: PassageEnded): void {
    const passage = this.#passage(req, { res }, this.#open, ended)
    const refused = this.#refusal(req, this.#open, this.#options.settings.maxUpstreamConnections)
    if (refused) return passage.fail(refused)
    try {
      const framing = framingOf(req)
      const headers = this.#requestHeaders(req, passage.path)
      if (framing.header) headers.push(...framing.header)
      // In the view, DELETE and OPTIONS would lose the framing of their content: to http-proxy-3 they have none.
      const options = { method: req.method, buffer: passage.body(framing.length) }
      this.#proxy.web(
        viewOf(passage, this.#url(req), headers) as unknown as IncomingMessage,
        res,
        options as object,
        (error: unknown) => passage.failed(error)
      )
    } catch (error) {
      passage.fail(error instanceof CatflapError ? error : new CatflapError('bad_http', undefined, { cause: error }))
    }
  }

  /** A WebSocket over HTTP/1.1; anything else that asks for another protocol is refused (see `asksForWebSocket`). */
  upgrade(req: IncomingMessage, socket: Socket, head: Buffer, ended?: PassageEnded): void {
    socket.on('error', () => {})
    const passage = this.#passage(req, { socket }, this.#webSockets, ended)
    const refused = asksForWebSocket(req)
      ? this.#refusal(req, this.#webSockets, this.#options.settings.maxStreams)
      : new CatflapError(
          'bad_http',
          'The only other protocol served here is a WebSocket, asked for by GET over HTTP/1.1.'
        )
    if (refused) return passage.fail(refused)
    try {
      const headers = [...this.#requestHeaders(req, passage.path), ...SWITCH]
      const view = viewOf(passage, this.#url(req), headers, 'GET') as unknown as IncomingMessage
      this.#proxy.ws(view, socket, head, (error: unknown) => passage.failed(error))
    } catch (error) {
      return passage.fail(new CatflapError('bad_http', undefined, { cause: error }))
    }
    if (passage.upstream) this.#oversee(passage.upstream, passage)
  }

  /** Resolves when it is idle, or after `ms`, and says whether it is. */
  async drained(ms: number): Promise<boolean> {
    if (this.idle) return true
    return await new Promise(resolve => {
      const done = (all: boolean): void => {
        clearTimeout(timer)
        this.#idle.delete(idle)
        resolve(all)
      }
      const idle = (): void => done(true)
      const timer = setTimeout(done, ms, false)
      this.#idle.add(idle)
    })
  }

  /** Ends everything that is open and resolves when its connections to the target are closed. */
  async close(): Promise<void> {
    this.#closed = true
    const open = [...this.#open, ...this.#webSockets]
    for (const passage of open) passage.fail(new CatflapError('shutting_down'))
    // http-proxy-3 makes a request known a turn after it was made.
    await new Promise(resolve => setImmediate(resolve))
    await Promise.all(open.map(passage => passage.closed()))
    this.#agent.destroy()
  }

  #tellIdle(): void {
    if (this.#idle.size > 0 && this.idle) for (const idle of this.#idle) idle()
  }

  #passage(
    req: IncomingMessage,
    client: { readonly res: ServerResponse } | { readonly socket: Socket },
    among: Set<Passage>,
    ended: PassageEnded | undefined
  ): Passage {
    const passage = new Passage(req, client, {
      path: requestTarget(req.url ?? '')?.path ?? '/',
      rules: this.#rules,
      ended,
      forget: p => {
        among.delete(p)
        this.#tellIdle()
      }
    })
    among.add(passage)
    return passage
  }

  #refusal(req: IncomingMessage, among: ReadonlySet<Passage>, limit: number): CatflapError | undefined {
    if (this.#closed) return new CatflapError('shutting_down')
    if (!this.handles(req.url ?? '')) return new CatflapError('not_found')
    // TRACE would show what was added on the way, CONNECT leads elsewhere.
    if (req.method === 'TRACE' || req.method === 'CONNECT') return new CatflapError('method_not_allowed')
    const { maxBody } = this.#options.settings
    if (Number(req.headers['content-length'] ?? 0) > maxBody)
      return new CatflapError('body_too_large', `The body exceeds ${maxBody} bytes (--max-body).`)
    // The one that asks is among them.
    if (among.size > limit)
      return new CatflapError(
        'upstream_queue_full',
        `${this.#rules.label}: too many requests at once for pages and the like.`
      )
    return undefined
  }

  #url(req: IncomingMessage): string {
    const { path, query } = requestTarget(req.url ?? '')!
    return this.#paths.up(path) + query
  }

  /** End-to-end headers for the target. */
  #requestHeaders(req: IncomingMessage, path: string): string[] {
    const { forwarded, via, target } = this.#options
    const raw = req.rawHeaders
    // HTTP/2's own fields (`:path`) are no headers.
    const headers = forwardableRequestHeaders(
      raw.some(isPseudo) ? raw.filter((_, i) => !isPseudo(raw[i & ~1]!, 0)) : raw
    )
    const accepted = getHeader(raw, 'accept-encoding')
    if (accepted !== undefined) headers.push('Accept-Encoding', accepted)
    removeHeader(headers, 'authorization', this.#isOwn)
    const host = getHeader(raw, 'host') ?? getHeader(raw, ':authority')
    forwarded?.receive(raw, req.socket).write(headers, host, this.#paths.prefixOf(path))
    if (via !== undefined) addVia(headers, req.httpVersion, via)
    this.#change?.(headers)
    for (let i = 0; i < this.#extra.length; i += 2) setHeader(headers, this.#extra[i]!, this.#extra[i + 1]!)
    setHeader(headers, 'Host', target.host)
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
          headers[i + 1] = this.#paths.location(headers[i + 1]!, path)
        else if (name === 'set-cookie') headers[i + 1] = this.#paths.cookie(headers[i + 1]!, path)
      }
      if (this.#options.via !== undefined) addVia(headers, from.httpVersion, this.#options.via)
      change?.(headers)
      return headers
    }
  }

  /** http-proxy-3 would pass what the target answers to a WebSocket's request with all of its headers, and faster than it is read. */
  #oversee(upstream: ClientRequest, passage: Passage): void {
    upstream.removeAllListeners('response')
    upstream.on('response', (from: IncomingMessage) => passage.answer(from))
    type Join = (from: IncomingMessage, tunnel: Socket, head: Buffer) => void
    const joins = upstream.listeners('upgrade') as Join[]
    upstream.removeAllListeners('upgrade')
    upstream.on('upgrade', (from: IncomingMessage, tunnel: Socket, head: Buffer) => {
      if (!passage.opened(from, tunnel)) return
      const headers = [...this.#rules.responseHeaders(from, passage.path), ...SWITCH]
      from.headers = byName(headers) as IncomingMessage['headers']
      for (const join of joins) join.call(upstream, from, tunnel, head)
    })
  }
}

/** In the spelling that http-proxy-3 looks for. */
const SWITCH = ['connection', 'Upgrade', 'upgrade', 'websocket']

/** RFC 6455 §4.2.1. A server has to ignore whatever else `Upgrade` names (RFC 9110 §7.8), such as HTTP/2 on clear text. */
export function asksForWebSocket(req: IncomingMessage): boolean {
  return (
    req.method === 'GET' &&
    req.httpVersion === '1.1' &&
    req.headers.upgrade?.trim().toLowerCase() === 'websocket' &&
    /(?:^|,)\s*upgrade\s*(?:,|$)/i.test(req.headers.connection ?? '') &&
    // Content would be read as the first bytes of the WebSocket, or the other way round.
    Number(req.headers['content-length'] ?? 0) === 0 &&
    req.headers['transfer-encoding'] === undefined
  )
}

function isPseudo(name: string, i: number): boolean {
  return i % 2 === 0 && name.startsWith(':')
}
