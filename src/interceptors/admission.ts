import { isIP } from 'node:net'
import { CatflapError } from '../errors.ts'
import { getHeader, type RawHeaders } from '../protocol/headers.ts'
import type { Exchange } from '../proxy/exchange.ts'
import type { Interceptor } from '../proxy/interceptor.ts'

export interface AdmissionOptions {
  /** The address listened on; it and loopback names are always allowed as Host. */
  readonly host: string
  /** Further host names (without port), or `*`. */
  readonly allowHosts: readonly string[]
  /** Origins (`https://app.example`), or `*`. Loopback origins are allowed as long as the bind is loopback. */
  readonly allowOrigins: readonly string[]
  readonly loopback: boolean
}

const FETCH_SITE = 'sec-fetch-site'
const LOOPBACK = new Set(['localhost', '127.0.0.1', '::1'])

/**
 * Keeps web pages out: a page the user visits can make the browser send requests here, under a name it rebound to 127.0.0.1
 * or with its own Origin (spec 2026-07-28 basic/transports/streamable-http, "Security & Endpoint").
 */
export function admission(options: AdmissionOptions): Interceptor {
  const guard = hostGuard(options)
  return { name: 'admission', admit: (x: Exchange) => x.client && guard(x.client.headers) }
}

/** The same for whatever else listens: refuses the head of a request whose Host or Origin is foreign. */
export function hostGuard(options: AdmissionOptions): (headers: RawHeaders) => CatflapError | undefined {
  const anyHost = options.allowHosts.includes('*')
  const anyOrigin = options.allowOrigins.includes('*')
  const hosts = new Set(options.allowHosts.map(h => bareHost(h)))
  const origins = new Set(options.allowOrigins.map(o => o.toLowerCase().replace(/\/$/, '')))
  const own = bareHost(options.host)
  /** Clients say the same name every time. */
  let lastAllowed: string | undefined

  function hostAllowed(host: string): boolean {
    if (anyHost || hosts.has(host)) return true
    if (LOOPBACK.has(host)) return true
    // An address cannot be rebound: only names can.
    return host === own || (!options.loopback && isIP(host) !== 0)
  }

  function originAllowed(origin: string): boolean {
    if (anyOrigin || origins.has(origin.toLowerCase())) return true
    if (!options.loopback || !URL.canParse(origin)) return false
    const url = new URL(origin)
    return (url.protocol === 'http:' || url.protocol === 'https:') && LOOPBACK.has(bareHost(url.host))
  }

  return headers => {
    const host = getHeader(headers, 'host') ?? ''
    if (host !== lastAllowed && !hostAllowed(bareHost(host)))
      return new CatflapError(
        'forbidden_host',
        `Host '${host}' is not served here. If it is yours, start catflap with --allow-host ${bareHost(host)}.`
      )
    lastAllowed = host
    const origin = getHeader(headers, 'origin')
    if (origin !== undefined && !originAllowed(origin))
      return new CatflapError(
        'forbidden_origin',
        `Origin '${origin}' may not use this server. If it is yours, start catflap with --allow-origin ${origin}.`
      )
    const site = origin === undefined && !anyOrigin ? getHeader(headers, FETCH_SITE)?.trim().toLowerCase() : undefined
    // An image, a frame or a link of a page: browsers send no Origin with these, but say where they come from.
    if (site === 'cross-site' || site === 'same-site')
      return new CatflapError(
        'forbidden_origin',
        `A web page of elsewhere asks (Sec-Fetch-Site: ${site}) without an Origin. Use fetch, and start catflap with --allow-origin.`
      )
    return undefined
  }
}

/** The host without port and brackets, in lower case. */
export function bareHost(host: string): string {
  const m = /^\[([^\]]*)\](?::\d+)?$/.exec(host)
  if (m) return m[1]!.toLowerCase()
  return (isIP(host) === 6 ? host : host.replace(/:\d+$/, '')).toLowerCase()
}
