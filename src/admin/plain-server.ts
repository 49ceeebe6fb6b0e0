import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { CatflapError } from '../errors.ts'
import { createServer } from '../transport/node-http.ts'
import { PROBLEM_TYPE, problemOf } from './problem.ts'

/** Few have business here, so that little is kept for those who only occupy it. */
const LIMITS = {
  connections: 64,
  /** Bytes. */
  headerSize: 16 * 1024,
  /** For a whole request, in ms. */
  request: 10_000,
  /** Nothing read and nothing written on a connection, in ms: also by who asks and does not read. */
  silence: 30_000,
  /** For who was refused to read why, in ms. */
  leaving: 1_000
}

/** A small HTTP/1.1 server for operators and probes, with bounds on all that one can do to it. */
export class PlainServer {
  readonly #server: Server
  /** In the order in which they came. */
  readonly #sockets = new Set<Socket>()
  /** Of these, the ones that are being answered. */
  readonly #busy = new Set<Socket>()

  constructor(handler: (req: IncomingMessage, res: ServerResponse) => void, limits: Partial<typeof LIMITS> = {}) {
    const { connections, headerSize, request, silence, leaving } = { ...LIMITS, ...limits }
    this.#server = createServer({
      maxHeaderSize: headerSize,
      requestTimeout: request,
      headersTimeout: request,
      connectionsCheckingInterval: Math.max(50, Math.min(1_000, request / 4)),
      keepAliveTimeout: request,
      noDelay: true
    })
    this.#server.timeout = silence
    this.#server.on('request', (req: IncomingMessage, res: ServerResponse) => {
      this.#busy.add(req.socket)
      res.once('close', () => this.#busy.delete(req.socket))
      handler(req, res)
    })
    // No request here has a body, so that nobody is told to go on and send one.
    this.#server.on('checkContinue', handler)
    this.#server.on('clientError', (error, socket) => refuse(error, socket as Socket, leaving))
    this.#server.on('connection', socket => {
      this.#sockets.add(socket)
      if (this.#sockets.size > connections) this.#dropOldest(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
  }

  /** Rejects with the system's error (EADDRINUSE, EACCES …). */
  async listen(host: string, port: number): Promise<AddressInfo> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(port, host, () => {
        this.#server.off('error', reject)
        resolve()
      })
    })
    return this.#server.address() as AddressInfo
  }

  /** Connections on which nothing is asked must not keep probes out: the oldest of them makes room. */
  #dropOldest(newest: Socket): void {
    for (const socket of this.#sockets) if (socket !== newest && !this.#busy.has(socket)) return void socket.destroy()
    newest.destroy()
  }

  /** Closes everything that is open and resolves when it is. */
  async close(): Promise<void> {
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }
}

/** What came is no request: says so, and gives the other side a moment to read it. */
function refuse(error: NodeJS.ErrnoException, socket: Socket, leaving: number): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
  socket.on('error', () => {})
  const timer = setTimeout(() => socket.destroy(), leaving)
  socket.once('close', () => clearTimeout(timer))
  socket.end(rawAnswer(reasonOf(error)))
  // Closing on unread bytes would reset the connection, and the answer could be lost with it.
  socket.resume()
}

function reasonOf({ code }: NodeJS.ErrnoException): CatflapError {
  if (code === 'HPE_HEADER_OVERFLOW')
    return new CatflapError('headers_too_large', `The headers exceed ${LIMITS.headerSize} bytes.`)
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return new CatflapError('request_timeout', 'The request did not come whole in time.')
  return new CatflapError('bad_http')
}

function rawAnswer(error: CatflapError): string {
  const problem = problemOf(error)
  const body = JSON.stringify(problem)
  const lines = [
    `HTTP/1.1 ${problem.status} ${problem.title}`,
    `Content-Type: ${PROBLEM_TYPE}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    'Connection: close'
  ]
  return `${lines.join('\r\n')}\r\n\r\n${body}`
}
