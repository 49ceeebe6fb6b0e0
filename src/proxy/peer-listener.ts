import type { IncomingMessage } from 'node:http'
import { isIP, type Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { asCatflapError, CatflapError } from '../errors.ts'
import type { Log } from '../log.ts'
import { forwardableRequestHeaders, getHeader, SESSION_HEADER, VERSION_HEADER } from '../protocol/headers.ts'
import { decoded, PEER, readPeerPath, withoutPeerHeaders } from '../protocol/peer-headers.ts'
import type { Awaitable } from '../session/store.ts'
import type { HttpReply } from '../transport/downstream/http-reply.ts'
import { HttpServer } from '../transport/downstream/http-server.ts'
import { type ClusterKey, pskServerOptions } from '../transport/psk.ts'
import type { Core } from './core.ts'
import { Exchange } from './exchange.ts'
import type { Settings } from './options.ts'
import { receive } from './serve-http.ts'
import { postMessage } from './serve-sse.ts'

/** What of a route other instances may ask for. */
export interface PeerRoute {
  /** Its pipeline knows sessions, and nothing of who may come in: that was settled where the client is. */
  readonly core: Core
  /** Where clients' pipes end, and what is posted to them. */
  readonly pipes: Core
  /** Whether this process may act for the session now; `session_moved`: another one does by now, and nothing is done. */
  readonly before?: (sessionId: string, principal: string) => Awaitable<true | CatflapError>
}

export interface PeerListenerOptions {
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  /** Whoever has one of them is an instance. */
  readonly keys: readonly ClusterKey[]
  readonly settings: Settings
  readonly log: Log
  /** The name of this instance at this moment. */
  readonly instance: () => string
  /** The one that holds the session, or else serves that name now. */
  readonly route: (name: string, session: string) => PeerRoute | undefined
}

/** What the other instance's own headers may take besides the client's, in bytes. */
const OWN_HEADERS = 8 * 1024

/** What another instance says of the exchange that it hands over. */
interface Handed {
  readonly route: PeerRoute
  readonly query: string | undefined
  readonly instance: string
  /** Undefined in an era without sessions: the server here has given what the request names. */
  readonly session: string | undefined
  readonly principal: string
  readonly pipe: boolean
}

/** Where other instances hand over exchanges of sessions that this one holds. */
export class PeerListener {
  readonly #options: PeerListenerOptions
  readonly #server: HttpServer

  constructor(options: PeerListenerOptions) {
    this.#options = options
    const { host, port, keys, settings } = options
    this.#server = new HttpServer(
      {
        ...settings,
        maxHeaderSize: settings.maxHeaderSize + OWN_HEADERS,
        host,
        port,
        tls: { psk: pskServerOptions(keys) },
        http2: false
      },
      (req, reply) => this.#handle(req, reply)
    )
  }

  /** Connections that were no instance's. */
  get strangers(): number {
    return this.#server.refusals.tls_handshake
  }

  get connections(): number {
    return this.#server.connections
  }

  /** Rejects with the system's error (EADDRINUSE, EACCES …). */
  async listen(): Promise<{ readonly address: string; readonly port: number }> {
    const { address, port } = await this.#server.listen()
    this.#options.log.debug('peers-listening', 'listening for other instances', { address, port })
    return { address, port }
  }

  /** No new connections. Those that are open stay: what is under way may need an answer that comes on one of them. */
  stopAccepting(): void {
    this.#server.stopAccepting()
  }

  /** Resolves when every answer that was given is with the kernel, or after `ms`. */
  async flushed(ms: number): Promise<void> {
    await this.#server.flushed(ms)
  }

  async close(): Promise<void> {
    await this.#server.close()
  }

  #handle(req: IncomingMessage, reply: HttpReply): void {
    const handed = this.#read(req)
    if (handed instanceof CatflapError) return refuse(reply, handed)
    const x = exchangeOf(handed, req, reply)
    if (handed.pipe) return void this.#run(x, req.socket, handed, () => postMessage(x, req, reply))
    try {
      receive(x, req, reply, () => void this.#run(x, req.socket, handed))
    } catch (error) {
      x.fail(asCatflapError(error))
    }
  }

  #read({ url = '', rawHeaders }: IncomingMessage): Handed | CatflapError {
    const path = readPeerPath(url)
    const session = getHeader(rawHeaders, SESSION_HEADER)
    const route = path && this.#options.route(path.route, session ?? '')
    if (!route) return new CatflapError('not_found', 'This instance serves no such route.')
    const instance = getHeader(rawHeaders, INSTANCE) ?? ''
    if (instance !== this.#options.instance()) return new CatflapError('session_moved')
    if (session === undefined && getHeader(rawHeaders, HELD) === undefined) return new CatflapError('session_required')
    const principal = decoded(getHeader(rawHeaders, PRINCIPAL))
    if (principal === undefined) return new CatflapError('invalid_request', `${PEER.principal} is missing.`)
    const pipe = getHeader(rawHeaders, PIPE) === '1'
    return { route, query: path.query, instance, session, principal, pipe }
  }

  /** All of it is here. What has happened until now may have taken as long as this process was stopped. */
  async #run(x: Exchange, socket: Socket, handed: Handed, run = (): unknown => x.run()): Promise<void> {
    try {
      const { route, session, principal, instance } = handed
      await whoLeftIsKnown()
      if (isGone(x, socket)) return
      const may = (session === undefined ? undefined : await route.before?.(session, principal)) ?? true
      if (isGone(x, socket)) return
      const refused = may === true ? undefined : may
      const moved = instance === this.#options.instance() ? undefined : new CatflapError('session_moved')
      const error = refused ?? moved
      if (!error) return void (await run())
      if (error.code === 'session_moved') x.reply.extra.push(PEER.unprocessed, '1')
      x.fail(error)
    } catch (error) {
      x.fail(asCatflapError(error))
    }
  }
}

