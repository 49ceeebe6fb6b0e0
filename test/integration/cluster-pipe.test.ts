/** A command behind several instances: its child is one's, and all serve its session. */
import t from 'tap'
import { skipWithoutRedis } from '../fixtures/servers/redis.ts'
import { openSse, rawPost, rawRequest } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, rpc } from '../helpers/rpc.ts'
import { clusterDoors, commandOf, type Instance } from './cluster-door.ts'
import { pipeSession, question } from './pipe-door.ts'

const skip = skipWithoutRedis()
const PUPPET = commandOf('puppet-stdio.ts')

t.test('every instance serves the session, and one child does the work', { skip }, async t => {
  const { instances } = await clusterDoors(t, PUPPET, { instances: 3 })
  const { id } = await pipeSession(instances[0]!.url)
  for (let n = 1; n <= 9; n++) {
    const answer = await rawPost(instances[n % 3]!.url, rpc(n, 'echo', { n }), legacyHeaders(id))
    t.equal(answer.status, 200)
    t.match(answer.json(), { id: n })
  }
  t.equal(
    instances.reduce((sum, { log }) => sum + log.of('stderr').filter(l => l.text.startsWith('pid')).length, 0),
    1
  )
  const ended = await rawRequest(instances[1]!.url, { method: 'DELETE', headers: legacyHeaders(id) })
  t.equal(ended.status, 200)
  for (const { url } of instances) t.equal((await rawPost(url, rpc(1, 'echo'), legacyHeaders(id))).status, 404)
})

t.test(
  "what the server says reaches the client's stream on another instance, once, and so does the answer",
  {
    skip
  },
  async t => {
    const { instances } = await clusterDoors(t, PUPPET)
    const [a, b] = instances as Two
    const { id } = await pipeSession(a.url)
    const headers = legacyHeaders(id)
    const stream = await openSse(b.url, { headers: { ...headers, accept: 'text/event-stream' } })
    const later = `${JSON.stringify({ jsonrpc: '2.0', method: 'notifications/one' })}\n${question('q').trim()}`
    t.equal((await rawPost(a.url, rpc(1, 'echo', { answer: `${answerTo(1)}\n${later}` }), headers)).status, 200)
    t.match(await stream.nextMessage(), { method: 'notifications/one' })
    t.match(await stream.nextMessage(), { id: 'q', method: 'sampling/createMessage' })
    const answered = await rawPost(b.url, { jsonrpc: '2.0', id: 'q', result: { own: 'answer' } }, headers)
    t.equal(answered.status, 202)
    t.match(await a.log.child(/own/), /"own":"answer"/)
    t.equal(stream.events.items.length, 2, 'nothing came twice')
    stream.close()
  }
)

t.test(
  'an instance that stops lets go of its sessions: another one goes on, with a child of its own',
  {
    skip
  },
  async t => {
    const { instances } = await clusterDoors(t, PUPPET, { sessionLoss: 'reinitialize' })
    const [a, b] = instances as Two
    const { id } = await pipeSession(a.url)
    const headers = legacyHeaders(id)
    t.equal((await rawPost(b.url, rpc(1, 'echo'), headers)).status, 200)
    await a.door.close()
    const answers = await Promise.all([2, 3, 4, 5].map(n => rawPost(b.url, rpc(n, 'echo', { n }), headers)))
    for (const [at, answer] of answers.entries()) t.match(answer.json(), { id: at + 2 }, `${answer.status}`)
    t.equal(b.log.of('stderr').filter(line => line.text.startsWith('pid')).length, 1, 'one child for all')
  }
)

t.test('where sessions are not begun anew, one whose instance has stopped has ended', { skip }, async t => {
  const { instances } = await clusterDoors(t, PUPPET)
  const [a, b] = instances as Two
  const { id } = await pipeSession(a.url)
  await a.door.close()
  t.equal((await rawPost(b.url, rpc(1, 'echo'), legacyHeaders(id))).status, 404)
})

t.test('equal ids by way of several instances: each gets its own answer', { skip }, async t => {
  const { instances } = await clusterDoors(t, PUPPET, { instances: 3 })
  const { id } = await pipeSession(instances[0]!.url)
  const calls = Array.from({ length: 60 }, (_, n) =>
    rawPost(instances[n % 3]!.url, rpc(7, 'echo', { n }), legacyHeaders(id))
  )
  for (const [n, answer] of (await Promise.all(calls)).entries())
    t.match(answer.json(), { id: 7, result: { echo: { n } } })
})

t.test('a client on HTTP+SSE posts wherever it comes, and hears everything on its stream', { skip }, async t => {
  const { instances } = await clusterDoors(t, PUPPET)
  const [a, b] = instances as Two
  const stream = await openSse(new URL('/sse', a.url), { headers: { accept: 'text/event-stream' } })
  const { data: endpoint } = (await stream.next()) as { data: string }
  const post = (at: string, body: object | string) => rawPost(new URL(endpoint, at), body)
  t.equal((await post(b.url, initialize(0, '2024-11-05'))).status, 202)
  t.match(await stream.nextMessage(), { id: 0, result: {} })
  for (const n of [1, 2, 3]) {
    t.equal((await post(n % 2 === 0 ? a.url : b.url, rpc(n, 'echo', { n }))).status, 202)
    t.match(await stream.nextMessage(), { id: n })
  }
  stream.close()
  await a.log.until(line => line.event === 'session-end')
  t.equal((await post(b.url, rpc(4, 'echo'))).status, 404)
})

type Two = [Instance, Instance]

function answerTo(id: number): string {
  return JSON.stringify({ jsonrpc: '2.0', id, result: {} })
}
