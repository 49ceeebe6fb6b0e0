import { createRequire } from 'node:module'
import type { ConnectionOptions } from 'node:tls'
import type { Client as ClientType, Dispatcher, Pool as PoolType } from 'undici'
import { CatflapError } from '../../errors.ts'
import { isLoopback } from '../loopback.ts'

const require = createRequire(import.meta.url)

/** All of undici: fetch, caches and mocks too. */
function undici(): typeof import('undici') {
  return require('undici')
}

/** The pool alone takes a fraction of the time. Where a version of undici has it elsewhere, all of it is loaded. */
export function poolOfUndici(): typeof PoolType {
  try {
    return require('undici/lib/dispatcher/pool.js')
  } catch {
    return undici().Pool
  }
}

const Pool = poolOfUndici()

function clientOfUndici(): typeof ClientType {
  try {
    return require('undici/lib/dispatcher/client.js')
  } catch {
    return undici().Client
  }
}

/** A handler that says whether its request was refused, so that no connection has it. */
export interface RefusableHandler extends Dispatcher.DispatchHandler {
  readonly refused?: boolean
}

/**
 * One connection. Undici answers for a request that it refuses as for one that fills the connection, and its pool then waits
 * for the end of what never began: as many such requests as there are connections would stop it for good.
 */
class Connection extends clientOfUndici() {
  override dispatch(options: Dispatcher.DispatchOptions, handler: RefusableHandler): boolean {
    return super.dispatch(options, handler) || handler.refused === true
  }
}

const newConnection = (origin: URL, options: object): Dispatcher => new Connection(origin, options)

export interface PoolOptions {
  /** Sockets for calls; streams (GET, subscriptions) have their own. */
  readonly connections: number
  readonly connectTimeout: number
  /** How long a silent server may keep us waiting for a status line; 0: as long as the call may last. */
  readonly headersTimeout: number
  /** How long a socket may stay open unused. */
  readonly keepAliveTimeout: number
  /** PEM text of further certificate authorities. */
  readonly ca?: string
  readonly insecure?: boolean
  /** Of node:tls, in place of certificates: a key that both have. Over HTTP/1.1 alone. */
  readonly psk?: ConnectionOptions
  readonly env?: Readonly<Record<string, string | undefined>>
}

/** Connections that are there, those of them that are free, and requests by where they are. */
export type PoolCounts = Pick<PoolType['stats'], 'connected' | 'free' | 'running' | 'pending' | 'queued'>

/** One origin's sockets. Calls and streams are apart, so that a thousand idle GETs never keep a call waiting. */
export interface OriginPools {
  readonly calls: Dispatcher
  readonly streams: Dispatcher
  /** The proxy in between, if the environment names one. */
  readonly proxy: string | undefined
  /** Behind a proxy nothing is known of them. */
  counts(): { readonly calls: PoolCounts | undefined; readonly streams: PoolCounts | undefined }
  destroy(): Promise<void>
}

export function openPools(origin: URL, options: PoolOptions): OriginPools {
  const proxy = proxyFor(origin, options.env ?? process.env)
  const make = (connections: number | null): Dispatcher => {
    // Node takes `ca` in place of the authorities it trusts by itself; ours come on top of them.
    const ca = options.ca === undefined ? undefined : [...ownAuthorities(), options.ca]
    const tls = options.psk ?? { ca, rejectUnauthorized: !options.insecure }
    const common = {
      headersTimeout: options.headersTimeout,
      // A stream may be silent for hours: the deadline of a call is kept elsewhere, where progress is known.
      bodyTimeout: 0,
      keepAliveTimeout: options.keepAliveTimeout,
      factory: newConnection,
      connect: { timeout: options.connectTimeout, ...(origin.protocol === 'https:' ? tls : {}) },
      allowH2: options.psk === undefined
    }
    if (!proxy) return new Pool(origin.origin, { ...common, connections })
    // Where no tunnel is needed (http: through a proxy), the agent would give its pool none of the options.
    const factory = (to: string | URL, given: object): Dispatcher =>
      new Pool(to, { ...common, connections, ...given, factory: newConnection })
    const { ProxyAgent } = undici()
    return new ProxyAgent({ uri: proxy, ...common, factory, requestTls: tls, connections: connections ?? undefined })
  }
  const calls = make(options.connections)
  const streams = make(null)
  return {
    calls,
    streams,
    proxy,
    counts: () => ({ calls: countsOf(calls), streams: countsOf(streams) }),
    async destroy() {
      await Promise.all([calls.destroy(), streams.destroy()])
    }
  }
}

function countsOf(pool: Dispatcher): PoolCounts | undefined {
  return pool instanceof Pool ? pool.stats : undefined
}

/** Of Node's trust. An `import` of node:tls would parse all of these at each start. */
function ownAuthorities(): string[] {
  return process.getBuiltinModule('node:tls').getCACertificates('default')
}

