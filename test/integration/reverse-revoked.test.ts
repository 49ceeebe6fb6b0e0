/** Tokens that were taken back: whatever they had opened, in whatever generation of a route, is over. */
import { type IncomingMessage, request } from 'node:http'
import t, { type Test } from 'tap'
import { MemorySessionStore, type RouteOptions } from '../../src/index.ts'
import { echoWithHandshake, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, modern, modernHeaders, POST_HEADERS, rpc } from '../helpers/rpc.ts'
import { asking, dial } from '../proxy/passthrough-door.ts'
import { rawSession } from './http-door.ts'
import { ANYWHERE, openReverse, sdkServer, to } from './reverse-door.ts'

const [ONE, TWO] = [{ 'catflap-token': 'one' }, { 'catflap-token': 'two' }]

async function guarded(t: Test, tokens: readonly string[]) {
  trackLeaks(t)
  const server = await sdkServer(t)
  const proxy = await openReverse(t, { a: to(server, { tokens }), other: to(server) })
  const url = proxy.urlOf('a')
  const other = to(server)
  return {
    server,
    url,
    route: (more: Partial<RouteOptions>) => to(server, more),
    reload: (routes: Readonly<Record<string, RouteOptions>>) =>
      proxy.reload({ listeners: ANYWHERE, routes: { ...routes, other } }),
    ask: async (id: string, token: Record<string, string>) =>
      (await rawPost(url, rpc(1, 'tools/list'), { ...legacyHeaders(id), ...token })).status
  }
}

t.test('a route that was replaced for another reason before', async t => {
  const { url, route, reload, ask } = await guarded(t, ['one', 'two'])
  const ids = [await rawSession(url, undefined, ONE), await rawSession(url, undefined, TWO)]
  await reload({ a: route({ tokens: ['one', 'two'], settings: { requestTimeout: 50_000 } }) })
  t.equal(await ask(ids[0]!, ONE), 200)
  await reload({ a: route({ tokens: ['two'], settings: { requestTimeout: 50_000 } }) })
  t.equal(await ask(ids[0]!, ONE), 401)
  t.equal(await ask(ids[1]!, TWO), 200)
})

t.test('a route that has another name now', async t => {
  const { server, url, route, reload, ask } = await guarded(t, ['one'])
  const id = await rawSession(url, undefined, ONE)
  await reload({ renamed: route({ path: '/a/mcp', tokens: ['two'] }) })
  t.equal(await ask(id, ONE), 401)
  t.equal(server.sessions.size, 0)
})

t.test('a route that moved, and another took its path', async t => {
  const { url, route, reload, ask } = await guarded(t, ['one'])
  const id = await rawSession(url, undefined, ONE)
  const b = route({ path: '/a/mcp', tokens: ['two'] })
  await reload({ a: route({ path: '/elsewhere/mcp', tokens: ['one'] }), b })
  t.equal(await ask(id, ONE), 200, 'its token still opens it')
  await reload({ a: route({ path: '/elsewhere/mcp', tokens: ['two'] }), b })
  t.equal(await ask(id, ONE), 401)
})

t.test('a stream that was asked for with a token, which was taken back before all of the request was here', async t => {
  trackLeaks(t)
  const server = await startRawHttp(x => void x.sse())
  t.teardown(() => server.close())
  const proxy = await openReverse(t, { a: to(server, { tokens: ['one', 'two'] }) })
  const message = modern(rpc(1, 'subscriptions/listen', { notifications: { toolsListChanged: true } }))
  const body = JSON.stringify(message)
  const headers = { ...modernHeaders(message), ...ONE, 'content-length': String(Buffer.byteLength(body)) }
  const req = request(proxy.urlOf('a'), { method: 'POST', headers: { ...POST_HEADERS, ...headers } })
  req.write(body.slice(0, 10))
  await new Promise(resolve => req.once('socket', resolve))
  while (proxy.stats.exchanges === 0) await new Promise(resolve => setImmediate(resolve))
  await proxy.reload({ listeners: ANYWHERE, routes: { a: to(server, { tokens: ['two'] }) } })
  req.end(body.slice(10))
  const answer = await new Promise<IncomingMessage>((resolve, reject) =>
    req.once('response', resolve).once('error', reject)
  )
  answer.resume()
  await new Promise(resolve => answer.once('close', resolve))
  t.equal(proxy.stats.exchanges, 0)
})

t.test('a route that was away for a while', async t => {
  const { url, route, reload, ask } = await guarded(t, ['one'])
  const id = await rawSession(url, undefined, ONE)
  await reload({})
  t.equal(await ask(id, ONE), 200, 'nobody took the token back')
  await reload({ a: route({ tokens: ['two'] }) })
  t.equal(await ask(id, ONE), 401)
})

t.test('a session that was about to be made', async t => {
  trackLeaks(t)
  const shake = echoWithHandshake('upstream')
  const go = Promise.withResolvers<void>()
  const server = await startRawHttp(async x => {
    await go.promise
    await shake(x)
  })
  t.teardown(() => server.close())
  const proxy = await openReverse(t, { a: to(server, { tokens: ['one', 'two'] }) })
  const url = proxy.urlOf('a')
  const made = [ONE, TWO].map(token => rawPost(url, initialize(), token))
  await server.exchange()
  await server.exchange()
  await proxy.reload({ listeners: ANYWHERE, routes: { a: to(server, { tokens: ['two'] }) } })
  go.resolve()
  const ids = (await Promise.all(made)).map(answer => String(answer.headers['mcp-session-id']))
  const ask = async (id: string, token: Record<string, string>) =>
    (await rawPost(url, rpc(1, 'x'), { ...legacyHeaders(id), ...token })).status
  t.equal(await ask(ids[0]!, ONE), 401)
  t.equal(await ask(ids[1]!, TWO), 200)
  while (proxy.stats.sessions > 1) await new Promise(resolve => setImmediate(resolve))
})

t.test('a WebSocket: it goes on with the token it came with, and no longer', async t => {
  trackLeaks(t)
  const head = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhi'
  const server = await startRawHttp(x => void x.raw(head))
  t.teardown(() => server.close())
  const store = new WatchedStore()
  const route = (tokens: readonly string[], kept?: WatchedStore) => ({
    a: to(server, { passthrough: ['/everything/*'], tokens }),
    idle: to(server, { store: kept })
  })
  const proxy = await openReverse(t, route(['one', 'two'], store))
  const port = Number(new URL(proxy.origins[0]!).port)
  const open = async (token: string) => {
    const text = asking()
      .replace('front.test', 'localhost')
      .replace(/Origin: .*\r\n/, `Catflap-Token: ${token}\r\n`)
    const line = await dial(t, port, text)
    await line.until(/hi$/)
    return line
  }
  const [one, two] = [await open('one'), await open('two')]
  // Of two routes that are replaced, the one with nothing to do is closed after the other was looked at.
  await proxy.reload({ listeners: ANYWHERE, routes: route(['one', 'two', 'three']) })
  await store.closed.promise
  t.notOk(one.socket.destroyed || one.socket.readableEnded)
  await proxy.reload({ listeners: ANYWHERE, routes: route(['two', 'three']) })
  await one.closed
  t.notOk(two.socket.destroyed || two.socket.readableEnded)
  await proxy.close({ drainTimeout: 0 })
  await two.closed
})

class WatchedStore extends MemorySessionStore {
  readonly closed = Promise.withResolvers<void>()

  override close(): void {
    super.close()
    this.closed.resolve()
  }
}
