/** A server over HTTP behind several instances: each speaks to it in every session, and what becomes of one is agreed. */
import t, { type Test } from 'tap'
import type { ForwardOptions } from '../../src/index.ts'
import { skipWithoutRedis } from '../fixtures/servers/redis.ts'
import { openSse, rawPost, rawRequest } from '../helpers/raw-client.ts'
import { legacyHeaders, rpc } from '../helpers/rpc.ts'
import { within } from '../helpers/wait.ts'
import { type ClusterDoors, clusterDoors, type Instance } from './cluster-door.ts'
import { rawSession } from './http-door.ts'
import { answer, type LosingServer, losingServer } from './losing-server.ts'

const skip = skipWithoutRedis()
const GET = { accept: 'text/event-stream' }

type Three = readonly [Instance, Instance, Instance]

async function losingCluster(
  t: Test,
  options: Partial<ForwardOptions> = {}
): Promise<{ losing: LosingServer; three: Three; cluster: ClusterDoors }> {
  const losing = await losingServer()
  const cluster = await clusterDoors(t, { url: losing.server.url }, { instances: 3, ...options })
  t.teardown(() => losing.server.close())
  return { losing, three: cluster.instances as unknown as Three, cluster }
}

/** What is said there once it no longer takes the session to be alive. */
async function endedAt(url: string, id: string): Promise<number> {
  let status = 200
  while (status === 200) ({ status } = await rawPost(url, rpc(9, 'count'), legacyHeaders(id)))
  return status
}

t.test('every instance sends in every session, and its end is known to all', { skip }, async t => {
  const { losing, three } = await losingCluster(t)
  const id = await rawSession(three[0].url)
  for (const [n, { url }] of three.entries())
    t.match((await rawPost(url, rpc(n, 'count'), legacyHeaders(id))).json(), { id: n })
  t.equal(losing.initializes.length, 1)
  const ended = await rawRequest(three[1].url, { method: 'DELETE', headers: legacyHeaders(id) })
  t.equal(ended.status, 200)
  t.equal((await rawPost(three[1].url, rpc(9, 'count'), legacyHeaders(id))).status, 404)
  // The others are told by Redis, a moment later.
  for (const { url } of three) t.equal(await endedAt(url, id), 404)
  t.equal(losing.accepted.filter(method => method === 'DELETE').length, 1)
})

t.test(
  'of all who notice that a session is lost, one begins it anew, and each call is carried out once',
  {
    skip
  },
  async t => {
    const { losing, three } = await losingCluster(t)
    const id = await rawSession(three[0].url)
    for (const { url } of three) await rawPost(url, rpc(0, 'ping'), legacyHeaders(id))
    losing.lose()
    const calls = Array.from({ length: 30 }, (_, n) => rawPost(three[n % 3]!.url, rpc(n, 'count'), legacyHeaders(id)))
    for (const [n, call] of (await Promise.all(calls)).entries()) {
      t.equal(call.status, 200)
      t.match(call.json(), { id: n })
    }
    t.equal(losing.initializes.length, 2)
    t.equal(losing.accepted.filter(method => method === 'count').length, 30)
  }
)

t.test('a stream on another instance is ended once its session was begun anew elsewhere', { skip }, async t => {
  const { losing, three } = await losingCluster(t)
  const id = await rawSession(three[0].url)
  const stream = await openSse(three[1].url, { headers: { ...legacyHeaders(id), ...GET } })
  losing.lose()
  t.equal((await rawPost(three[2].url, rpc(1, 'count'), legacyHeaders(id))).status, 200)
  await stream.ended
  const next = await openSse(three[0].url, { headers: { ...legacyHeaders(id), ...GET } })
  t.equal(next.status, 200)
  next.close()
})

