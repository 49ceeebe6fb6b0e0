import type { IncomingMessage, Server } from 'node:http'
import { type AddressInfo, Server as NetServer, type Socket } from 'node:net'
import { CatflapError } from '../../errors.ts'
import { Queue } from '../../queue.ts'
import { createServer } from '../node-http.ts'
import { Turn } from '../turn.ts'
import { HttpReply, type HttpReplyOptions } from './http-reply.ts'
import type { Http2Door } from './http2-door.ts'
import { badHttp, LastWords, rawAnswer } from './last-word.ts'
import type { TlsDoor, TlsKeys, TlsTexts } from './tls-door.ts'

export interface HttpServerOptions {
  readonly host: string
  /** 0: any free one. */
  readonly port: number
  readonly maxConnections: number
  /** Bytes of a request's headers. */
  readonly maxHeaderSize: number
  readonly maxBody: number
  /** How long a client may take to send a whole request, in ms. */
  readonly clientTimeout: number
  readonly streamAfter: number
  /** Silence on an SSE stream before a comment is written, in ms; 0: never. */
  readonly keepAlive: number
  /** Default: clear text. */
  readonly tls?: TlsTexts | TlsKeys
  /** HTTP/2 beside HTTP/1.1: by ALPN over TLS, with prior knowledge on clear text. Default false. */
  readonly http2?: boolean
  /** Connections are accepted, and nothing is read of them until `admit`. Default false. */
  readonly held?: boolean
}

/** Over HTTP/2, `req` has what catflap reads of Node's IncomingMessage (`Http2Request`); `HttpReply.handOver` gives the rest. */
export type RequestHandler = (req: IncomingMessage, reply: HttpReply) => void

/** What becomes of requests for another protocol, over HTTP/1.1. One that is not wanted is answered like any other. */
export interface Upgrades {
  wants(req: IncomingMessage): boolean
  /** The socket is closed with the server. */
  take(req: IncomingMessage, socket: Socket, head: Buffer): void
}

/** Longer than what clients and load balancers keep, so that they close first and no request meets a closing socket. */
const IDLE_TIMEOUT = 75_000

/** The listener clients connect to. It knows HTTP and its limits, and nothing of MCP. */
export class HttpServer {
  readonly #server: Server
  /** What listens. The same, where every connection is HTTP/1.1 on clear text. */
  #front: NetServer
  readonly #options: HttpServerOptions
  readonly #replies: HttpReplyOptions
  readonly #handler: RequestHandler
  #tls: TlsDoor | undefined
  #http2: Http2Door | undefined
  readonly #streams = new Set<HttpReply>()
  readonly #sockets = new Set<Socket>()
  /** Answers that have begun and are not yet with the kernel. */
  readonly #open = new Queue<HttpReply>()
  readonly #turn = new Turn<HttpReply>(reply => reply.flush())
  readonly #lastWords = new LastWords()
  /** Of connections that are closed. */
  readonly #past = { read: 0, written: 0 }
  /** What was refused before anybody else heard of it, by code. */
  readonly refusals = {
    too_many_connections: 0,
    bad_http: 0,
    headers_too_large: 0,
    request_timeout: 0,
    tls_handshake: 0
  }
  #ticker: NodeJS.Timeout | undefined
  #leaving = false
  #held: Socket[] | undefined

