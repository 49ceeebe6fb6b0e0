import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { createProxyServer } from 'http-proxy-3'
import { CatflapError } from '../errors.ts'
import { bearerOf, tokenJudge } from '../interceptors/token.ts'
import { MAX_ATTEMPTS } from '../transport/upstream/http-retry.ts'
import type { PageChoice } from './page-choice.ts'
import { PageServer, type PageServerOptions, type PageTarget } from './page-server.ts'
import { Passage, type PassageEnded } from './passage.ts'
import { byName } from './passage-answer.ts'
import { requestTarget } from './passthrough-paths.ts'
import { bodyless, framingOf, passageOf, serverOf, viewOf } from './passthrough-request.ts'

export interface PassthroughOptions extends PageServerOptions {
  readonly targets: readonly PageTarget[]
  /** Which of them is asked; undefined: the first. */
  readonly choice?: PageChoice
  /** catflap's own: an Authorization that carries one of them ends here. */
  readonly tokens?: readonly string[]
}

/**
 * What is not MCP on a route, for the paths that its `passthrough` names: pages, metadata documents, WebSockets. Made only where
 * a route names some, so that nobody else loads http-proxy-3. Who may come in has been settled before.
 */
export class Passthrough {
  readonly #options: PassthroughOptions
  readonly #servers: readonly PageServer[]
  readonly #proxy: ReturnType<typeof createProxyServer>
  readonly #open = new Set<Passage>()
  readonly #webSockets = new Set<Passage>()
  readonly #idle = new Set<() => void>()
  #closed = false

  /** Throws a TypeError for a path or a header rule that is not allowed. */
  constructor(options: PassthroughOptions) {
    const { settings } = options
    this.#options = options
    const judge = tokenJudge(options.tokens ?? [])
    const isOwn = (value: string): boolean => judge(bearerOf(value)) !== undefined
    this.#servers = options.targets.map(target => new PageServer(target, options, isOwn))
    this.#proxy = createProxyServer({
      connectTimeout: settings.connectTimeout,
      // The path is sent as it stands in the view, and every answer is given by its passage.
      prependPath: false,
      toProxy: true,
      selfHandleResponse: true
    })
    this.#proxy.on('proxyReq', (upstream, req) => passageOf(req).started(upstream))
    this.#proxy.on('proxyReqWs', (upstream, req) => passageOf(req).started(upstream))
    this.#proxy.on('proxyRes', (from, req) => {
      this.#reached(serverOf(req))
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
    // What is MCP to one of them is a page of none.
    return this.#servers.every(server => server.paths.handles(path))
  }

  /** Over HTTP/1.1, or as Node's HTTP/2 has it. `ended` is called once. */
  web(req: IncomingMessage, res: ServerResponse, ended?: PassageEnded): void {
    const passage = this.#passage(req, { res }, this.#open, ended)
    const refused = this.#refusal(req, this.#open, this.#options.settings.maxUpstreamConnections)
    if (refused) return passage.fail(refused)
    const server = this.#choose([])
    if (server === undefined) return passage.fail(this.#options.choice!.unavailable())
    this.#ask(passage, res, [server])
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
    const chosen = this.#choose([])
    if (chosen === undefined) return passage.fail(this.#options.choice!.unavailable())
    const server = this.#servers[chosen]!
    const { target, agent, rules } = server
    passage.rules = rules
    try {
      const headers = [...server.headers(req, passage.path), ...SWITCH]
      const view = viewOf(passage, { server: chosen, url: server.path(req), headers, method: 'GET' })
      this.#proxy.ws(view as unknown as IncomingMessage, socket, head, { target, agent }, (error: unknown) => {
        this.#failed(passage, chosen, error)
      })
    } catch (error) {
      return passage.fail(new CatflapError('bad_http', undefined, { cause: error }))
    }
    if (passage.upstream) this.#oversee(passage.upstream, passage, chosen)
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
    for (const { agent } of this.#servers) agent.destroy()
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
      rules: this.#servers[0]!.rules,
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
        `${this.#servers[0]!.rules.label}: too many requests at once for pages and the like.`
      )
    return undefined
  }

  #choose(but: readonly number[]): number | undefined {
    const { choice } = this.#options
    return choice ? choice.choose(but) : 0
  }

  /** Asks the last of `tried`; the others could not be reached. */
  #ask(passage: Passage, res: ServerResponse, tried: readonly number[]): void {
    const { req } = passage
    const chosen = tried.at(-1)!
    const server = this.#servers[chosen]!
    const { target, agent, rules } = server
    passage.rules = rules
    try {
      const framing = framingOf(req)
      const headers = server.headers(req, passage.path)
      if (framing.header) headers.push(...framing.header)
      const view = viewOf(passage, { server: chosen, url: server.path(req), headers })
      // In the view, DELETE and OPTIONS would lose the framing of their content: to http-proxy-3 they have none.
      const options = { method: req.method, buffer: passage.body(framing.length), target, agent }
      this.#proxy.web(view as unknown as IncomingMessage, res, options as object, (error: unknown) => {
        const other = this.#failed(passage, chosen, error, () => this.#next(passage, tried))
        if (other !== undefined) this.#ask(passage, res, [...tried, other])
      })
    } catch (error) {
      passage.fail(error instanceof CatflapError ? error : new CatflapError('bad_http', undefined, { cause: error }))
    }
  }

  /** Who is asked instead of one that could not be reached. What has content may have been read in part. */
  #next(passage: Passage, tried: readonly number[]): number | undefined {
    const { choice } = this.#options
    if (!choice || tried.length >= MAX_ATTEMPTS || !bodyless(passage.req)) return undefined
    const next = choice.choose(tried)
    return next !== undefined && choice.mayRetry() ? next : undefined
  }

  /** Tells the passage what http-proxy-3 has met, unless `next` knows another that can be asked. */
  #failed(passage: Passage, server: number, error: unknown, next?: () => number | undefined): number | undefined {
    const code = passage.unreached(error)
    if (code !== undefined) {
      this.#options.choice?.failed(server, code)
      const other = next?.()
      if (other !== undefined && passage.again()) return other
    }
    passage.failed(error)
    return undefined
  }

  #reached(server: number): void {
    this.#options.choice?.reached(server)
  }

  /** http-proxy-3 would pass what the target answers to a WebSocket's request with all of its headers, and faster than it is read. */
  #oversee(upstream: ClientRequest, passage: Passage, server: number): void {
    upstream.removeAllListeners('response')
    upstream.on('response', (from: IncomingMessage) => {
      this.#reached(server)
      passage.answer(from)
    })
    type Join = (from: IncomingMessage, tunnel: Socket, head: Buffer) => void
    const joins = upstream.listeners('upgrade') as Join[]
    upstream.removeAllListeners('upgrade')
    upstream.on('upgrade', (from: IncomingMessage, tunnel: Socket, head: Buffer) => {
      this.#reached(server)
      if (!passage.opened(from, tunnel)) return
      const headers = [...passage.rules.responseHeaders(from, passage.path), ...SWITCH]
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
