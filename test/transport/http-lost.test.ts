/** A session whose server could not be reached for long: its calls say so, and no others. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import type { CatflapError } from '../../src/errors.ts'
import { Message } from '../../src/protocol/message.ts'
import { Breaker } from '../../src/transport/upstream/breaker.ts'
import { HttpUpstream } from '../../src/transport/upstream/http.ts'
import { Peers } from '../../src/transport/upstream/peers.ts'
import type { Leg } from '../../src/transport/upstream.ts'
import { startRawHttp } from '../fixtures/servers/raw-http.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rpc } from '../helpers/rpc.ts'
import { LATE_CODES, upstreamSockets } from '../helpers/upstream-sockets.ts'

/** Where nobody listens. */
async function nowhere(): Promise<string> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return `http://127.0.0.1:${port}/mcp`
}

async function setUp(t: Test, peers?: Peers, url?: string) {
  trackLeaks(t)
  const clock = { now: 1_000 }
  const breaker = new Breaker({ failures: 5, ejection: 1_000, maxEjection: 8_000, peers, now: () => clock.now })
  const upstream = new HttpUpstream(new URL(url ?? (await nowhere())), {
    headers: [],
    connections: 4,
    maxPending: 4,
    connectTimeout: 5_000,
    headersTimeout: 0,
    keepAliveTimeout: 1_000,
    closeTimeout: 1_000,
    breaker
  })
  t.teardown(() => upstream.close())
  return { clock, breaker, upstream }
}

function failure(leg: Leg): Promise<CatflapError> {
  const body = Buffer.from(JSON.stringify(rpc(1, 'x')))
  const input = {
    kind: 'request',
    era: 'legacy',
    message: Message.parse(body),
    batch: undefined,
    body,
    headers: []
  } as const
  return new Promise((resolve, reject) =>
    leg.call(input, {
      onHead() {},
      onData() {},
      onMessage() {},
      onEnd: () => reject(new Error('answered')),
      onError: resolve
    })
  )
}

t.test('one of several, unreachable for half a minute: sessions are lost, other calls only fail', async t => {
  const { clock, upstream } = await setUp(t, new Peers())
  const session = upstream.sessionLeg('s')
  for (let i = 0; i < 3; i++) {
    t.notOk((await failure(session)).data?.lost)
    clock.now += 10_000
  }
  const lost = await failure(session)
  t.equal(lost.code, 'upstream_unreachable')
  t.match(lost.data, { target: upstream.label })
  t.equal(lost.data?.lost, true)
  t.notMatch(lost.toJsonRpc('1'), 'lost', 'no client is told')
  t.notOk((await failure(upstream.sessionless)).data?.lost)
})

t.test('down by its check for as long: the same', async t => {
  const { clock, breaker, upstream } = await setUp(t, new Peers())
  breaker.checked('its check fails')
  t.notOk((await failure(upstream.sessionLeg('s'))).data?.lost)
  clock.now += 30_000
  const lost = await failure(upstream.sessionLeg('s'))
  t.equal(lost.code, 'target_unavailable')
  t.equal(lost.data?.lost, true)
})

t.test('alone, there is no other to go to, and it may come back', async t => {
  const { clock, upstream } = await setUp(t)
  for (let i = 0; i < 7; i++) {
    await failure(upstream.sessionLeg('s'))
    clock.now += 10_000
  }
  t.notOk((await failure(upstream.sessionLeg('s'))).data?.lost)
})

for (const code of LATE_CODES) {
  t.test(
    `${code} once the call was written: it may be carried out, however long its server is out of reach`,
    async t => {
      trackLeaks(t)
      const server = await startRawHttp(() => {})
      t.teardown(() => server.close())
      const sockets = upstreamSockets(t, server.port)
      const { clock, breaker, upstream } = await setUp(t, new Peers(), server.url)
      const failed = failure(upstream.sessionLeg('s'))
      await server.exchange()
      breaker.checked('its check fails')
      clock.now += 30_000
      t.ok(breaker.lost)
      t.equal(sockets.breakAll(code), 1)
      const error = await failed
      t.equal(error.code, 'upstream_reset')
      t.match(error.message, code)
      t.notOk(error.data?.lost)
      t.equal(server.counters.count('POST'), 1)
    }
  )
}

t.test('a redirect was followed, and what it leads to is not reached: the server has seen the call', async t => {
  let seen = 0
  const server = createServer((_, res) => {
    seen++
    breaker.checked('its check fails')
    clock.now += 30_000
    server.close()
    res.writeHead(307, { location: '/next', connection: 'close' }).end()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const { clock, breaker, upstream } = await setUp(t, new Peers(), `http://127.0.0.1:${port}/mcp`)
  const error = await failure(upstream.sessionLeg('s'))
  t.equal(error.code, 'upstream_unreachable')
  t.notOk(error.data?.lost)
  t.equal(seen, 1)
})
