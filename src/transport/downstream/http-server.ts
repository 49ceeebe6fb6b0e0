import type { IncomingMessage, Server } from 'node:http'
import { type AddressInfo, Server as NetServer, type Socket } from 'node:net'
import { CatflapError } from '../../errors.ts'
import { Queue } from '../../queue.ts'
import { createServer } from '../node-http.ts'
import { Turn } from '../turn.ts'
import { HttpReply } from './http-reply.ts'

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
}

export type RequestHandler = (req: IncomingMessage, reply: HttpReply) => void

/** The listener clients connect to. It knows HTTP and its limits, and nothing of MCP. */
export class HttpServer {
  readonly #server: Server
  readonly #options: HttpServerOptions
  readonly #streams = new Set<HttpReply>()
  readonly #sockets = new Set<Socket>()
  /** Answers that have begun and are not yet with the kernel. */
  readonly #open = new Queue<HttpReply>()
  readonly #turn = new Turn<HttpReply>(reply => reply.flush())
  /** Connections beyond the limit that were told so. */
  readonly #leaving = new Set<Socket>()
  /** Of connections that are closed. */
  readonly #past = { read: 0, written: 0 }
  /** What was refused before anybody else heard of it, by code. */
  readonly refusals = { too_many_connections: 0, bad_http: 0, headers_too_large: 0, request_timeout: 0 }
  #ticker: NodeJS.Timeout | undefined

  constructor(options: HttpServerOptions, handler: RequestHandler) {
    this.#options = options
    const replyOptions = {
      streamAfter: options.streamAfter,
      open: this.#open,
      streams: this.#streams,
      turn: this.#turn
    }
    this.#server = createServer(
      {
        maxHeaderSize: options.maxHeaderSize,
        requestTimeout: options.clientTimeout,
        headersTimeout: options.clientTimeout,
        connectionsCheckingInterval: Math.max(100, Math.min(options.clientTimeout / 4, 10_000)),
        // Longer than what clients and load balancers keep, so that they close first and no request meets a closing socket.
        keepAliveTimeout: 75_000,
        noDelay: true
      },
      (req, res) => {
        // It has had its answer; what it asks must not be done besides.
        if (this.#leaving.has(req.socket)) return
        handler(req, new HttpReply(res, replyOptions))
      }
    )
    this.#server.maxRequestsPerSocket = 0
    this.#server.on('connection', socket => this.#connected(socket))
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket) => this.#refuse(error, socket as Socket))
  }

  get connections(): number {
    return this.#sockets.size
  }

  get streams(): number {
    return this.#streams.size
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

  /** Rejects with the system's error (EADDRINUSE, EACCES …). */
  async listen(): Promise<AddressInfo> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(this.#options.port, this.#options.host, () => {
        this.#server.off('error', reject)
        resolve()
      })
    })
    if (this.#options.keepAlive > 0)
      this.#ticker = setInterval(() => this.#keepAlive(), Math.max(10, this.#options.keepAlive / 5))
    return this.#server.address() as AddressInfo
  }

  /** Accepts no more connections. Those that are open stay: a call in flight may need its client's answer on one of them. */
  stopAccepting(): void {
    // http.Server's own close() would end idle connections at once.
    if (this.#server.listening) NetServer.prototype.close.call(this.#server)
  }

  /** Resolves when every answer that has been given is on its way, or after `ms`. */
  async flushed(ms: number): Promise<void> {
    this.#turn.flush()
    const ending = [...this.#open].map(reply => reply.res).filter(res => res.writableEnded && !res.writableFinished)
    if (ending.length === 0) return
    let timer: NodeJS.Timeout | undefined
    const late = new Promise(resolve => {
      timer = setTimeout(resolve, ms)
    })
    await Promise.race([late, Promise.all(ending.map(res => new Promise(resolve => res.once('close', resolve))))])
    clearTimeout(timer)
  }

  /** Closes everything that is still open and resolves when it is. */
  async close(): Promise<void> {
    clearInterval(this.#ticker)
    this.#server.close(() => {})
    // `closed` turns true before 'close' is emitted; what stands in these sets has not emitted it yet.
    const open = [...this.#sockets, ...this.#leaving]
    const closed = open.map(socket => new Promise(resolve => socket.once('close', resolve)))
    this.#server.closeAllConnections()
    for (const socket of open) socket.destroy()
    await Promise.all(closed)
  }

  #connected(socket: Socket): void {
    if (this.#sockets.size >= this.#options.maxConnections) {
      this.refusals.too_many_connections++
      this.#leave(socket, rawAnswer(new CatflapError('too_many_connections'), ['Retry-After: 1']))
      return
    }
    this.#sockets.add(socket)
    socket.on('close', () => {
      this.#sockets.delete(socket)
      this.#past.read += socket.bytesRead
      this.#past.written += socket.bytesWritten
    })
  }

  #refuse(error: NodeJS.ErrnoException, socket: Socket): void {
    if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
    // Told already, or about to be.
    if (this.#leaving.has(socket)) return
    this.#turn.flush()
    const open = [...this.#open].map(({ res }) => res).filter(res => res.req.socket === socket)
    // Into the middle of an answer nothing may be written.
    if (open.some(res => res.headersSent && !res.writableEnded)) return void socket.destroy()
    const reason = badHttp(error)
    this.refusals[reason.code as 'bad_http']++
    const refusal = rawAnswer(reason, [])
    // What came whole before is answered first (RFC 9112 §9.3.2).
    const last = open.filter(res => res.req.complete).at(-1)
    if (!last) return this.#leave(socket, refusal)
    this.#leaving.add(socket)
    socket.once('close', () => this.#leaving.delete(socket))
    last.once('finish', () => this.#leave(socket, refusal))
  }

  /**
   * Says a last word. What the client still sends is read and thrown away for a moment: closing on unread bytes would reset
   * the connection, and the answer could be lost with it.
   */
  #leave(socket: Socket, answer: string): void {
    socket.on('error', () => {})
    if (this.#leaving.size >= MAX_LEAVING) {
      socket.end(answer, () => socket.destroy())
      return
    }
    this.#leaving.add(socket)
    const timer = setTimeout(() => socket.destroy(), LEAVING)
    socket.once('close', () => {
      clearTimeout(timer)
      this.#leaving.delete(socket)
    })
    socket.end(answer)
    socket.resume()
  }

  #keepAlive(): void {
    const due = performance.now() - this.#options.keepAlive
    for (const stream of this.#streams) if (stream.lastWrite <= due) stream.keepAlive()
  }
}

/** Refused connections that are given a moment (ms) to read why; more are closed at once. */
const MAX_LEAVING = 256
const LEAVING = 1_000

function badHttp(error: NodeJS.ErrnoException): CatflapError {
  if (error.code === 'HPE_HEADER_OVERFLOW') return new CatflapError('headers_too_large')
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') return new CatflapError('request_timeout')
  return new CatflapError('bad_http')
}

const PHRASES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
  503: 'Service Unavailable'
}

function rawAnswer(error: CatflapError, headers: readonly string[]): string {
  const body = error.toJsonRpc().toString()
  const lines = [
    `HTTP/1.1 ${error.status} ${PHRASES[error.status] ?? 'Error'}`,
    'Content-Type: application/json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
    ...headers
  ]
  return `${lines.join('\r\n')}\r\n\r\n${body}`
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

const EMPTY = Buffer.alloc(0)

function tooLarge(limit: number): CatflapError {
  return new CatflapError('body_too_large', `The body exceeds ${limit} bytes (--max-body).`)
}