t.test(
  "answers to the new server's questions reach it by way of any instance; those to the lost one's do not",
  {
    skip
  },
  async t => {
    const { losing, three } = await losingCluster(t)
    const id = await rawSession(three[0].url)
    const headers = legacyHeaders(id)
    for (const { url } of three) await rawPost(url, rpc(0, 'ping'), headers)
    losing.lose()
    for (const { url } of three) t.equal((await rawPost(url, rpc(1, 'count'), headers)).status, 200)
    const stream = await openSse(three[0].url, { headers: { ...headers, ...GET } })
    const answer = (n: number) => ({ jsonrpc: '2.0', id: n, result: { roots: [] } })
    const before = losing.of('response').length
    t.equal((await rawPost(three[1].url, answer(0), headers)).status, 202)
    await losing.streams.at(-1)!.sendMessage({ jsonrpc: '2.0', id: 5, method: 'roots/list' })
    await stream.nextMessage()
    t.equal((await rawPost(three[2].url, answer(5), headers)).status, 202)
    const heard = losing.server.exchanges.filter(x => x.text.includes('"roots":[]')).map(x => JSON.parse(x.text).id)
    t.same(heard, [5])
    t.equal(losing.of('response').length, before)
    stream.close()
  }
)

t.test('an instance that stops ends no session: the others go on with it', { skip }, async t => {
  const { losing, three } = await losingCluster(t)
  const id = await rawSession(three[0].url)
  await three[0].door.close()
  t.equal((await rawPost(three[1].url, rpc(1, 'count'), legacyHeaders(id))).status, 200)
  t.equal(losing.initializes.length, 1)
  t.notOk(losing.accepted.includes('DELETE'))
})

t.test('what expires is ended at the server once, by one of them', { skip }, async t => {
  const { losing, three } = await losingCluster(t, { settings: { sessionIdle: 1_000 } })
  const ended = Promise.withResolvers<void>()
  losing.onRequest = x => {
    if (x.method !== 'DELETE') return answer(x)
    x.head(200).end()
    ended.resolve()
  }
  const id = await rawSession(three[0].url)
  for (const { url } of three) await rawPost(url, rpc(0, 'ping'), legacyHeaders(id))
  await within(ended.promise, { what: 'the DELETE of the session' })
  // The others are told by Redis, a moment later.
  for (const { url } of three) t.equal(await endedAt(url, id), 404)
  t.equal(losing.server.exchanges.filter(x => x.method === 'DELETE').length, 1)
})

t.test(
  'an instance that first hears of the session once it was begun anew tells the others what its server asks',
  {
    skip
  },
  async t => {
    const { losing, three } = await losingCluster(t)
    const id = await rawSession(three[0].url)
    const headers = legacyHeaders(id)
    losing.lose()
    t.equal((await rawPost(three[0].url, rpc(1, 'count'), headers)).status, 200)
    const stream = await openSse(three[1].url, { headers: { ...headers, ...GET } })
    await losing.streams.at(-1)!.sendMessage({ jsonrpc: '2.0', id: 5, method: 'roots/list' })
    t.match(await stream.nextMessage(), { method: /list_changed/ })
    await stream.events.until(event => event.data.includes('roots/list'))
    const answered = await rawPost(three[0].url, { jsonrpc: '2.0', id: 5, result: { roots: [] } }, headers)
    t.equal(answered.status, 202)
    t.equal(losing.accepted.filter(method => method === 'response').length, 1)
    stream.close()
  }
)

t.test('a stream of the new server that broke is taken up by way of another instance', { skip }, async t => {
  const { losing, three } = await losingCluster(t)
  const id = await rawSession(three[0].url)
  const headers = { ...legacyHeaders(id), ...GET }
  for (const { url } of three) await rawPost(url, rpc(0, 'ping'), legacyHeaders(id))
  losing.lose()
  t.equal((await rawPost(three[0].url, rpc(1, 'count'), legacyHeaders(id))).status, 200)
  const told = () => losing.server.exchanges.filter(x => x.method === 'GET').at(-1)?.headers['last-event-id']
  const lost = await openSse(three[1].url, { headers: { ...headers, 'last-event-id': 'of the lost one' } })
  t.equal(told(), undefined, 'the new server has not said it')
  await losing.streams.at(-1)!.write('id: new-1\ndata: {"jsonrpc":"2.0","method":"notifications/one"}\n\n')
  await lost.events.until(event => event.data.includes('notifications/one'))
  losing.streams.at(-1)!.end()
  await lost.ended
  const next = await openSse(three[2].url, { headers: { ...headers, 'last-event-id': 'new-1' } })
  t.equal(told(), 'new-1')
  next.close()
})