/** HTTP_PROXY, HTTPS_PROXY, NO_PROXY in either case, as curl and Go read them; a loopback server is never behind a proxy. */
export function proxyFor(url: URL, env: Readonly<Record<string, string | undefined>>): string | undefined {
  const get = (name: string): string | undefined => env[name.toLowerCase()] || env[name] || undefined
  const proxy = url.protocol === 'https:' ? get('HTTPS_PROXY') : get('HTTP_PROXY')
  if (!proxy || isLoopback(url.hostname)) return undefined
  const port = url.port || (url.protocol === 'https:' ? '443' : '80')
  for (const rule of (get('NO_PROXY') ?? '').split(/[\s,]+/))
    if (rule && excluded(rule, url.hostname, port)) return undefined
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(proxy) ? proxy : `http://${proxy}`
}

function excluded(rule: string, host: string, port: string): boolean {
  if (rule === '*') return true
  const [, name = '', rulePort] = /^(.*?)(?::(\d+))?$/.exec(rule.toLowerCase()) ?? []
  if (rulePort && rulePort !== port) return false
  const bare = name.replace(/^\*?\./, '')
  return host === bare || host.endsWith(`.${bare}`)
}

const TIMED_OUT = new Set(['UND_ERR_CONNECT_TIMEOUT', 'ETIMEDOUT'])
const UNREACHABLE = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
  'ENOENT',
  'EACCES'
])
const RESET = new Set([
  'ECONNRESET',
  'EPIPE',
  'UND_ERR_SOCKET',
  'UND_ERR_CLOSED',
  'UND_ERR_DESTROYED',
  'UND_ERR_RES_CONTENT_LENGTH_MISMATCH'
])

/**
 * What went wrong between us and the server, named after `label`. `begun`: there was a connection, and the request was being
 * written to it. Systems report one that breaks later with the same codes as one that does not come about (ETIMEDOUT and
 * EHOSTUNREACH of a host that is cut off, an alert of TLS 1.3 that comes after the handshake): the server may have the request.
 */
export function upstreamError(error: unknown, label: string, begun = false): CatflapError {
  const code = errorCode(error)
  const text = reasonText(error)
  const make = (kind: ConstructorParameters<typeof CatflapError>[0], what: string): CatflapError =>
    new CatflapError(kind, `${label}: ${what}`, { cause: error, data: { target: label } })
  const broke = (): CatflapError =>
    make('upstream_reset', `the connection broke before the answer was complete (${text}).`)
  if (begun && isOfConnection(code)) return broke()
  if (TIMED_OUT.has(code))
    return make('upstream_connect_timeout', 'no connection in time. Is the server up, and the URL right?')
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT')
    return make('upstream_timeout', 'no answer in time.')
  if (isNoHttp(error)) return make('upstream_protocol', `the answer is not valid HTTP (${text}).`)
  if (UNREACHABLE.has(code))
    return make('upstream_unreachable', `cannot connect (${text}). Is the server running, and the URL right?`)
  if (isTls(code)) return make('upstream_unreachable', `TLS failed (${text}). Trust its authority with --ca FILE.`)
  if (RESET.has(code)) return broke()
  if (isRefusal(error))
    return make('upstream_protocol', `the request cannot be sent (${text}). HTTP does not allow this header or path.`)
  return make('upstream_protocol', `the request failed (${text}).`)
}

/** What came is no answer of HTTP's, and the server's doing; else it may be the request that cannot be sent. */
export function isNoHttp(error: unknown): boolean {
  const code = errorCode(error)
  // What its parser does not take, undici gives no code where it does not even begin like HTTP.
  if (error instanceof Error && error.name === 'HTTPParserError') return true
  return code.startsWith('HPE_') || code === 'UND_ERR_HEADERS_OVERFLOW' || code.startsWith('ERR_HTTP2')
}

/** Undici has looked at the request, and does not send it. */
export function isRefusal(error: unknown): boolean {
  const code = errorCode(error)
  return code === 'UND_ERR_INVALID_ARG' || code === 'UND_ERR_NOT_SUPPORTED'
}

function isOfConnection(code: string): boolean {
  return TIMED_OUT.has(code) || UNREACHABLE.has(code) || isTls(code)
}

function isTls(code: string): boolean {
  return /CERT|^ERR_TLS|^ERR_SSL|SELF_SIGNED|UNABLE_TO_|^EPROTO$/.test(code)
}

export function errorCode(error: unknown): string {
  for (let e: unknown = error, depth = 0; e instanceof Error && depth < 4; e = e.cause, depth++) {
    const code = (e as { code?: unknown }).code
    if (typeof code === 'string') return code
    if (e instanceof AggregateError && e.errors.length > 0) return errorCode(e.errors[0])
  }
  return ''
}

function reasonText(error: unknown): string {
  const code = errorCode(error)
  const text = error instanceof Error ? error.message : String(error)
  return code && !text.includes(code) ? (text ? `${code}: ${text}` : code) : text
}
