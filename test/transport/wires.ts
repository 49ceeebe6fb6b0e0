/** One server, four ways to speak to it: HTTP/1.1 and HTTP/2, on clear text and over TLS. */
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2'
import { request as httpsRequest, type RequestOptions } from 'node:https'
import type { Readable, Writable } from 'node:stream'
import type { Test } from 'tap'
import type { HttpReply } from '../../src/transport/downstream/http-reply.ts'
import {
  HttpServer,
  type HttpServerOptions,
  type RequestHandler,
  type Upgrades
} from '../../src/transport/downstream/http-server.ts'
import { CA, SERVER_TLS } from '../fixtures/tls/certificates.ts'
import { Inbox, within } from '../helpers/wait.ts'

export interface Wire {
  readonly name: string
  readonly tls: boolean
  readonly http2: boolean
}

export const WIRES: readonly Wire[] = [
  { name: 'HTTP/1.1', tls: false, http2: false },
  { name: 'HTTP/1.1 over TLS', tls: true, http2: false },
  { name: 'HTTP/2 with prior knowledge', tls: false, http2: true },
  { name: 'HTTP/2 over TLS', tls: true, http2: true }
]

export const TLS = { certificate: SERVER_TLS.cert, key: SERVER_TLS.key }

export interface Served {
  readonly server: HttpServer
  readonly port: number
}

/** A server of both protocols, on the wire's kind of socket. */
export async function serve(
  t: Test,
  wire: Pick<Wire, 'tls'>,
  handler: RequestHandler,
  options: Partial<HttpServerOptions> = {},
  upgrades?: Upgrades
): Promise<Served> {
  const server = new HttpServer(
    {
      host: '127.0.0.1',
      port: 0,
      maxConnections: 100,
      maxHeaderSize: 16 * 1024,
      maxBody: 1024 * 1024,
      clientTimeout: 10_000,
      streamAfter: 1_000,
      keepAlive: 0,
      http2: true,
      ...(wire.tls && { tls: TLS }),
      ...options
    },
    handler,
    upgrades
  )
  const { port } = await server.listen()
  t.teardown(async () => {
    await server.close()
    if (server.connections + server.streams > 0) throw new Error(`left: ${server.connections}, ${server.streams}`)
  })
  return { server, port }
}

export interface Asked {
  readonly method?: string
  readonly path?: string
  readonly headers?: Record<string, string | readonly string[]>
  /** Undefined: `body` is left open for the test to write to. */
  readonly body?: string | Buffer | undefined
  /** Nothing at all comes behind the head. */
  readonly bodiless?: boolean
}

export interface Answer {
  readonly status: number
  readonly headers: Record<string, string | readonly string[] | undefined>
  readonly chunks: Inbox<Buffer>
  /** All that has come so far. */
  heard(): string
  until(text: string): Promise<unknown>
  readonly ended: Promise<'end' | 'aborted'>
  /** The whole body. */
  text(): Promise<string>
  pause(): void
  resume(): void
}

export interface Asking {
  readonly body: Writable
  readonly head: Promise<Answer>
  /** The head, unread: nothing of the body is taken off the wire. */
  readonly unread: Promise<{ readonly status: number; readonly stream: Readable }>
  /** Goes away. */
  leave(): void
}

export interface Client {
  ask(asked: Asked): Asking
  /** The whole answer. */
  get(asked?: Asked): Promise<{ readonly status: number; readonly headers: Answer['headers']; readonly text: string }>
  /** Of HTTP/2. */
  readonly session: ClientHttp2Session | undefined
  close(): void
}

/** A client with one connection (HTTP/2) or one for each request (HTTP/1.1). */
export function client(t: Test, wire: Wire, port: number, tls: object = {}): Client {
  const made = wire.http2 ? http2Client(wire, port, tls) : http1Client(wire, port, tls)
  t.teardown(() => made.close())
  const get: Client['get'] = async (asked = {}) => {
    const { head } = made.ask(asked.body === undefined ? { bodiless: true, ...asked } : asked)
    const answer = await head
    const { status, headers } = answer
    return { status, headers, text: await answer.text() }
  }
  return { ...made, get }
}

const SIGHT = { what: 'the head of an answer' }

