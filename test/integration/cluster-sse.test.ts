/** A server on HTTP+SSE behind several instances: its stream is one's, and all serve its session. */
import t from 'tap'
import { skipWithoutRedis } from '../fixtures/servers/redis.ts'
import { startSseServer } from '../fixtures/servers/sse-server.ts'
import { openSse, rawPost, rawRequest } from '../helpers/raw-client.ts'
import { legacyHeaders, rpc } from '../helpers/rpc.ts'
import { clusterDoors } from './cluster-door.ts'
import { pipeSession } from './pipe-door.ts'

const skip = skipWithoutRedis()

for (const transport of ['sse', 'auto'] as const)
  t.test(`every instance serves a session of a server on HTTP+SSE (${transport})`, { skip }, async t => {
    const server = await startSseServer()
    const { instances } = await clusterDoors(t, { url: server.url, transport }, { instances: 3 })
    t.teardown(() => server.close())
    const { id } = await pipeSession(instances[0]!.url, '2025-06-18')
    const headers = legacyHeaders(id, '2025-06-18')
    const stream = await openSse(instances[1]!.url, { headers: { ...headers, accept: 'text/event-stream' } })
    t.equal(stream.status, 200)
    for (let n = 1; n <= 6; n++) {
      const answer = await rawPost(instances[n % 3]!.url, rpc(n, 'tools/list'), headers)
      t.equal(answer.status, 200)
      t.match(answer.text, new RegExp(`"id":${n}`))
    }
    t.equal(server.sessions.size, 1)
    stream.close()
    const ended = await rawRequest(instances[2]!.url, { method: 'DELETE', headers })
    t.equal(ended.status, 200)
    for (const { url } of instances) t.equal((await rawPost(url, rpc(9, 'tools/list'), headers)).status, 404)
  })
