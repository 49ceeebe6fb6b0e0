/** Pages and WebSockets of a route with several servers: asked is one that is well. */
import { connect } from 'node:http2'
import { createServer } from 'node:net'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import type { RouteOptions } from '../../src/index.ts'
import { echo, type RawHttpServer, type Script, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost, rawRequest } from '../helpers/raw-client.ts'
import { rpc } from '../helpers/rpc.ts'
import { waitFor } from '../helpers/wait.ts'
import { asking, dial } from '../proxy/passthrough-door.ts'
import { openReverse } from './reverse-door.ts'

const passthrough = ['/r/*']
const named =
  (name: string): Script =>
  x =>
    x.method === 'POST' && x.path === '/mcp' ? echo(x) : x.respond(200, 'text/plain', name)

async function servers(t: Test, ...names: string[]): Promise<RawHttpServer[]> {
  trackLeaks(t)
  const all = await Promise.all(names.map(name => startRawHttp(named(name))))
  for (const server of all) t.teardown(() => server.close())
  return all
}

/** An address at which nobody listens while the test runs. */
async function nowhere(): Promise<string> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise(resolve => server.close(resolve))
  return `http://127.0.0.1:${port}/mcp`
}

const route = (urls: readonly string[], more: Partial<RouteOptions> = {}): Record<string, RouteOptions> => ({
  r: { targets: urls.map(url => ({ url })), passthrough, ...more }
})

const page = (origin: string, method = 'GET') => rawRequest(`${origin}/r/page`, { method })

t.test('servers take turns, whatever calls are made in between', async t => {
  const all = await servers(t, 'a', 'b')
  const { origins } = await openReverse(t, route(all.map(s => s.url)))
  const pages: string[] = []
  for (let n = 0; n < 4; n++) {
    pages.push((await page(origins[0]!)).text)
    await rawPost(`${origins[0]}/r/mcp`, rpc(n, 'x'))
  }
  t.same(pages, ['a', 'b', 'a', 'b'])
  for (const server of all) t.equal(server.exchanges.filter(x => x.method === 'POST').length, 2)
})

t.test('where a server cannot be reached another is asked, and soon it is left out', async t => {
  const [well] = await servers(t, 'well')
  const health = { failures: 2, ejection: 60_000 }
  const proxy = await openReverse(t, route([await nowhere(), well!.url], { health }))
  const origin = proxy.origins[0]!
  const { target } = proxy.routes[0]!.route.core
  for (let n = 0; n < 3; n++) t.match(await page(origin), { status: 200, text: 'well' })
  t.equal((await page(origin, 'HEAD')).status, 200)
  t.equal(target.health?.()[0]?.state, 'ejected')
  for (let n = 0; n < 3; n++)
    t.match(await rawRequest(`${origin}/r/form`, { method: 'POST', body: 'x' }), { status: 200, text: 'well' })
  const line = await dial(t, Number(new URL(origin).port), webSocket())
  t.match(await line.until(/well/), /^HTTP\/1\.1 200 /, 'a WebSocket goes there, too')
  line.socket.destroy()
})

t.test('over HTTP/2, too', async t => {
  const [well] = await servers(t, 'well')
  const { origins } = await openReverse(t, route([await nowhere(), well!.url], { health: { failures: 0 } }))
  const session = connect(origins[0]!)
  const closed = new Promise(resolve => session.once('close', resolve))
  t.teardown(async () => {
    session.destroy()
    await closed
  })
  for (let n = 0; n < 4; n++) {
    const stream = session.request({ ':path': '/r/page' })
    const [head] = (await waitFor(stream, 'response')) as [Record<string, unknown>]
    t.equal(head[':status'], 200)
    t.equal(await text(stream), 'well')
  }
  t.equal(well!.exchanges.length, 4)
})

t.test('what has content is sent to one server only', async t => {
  const [well] = await servers(t, 'well')
  const { origins } = await openReverse(t, route([await nowhere(), well!.url], { health: { failures: 0 } }))
  const post = () => rawRequest(`${origins[0]}/r/form`, { method: 'POST', body: 'x' })
  t.equal((await post()).status, 502)
  t.equal((await post()).status, 200)
  t.equal((await rawRequest(`${origins[0]}/r/form`, { method: 'GET', body: 'x' })).status, 502)
  t.equal(well!.exchanges.length, 1)
})

