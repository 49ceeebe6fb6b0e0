import type { Socket } from 'node:net'
import { CatflapError } from '../../errors.ts'

/** Refused connections that are given a moment (ms) to read why; more are closed at once. */
const MAX_LEAVING = 256
const LEAVING = 1_000

/** Connections over HTTP/1.1 that are told why they end. */
export class LastWords {
  readonly #leaving = new Set<Socket>()

  get sockets(): Iterable<Socket> {
    return this.#leaving
  }

  /** It was told, or is about to be. */
  has(socket: Socket): boolean {
    return this.#leaving.has(socket)
  }

  /** It will be told. */
  expect(socket: Socket): void {
    this.#leaving.add(socket)
    socket.once('close', () => this.#leaving.delete(socket))
  }

  /**
   * Says a last word. What the client still sends is read and thrown away for a moment: closing on unread bytes would reset
   * the connection, and the answer could be lost with it.
   */
  say(socket: Socket, answer: string): void {
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
}

/** What Node's HTTP/1.1 parser found wrong. */
export function badHttp(error: NodeJS.ErrnoException): CatflapError {
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

/** A whole answer as bytes, where no request is there to be answered. */
export function rawAnswer(error: CatflapError, headers: readonly string[]): string {
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
