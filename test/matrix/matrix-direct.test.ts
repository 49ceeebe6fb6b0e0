/** The script without catflap: what fails here is the script's fault, or that of the fixtures. */
import t from 'tap'
import { startSseServer } from '../fixtures/servers/sse-server.ts'
import { connectHttp } from '../helpers/clients.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { openSse, rawPost } from '../helpers/raw-client.ts'
import { initialize } from '../helpers/rpc.ts'
import { CELLS } from './matrix.ts'
import { FEATURES, type Feature, REVISIONS } from './revisions.ts'
import { runDirectly } from './run.ts'
import { SCRIPT } from './script.ts'

for (const { client, server, revision, verdict } of CELLS) {
  if (client !== server || verdict !== 'works') continue
  t.test(`directly: ${client}, ${revision}`, async t => {
    trackLeaks(t)
    const played = await runDirectly(client, revision)
    const has = FEATURES[revision]
    t.same(
      SCRIPT.filter(step => !played.includes(step.name)).map(step => has[step.needs!]),
      Array(SCRIPT.length - played.length).fill(false),
      `${played.length} steps; left out is only what the revision does not have`
    )
  })
}

t.test('every feature is asked for by a step, and every step is run at some revision', async t => {
  for (const feature of Object.keys(FEATURES['2026-07-28']) as Feature[])
    if (feature !== 'handshake')
      t.ok(
        SCRIPT.some(step => step.needs === feature),
        feature
      )
  for (const { name, needs } of SCRIPT)
    t.ok(needs === undefined || REVISIONS.some(revision => FEATURES[revision][needs]), name)
})

t.test(
  'the HTTP+SSE fixture: a POST tells a client that this is the old transport, as does its first event',
  async t => {
    for (const refusal of [404, 405] as const) {
      trackLeaks(t)
      const server = await startSseServer({ refusal, prefix: '/old' })
      t.teardown(() => server.close())
      t.equal((await rawPost(server.url, initialize())).status, refusal)
      await t.rejects(connectHttp(server.url))
      const stream = await openSse(server.url)
      const { event, data } = await stream.next()
      t.equal(event, 'endpoint')
      t.match(data, /^\/old\/messages\?sessionId=[\w-]+$/)
      t.equal((await rawPost(new URL(data, server.url), initialize(7))).status, 202)
      t.match(await stream.nextMessage(), { id: 7, result: {} })
      stream.close()
      await server.counters.until('session.closed')
      t.equal((await rawPost(new URL(data, server.url), initialize(8))).status, 404)
    }
  }
)
