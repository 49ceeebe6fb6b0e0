/** A passthrough between a raw server and whoever asks, without the rest of the proxy. */
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { createServer as createHttp2Server } from 'node:http2'
import { type AddressInfo, connect, type Server, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'
import { Forwarding, TrustedProxies } from '../../src/proxy/forwarded.ts'
import type { Outcome } from '../../src/proxy/interceptor.ts'
import { type SettingName, settings } from '../../src/proxy/options.ts'
import type { PageTarget } from '../../src/proxy/page-server.ts'
import { asksForWebSocket, Passthrough, type PassthroughOptions } from '../../src/proxy/passthrough.ts'
import { type RawHttpServer, type Script, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { Inbox, waitFor } from '../helpers/wait.ts'

export interface PassDoor {
  readonly passthrough: Passthrough
  /** Without a path. */
  readonly url: string
  readonly port: number
  /** How each passage ended. */
  readonly ended: Inbox<Outcome>
  /** Paths of requests that were for somebody else. */
  readonly others: string[]
  /** Answers under way, as the passthrough got them to write. */
  readonly answers: readonly ServerResponse[]
}

export type PassOptions = Partial<Omit<PassthroughOptions, 'settings' | 'targets'>> &
  Omit<PageTarget, 'url'> & {
    readonly settings?: Partial<Record<SettingName, number>>
    readonly http2?: boolean
  }

export async function passDoor(t: Test, target: string, options: PassOptions = {}): Promise<PassDoor> {
  const { http2 = false, settings: given, headers, ca, insecure, ...rest } = options
  const passthrough = new Passthrough({
    route: '/everything/mcp',
    targets: [{ url: new URL(target), headers, ca, insecure }],
    paths: ['/everything/*', '/health', '/.well-known/*'],
    via: 'catflap',
    forwarded: new Forwarding({ trusted: new TrustedProxies(), name: 'catflap' }),
    ...rest,
    settings: settings(given)
  })
  const ended = new Inbox<Outcome>('outcomes')
  const others: string[] = []
  const answers: ServerResponse[] = []
  const note = (outcome: Outcome): void => ended.push(outcome)
  const handler = (req: IncomingMessage, res: ServerResponse): void => {
    answers.push(res)
    if (passthrough.handles(req.url ?? '')) return passthrough.web(req, res, note)
    others.push(req.url ?? '')
    res.writeHead(404).end()
  }
  const server = http2
    ? createHttp2Server(handler as never)
    : createServer({ shouldUpgradeCallback: asksForWebSocket }, handler).on('upgrade', (req, socket, head) =>
        passthrough.upgrade(req, socket as Socket, head, note)
      )
  const port = await listen(t, server)
  t.teardown(() => passthrough.close())
  return { passthrough, url: `http://127.0.0.1:${port}`, port, ended, others, answers }
}

/** Behind it a server that is told by scripts what to answer. */
export async function rawPass(
  t: Test,
  script?: Script,
  options: PassOptions = {}
): Promise<PassDoor & { readonly server: RawHttpServer }> {
  trackLeaks(t)
  const server = await startRawHttp(script)
  t.teardown(() => server.close())
  return { server, ...(await passDoor(t, server.url, options)) }
}

/** Listens until the test is over; returns the port. */
export async function listen(t: Test, server: Server): Promise<number> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => sockets.delete(socket))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(async () => {
    const closed = new Promise(resolve => server.close(resolve))
    for (const socket of sockets) socket.destroy()
    await closed
  })
  return (server.address() as AddressInfo).port
}

/** A body of a length that nobody announces. */
export async function sendChunked(
  url: string,
  method: string,
  body: string | Buffer
): Promise<{ status?: number; text: string }> {
  const req = request(url, { method, agent: false, headers: { 'transfer-encoding': 'chunked' } })
  req.end(body)
  const [res] = (await waitFor(req, 'response')) as [IncomingMessage]
  return { status: res.statusCode, text: await text(res) }
}

/** A connection to talk on by hand. */
export interface Line {
  readonly socket: Socket
  readonly heard: () => string
  /** What was heard once it matches. */
  until(pattern: RegExp): Promise<string>
  readonly closed: Promise<void>
}

export async function dial(t: Test, port: number, first: string): Promise<Line> {
  const chunks = new Inbox<string>('bytes')
  let heard = ''
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  socket.on('error', () => {})
  socket.on('data', chunk => {
    heard += chunk.toString('latin1')
    chunks.push(heard)
  })
  const closed = new Promise<void>(resolve => socket.once('close', () => resolve()))
  void closed.then(() => chunks.end('closed'))
  socket.write(first)
  return { socket, heard: () => heard, until: pattern => chunks.until(text => pattern.test(text)), closed }
}

export const ASK = [
  'GET /everything/chat HTTP/1.1',
  'Host: front.test',
  'Connection: keep-alive, Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  'Origin: https://front.test'
]

export const asking = (...more: string[]): string => `${[...ASK, ...more].join('\r\n')}\r\n\r\n`
