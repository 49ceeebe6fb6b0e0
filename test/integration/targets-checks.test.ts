/** Servers that are asked whether they are up. */
import t, { type Test } from 'tap'
import type { HealthCheck } from '../../src/proxy/reverse-options.ts'
import { startHttpServer } from '../fixtures/servers/http-server.ts'
import { echo, type RawHttpServer, type Script, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { startSseServer } from '../fixtures/servers/sse-server.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { initialize } from '../helpers/rpc.ts'
import { type GroupDoor, groupDoor } from './group-door.ts'

const QUICK = { interval: 40, timeout: 2_000, unhealthyAfter: 2 } as const

async function raw(t: Test, script: Script): Promise<RawHttpServer> {
  const server = await startRawHttp(script)
  t.teardown(() => server.close())
  return server
}

const states = (door: GroupDoor): string[] => door.target.health?.().map(h => h.state) ?? []

/** GET is the check's, POST the clients'. */
const page =
  (status: () => number): Script =>
  x =>
    x.method === 'GET' ? x.respond(status(), 'text/plain', 'page') : echo(x)

t.test('a page: who fails gets nothing while another is up, and work again when it is back', async t => {
  trackLeaks(t)
  let status = 200
  const [a, b] = [
    await raw(
      t,
      page(() => status)
    ),
    await raw(
      t,
      page(() => 204)
    )
  ]
  const check: HealthCheck = { kind: 'http', path: '/healthz?x=1', ...QUICK }
  const door = await groupDoor(t, [a.url, b.url], { health: { check } })
  t.equal((await a.exchange()).path, '/healthz?x=1')
  status = 500
  t.match(await door.health.next(), {
    state: 'down',
    member: a.url,
    reason: 'its check fails: GET /healthz?x=1 was answered with status 500'
  })
  const before = a.counters.count('POST')
  for (let i = 0; i < 6; i++) t.equal((await door.call(i)).status, 200)
  t.equal(a.counters.count('POST'), before)
  status = 301
  t.match(await door.health.next(), { state: 'up', member: a.url })
  for (let i = 0; i < 4; i++) t.equal((await door.call(i)).status, 200)
  t.equal(a.counters.count('POST'), before + 2)
})

t.test('all are down: who comes is told so at once', async t => {
  trackLeaks(t)
  const server = await raw(
    t,
    page(() => 503)
  )
  for (const urls of [[server.url], [server.url, server.url]]) {
    const door = await groupDoor(t, urls, { health: { failures: 0, check: { kind: 'http', ...QUICK } } })
    for (const _ of urls) await door.health.next()
    const refused = await door.call(1)
    t.equal(refused.status, 503)
    t.match(refused.json(), { error: { message: /check fails: GET \/ was/, data: { code: 'target_unavailable' } } })
  }
})

t.test('a good check ends an ejection, without waiting for a call', async t => {
  trackLeaks(t)
  let bad = true
  const [a, b] = [
    await raw(t, x => (bad && x.method === 'POST' ? x.respond(502, 'text/plain', '') : page(() => 200)(x))),
    await raw(
      t,
      page(() => 200)
    )
  ]
  const check: HealthCheck = { kind: 'http', ...QUICK, interval: 1_000 }
  const door = await groupDoor(t, [a.url, b.url], { health: { ejection: 60_000, check } })
  for (let i = 0; i < 20; i++) await door.call(i)
  t.match(await door.health.next(), { state: 'ejected', member: a.url })
  bad = false
  t.match(await door.health.next(), { state: 'up', member: a.url, ms: Number })
})

t.test('a page that hangs is no page; what it says without end is not read', async t => {
  trackLeaks(t)
  const hangs = await raw(t, () => {})
  const endless = await raw(t, async x => {
    let gone = false
    void x.closed.then(() => {
      gone = true
    })
    x.head(200)
    while (!gone) await x.write('x'.repeat(65_536)).catch(() => {})
  })
  const check: HealthCheck = { kind: 'http', interval: 40, timeout: 300, unhealthyAfter: 1 }
  const door = await groupDoor(t, [hangs.url, endless.url], { health: { check } })
  t.match(await door.health.next(), { member: hangs.url, reason: /no answer within 300 ms/ })
  await endless.exchange(3)
  t.same(states(door), ['down', 'up'])
})

t.test('server/discover: as the revision asks for it, and its answer counts', async t => {
  trackLeaks(t)
  const modern = await startHttpServer({ mode: 'modern' })
  t.teardown(() => modern.close())
  const broken = await raw(t, x => x.respond(200, 'text/html', 'log in'))
  const check: HealthCheck = { kind: 'discover', ...QUICK }
  const door = await groupDoor(t, [modern.url, broken.url], { health: { check } })
  t.match(await door.health.next(), { state: 'down', member: broken.url })
  await modern.counters.until('http POST', 3)
  t.same(states(door), ['up', 'down'])
  const { headers, text } = (await broken.exchange()) as { headers: Record<string, string>; text: string }
  t.match(headers, {
    'mcp-protocol-version': '2026-07-28',
    'mcp-method': 'server/discover',
    accept: /json.*event-stream/
  })
  t.match(JSON.parse(text), { method: 'server/discover', params: { _meta: Object } })
})

t.test('a session of its own with ping, begun anew when it is lost, and ended with the door', async t => {
  trackLeaks(t)
  const server = await startHttpServer()
  t.teardown(() => server.close())
  const check: HealthCheck = { kind: 'session', ...QUICK }
  await t.test('while the door is open', async t => {
    const door = await groupDoor(t, [server.url], { health: { check } })
    await server.counters.until('http POST', 4)
    const [first] = server.sessions.keys()
    t.equal(server.sessions.size, 1)
    await server.endSession(String(first))
    const posts = server.counters.count('http POST')
    await server.counters.until('http POST', posts + 5)
    t.equal(server.sessions.size, 1)
    t.not([...server.sessions.keys()][0], first)
    t.same(states(door), ['up'])
  })
  t.equal(server.sessions.size, 0)
})

t.test('the same at a server on HTTP+SSE', async t => {
  trackLeaks(t)
  const server = await startSseServer()
  t.teardown(() => server.close())
  const door = await groupDoor(t, [server.url], { health: { check: { kind: 'session', ...QUICK } } })
  await server.counters.until('http POST', 5)
  t.same(states(door), ['up'])
})

t.test('a server that is gone is down for its session, too; and up again when it is back', async t => {
  trackLeaks(t)
  const server = await startHttpServer()
  const { port } = server
  const door = await groupDoor(t, [server.url], { health: { failures: 0, check: { kind: 'session', ...QUICK } } })
  await server.counters.until('http POST', 3)
  await server.close()
  t.match(await door.health.next(), { state: 'down', reason: /its check fails: .*cannot connect/ })
  t.equal((await rawPost(door.url, initialize(1))).status, 503)
  const back = await startHttpServer({ port })
  t.teardown(() => back.close())
  t.match(await door.health.next(), { state: 'up' })
  t.equal((await rawPost(door.url, initialize(1))).status, 200)
})