const INSTANCE = PEER.instance.toLowerCase()
const PRINCIPAL = PEER.principal.toLowerCase()
const PIPE = PEER.pipe.toLowerCase()
const HELD = PEER.held.toLowerCase()
const CLIENT = PEER.client.toLowerCase()

function exchangeOf({ route, query, principal, pipe }: Handed, req: IncomingMessage, reply: HttpReply): Exchange {
  const { socket, rawHeaders } = req
  const address = getHeader(rawHeaders, CLIENT)
  const headers = withoutPeerHeaders(rawHeaders, true)
  const x = new Exchange(pipe ? route.pipes : route.core, reply, {
    method: req.method ?? 'GET',
    path: req.url ?? '/',
    headers,
    remoteAddress: address !== undefined && isIP(address) ? address : socket.remoteAddress,
    encrypted: true
  })
  x.principal = principal
  x.fromPeer = true
  x.query = query
  x.headers = forwardableRequestHeaders(headers)
  x.version = getHeader(headers, VERSION_HEADER)
  return x
}

function refuse(reply: HttpReply, error: CatflapError): void {
  if (error.code === 'session_moved') reply.extra.push(PEER.unprocessed, '1')
  reply.fail(error, undefined)
}

/**
 * A process that was stopped for a while finds in its sockets what was said meanwhile, that somebody has left among it, which comes to light one
 * turn of the event loop behind what they had asked. The first of these two ends the turn that has brought the request.
 */
async function whoLeftIsKnown(): Promise<void> {
  await turn()
  await turn()
}

/** Nobody waits for it, and whoever did may have asked somebody else since. */
function isGone(x: Exchange, socket: Socket): boolean {
  if (x.ended) return true
  if (!socket.destroyed && socket.writable && !socket.readableEnded) return false
  x.abandon('client-gone')
  return true
}