  constructor(options: HttpServerOptions, handler: RequestHandler, upgrades?: Upgrades) {
    this.#options = options
    this.#handler = handler
    const replyOptions: HttpReplyOptions = {
      streamAfter: options.streamAfter,
      open: this.#open,
      streams: this.#streams,
      turn: this.#turn
    }
    this.#replies = replyOptions
    this.#server = createServer(
      {
        maxHeaderSize: options.maxHeaderSize,
        requestTimeout: options.clientTimeout,
        headersTimeout: options.clientTimeout,
        connectionsCheckingInterval: Math.max(100, Math.min(options.clientTimeout / 4, 10_000)),
        keepAliveTimeout: IDLE_TIMEOUT,
        noDelay: true,
        ...(upgrades && { shouldUpgradeCallback: (req: IncomingMessage) => this.#mayUpgrade(upgrades, req) })
      },
      (req, res) => {
        // It has had its answer; what it asks must not be done besides.
        if (this.#lastWords.has(req.socket)) return
        if (this.#leaving) res.shouldKeepAlive = false
        const reply = new HttpReply(res, replyOptions)
        if (namesTwoHosts(req.rawHeaders)) return this.#refuseHosts(reply)
        handler(req, reply)
      }
    )
    this.#server.maxRequestsPerSocket = 0
    if (upgrades)
      this.#server.on('upgrade', (req, socket, head) => this.#upgrade(upgrades, req, socket as Socket, head))
    // Without this, Node would close the connection on the answers that are still due.
    this.#server.on('connect', (_req, socket) =>
      this.#refuseSwitch(socket as Socket, 'CONNECT is not served: catflap is no tunnel.')
    )
    if (options.held) this.#held = []
    const plain = !options.tls && !options.http2 && !options.held
    this.#front = plain ? this.#server : new NetServer({ allowHalfOpen: true, noDelay: true })
    this.#front.on('connection', socket => this.#connected(socket))
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket) => this.#refuse(error, socket as Socket))
  }

  get connections(): number {
    return this.#sockets.size
  }

  get streams(): number {
    return this.#streams.size
  }

  /** Answers that have begun and are not yet with the kernel. */
  get open(): Iterable<HttpReply> & { readonly size: number } {
    return this.#open
  }

  get refused(): number {
    return this.refusals.too_many_connections
  }

  /** Bytes on connections so far. */
  get traffic(): { readonly read: number; readonly written: number } {
    let { read, written } = this.#past
    for (const socket of this.#sockets) {
      read += socket.bytesRead
      written += socket.bytesWritten
    }
    return { read, written }
  }

  /** Throws a TypeError for certificates that cannot be used. `listen` does it otherwise. */
  async prepare(): Promise<void> {
    if (this.#front !== this.#server) await this.#openDoors()
  }

  /** Rejects with the system's error (EADDRINUSE, EACCES …), or a TypeError for certificates that cannot be used. */
  async listen(port = this.#options.port): Promise<AddressInfo> {
    await this.prepare()
    await new Promise<void>((resolve, reject) => {
      this.#front.once('error', reject)
      this.#front.listen(port, this.#options.host, () => {
        this.#front.off('error', reject)
        resolve()
      })
    })
    return this.#begin()
  }

  /**
   * Listens where another one does, instead of it: nobody who connects meanwhile is turned away. For servers that were `held`, once
   * this one is prepared.
   */
  takeOver(other: HttpServer): AddressInfo {
    const own = this.#front
    this.#front = other.#front
    other.#front = own
    for (const server of [this, other]) {
      server.#front.removeAllListeners('connection')
      server.#front.on('connection', socket => server.#connected(socket))
    }
    return this.#begin()
  }

