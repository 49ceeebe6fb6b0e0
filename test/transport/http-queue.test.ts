/** Calls that wait for a connection: who gets one, and that nothing of a cancelled one is kept. */
import { createServer } from 'node:net'
import t, { type Test } from 'tap'
import type { Pool } from 'undici'
import { Message } from '../../src/protocol/message.ts'
import { HttpUpstream } from '../../src/transport/upstream/http.ts'
import { CallQueue } from '../../src/transport/upstream/http-queue.ts'
import type { UpstreamCall } from '../../src/transport/upstream.ts'
import { faults } from '../fixtures/servers/faults.ts'
import { startRawHttp } from '../fixtures/servers/raw-http.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rpc } from '../helpers/rpc.ts'
import { Inbox } from '../helpers/wait.ts'

function upstreamOf(t: Test, url: string, limits: { connections: number; maxPending: number }) {
  const upstream = new HttpUpstream(new URL(url), {
    headers: [],
    connectTimeout: 30_000,
    headersTimeout: 0,
    keepAliveTimeout: 1_000,
    closeTimeout: 1_000,
    insecure: true,
    ...limits
  })
  t.teardown(() => upstream.close())
  const outcomes = new Inbox<string>('outcomes')
  const call = (id: number): UpstreamCall => {
    const body = Buffer.from(JSON.stringify(rpc(id, 'x')))
    const message = Message.parse(body)
    const input = { kind: 'request', era: 'legacy', message, batch: undefined, body, headers: [] } as const
    return upstream.sessionless.call(input, {
      onHead() {},
      onData() {},
      onMessage() {},
      onEnd: () => outcomes.push(`${id} end`),
      onError: error => outcomes.push(`${id} ${error.code}`)
    })
  }
  /** Requests that undici holds. */
  const held = (): number => {
    const { size } = (upstream.pools.calls as Pool).stats
    return size
  }
  return { upstream, outcomes, call, held }
}

t.test('undici never holds a call that waits, so that cancelling it leaves nothing behind', async t => {
  trackLeaks(t)
  const server = await startRawHttp(faults.hang)
  t.teardown(() => server.close())
  const { upstream, outcomes, call, held } = upstreamOf(t, server.url, { connections: 1, maxPending: 2 })
  call(0)
  const first = await server.exchange(1)
  for (let id = 1; id <= 20; id++) call(id).cancel('client-gone')
  t.same([held(), upstream.queue.size], [1, 1])
  call(21)
  call(22)
  call(23)
  t.equal(await outcomes.next(), '23 upstream_queue_full')
  server.always(x => x.json(200, '{}'))
  first.json(200, '{}')
  t.same([await outcomes.next(), await outcomes.next(), await outcomes.next()], ['0 end', '21 end', '22 end'])
  t.equal(server.exchanges.length, 3, 'what was cancelled was never sent')
  t.equal(upstream.queue.size, 0)
})

t.test('a call that is cancelled while its connection is made keeps its slot until undici lets go of it', async t => {
  trackLeaks(t)
  // Accepts, and never says a word of TLS.
  const silent = createServer(socket => void socket.on('error', () => {}))
  await new Promise<void>(resolve => silent.listen(0, '127.0.0.1', resolve))
  t.teardown(() => void silent.close())
  const { port } = silent.address() as { port: number }
  const { upstream, outcomes, call, held } = upstreamOf(t, `https://127.0.0.1:${port}/`, {
    connections: 1,
    maxPending: 1
  })
  for (let id = 0; id < 20; id++) call(id).cancel('client-gone')
  t.same([held(), upstream.queue.size], [1, 1])
  call(20)
  await upstream.close()
  t.match(await outcomes.next(), /^20 upstream_/)
  t.equal(upstream.queue.size, 0)
})

t.test(
  'over HTTP/2 connections are no measure of calls: those that wait go on, as many as the queue may hold',
  async t => {
    const queue = new CallQueue({ connections: 1, maxPending: 2 })
    const started: number[] = []
    t.ok(queue.enter())
    const places = [1, 2, 3].map(n => queue.wait({ start: () => void started.push(n) }) !== undefined)
    t.same([places, started], [[true, true, false], []])
    queue.multiplexed(1)
    queue.multiplexed(1)
    t.same([started, queue.size, queue.enter()], [[1, 2], 3, false])
    queue.leave()
    t.ok(queue.enter())
  }
)
