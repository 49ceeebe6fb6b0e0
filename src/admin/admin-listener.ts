import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { CatflapError } from '../errors.ts'
import { hostGuard } from '../interceptors/admission.ts'
import { bearerOf, tokenJudge } from '../interceptors/token.ts'
import { SharedScrape } from '../metrics/shared-scrape.ts'
import { getHeader } from '../protocol/headers.ts'
import { isLoopback, originOf } from '../transport/loopback.ts'
import type { Audit } from './audit.ts'
import { ENDPOINTS, type Endpoint, type Reply } from './endpoints.ts'
import { PlainServer } from './plain-server.ts'
import { PROBLEM_TYPE, problemOf } from './problem.ts'
import type { AdminSubject } from './subject.ts'

export interface AdminListenerOptions {
  /** Default 127.0.0.1. */
  readonly host?: string
  /** Default 0: any free one. */
  readonly port?: number
  /** Whoever asks must present it, as `Authorization: Bearer …` or `Catflap-Token: …`. Probes alone need none. */
  readonly token: string
  /** Names, besides those of this machine, under which it may be asked; `*`: any. */
  readonly allowHosts?: readonly string[]
}

/** For whoever was given none. */
export function newToken(): string {
  return randomBytes(24).toString('base64url')
}

/**
 * Where operators ask and act, and orchestrators probe: apart from what is proxied, and never without a token. It speaks of
 * sessions by their handles and of principals not at all, so that whoever reads along can use nothing.
 */
export class AdminListener {
  readonly #options: AdminListenerOptions & { readonly host: string }
  readonly #subject: AdminSubject
  readonly #audit: Audit | undefined
  readonly #server: PlainServer
  readonly #guard: ReturnType<typeof hostGuard>
  readonly #judge: ReturnType<typeof tokenJudge>
  readonly #scrape: SharedScrape | undefined

  /** Throws a TypeError where there is no token. */
  constructor(options: AdminListenerOptions, subject: AdminSubject, audit?: Audit) {
    if (options.token === '') throw new TypeError('admin.token: an empty token protects nothing; give one, or none')
    const { host = '127.0.0.1', allowHosts = [] } = options
    this.#options = { ...options, host }
    this.#subject = subject
    this.#audit = audit
    this.#guard = hostGuard({ host, allowHosts, allowOrigins: [], loopback: isLoopback(host) })
    this.#judge = tokenJudge([options.token])
    if (subject.metricsText) this.#scrape = new SharedScrape(() => subject.metricsText!())
    this.#server = new PlainServer((req, res) => void this.#serve(req, res))
  }

  /** The URL that all paths stand behind. Rejects with the system's error. */
  async listen(): Promise<string> {
    const { host, port = 0 } = this.#options
    const bound = await this.#server.listen(host, port)
    return originOf(host, bound.address, bound.port)
  }

  close(): Promise<void> {
    return this.#server.close()
  }

  async #serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    let reply: Reply
    try {
      reply = await this.#answer(req)
    } catch (error) {
      reply = failure(error)
    }
    // Whoever asked may be gone by now, which is nobody's concern.
    res.on('error', () => {})
    write(req, res, reply)
  }

  #answer(req: IncomingMessage): Reply | Promise<Reply> {
    const denied = this.#guard(req.rawHeaders)
    if (denied) throw denied
    const { path, query } = partsOf(req.url ?? '')
    const { endpoint, named } = find(path)
    const who = this.#whoIs(req)
    // Whoever has no token does not even learn what there is.
    if (who === undefined && !endpoint?.open) {
      this.#audit?.adminRefused(req.socket.remoteAddress)
      throw new CatflapError('unauthorized', 'A token is required: send it as Authorization: Bearer, or Catflap-Token.')
    }
    if (!endpoint) throw new CatflapError('not_found', 'Nothing is served at this path; /openapi.json tells what is.')
    if (hasBody(req)) throw new CatflapError('body_too_large', 'Requests here have no body.')
    const allow = ['Allow', allowedAt(endpoint)]
    if (req.method === 'OPTIONS') return { status: 204, headers: allow }
    const method = req.method === 'HEAD' ? 'GET' : req.method
    const operation = endpoint.operations[method as 'GET']
    if (!operation) return failure(new CatflapError('method_not_allowed'), allow)
    const ask = { subject: this.#subject, audit: this.#audit, scrape: this.#scrape, named, who }
    return operation({ ...ask, query: new URLSearchParams(query) })
  }

  #whoIs({ rawHeaders }: IncomingMessage): string | undefined {
    const own = getHeader(rawHeaders, 'catflap-token')
    return this.#judge(own ?? bearerOf(getHeader(rawHeaders, 'authorization')))
  }
}

function partsOf(url: string): { readonly path: string; readonly query: string } {
  const at = url.indexOf('?')
  return at < 0 ? { path: url, query: '' } : { path: url.slice(0, at), query: url.slice(at + 1) }
}

function find(path: string): { readonly endpoint: Endpoint | undefined; readonly named: string } {
  for (const endpoint of ENDPOINTS) {
    const at = endpoint.path.indexOf('{')
    if (at < 0 ? path === endpoint.path : path.startsWith(endpoint.path.slice(0, at)) && path.length > at)
      return { endpoint, named: at < 0 ? '' : path.slice(at) }
  }
  return { endpoint: undefined, named: '' }
}

/** RFC 9110 §10.2.1: HEAD goes where GET does, OPTIONS everywhere. */
function allowedAt({ operations }: Endpoint): string {
  const methods = Object.keys(operations).flatMap(method => (method === 'GET' ? ['GET', 'HEAD'] : [method]))
  return [...methods, 'OPTIONS'].join(', ')
}

/** RFC 9112 §6: one of these two announces it. */
function hasBody({ headers }: IncomingMessage): boolean {
  const length = headers['content-length']
  return headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0')
}

function failure(error: unknown, headers: readonly string[] = []): Reply {
  const problem = problemOf(error)
  const more = problem.status === 401 ? ['WWW-Authenticate', 'Bearer realm="catflap admin"'] : []
  return { status: problem.status, headers: ['Content-Type', PROBLEM_TYPE, ...more, ...headers], body: problem }
}

function write(req: IncomingMessage, res: ServerResponse, { status, headers = [], body }: Reply): void {
  const bytes = body === undefined || Buffer.isBuffer(body) ? body : Buffer.from(`${JSON.stringify(body)}\n`)
  const type = headers.includes('Content-Type') || !bytes ? [] : ['Content-Type', 'application/json']
  const length = status === 204 ? [] : ['Content-Length', String(bytes?.length ?? 0)]
  // A body that is not read would be taken for the next request.
  const last = hasBody(req) ? ['Connection', 'close'] : []
  const common = ['Cache-Control', 'no-store', 'X-Content-Type-Options', 'nosniff']
  res.writeHead(status, [...headers, ...type, ...length, ...common, ...last])
  res.end(bytes)
}