  #begin(): AddressInfo {
    // It gets its connections from us; this has it look after those that say too little, as if it had accepted them.
    if (this.#front !== this.#server) this.#server.emit('listening')
    if (this.#options.keepAlive > 0)
      this.#ticker ??= setInterval(() => this.#keepAlive(), Math.max(10, this.#options.keepAlive / 5))
    return this.#front.address() as AddressInfo
  }

  /** Where it listens, once it does. */
  get address(): AddressInfo | undefined {
    return (this.#front.address() as AddressInfo | null) ?? undefined
  }

  /** Who has connected so far, and whoever will, is served. */
  admit(): void {
    const held = this.#held ?? []
    this.#held = undefined
    for (const socket of held) if (!socket.destroyed) this.#greet(socket)
  }

  /** Gives its port free, and nothing else: whoever is connected notices nothing. It may `listen` again. */
  pause(): void {
    // http.Server's own close() would end idle connections at once.
    if (this.#front.listening) NetServer.prototype.close.call(this.#front)
  }

  /** Other certificates, for connections from now on. Throws a TypeError, and goes on with those it has, when they cannot be used. */
  setTls(tls: TlsTexts): void {
    this.preparedTls(tls)()
  }

  /** The same in two steps: what is returned does it, and cannot fail. */
  preparedTls(tls: TlsTexts): () => void {
    if (!this.#tls) throw new TypeError('tls: this listener was opened without')
    return this.#tls.prepared(tls)
  }

  /**
   * Accepts no more connections. Those that are open stay: a call in flight may need its client's answer on one of them. Over
   * HTTP/2, clients are sent away once they have had all their answers.
   */
  stopAccepting(): void {
    this.pause()
    this.#http2?.drain()
  }

  /**
   * Accepts no more connections either, and serves those that are open until they can go without losing anything: over HTTP/1.1,
   * clients are told with their next answer to connect anew, over HTTP/2 by `sendAway`.
   */
  leave(): void {
    this.pause()
    this.#leaving = true
    for (const { res } of this.#open)
      if (!res.headersSent) (res as { shouldKeepAlive?: boolean }).shouldKeepAlive = false
  }

  /**
   * Tells clients of HTTP/2 that have asked nothing for `quiet` ms to connect anew; with 0 all. What they asked before is
   * answered; what crosses this on its way is refused as never begun, so that it may be sent again.
   */
  sendAway(quiet: number): void {
    this.#http2?.sendAway(quiet)
  }

  /** Resolves when every answer that has been given is on its way, over HTTP/2 with its client, or after `ms`. */
  async flushed(ms: number): Promise<void> {
    this.#turn.flush()
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>(resolve => {
      timer = setTimeout(resolve, ms)
    })
    await Promise.race([late, this.#allSent()])
    clearTimeout(timer)
  }

  async #allSent(): Promise<void> {
    const ending = [...this.#open].map(reply => reply.res).filter(res => res.writableEnded && !res.writableFinished)
    await Promise.all(ending.map(res => new Promise<void>(resolve => res.once('close', () => resolve()))))
    await this.#http2?.left()
  }

  /** Closes everything that is still open and resolves when it is. */
  async close(): Promise<void> {
    clearInterval(this.#ticker)
    this.#server.close(() => {})
    if (this.#front !== this.#server) this.#front.close(() => {})
    // `closed` turns true before 'close' is emitted; what stands in these sets has not emitted it yet.
    const open = [...this.#sockets, ...this.#lastWords.sockets]
    const closed = open.map(socket => new Promise(resolve => socket.once('close', resolve)))
    this.#server.closeAllConnections()
    for (const socket of open) socket.destroy()
    await Promise.all(closed)
  }

  /** Nothing of this is loaded where it is not asked for. */
  async #openDoors(): Promise<void> {
    const { tls, http2, clientTimeout, maxHeaderSize, maxBody } = this.#options
    const refused = (code: keyof HttpServer['refusals']): void => void this.refusals[code]++
    if (http2 && !this.#http2) {
      const { Http2Door } = await import('./http2-door.ts')
      const limits = { clientTimeout, maxHeaderSize, maxBody, idleTimeout: IDLE_TIMEOUT }
      this.#http2 = new Http2Door({ ...limits, replies: this.#replies, refused }, this.#handler)
    }
    if (tls && !this.#tls) {
      const { TlsDoor } = await import('./tls-door.ts')
      this.#tls = new TlsDoor(tls, {
        protocols: http2 ? ['h2', 'http/1.1'] : ['http/1.1'],
        handshakeTimeout: clientTimeout,
        secured: socket => this.#speak(socket, socket.alpnProtocol === 'h2' ? 'http2' : 'http1'),
        failed: () => refused('tls_handshake')
      })
    }
  }

  #connected(socket: Socket): void {
    if (this.#sockets.size >= this.#options.maxConnections) {
      this.refusals.too_many_connections++
      // Nothing that could be read was agreed on yet.
      if (this.#tls) return void socket.destroy()
      this.#lastWords.say(socket, rawAnswer(new CatflapError('too_many_connections'), ['Retry-After: 1']))
      return
    }
    this.#sockets.add(socket)
    socket.on('close', () => {
      this.#sockets.delete(socket)
      this.#past.read += socket.bytesRead
      this.#past.written += socket.bytesWritten
    })
    if (this.#front === this.#server) return
    // Until somebody else takes care of it.
    socket.on('error', () => {})
    if (this.#held) this.#held.push(socket)
    else this.#greet(socket)
  }

  #greet(socket: Socket): void {
    if (this.#tls) return this.#tls.accept(socket)
    if (!this.#http2) return this.#speak(socket, 'http1')
    this.#http2.hear(socket, word => {
      if (word !== 'silence') return this.#speak(socket, word)
      this.refusals.request_timeout++
      this.#lastWords.say(socket, rawAnswer(new CatflapError('request_timeout'), []))
    })
  }

  #speak(socket: Socket, protocol: 'http1' | 'http2'): void {
    if (protocol === 'http2') this.#http2?.accept(socket)
    else this.#server.emit('connection', socket)
  }

  /**
   * Behind a request whose answer is not out yet, Upgrade is ignored (RFC 9110 §7.8): the connection cannot be given away while
   * somebody still writes to it.
   */
  #mayUpgrade(upgrades: Upgrades, req: IncomingMessage): boolean {
    return upgrades.wants(req) && !namesTwoHosts(req.rawHeaders) && this.#openOn(req.socket).length === 0
  }

  #upgrade(upgrades: Upgrades, req: IncomingMessage, socket: Socket, head: Buffer): void {
    socket.on('error', () => {})
    // Before 24.9, Node asks nobody and hands over all of them.
    if (!this.#lastWords.has(socket) && this.#mayUpgrade(upgrades, req)) return upgrades.take(req, socket, head)
    this.#refuseSwitch(socket, 'This protocol is not served here. Ask without Upgrade.')
  }

  /**
   * For a connection that Node has let go of. Whoever waits on it behind another answer would not be told any more that the
   * client is gone, and nobody would read that it is.
   */
  #refuseSwitch(socket: Socket, text: string): void {
    socket.on('error', () => {})
    socket.once('end', () => socket.end())
    socket.once('close', () => {
      for (const { res } of this.#open) if (res.req.socket === socket) res.destroy()
    })
    socket.resume()
    if (this.#lastWords.has(socket)) return
    this.refusals.bad_http++
    this.#sayLast(socket, rawAnswer(new CatflapError('bad_http', text), []))
  }

  /** RFC 9112 §3.2: whoever is in front may have looked at the other one. */
  #refuseHosts(reply: HttpReply): void {
    this.refusals.bad_http++
    reply.fail(new CatflapError('bad_http', 'The request names its host twice.'), undefined)
  }

  #refuse(error: NodeJS.ErrnoException, socket: Socket): void {
    if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
    // Told already, or about to be.
    if (this.#lastWords.has(socket)) return
    this.#turn.flush()
    // Into the middle of an answer nothing may be written.
    if (this.#openOn(socket).some(res => res.headersSent && !res.writableEnded)) return void socket.destroy()
    const reason = badHttp(error)
    this.refusals[reason.code as 'bad_http']++
    this.#sayLast(socket, rawAnswer(reason, []))
  }

  /** What came whole before is answered first (RFC 9112 §9.3.2). */
  #sayLast(socket: Socket, words: string): void {
    const last = this.#openOn(socket)
      .filter(res => res.req.complete)
      .at(-1)
    if (!last) return this.#lastWords.say(socket, words)
    this.#lastWords.expect(socket)
    last.once('finish', () => this.#lastWords.say(socket, words))
  }

  /** Answers that are not yet with the kernel, the oldest first. */
  #openOn(socket: Socket): HttpReply['res'][] {
    return [...this.#open].map(({ res }) => res).filter(res => res.req.socket === socket && !res.writableFinished)
  }

  #keepAlive(): void {
    const due = performance.now() - this.#options.keepAlive
    for (const stream of this.#streams) if (stream.lastWrite <= due) stream.keepAlive()
  }
}

/**
 * The whole body, or `body_too_large`. `done` is not called when the client goes away (the reply tells that).
 * Callbacks instead of a promise: it is on the way of every message, and mostly one chunk long.
 */
export function readBody(
  req: IncomingMessage,
  limit: number,
  done: (error: CatflapError | undefined, body: Buffer) => void
): void {
  const declared = req.headers['content-length']
  if (declared !== undefined && Number(declared) > limit) {
    done(tooLarge(limit), EMPTY)
    return
  }
  let first: Buffer | undefined
  let more: Buffer[] | undefined
  let size = 0
  req.on('data', (chunk: Buffer) => {
    size += chunk.length
    if (size > limit) {
      req.pause()
      req.removeAllListeners('data')
      req.removeAllListeners('end')
      done(tooLarge(limit), EMPTY)
    } else if (!first) first = chunk
    else (more ??= [first]).push(chunk)
  })
  req.on('end', () => done(undefined, more ? Buffer.concat(more, size) : (first ?? EMPTY)))
}

function namesTwoHosts(headers: readonly string[]): boolean {
  let seen = false
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!
    if (name.length !== 4 || name.toLowerCase() !== 'host') continue
    if (seen) return true
    seen = true
  }
  return false
}

const EMPTY = Buffer.alloc(0)

function tooLarge(limit: number): CatflapError {
  return new CatflapError('body_too_large', `The body exceeds ${limit} bytes (--max-body).`)
}
