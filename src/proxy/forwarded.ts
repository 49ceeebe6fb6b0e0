import { MAX_HOPS, parseForwarded, parseForwardedFor, writeHop } from '../protocol/forwarded.ts'
import type { RawHeaders } from '../protocol/headers.ts'
import { Networks, plainAddress } from '../protocol/networks.ts'

/**
 * Who sent a request, and what the server is told of that: `Forwarded` (RFC 7239), and `X-Forwarded-*` for servers that know
 * only those. What comes in under these names is a claim. It counts, and is added to, where a trusted proxy makes it; from
 * anybody else it is dropped, as a client could write there whatever it likes.
 */

/** What is read of a connection. */
export interface PeerSocket {
  readonly remoteAddress?: string | undefined
  readonly localPort?: number | undefined
  /** Of TLS sockets. */
  readonly encrypted?: boolean
}

export type Scheme = 'http' | 'https'

export interface Sender {
  /** The client's, as far as it is known: for logs and limits. */
  readonly address: string | undefined
  /** What the client itself spoke. */
  readonly proto: Scheme
  /**
   * Tells the server, in place of what came in; in place. `host` is the request's Host, `prefix` the part of the path that the
   * server does not see (`/name`, or nothing).
   */
  write(headers: string[], host: string | undefined, prefix: string): void
}

export interface ForwardingOptions {
  readonly trusted: TrustedProxies
  /** Our name in Forwarded; undefined: nothing is added. What untrusted peers say is dropped all the same. */
  readonly name: string | undefined
}

/** Addresses and networks whose word counts. */
export class TrustedProxies {
  readonly #networks: Networks

  /** Throws a TypeError for what is no address and no network. */
  constructor(given: readonly string[] = []) {
    this.#networks = new Networks(given, 'trustedProxies')
  }

  has(address: string | undefined): boolean {
    return this.#networks.has(address)
  }

  /**
   * Where the client stands in a chain of hops (the nearest to us last): the last one that is not ours to trust, since whatever
   * stands before it is its own claim. `address` is undefined where that hop does not say who it is.
   */
  client(nodes: readonly string[]): { readonly at: number; readonly address: string | undefined } {
    let address: string | undefined
    for (let at = nodes.length - 1; at >= 0; at--) {
      address = plainAddress(nodes[at]!)
      if (at === 0 || !this.has(address)) return { at, address }
    }
    return { at: -1, address: undefined }
  }
}

/** One for a proxy; `receive` is asked once for each request. */
export class Forwarding {
  readonly #options: ForwardingOptions
  /** What a connection cannot change is worked out once. */
  readonly #peers = new WeakMap<PeerSocket, Peer>()

  constructor(options: ForwardingOptions) {
    this.#options = options
  }

