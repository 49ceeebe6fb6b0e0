import { isIP } from 'node:net'
import { connect } from 'node:tls'
import { CatflapError } from '../../errors.ts'
import { getHeader } from '../../protocol/headers.ts'
import { encodePrincipal, PEER, peerPath, withoutPeerHeaders } from '../../protocol/peer-headers.ts'
import { type ClusterKey, pskClientOptions } from '../psk.ts'
import type { CallInput, CallReceiver, CancelReason, Leg, ReplyHead, UpstreamCall } from '../upstream.ts'
import { HttpUpstream } from './http.ts'
import { isSent } from './http-call.ts'
import { withQuery } from './http-path.ts'
import { errorCode } from './http-pool.ts'

/** What another instance holds. */
export interface PeerTo {
  readonly route: string
  /** The name under which the other one owns it. */
  readonly instance: string
  /** The id of the session; undefined: it is `held`. */
  readonly session: string | undefined
  /** The name of something that its server has given to a client, in an era without sessions. */
  readonly held?: string
  readonly principal: string
  /** The client's. */
  readonly remoteAddress?: string
  /** It is the other end of a client's pipe (HTTP+SSE): what was posted to that goes there. */
  readonly pipe?: boolean
}

export interface PeersOptions {
  /** The first is presented. */
  readonly keys: readonly ClusterKey[]
  /** For a connection, TLS and all; in ms. */
  readonly connectTimeout: number
  /** Calls to one instance that may wait for a connection. */
  readonly maxPending: number
  /** The name of this instance at this moment. */
  readonly from: () => string
  /** To one instance, for calls; streams have their own. Default 256. */
  readonly connections?: number
  /** Milliseconds after which an instance that nothing is asked of is forgotten. Default a minute. */
  readonly idle?: number
}

const CONNECTIONS = 256
/** Shorter than its listener keeps them, so that no request meets a closing one. */
const KEEP_ALIVE = 30_000
const IDLE = 60_000

/** Other instances, which do what they alone can do: hold a session whose server is a command, or a stream. */
export class Peers {
  readonly #options: PeersOptions
  readonly #peers = new Map<string, Peer>()
  #sweeper: NodeJS.Timeout | undefined
  #closed = false

  constructor(options: PeersOptions) {
    this.#options = options
  }

  /** How many are known at this moment. */
  get size(): number {
    return this.#peers.size
  }

  /**
   * A session at the instance that listens at this `HOST:PORT`. Its calls fail with `upstream_unreachable` or `upstream_connect_timeout`
   * where nothing was sent, with `session_moved` where nothing was done, and with `owner_lost` where nobody knows.
   */
  leg(address: string, to: PeerTo): Leg {
    return new PeerLeg(this, address, to)
  }

