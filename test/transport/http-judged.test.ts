/** What a server's breaker is told of a call: by what the server says, not by what a client asks for. */
import { createServer } from 'node:net'
import t, { type Test } from 'tap'
import { CatflapError } from '../../src/errors.ts'
import { Message } from '../../src/protocol/message.ts'
import { Breaker } from '../../src/transport/upstream/breaker.ts'
import { HttpUpstream } from '../../src/transport/upstream/http.ts'
import { retryAfter } from '../../src/transport/upstream/http-retry.ts'
import { Peers } from '../../src/transport/upstream/peers.ts'
import { startRawHttp } from '../fixtures/servers/raw-http.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rpc } from '../helpers/rpc.ts'

function setUp(t: Test, url: string) {
  trackLeaks(t)
  const clock = { now: 1_000 }
  const breaker = new Breaker({
    failures: 1,
    ejection: 1_000,
    maxEjection: 8_000,
    peers: new Peers(),
    now: () => clock.now
  })
  const upstream = new HttpUpstream(new URL(url), {
    headers: [],
    connections: 16,
    maxPending: 4,
    connectTimeout: 5_000,
    headersTimeout: 0,
    keepAliveTimeout: 1_000,
    closeTimeout: 1_000,
    breaker
  })
  t.teardown(() => upstream.close())
  /** How it ended: a status, or why there is none. */
  const call = (headers: readonly string[] = []): Promise<number | string> => {
    const body = Buffer.from(JSON.stringify(rpc(1, 'x')))
    const message = Message.parse(body)
    const input = { kind: 'request', era: 'legacy', message, batch: undefined, body, headers } as const
    return new Promise((resolve, reject) => {
      let status = 0
      upstream.sessionless.call(input, {
        onHead: head => {
          status = head.status
        },
        onData() {},
        onMessage() {},
        onEnd: () => resolve(status),
        onError: error => (error instanceof CatflapError ? resolve(error.code) : reject(error))
      })
    })
  }
  return { clock, breaker, call }
}

t.test('503 keeps others first for as long as Retry-After says', async t => {
  const server = await startRawHttp(x => x.respond(503, 'text/plain', 'later', ['Retry-After', '7']))
  t.teardown(() => server.close())
  const { clock, breaker, call } = setUp(t, server.url)
  t.equal(await call(), 503)
  t.ok(breaker.isBusy(clock.now + 6_999))
  t.notOk(breaker.isBusy(clock.now + 7_000))
  t.equal(breaker.inFlight, 0)
})

t.test("what is no HTTP is the server's doing", async t => {
  const server = createServer(socket => {
    socket.on('error', () => {})
    socket.once('data', () => socket.end('SSH-2.0-OpenSSH_9.6\r\n\r\n'))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => new Promise(resolve => server.close(resolve)))
  const { port } = server.address() as { port: number }
  const { breaker, call } = setUp(t, `http://127.0.0.1:${port}/mcp`)
  for (let i = 0; i < 10; i++) {
    t.equal(breaker.state, 'up')
    t.equal(await call(), 'upstream_protocol')
  }
  t.equal(breaker.state, 'ejected')
})

t.test('a request that cannot be sent says nothing of the server', async t => {
  const server = await startRawHttp()
  t.teardown(() => server.close())
  const { breaker, call } = setUp(t, server.url)
  for (let i = 0; i < 12; i++) t.equal(await call(['X-Bad', 'a\u0000b']), 'upstream_protocol')
  t.equal(server.counters.count('POST'), 0)
  t.equal(breaker.state, 'up')
  t.equal(breaker.inFlight, 0)
})

t.test('Retry-After is seconds or a date; whatever else it says counts for nothing', async t => {
  const now = Date.parse('Wed, 21 Oct 2015 07:28:00 GMT')
  t.equal(retryAfter('120', now), 120_000)
  t.equal(retryAfter(' 0 ', now), 0)
  t.equal(retryAfter('Wed, 21 Oct 2015 07:28:30 GMT', now), 30_000)
  t.equal(retryAfter('Wed, 21 Oct 2015 07:00:00 GMT', now), 0)
  for (const value of [undefined, '', 'soon', '-5', 'NaN']) t.equal(retryAfter(value, now), 0, String(value))
})
