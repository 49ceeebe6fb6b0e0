/**
 * A server that the test holds in its hands, the same on every transport: `initialize` is answered by itself, with the
 * revision that was asked for; what else comes waits for the test to answer it.
 */
import { createServer, type Socket } from 'node:net'
import type { Test } from 'tap'
import type { TargetOptions } from '../../src/index.ts'
import type { RawExchange } from '../fixtures/servers/raw-exchange.ts'
import { type RawHttpServer, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { handshakeOf, methodOf } from '../fixtures/servers/raw-json.ts'
import { startRawSse } from '../fixtures/servers/raw-sse.ts'
import { Inbox } from '../helpers/wait.ts'

export type Wire = 'http' | 'sse' | 'stdio'

// biome-ignore lint/suspicious/noExplicitAny: tests look into messages of every shape
export type Json = any

/** What a client said: one message, or a batch. */
export interface Heard {
  readonly text: string
  readonly json: Json
  /** Over HTTP: the POST it came with. */
  readonly http: RawExchange | undefined
  /** Says something before the answer: over HTTP on the stream of this request. */
  tell(message: object): void
  /** The answer, after which nothing comes. Over HTTP an array is one body, or one event where a stream has begun. */
  answer(message: object): void
}

export interface PairServer {
  readonly target: TargetOptions
  readonly heard: Inbox<Heard>
  /** Says something on its own account: over HTTP on the GET stream. */
  tell(message: object): Promise<void>
  /** Breaks every connection: the child ends, streams are cut. */
  break(): Promise<void>
  /** Over HTTP and HTTP+SSE. */
  readonly http: RawHttpServer | undefined
  /** GET streams of Streamable HTTP. */
  readonly streams: Inbox<RawExchange>
}

export const SESSION = 'the-server-s-own-session-id'

export function pairServer(t: Test, wire: Wire): Promise<PairServer> {
  return { http: httpServer, sse: sseServer, stdio: stdioServer }[wire](t)
}

/** What one waits for in turn, whatever notifications of the handshake came before. */
function isOfInterest(text: string): boolean {
  return text.startsWith('[') || methodOf(text) !== 'notifications/initialized'
}

async function httpServer(t: Test): Promise<PairServer> {
  const heard = new Inbox<Heard>('what the server hears')
  const streams = new Inbox<RawExchange>('GET streams')
  const server = await startRawHttp(x => {
    if (x.method === 'DELETE') return void x.head(200).end()
    if (x.method === 'GET') {
      streams.push(x.sse())
      return
    }
    if (!x.text.startsWith('[') && methodOf(x.text) === 'initialize')
      return x.json(200, handshakeOf(x.text), ['Mcp-Session-Id', SESSION])
    const json = JSON.parse(x.text) as Json
    const asks = [json].flat().some(m => m.method !== undefined && m.id !== undefined)
    if (!asks) x.head(202).end()
    if (isOfInterest(x.text)) heard.push(overHttp(x, json))
  })
  t.teardown(() => server.close())
  const tell = async (message: object): Promise<void> => {
    const stream = await streams.until(() => true)
    await stream.sendMessage(message)
  }
  const target = { url: server.url }
  return { target, heard, tell, break: () => breakOff(server), http: server, streams }
}

async function breakOff(server: RawHttpServer): Promise<void> {
  for (const exchange of server.exchanges) exchange.cut()
}

function overHttp(x: RawExchange, json: Json): Heard {
  let streaming = false
  return {
    text: x.text,
    json,
    http: x,
    tell(message) {
      if (!streaming) x.sse()
      streaming = true
      void x.sendMessage(message)
    },
    answer(message) {
      if (!streaming) return x.json(200, message)
      void x.sendMessage(message)
      x.end()
    }
  }
}

async function sseServer(t: Test): Promise<PairServer> {
  const heard = new Inbox<Heard>('what the server hears')
  const server = await startRawSse({
    post(x) {
      x.respond(202, 'text/plain', 'Accepted')
      if (!x.text.startsWith('[') && methodOf(x.text) === 'initialize') return void server.tell(handshakeOf(x.text))
      if (isOfInterest(x.text)) heard.push(onPipe(x.text, x, server.tell))
    }
  })
  t.teardown(() => server.close())
  const cut = (): Promise<void> => breakOff(server.http)
  const target = { url: server.url }
  return { target, heard, tell: server.tell, break: cut, http: server.http, streams: new Inbox('no streams') }
}

function onPipe(text: string, http: RawExchange | undefined, tell: (message: object) => unknown): Heard {
  return {
    text,
    json: JSON.parse(text) as Json,
    http,
    tell: message => void tell(message),
    answer: message => void tell(message)
  }
}

/** The child only carries what it reads and writes to this process and back. */
const CARRIER = `const s = require('node:net').connect(Number(process.argv[1]), '127.0.0.1')
process.stdin.pipe(s); s.pipe(process.stdout); s.on('close', () => process.exit(0)); s.on('error', () => process.exit(1))`

async function stdioServer(t: Test): Promise<PairServer> {
  const heard = new Inbox<Heard>('what the server hears')
  const sockets = new Inbox<Socket>('children')
  const tell = async (message: object): Promise<void> => write(await sockets.until(() => true), message)
  const server = createServer(socket => {
    sockets.push(socket)
    socket.on('error', () => {})
    let pending = ''
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      const lines = (pending + chunk).split('\n')
      pending = lines.pop() ?? ''
      for (const line of lines) {
        if (!line.startsWith('[') && methodOf(line) === 'initialize') write(socket, handshakeOf(line))
        else if (isOfInterest(line)) heard.push(onPipe(line, undefined, message => write(socket, message)))
      }
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of sockets.items) socket.destroy()
    return new Promise<void>(resolve => server.close(() => resolve()))
  })
  const { port } = server.address() as { port: number }
  const target = { command: process.execPath, args: ['-e', CARRIER, String(port)] }
  const end = async (): Promise<void> => void (await sockets.until(() => true)).destroy()
  return { target, heard, tell, break: end, http: undefined, streams: new Inbox('no streams') }
}

function write(socket: Socket, message: object | string): void {
  socket.write(`${typeof message === 'string' ? message : JSON.stringify(message)}\n`)
}