  /** Whether it takes a connection of an instance within so many ms. */
  reaches(address: string, ms: number): Promise<boolean> {
    const url = originOf(address)
    if (!url) return Promise.resolve(false)
    const host = url.hostname.replace(/^\[|\]$/g, '')
    return new Promise(resolve => {
      const socket = connect({ host, port: Number(url.port || 443), ...pskClientOptions(this.#options.keys) })
      const done = (reached: boolean): void => {
        clearTimeout(timer)
        socket.destroy()
        resolve(reached)
      }
      const timer = setTimeout(done, ms, false)
      socket.once('secureConnect', () => done(true))
      socket.on('error', () => done(false))
    })
  }

  call(address: string, to: PeerTo, input: CallInput, receiver: CallReceiver): UpstreamCall {
    const peer = this.#peer(address)
    if (peer instanceof CatflapError) return refused(receiver, peer)
    const call = new PeerCall(peer, receiver)
    call.begin(input, this.#headers(input, to), withQuery(peerPath(to.route), input.query))
    return call
  }

  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#sweeper)
    const all = [...this.#peers.values()]
    this.#peers.clear()
    await Promise.all(all.map(({ upstream }) => upstream.close()))
  }

  #headers(input: CallInput, to: PeerTo): string[] {
    const headers = withoutPeerHeaders(input.headers, false)
    headers.push('Accept-Encoding', 'identity', PEER.instance, to.instance)
    if (to.session !== undefined) headers.push('Mcp-Session-Id', to.session)
    else if (to.held !== undefined) headers.push(PEER.held, to.held)
    headers.push(PEER.principal, encodePrincipal(to.principal), PEER.from, this.#options.from())
    if (to.pipe) headers.push(PEER.pipe, '1')
    const { remoteAddress = '' } = to
    // What proxies say of clients need not be an address, nor anything that HTTP takes.
    if (isIP(remoteAddress)) headers.push(PEER.client, remoteAddress)
    return headers
  }

  #peer(address: string): Peer | CatflapError {
    const known = this.#peers.get(address)
    if (known) return known
    if (this.#closed) return new CatflapError('shutting_down')
    const url = originOf(address)
    if (!url) return new CatflapError('upstream_unreachable', 'another instance has no address that can be used.')
    const { keys, connections = CONNECTIONS, connectTimeout, maxPending, idle = IDLE } = this.#options
    const label = `another instance at ${url.host}`
    const upstream = new HttpUpstream(url, {
      label,
      headers: [],
      connections,
      connectTimeout,
      maxPending,
      headersTimeout: 0,
      keepAliveTimeout: KEEP_ALIVE,
      closeTimeout: 0,
      psk: pskClientOptions(keys),
      // What the environment says of proxies is for servers.
      env: {}
    })
    const peer = new Peer(upstream)
    this.#peers.set(address, peer)
    this.#sweeper ??= setInterval(() => this.#sweep(idle), idle / 2).unref()
    return peer
  }

  #sweep(idle: number): void {
    const due = performance.now() - idle
    for (const [address, peer] of this.#peers) {
      if (peer.calls > 0 || peer.usedAt > due) continue
      this.#peers.delete(address)
      void peer.upstream.close()
    }
    if (this.#peers.size > 0) return
    clearInterval(this.#sweeper)
    this.#sweeper = undefined
  }
}

/** An instance that something is or was asked of. */
class Peer {
  readonly upstream: HttpUpstream
  /** Under way. */
  calls = 0
  usedAt = 0

  constructor(upstream: HttpUpstream) {
    this.upstream = upstream
  }
}

class PeerLeg implements Leg {
  readonly upstreamId = undefined
  readonly #peers: Peers
  readonly #address: string
  readonly #to: PeerTo

  constructor(peers: Peers, address: string, to: PeerTo) {
    this.#peers = peers
    this.#address = address
    this.#to = to
  }

  call(input: CallInput, receiver: CallReceiver): UpstreamCall {
    return this.#peers.call(this.#address, this.#to, input, receiver)
  }

  /** The session is its owner's, and nothing of it is held here. */
  async close(): Promise<void> {}
}

/** One request to another instance. What went wrong is told as what it means for the session. */
class PeerCall implements UpstreamCall, CallReceiver {
  readonly #peer: Peer
  #receiver: CallReceiver | undefined
  #call: UpstreamCall | undefined
  #over = false

  constructor(peer: Peer, receiver: CallReceiver) {
    this.#peer = peer
    this.#receiver = receiver
  }

  begin(input: CallInput, headers: readonly string[], path: string): void {
    this.#peer.calls++
    this.#call = this.#peer.upstream.start(input, this, headers, path)
  }

  /** The other one may have seen it. */
  get sent(): boolean {
    return this.#call !== undefined && isSent(this.#call)
  }

  pause(): void {
    this.#call?.pause()
  }

  resume(): void {
    this.#call?.resume()
  }

  cancel(reason: CancelReason): void {
    this.#receiver = undefined
    this.#leave()
    this.#call?.cancel(reason)
  }

  onHead(head: ReplyHead): void {
    if (head.status !== 421 || getHeader(head.headers, UNPROCESSED) !== '1') return this.#receiver?.onHead(head)
    const receiver = this.#receiver
    // The rest of its answer is still taken off the wire, for the connection is to carry others.
    this.#receiver = undefined
    this.#call?.resume()
    receiver?.onError(new CatflapError('session_moved', `${this.#label}: it does not hold the session any more.`))
  }

  onData(chunk: Buffer): void {
    this.#receiver?.onData(chunk)
  }

  /** Over HTTP there are none. */
  onMessage(): void {}

  onEnd(): void {
    this.#leave()
    this.#receiver?.onEnd()
  }

  onError(error: CatflapError): void {
    const { sent } = this
    this.#leave()
    this.#receiver?.onError(meaning(error, sent, this.#label))
  }

  get #label(): string {
    return this.#peer.upstream.label
  }

  #leave(): void {
    if (this.#over) return
    this.#over = true
    this.#peer.calls--
    this.#peer.usedAt = performance.now()
  }
}

const UNPROCESSED = PEER.unprocessed.toLowerCase()

function meaning(error: CatflapError, sent: boolean, label: string): CatflapError {
  const { code, cause } = error
  const why = errorCode(cause)
  const options = { cause, data: { target: label } }
  if (code === 'upstream_connect_timeout')
    return new CatflapError(code, `${label}: no connection in time. Is it running?`, options)
  if (code !== 'upstream_reset' && code !== 'upstream_unreachable') return error
  if (!sent) {
    const text = `${label}: no connection (${why}). Is it running, and does it accept this instance's cluster key?`
    return new CatflapError('upstream_unreachable', text, options)
  }
  const text = `${label}: the connection broke before the answer was complete (${why}). Whether the call was carried out is not known.`
  return new CatflapError('owner_lost', text, options)
}

/** Told a moment later, as everything else is. */
function refused(receiver: CallReceiver, error: CatflapError): UpstreamCall {
  let told = false
  queueMicrotask(() => {
    if (!told) receiver.onError(error)
  })
  return {
    pause() {},
    resume() {},
    cancel() {
      told = true
    }
  }
}

/** Undefined for what is more or less than a host and a port. */
function originOf(address: string): URL | undefined {
  const text = `https://${address}`
  if (!URL.canParse(text)) return undefined
  const url = new URL(text)
  return url.href === `https://${url.host}/` ? url : undefined
}
