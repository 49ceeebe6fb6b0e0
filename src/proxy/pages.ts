import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { CatflapError } from '../errors.ts'
import { hostGuard } from '../interceptors/admission.ts'
import { bearerOf, tokenJudge } from '../interceptors/token.ts'
import { getHeader } from '../protocol/headers.ts'
import type { HttpReply } from '../transport/downstream/http-reply.ts'
import { LastWords, rawAnswer } from '../transport/downstream/last-word.ts'
import { tlsPrincipal } from '../transport/downstream/tls-peer.ts'
import { isLoopback } from '../transport/loopback.ts'
import type { Gate } from './gate.ts'
import type { Outcome } from './interceptor.ts'
import { asksForWebSocket, type Passthrough } from './passthrough.ts'
import { requestTarget } from './passthrough-paths.ts'

export interface PagesOptions {
  /** The address listened on. */
  readonly host: string
  readonly allowHosts: readonly string[]
  readonly allowOrigins: readonly string[]
  readonly tokens: readonly string[]
  readonly gate: Gate
  /** Nobody new is let in. */
  readonly draining?: () => boolean
  /** One was refused. */
  readonly refused?: (error: CatflapError) => void
  /** Told once of each request for a page, when it is over. */
  readonly observe?: (facts: PageFacts) => void
}

export interface PageFacts {
  readonly method: string
  /** Without its query, which may carry secrets. */
  readonly path: string
  /** 101: a WebSocket. Undefined where the client left before there was one. */
  readonly status: number | undefined
  /** Milliseconds. */
  readonly duration: number
  readonly result: Outcome['result']
  /** Of our own errors. */
  readonly code: Outcome['code']
  /** The address of the connection. */
  readonly client: string | undefined
}

/** What a route serves besides MCP. Who may come in is settled as for MCP itself. */
export class Pages {
  readonly passthrough: Passthrough
  readonly #options: PagesOptions
  readonly #guard: ReturnType<typeof hostGuard>
  readonly #judge: ReturnType<typeof tokenJudge>
  readonly #lastWords = new LastWords()
  /** What is under way, and who asked for it. */
  readonly #open = new Map<{ destroy(): unknown }, string>()

  constructor(passthrough: Passthrough, options: PagesOptions) {
    this.passthrough = passthrough
    this.#options = options
    const { host, allowHosts, allowOrigins } = options
    this.#guard = hostGuard({ host, allowHosts, allowOrigins, loopback: isLoopback(host) })
    this.#judge = tokenJudge(options.tokens)
  }

  handles(url: string): boolean {
    return this.passthrough.handles(url)
  }

  wants(req: IncomingMessage): boolean {
    return asksForWebSocket(req)
  }

  /** Something is under way: an answer, a stream, a WebSocket. */
  get busy(): boolean {
    return this.#open.size > 0
  }

  /** That somebody waits for. */
  get calls(): number {
    return this.passthrough.idle ? 0 : this.passthrough.inFlight.requests
  }

  /** Ends all, and takes no more. */
  stop(): void {
    void this.passthrough.close()
  }

  /** Cuts what was opened by those who may not come in any more. */
  endRevoked(): void {
    for (const [open, principal] of this.#open) if (!this.#options.gate.keeps(principal)) open.destroy()
  }

  web(req: IncomingMessage, reply: HttpReply): void {
    const principal = this.#admit(req)
    if (principal instanceof CatflapError) return reply.fail(principal, undefined)
    const own = reply.handOver(req)
    this.#open.set(own.res, principal)
    this.passthrough.web(own.req, own.res, outcome => this.#ended(req, own.res, outcome))
  }

  upgrade(req: IncomingMessage, socket: Socket, head: Buffer): void {
    const principal = this.#admit(req)
    if (principal instanceof CatflapError) return this.#lastWords.say(socket, rawAnswer(principal, []))
    this.#open.set(socket, principal)
    this.passthrough.upgrade(req, socket, head, outcome => this.#ended(req, socket, outcome))
  }

  #ended(req: IncomingMessage, open: { destroy(): unknown } | undefined, outcome: Outcome): void {
    if (open) this.#open.delete(open)
    const { observe } = this.#options
    if (!observe) return
    const { status, duration, result, code } = outcome
    const path = requestTarget(req.url ?? '')?.path ?? '/'
    observe({ method: req.method ?? 'GET', path, status, duration, result, code, client: req.socket.remoteAddress })
  }

  /** Who asks, or why they may not. */
  #admit(req: IncomingMessage): CatflapError | string {
    const closed = this.#options.draining?.() ? new CatflapError('shutting_down') : undefined
    const denied = closed ?? this.#guard(req.rawHeaders)
    const principal = denied ?? this.#principal(req)
    if (principal instanceof CatflapError) {
      this.#options.refused?.(principal)
      this.#ended(req, undefined, { result: 'refused', status: principal.status, code: principal.code, duration: 0 })
    }
    return principal
  }

  #principal({ rawHeaders, socket }: IncomingMessage): CatflapError | string {
    const certified = tlsPrincipal(socket)
    const principal = this.#options.tokens.length > 0 ? this.#tokenOf(rawHeaders) : (certified ?? ANYBODY)
    if (principal === undefined) return new CatflapError('unauthorized')
    return this.#options.gate.refuses(principal, certified) ?? principal
  }

  #tokenOf(rawHeaders: readonly string[]): string | undefined {
    const own = getHeader(rawHeaders, 'catflap-token')
    return (
      this.#judge(own) ??
      (own === undefined ? this.#judge(bearerOf(getHeader(rawHeaders, 'authorization'))) : undefined)
    )
  }
}

const ANYBODY = 'anonymous'
