/** The ways between instances: slow readers, dead wires, and what they take. */
import { buffer } from 'node:stream/consumers'
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { createReverse } from '../../src/index.ts'
import { skipWithoutRedis, startRedis } from '../fixtures/servers/redis.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { openSse, rawPost, send } from '../helpers/raw-client.ts'
import { legacyHeaders, rpc } from '../helpers/rpc.ts'
import { fixtureArgv } from '../helpers/stdio-peer.ts'
import { ask, CLUSTER_KEY, clusterDoors, commandOf, storeAt, wiredCluster, wireTo } from './cluster-door.ts'
import { LogInbox, pipeSession } from './pipe-door.ts'

const skip = skipWithoutRedis()
const PUPPET = commandOf('puppet-stdio.ts')
const [command, ...args] = fixtureArgv('puppet-stdio.ts')

t.test(
  'a slow client of another instance gets the whole of a big answer although its instance stops',
  { skip },
  async t => {
    const { instances } = await clusterDoors(t, PUPPET)
    const [a, b] = [instances[0]!, instances[1]!]
    const { id } = await pipeSession(a.url)
    const big = 'x'.repeat(15_000_000)
    const { head } = send(b.url, { headers: legacyHeaders(id), body: rpc(1, 'echo', { big }) })
    const answer = await head
    while (a.door.stats.exchanges > 0) await pause(20)
    const closing = a.door.close()
    await a.log.until(line => line.event === 'session-end')
    // What is cut would be so at once.
    await Promise.race([closing, pause(500)])
    const body = await buffer(answer)
    t.ok(body.includes(big), `${body.length} bytes`)
    t.ok(answer.complete)
    await closing
  }
)

t.test('calls of which nothing was sent are carried out by who takes the session over', { skip }, async t => {
  const { redis, open } = await clusterDoors(t, PUPPET, { instances: 0, sessionLoss: 'reinitialize' })
  const { wire, cluster } = await wiredCluster(t)
  const toRedis = await wireTo(t, redis.port)
  const a = await open({ cluster, sharedStore: storeAt(toRedis.port) })
  const b = await open()
  const { id } = await pipeSession(a.url)
  wire.freeze()
  const calls = [1, 2, 3].map(n => ask(b, id, rpc(n, 'echo', { n })))
  await wire.connected.next()
  toRedis.cut()
  for (const [at, call] of calls.entries())
    t.match((await call).json(), { id: at + 1, result: { echo: { n: at + 1 } } })
  toRedis.join()
  await a.log.until(line => line.event === 'instance-lost')
})

t.test('a way to another instance on which nothing comes any more is not waited for', { skip }, async t => {
  const { open } = await clusterDoors(t, PUPPET, { instances: 0 })
  const { wire, cluster } = await wiredCluster(t)
  const [a, b] = [await open({ cluster }), await open()]
  const { id } = await pipeSession(a.url)
  const headers = legacyHeaders(id)
  const stream = await openSse(b.url, { headers: { ...headers, accept: 'text/event-stream' } })
  const call = ask(b, id, rpc(1, 'echo', { answer: false }))
  await a.log.child(/"answer":false/)
  wire.freeze()
  const lost = await call
  t.equal(lost.status, 502)
  t.match(lost.json(), { error: { data: { code: 'owner_lost' } } })
  t.equal(await stream.ended, 'end')
})

t.test('an instance that refuses all connections is tried less and less often, and told of once', { skip }, async t => {
  const { open } = await clusterDoors(t, PUPPET, { instances: 0 })
  const { wire, cluster } = await wiredCluster(t)
  const a = await open({ cluster })
  const b = await open({ cluster: { listen: {}, keys: ['quite another key than all the others have'] } })
  const { id } = await pipeSession(a.url)
  const call = send(b.url, { headers: legacyHeaders(id), body: rpc(1, 'echo') })
  const first = await wire.connected.next()
  let last = first
  for (let n = 1; n <= 8; n++) last = await wire.connected.next()
  t.ok(last - first >= 1_200, `${last - first} ms`)
  const warned = b.log.of('instance-unreachable')
  t.equal(warned.length, 1)
  t.match(warned[0], { level: 'warn' })
  const gone = new Promise(resolve => call.req.once('close', resolve))
  call.req.destroy()
  await gone
})

t.test('headers that a listener takes can be handed over', { skip }, async t => {
  trackLeaks(t)
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const open = async (): Promise<string> => {
    const door = await createReverse({
      listeners: [{ port: 0, settings: { maxHeaderSize: 128 * 1024 } }],
      routes: { r: { targets: { command, args }, path: '/mcp' } },
      log: new LogInbox('lines of the log'),
      sharedStore: storeAt(redis.port),
      cluster: { listen: {}, keys: [CLUSTER_KEY] }
    })
    t.teardown(() => door.close({ drainTimeout: 0 }))
    return `${door.origins[0]}/mcp`
  }
  const [a, b] = [await open(), await open()]
  const { id } = await pipeSession(a)
  for (const url of [a, b]) {
    const answer = await rawPost(url, rpc(1, 'echo'), { ...legacyHeaders(id), 'x-big': 'y'.repeat(80_000) })
    t.equal(answer.status, 200, answer.text)
  }
})