t.test('a connection that broke is not made anew elsewhere', async t => {
  const all = await servers(t, 'a', 'b')
  const { origins } = await openReverse(t, route(all.map(s => s.url)))
  all[0]!.next(x => x.cut())
  t.equal((await page(origins[0]!)).status, 502)
  t.equal(all[1]!.exchanges.length, 0)
})

t.test('where none can be reached the answer says so, after each was asked', async t => {
  trackLeaks(t)
  const urls = [await nowhere(), await nowhere()]
  const proxy = await openReverse(t, route(urls, { health: { failures: 1, ejection: 60_000 } }))
  t.match((await page(proxy.origins[0]!)).json(), { error: { data: { code: 'upstream_unreachable' } } })
  for (const { state } of proxy.routes[0]!.route.core.target.health!()) t.equal(state, 'ejected')
  t.equal((await page(proxy.origins[0]!)).status, 502, 'an ejection refuses nobody')
})

t.test('a server whose check fails gets no pages; with none left there are none', async t => {
  const [ill, well] = await servers(t, 'ill', 'well')
  const down = new Set<RawHttpServer>()
  for (const server of [ill!, well!])
    server.always(x => {
      if (x.path === '/up') return x.respond(down.has(server) ? 500 : 200, 'text/plain', '')
      return named(server === ill ? 'ill' : 'well')(x)
    })
  const check = { kind: 'http', path: '/up', interval: 20, timeout: 5_000, unhealthyAfter: 1 } as const
  const proxy = await openReverse(t, route([ill!.url, well!.url], { health: { check } }))
  const states = (): string[] => proxy.routes[0]!.route.core.target.health!().map(m => m.state)
  const origin = proxy.origins[0]!
  down.add(ill!)
  while (states()[0] !== 'down') await page(origin)
  for (let n = 0; n < 3; n++) t.equal((await page(origin)).text, 'well')
  down.add(well!)
  while (states()[1] !== 'down') await page(origin)
  const refused = await page(origin)
  t.equal(refused.status, 503)
  t.match(refused.json(), { error: { data: { code: 'target_unavailable' } } })
  const line = await dial(t, Number(new URL(origin).port), webSocket())
  t.match(await line.until(/target_unavailable/), /^HTTP\/1\.1 503 /)
  line.socket.destroy()
})

t.test('one that pages reach again is no longer left out', async t => {
  trackLeaks(t)
  const url = await nowhere()
  const proxy = await openReverse(t, route([url, await nowhere()], { health: { failures: 1, ejection: 60_000 } }))
  const origin = proxy.origins[0]!
  t.equal((await page(origin)).status, 502)
  const server = await startRawHttp(named('back'), { port: Number(new URL(url).port) })
  t.teardown(() => server.close())
  while ((await page(origin)).text !== 'back') t.pass('not yet')
  const { target } = proxy.routes[0]!.route.core
  t.equal(target.health!()[0]!.state, 'up')
  for (let n = 0; n < 3; n++) t.equal((await page(origin)).text, 'back')
})

t.test('a page makes no trial of a server; a call does', async t => {
  const [well] = await servers(t, 'well')
  const url = await nowhere()
  const health = { failures: 1, ejection: 1, maxEjection: 1 }
  const { origins } = await openReverse(t, route([url, well!.url], { health }))
  t.equal((await page(origins[0]!)).text, 'well')
  const server = await startRawHttp(named('back'), { port: Number(new URL(url).port) })
  t.teardown(() => server.close())
  for (let n = 0; n < 4; n++) t.equal((await page(origins[0]!)).text, 'well')
  t.equal((await rawPost(`${origins[0]}/r/mcp`, rpc(1, 'x'))).status, 200)
  t.equal(server.exchanges.length, 1)
  t.same(new Set([(await page(origins[0]!)).text, (await page(origins[0]!)).text]), new Set(['well', 'back']))
})

function webSocket(): string {
  return asking()
    .replace('/everything/chat', '/r/chat')
    .replace('front.test', 'localhost')
    .replace(/Origin: .*\r\n/, '')
}
