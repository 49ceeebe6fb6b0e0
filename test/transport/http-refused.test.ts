/** Requests that undici refuses to send fail alone: what they would have been sent on stays free for others. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createSecureServer } from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'
import t, { type Test } from 'tap'
import { CatflapError } from '../../src/errors.ts'
import { Message } from '../../src/protocol/message.ts'
import { HttpUpstream } from '../../src/transport/upstream/http.ts'
import { CA, SERVER_TLS } from '../fixtures/tls/certificates.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rpc } from '../helpers/rpc.ts'
import { within } from '../helpers/wait.ts'

const CONNECTIONS = 2

const WIRES = {
  'HTTP/1.1': { scheme: 'http', create: createServer },
  'HTTP/2': { scheme: 'https', create: (answer: Answer) => createSecureServer({ ...SERVER_TLS }, answer as never) }
} as const

type Answer = (req: IncomingMessage, res: ServerResponse) => void

async function setUp(t: Test, wire: keyof typeof WIRES) {
  trackLeaks(t)
  const { scheme, create } = WIRES[wire]
  const seen: string[] = []
  const sockets = new Set<Socket>()
  const server = create((req, res) => {
    seen.push(req.httpVersion)
    req.resume().on('end', () => res.writeHead(200, { 'content-type': 'application/json' }).end('{}'))
  })
  server.on(scheme === 'http' ? 'connection' : 'secureConnection', (socket: Socket) => {
    sockets.add(socket.on('error', () => {}).once('close', () => sockets.delete(socket)))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(async () => {
    const closed = new Promise(resolve => server.close(resolve))
    for (const socket of sockets) socket.destroy()
    await closed
  })
  const { port } = server.address() as AddressInfo
  const upstream = new HttpUpstream(new URL(`${scheme}://localhost:${port}/mcp`), {
    headers: [],
    connections: CONNECTIONS,
    maxPending: 64,
    connectTimeout: 5_000,
    headersTimeout: 0,
    keepAliveTimeout: 60_000,
    closeTimeout: 1_000,
    ca: CA
  })
  t.teardown(() => upstream.close())
  const call = (headers: readonly string[] = [], path?: string, kind: 'request' | 'notify' = 'request') => {
    const body = Buffer.from(JSON.stringify(rpc(1, 'x')))
    const message = Message.parse(body)
    const input = { kind, era: 'legacy', message, batch: undefined, body, headers } as const
    const ended = new Promise<number | CatflapError>((resolve, reject) => {
      let status = 0
      const onError = (error: unknown): void => (error instanceof CatflapError ? resolve(error) : reject(error))
      const onHead = (head: { readonly status: number }): void => {
        status = head.status
      }
      upstream.call(input, { onHead, onData() {}, onMessage() {}, onEnd: () => resolve(status), onError }, path)
    })
    return within(ended, { timeoutMs: 10_000, what: `the end of a call with ${JSON.stringify(headers)}` })
  }
  return { upstream, seen, call }
}

const REFUSED: readonly (readonly [headers: readonly string[], path?: string])[] = [
  [['X-Bad', 'a\u0000b']],
  [['X-Bad', 'a\u2028b']],
  [['X Bad', 'a']],
  [['Expect', '100-continue']],
  [['Transfer-Encoding', 'chunked']],
  [['Upgrade', 'h2c']],
  [['Connection', 'a b']],
  [['Content-Length', '1, 1']],
  [[], '/mcp?a b'],
  [[], '/mcp?\u2028']
]

for (const wire of Object.keys(WIRES) as (keyof typeof WIRES)[])
  for (const kind of ['request', 'notify'] as const)
    t.test(`${wire}: refused, each ${kind} fails by itself, and others go on`, async t => {
      const { upstream, seen, call } = await setUp(t, wire)
      t.equal(await call(), 200)
      for (const [headers, path] of REFUSED) {
        const error = await call(headers, path, kind)
        t.match(error, { code: 'upstream_protocol', status: 502, message: /cannot be sent \(/ })
      }
      t.same(await Promise.all([call(), call([], undefined, kind), call()]), [200, 200, 200])
      t.equal(seen.length, 4)
      t.equal(seen[0], wire === 'HTTP/2' ? '2.0' : '1.1')
      t.equal(upstream.queue.size, 0)
      const { calls, streams } = upstream.pools.counts()
      t.ok(calls!.connected <= CONNECTIONS && calls!.queued === 0, 'nothing waits')
      t.ok(streams!.connected <= 1 && streams!.queued === 0, 'no more connections than were used at once')
    })

t.test('refused while they wait for a connection, they hold up nobody behind them', async t => {
  const { upstream, seen, call } = await setUp(t, 'HTTP/1.1')
  const mixed = Array.from({ length: 24 }, (_, i) => (i % 2 === 0 ? call(['X-Bad', '\u0000']) : call()))
  const ends = await Promise.all(mixed)
  t.equal(ends.filter(end => end === 200).length, 12)
  t.equal(ends.filter(end => end instanceof CatflapError && end.code === 'upstream_protocol').length, 12)
  t.equal(seen.length, 12)
  t.equal(upstream.queue.size, 0)
})
