import type { IncomingMessage } from 'node:http'
import { asCatflapError, CatflapError } from '../errors.ts'
import { hostGuard } from '../interceptors/admission.ts'
import { bearerOf, tokenJudge } from '../interceptors/token.ts'
import { getHeader } from '../protocol/headers.ts'
import type { HttpReply } from '../transport/downstream/http-reply.ts'
import { HttpServer } from '../transport/downstream/http-server.ts'
import { isLoopback, originOf } from '../transport/loopback.ts'
import { SharedScrape, TEXT_TYPE } from './shared-scrape.ts'

export interface ListenerOptions {
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  readonly allowHosts: readonly string[]
  /** A scrape must present one of them, where there are any. */
  readonly tokens: readonly string[]
}

const PATH = '/metrics'

/** Few ask for metrics, so that little is kept for those who only occupy it. */
const LIMITS = {
  maxConnections: 32,
  maxHeaderSize: 16 * 1024,
  maxBody: 0,
  clientTimeout: 10_000,
  streamAfter: 1_000,
  keepAlive: 0
}

/** Serves `text` at /metrics, apart from whatever is proxied. The same guards stand before it. */
export class MetricsListener {
  readonly #server: HttpServer
  readonly #options: ListenerOptions
  readonly #guard: ReturnType<typeof hostGuard>
  readonly #judge: ReturnType<typeof tokenJudge> | undefined
  readonly #scrape: SharedScrape

  constructor(options: ListenerOptions, text: () => Iterable<string>) {
    const { host, allowHosts, tokens } = options
    this.#options = options
    this.#scrape = new SharedScrape(text)
    this.#guard = hostGuard({ host, allowHosts, allowOrigins: [], loopback: isLoopback(host) })
    this.#judge = tokens.length > 0 ? tokenJudge(tokens) : undefined
    this.#server = new HttpServer({ ...LIMITS, host, port: options.port }, (req, reply) => this.#answer(req, reply))
  }

  /** The URL. Rejects with the system's error. */
  async listen(): Promise<string> {
    const { address, port } = await this.#server.listen()
    return `${originOf(this.#options.host, address, port)}${PATH}`
  }

  close(): Promise<void> {
    return this.#server.close()
  }

  #answer(req: IncomingMessage, reply: HttpReply): void {
    const error = this.#refusal(req, reply)
    if (error) return reply.fail(error, undefined)
    this.#scrape.get().then(
      body => reply.answer({ status: 200, headers: ['Content-Type', TEXT_TYPE], body }),
      fault => reply.fail(asCatflapError(fault), undefined)
    )
  }

  #refusal(req: IncomingMessage, reply: HttpReply): CatflapError | undefined {
    const denied = this.#guard(req.rawHeaders) ?? this.#unauthorized(req)
    if (denied) return denied
    const path = (req.url ?? '/').split('?', 1)[0]
    if (path !== PATH) return new CatflapError('not_found', `Nothing is served at this path; metrics are at ${PATH}.`)
    if (req.method === 'GET' || req.method === 'HEAD') return undefined
    reply.extra.push('Allow', 'GET, HEAD')
    return new CatflapError('method_not_allowed')
  }

  #unauthorized({ rawHeaders }: IncomingMessage): CatflapError | undefined {
    const judge = this.#judge
    if (!judge || judge(bearerOf(getHeader(rawHeaders, 'authorization'))) !== undefined) return undefined
    return new CatflapError('unauthorized', 'A token is required: send it as Authorization: Bearer.')
  }
}
