import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { CatflapError } from '../errors.ts'
import { hostGuard } from '../interceptors/admission.ts'
import { bearerOf, tokenJudge } from '../interceptors/token.ts'
import { getHeader } from '../protocol/headers.ts'
import type { HttpReply } from '../transport/downstream/http-reply.ts'
import { LastWords, rawAnswer } from '../transport/downstream/last-word.ts'
import { isLoopback } from '../transport/loopback.ts'
import { asksForWebSocket, type Passthrough } from './passthrough.ts'

export interface PagesOptions {
  /** The address listened on. */
  readonly host: string
  readonly allowHosts: readonly string[]
  readonly allowOrigins: readonly string[]
  readonly tokens: readonly string[]
  /** One was refused. */
  readonly refused?: (error: CatflapError) => void
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
    if (denied) return reply.fail(denied, undefined)
    const own = reply.handOver(req)
    this.passthrough.web(own.req, own.res)
  }

  upgrade(req: IncomingMessage, socket: Socket, head: Buffer): void {
    const denied = this.#denied(req)
    if (denied) this.#lastWords.say(socket, rawAnswer(denied, []))
    else this.passthrough.upgrade(req, socket, head)
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