function http1Client(wire: Wire, port: number, tls: object): Omit<Client, 'get'> {
  const open = new Set<ReturnType<typeof httpRequest>>()
  const ask = ({ method = 'GET', path = '/', headers = {}, body, bodiless }: Asked): Asking => {
    const send = wire.tls ? httpsRequest : httpRequest
    const options = {
      port,
      host: 'localhost',
      family: 4,
      method,
      path,
      headers: { ...headers },
      agent: false,
      ca: CA,
      ...tls
    }
    const req = send(options as RequestOptions)
    open.add(req)
    req.once('close', () => open.delete(req))
    const unread = new Promise<{ status: number; stream: Readable; headers: IncomingMessage['headers'] }>(
      (resolve, reject) => {
        req.once('response', res => resolve({ status: res.statusCode ?? 0, stream: res, headers: res.headers }))
        req.on('error', reject)
        req.once('close', () => reject(new Error('closed before an answer')))
      }
    )
    if (body !== undefined || bodiless) req.end(body)
    else req.flushHeaders()
    return asking(req, unread, () => void req.destroy())
  }
  return { ask, session: undefined, close: () => open.forEach(req => void req.destroy()) }
}

function http2Client(wire: Wire, port: number, tls: object): Omit<Client, 'get'> {
  const session = connectHttp2(`http${wire.tls ? 's' : ''}://localhost:${port}`, { ca: CA, ...tls })
  session.on('error', () => {})
  const ask = ({ method = 'GET', path = '/', headers = {}, body, bodiless }: Asked): Asking => {
    const leaving = new AbortController()
    const head = { ':method': method, ':path': path, ...headers }
    const stream = session.request(head, { endStream: bodiless === true, signal: leaving.signal })
    const unread = new Promise<{ status: number; stream: Readable; headers: Answer['headers'] }>((resolve, reject) => {
      stream.once('response', head => resolve({ status: head[':status'] ?? 0, stream, headers: head }))
      stream.on('error', reject)
      stream.once('close', () => reject(new Error('closed before an answer')))
    })
    if (body !== undefined) stream.end(body)
    // close() would end the body in order first.
    return asking(stream, unread, () => leaving.abort())
  }
  return { ask, session, close: () => session.destroy() }
}

function asking(
  body: Writable,
  unread: Promise<{ status: number; stream: Readable; headers: Answer['headers'] }>,
  leave: () => void
): Asking {
  unread.catch(() => {})
  body.on('error', () => {})
  let head: Promise<Answer> | undefined
  return {
    body,
    leave,
    get unread() {
      return within(unread, SIGHT)
    },
    get head() {
      head ??= within(unread, SIGHT).then(({ status, stream, headers }) => read(status, headers, stream))
      return head
    }
  }
}

function read(status: number, headers: Answer['headers'], stream: Readable): Answer {
  const chunks = new Inbox<Buffer>('chunks')
  const ended = new Promise<'end' | 'aborted'>(resolve => {
    // A stream of HTTP/2 that was reset by its server says 'end', too.
    stream.once('end', () => setImmediate(() => resolve(wasReset(stream) ? 'aborted' : 'end')))
    stream.once('close', () => setImmediate(() => resolve('aborted')))
  })
  stream.on('error', () => {})
  stream.on('data', (chunk: Buffer) => chunks.push(chunk))
  void ended.then(how => chunks.end(how))
  const heard = () => Buffer.concat(chunks.items).toString()
  return {
    status,
    headers,
    chunks,
    heard,
    until: text => chunks.until(() => heard().includes(text)),
    get ended() {
      return within(ended, { what: 'the end of an answer' })
    },
    text: async () => {
      await within(ended, { what: 'the end of an answer' })
      return heard()
    },
    pause: () => void stream.pause(),
    resume: () => void stream.resume()
  }
}

function wasReset(stream: Readable): boolean {
  const { rstCode } = stream as Readable & { rstCode?: number }
  return rstCode !== undefined && rstCode !== 0
}

/** What a test says in the middle of an answer. */
export interface Conversation {
  readonly req: IncomingMessage
  readonly reply: HttpReply
  /** How often there was room again, and whether the client left. */
  readonly events: Inbox<'drained' | 'gone'>
  /** For the inbox, which tells what came. */
  toJSON(): string
}

/** Hands every request to the test. */
export function conversations(): { readonly handler: RequestHandler; readonly all: Inbox<Conversation> } {
  const all = new Inbox<Conversation>('requests')
  const handler: RequestHandler = (req, reply) => {
    const events = new Inbox<'drained' | 'gone'>('events of a reply')
    reply.listener = { onDrained: () => events.push('drained'), onGone: () => events.push('gone') }
    all.push({ req, reply, events, toJSON: () => `${req.method} ${req.url}` })
  }
  return { handler, all }
}

export function json(status: number, body: string, headers: readonly string[] = []) {
  return { status, headers: ['Content-Type', 'application/json', ...headers], body: Buffer.from(body) }
}