  receive(headers: RawHeaders, socket: PeerSocket): Sender {
    let peer = this.#peers.get(socket)
    if (!peer) {
      peer = new Peer(socket, this.#options)
      this.#peers.set(socket, peer)
    }
    if (!peer.trusted) return peer
    const claims = claimsOf(headers)
    return (claims && believed(peer, claims, this.#options)) ?? peer
  }
}

/** Whoever is at the other end of a connection, and nobody behind it. */
class Peer implements Sender {
  readonly address: string | undefined
  readonly proto: Scheme
  readonly trusted: boolean
  readonly #port: number | undefined
  readonly #name: string | undefined
  /** Made for the last Host and prefix: on one connection they hardly ever change. */
  #lines: readonly string[] | undefined
  #host: string | undefined
  #prefix = ''

  constructor(socket: PeerSocket, { trusted, name }: ForwardingOptions) {
    this.address = socket.remoteAddress === undefined ? undefined : plainAddress(socket.remoteAddress)
    this.proto = socket.encrypted ? 'https' : 'http'
    this.trusted = trusted.has(this.address)
    this.#port = socket.localPort
    this.#name = name
  }

  write(headers: string[], host: string | undefined, prefix: string): void {
    dropClaims(headers)
    if (this.#name === undefined) return
    if (!this.#lines || host !== this.#host || prefix !== this.#prefix) {
      this.#lines = lines({
        forwarded: this.hop(host),
        for: this.address ?? 'unknown',
        proto: this.proto,
        host,
        port: this.port(host),
        prefix
      })
      this.#host = host
      this.#prefix = prefix
    }
    for (const part of this.#lines) headers.push(part)
  }

  /** Our element of Forwarded. */
  hop(host: string | undefined): string {
    return writeHop({ by: this.#name, for: this.address ?? 'unknown', host: printable(host), proto: this.proto })
  }

  port(host: string | undefined): number {
    return portOf(host, this.proto) ?? this.#port ?? DEFAULT_PORTS[this.proto]
  }
}

interface Claims {
  readonly forwarded?: string
  readonly for?: string
  readonly proto?: string
  readonly host?: string
  readonly port?: string
  readonly prefix?: string
}

const CLAIMS: Readonly<Record<string, keyof Claims>> = {
  forwarded: 'forwarded',
  'x-forwarded-for': 'for',
  'x-forwarded-proto': 'proto',
  'x-forwarded-host': 'host',
  'x-forwarded-port': 'port',
  'x-forwarded-prefix': 'prefix'
}

/** What the headers say; several lines of one name are one list. Undefined: nothing. */
function claimsOf(headers: RawHeaders): Claims | undefined {
  let claims: { -readonly [K in keyof Claims]: string } | undefined
  for (let i = 0; i < headers.length; i += 2) {
    if (!mayBeClaim(headers[i]!)) continue
    const key = CLAIMS[headers[i]!.toLowerCase()]
    if (key === undefined) continue
    claims ??= {}
    claims[key] = claims[key] === undefined ? headers[i + 1]! : `${claims[key]}, ${headers[i + 1]}`
  }
  return claims
}

/**
 * What a trusted proxy says. Undefined where it cannot be read, or where both kinds of header are there and do not name the
 * same hops: then one of them was sent by the client, and passed the proxy unseen. Clients know their own address, so also
 * where they do, nothing counts that only one of the two says.
 */
function believed(peer: Peer, claims: Claims, { trusted, name }: ForwardingOptions): Sender | undefined {
  const hops = claims.forwarded === undefined ? undefined : parseForwarded(claims.forwarded)
  const nodes = claims.for === undefined ? undefined : parseForwardedFor(claims.for)
  if (claims.forwarded !== undefined && !hops) return undefined
  if (claims.for !== undefined && !nodes) return undefined
  const chain = hops?.map(hop => hop.for ?? 'unknown') ?? nodes ?? []
  if (chain.length >= MAX_HOPS) return undefined
  const client = trusted.client(chain)
  const both = hops !== undefined && saysOlder(claims)
  if (both && !(nodes && sameHops(chain, nodes, trusted))) return undefined
  const hop = hops?.[client.at]
  const proto = said(both, schemeOf(hop?.proto), schemeOf(claims.proto)) ?? peer.proto
  const saidHost = said(both, plainHost(hop?.host), plainHost(claims.host))
  return {
    // Of a hop that does not say who it is, the one that speaks of it is all that is known.
    address: client.address ?? plainAddress(chain[client.at + 1] ?? '') ?? peer.address,
    proto,
    write(headers, ownHost, prefix) {
      if (name === undefined) return
      dropClaims(headers, true)
      const host = saidHost ?? ownHost
      const before =
        claims.forwarded ??
        chain.map((node, i) => writeHop({ for: node, ...(i === client.at && { host: saidHost, proto }) })).join(', ')
      const own = peer.hop(ownHost)
      const all = lines({
        forwarded: before === '' ? own : `${before}, ${own}`,
        for: [...(nodes ?? chain), peer.address ?? 'unknown'].join(', '),
        proto,
        host,
        // `Forwarded` has no word for these two.
        port: said(both, undefined, portNumber(claims.port)) ?? portOf(host, proto) ?? DEFAULT_PORTS[proto],
        prefix: `${said(both, undefined, plainPrefix(claims.prefix)) ?? ''}${prefix}`
      })
      for (const part of all) headers.push(part)
    }
  }
}

/** Some of `X-Forwarded-*` is there. */
function saysOlder(claims: Claims): boolean {
  return (claims.for ?? claims.proto ?? claims.host ?? claims.port ?? claims.prefix) !== undefined
}

/** Both chains name the same client, and the same hop as the nearest to us. */
function sameHops(chain: readonly string[], nodes: readonly string[], trusted: TrustedProxies): boolean {
  if (trusted.client(chain).address !== trusted.client(nodes).address) return false
  return plainAddress(chain.at(-1) ?? '') === plainAddress(nodes.at(-1) ?? '')
}

/** What one of two says; where `both` are there, only what both of them say. */
function said<T>(both: boolean, one: T | undefined, other: T | undefined): T | undefined {
  return both && one !== other ? undefined : (one ?? other)
}

interface Lines {
  readonly forwarded: string
  readonly for: string
  readonly proto: Scheme
  readonly host: string | undefined
  readonly port: number
  readonly prefix: string
}

function lines(what: Lines): string[] {
  const out = ['Forwarded', what.forwarded, 'X-Forwarded-For', what.for, 'X-Forwarded-Proto', what.proto]
  const host = plainHost(what.host)
  // There are no quotes in this one: a comma in it would look like a second host.
  if (host !== undefined) out.push('X-Forwarded-Host', host)
  out.push('X-Forwarded-Port', String(what.port))
  if (what.prefix !== '') out.push('X-Forwarded-Prefix', what.prefix)
  return out
}

/** Removes what speaks of earlier hops. `ours`: only what is written anew; a trusted proxy's other words pass. */
function dropClaims(headers: string[], ours = false): void {
  let n = 0
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!
    if (mayBeClaim(name) && isClaim(name.toLowerCase(), ours)) continue
    // Mostly nothing is dropped, and nothing has to move.
    if (n !== i) {
      headers[n] = name
      headers[n + 1] = headers[i + 1]!
    }
    n += 2
  }
  if (n !== headers.length) headers.length = n
}

/** By its first letter: this is asked of every header of every request. */
function mayBeClaim(name: string): boolean {
  const first = name.charCodeAt(0) | 0x20
  return first === 0x66 || first === 0x74 || first === 0x78
}

function isClaim(lower: string, ours: boolean): boolean {
  // To servers that hand headers on as variables (CGI, WSGI), both are one.
  const name = lower.includes('_') ? lower.replaceAll('_', '-') : lower
  if (ours) return Object.hasOwn(CLAIMS, name)
  // All of that family: servers believe X-Forwarded-User and its like as well.
  return name.startsWith('x-forwarded-') || OTHER_CLAIMS.has(name)
}

const OTHER_CLAIMS = new Set(['forwarded', 'x-forwarded', 'x-real-ip', 'x-client-ip', 'true-client-ip'])

const DEFAULT_PORTS: Readonly<Record<Scheme, number>> = { http: 80, https: 443 }

function schemeOf(text: string | undefined): Scheme | undefined {
  const lower = text?.trim().toLowerCase()
  return lower === 'http' || lower === 'https' ? lower : undefined
}

/** A host and perhaps a port, without anything that has to be quoted. */
function plainHost(text: string | undefined): string | undefined {
  return text !== undefined && text.length <= MAX_HOST && /^(?:[\w.~-]+|\[[\da-f:.]+\])(?::\d{1,5})?$/i.test(text)
    ? text
    : undefined
}

/** A name of DNS has 253 characters, a port five. */
const MAX_HOST = 260

function printable(host: string | undefined): string | undefined {
  return host !== undefined && host !== '' && host.length <= MAX_HOST && /^[\x20-\x7e]+$/.test(host) ? host : undefined
}

function portOf(host: string | undefined, proto: Scheme): number | undefined {
  if (host === undefined) return undefined
  const m = /:(\d{1,5})$/.exec(host)
  return m ? portNumber(m[1]) : DEFAULT_PORTS[proto]
}

function portNumber(text: string | undefined): number | undefined {
  const port = text !== undefined && /^\d{1,5}$/.test(text) ? Number(text) : 0
  return port > 0 && port <= 65_535 ? port : undefined
}

function plainPrefix(text: string | undefined): string | undefined {
  return text !== undefined && text.length <= MAX_HOST && /^(?:\/[\w~-][\w.~-]*)+$/.test(text) ? text : undefined
}
