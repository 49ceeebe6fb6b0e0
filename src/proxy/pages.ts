import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { CatflapError } from '../errors.ts'
import { hostGuard } from '../interceptors/admission.ts'
import { bearerOf, tokenJudge } from '../interceptors/token.ts'
import { getHeader } from '../protocol/headers.ts'
import type { HttpReply } from '../transport/downstream/http-reply.ts'
import { LastWords, rawAnswer } from '../transport/downstream/last-word.ts'
import { isLoopback } from '../transport/loopback.ts'
import type { Outcome } from './interceptor.ts'
import type { PassageEnded } from './passage.ts'
import { asksForWebSocket, type Passthrough } from './passthrough.ts'
import { requestTarget } from './passthrough-paths.ts'

export interface PagesOptions {
  /** The address listened on. */
  readonly host: string
  readonly allowHosts: readonly string[]
  readonly allowOrigins: readonly string[]
  readonly tokens: readonly string[]
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
}

/** What a route serves besides MCP. Who may come in is settled as for MCP itself. */
export class Pages {
  readonly passthrough: Passthrough
  readonly #options: PagesOptions
  readonly #guard: ReturnType<typeof hostGuard>
  readonly #judge: ReturnType<typeof tokenJudge>
  readonly #lastWords = new LastWords()

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

  web(req: IncomingMessage, reply: HttpReply): void {
    const denied = this.#denied(req)
    const ended = this.#observer(req)
    if (denied) {
      ended?.(refusal(denied))
      return reply.fail(denied, undefined)
    }
    const own = reply.handOver(req)
    this.passthrough.web(own.req, own.res, ended)
  }

  upgrade(req: IncomingMessage, socket: Socket, head: Buffer): void {
    const denied = this.#denied(req)
    const ended = this.#observer(req)
    if (!denied) return this.passthrough.upgrade(req, socket, head, ended)
    ended?.(refusal(denied))
    this.#lastWords.say(socket, rawAnswer(denied, []))
  }

  /** Undefined: nobody wants to know. */
  #observer(req: IncomingMessage): PassageEnded | undefined {
    const { observe } = this.#options
    if (!observe) return undefined
    const method = req.method ?? 'GET'
    const path = requestTarget(req.url ?? '')?.path ?? '/'
    return ({ status, duration, result, code }) => observe({ method, path, status, duration, result, code })
  }

  #denied(req: IncomingMessage): CatflapError | undefined {
    const denied = this.#guard(req.rawHeaders) ?? this.#unknown(req)
    if (denied) this.#options.refused?.(denied)
    return denied
  }

  #unknown({ rawHeaders }: IncomingMessage): CatflapError | undefined {
    if (this.#options.tokens.length === 0) return undefined
    const own = getHeader(rawHeaders, 'catflap-token')
    const known =
      this.#judge(own) ??
      (own === undefined ? this.#judge(bearerOf(getHeader(rawHeaders, 'authorization'))) : undefined)
    return known === undefined ? new CatflapError('unauthorized') : undefined
  }
}

function refusal({ status, code }: CatflapError): Outcome {
  return { result: 'refused', status, code, duration: 0 }
}
