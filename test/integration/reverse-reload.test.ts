/** Other options while it runs: new sessions go the new way, those that live end where they began. */
import { readdirSync } from 'node:fs'
import t from 'tap'
import { type Interceptor, MemorySessionStore } from '../../src/index.ts'
import { echoWithHandshake, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { openSse, rawPost, rawRequest } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, modern, modernHeaders, rpc } from '../helpers/rpc.ts'
import { callTool, client, rawSession } from './http-door.ts'
import { ANYWHERE, openReverse, sdkServer, to } from './reverse-door.ts'

t.test('new sessions are made at the new server, living ones stay at the old one', async t => {
  trackLeaks(t)
  const [before, after] = [await sdkServer(t), await sdkServer(t)]
  const proxy = await openReverse(t, { a: to(before), b: to(before) })
  const old = await client(t, proxy.urlOf('a'))
  await old.listening()
  const slow = callTool(old, 'slow')
  await before.counters.until('slow.started')
  const done = await proxy.reload({ listeners: ANYWHERE, routes: { a: to(after), b: to(before), c: to(after) } })
  t.same(done, { added: ['c'], changed: ['a'], removed: [], kept: ['b'] })
  before.state.gate.release()
  t.equal(await slow, 'released')
  const next = await client(t, proxy.urlOf('a'))
  t.equal(after.sessions.size, 1)
  t.equal(before.sessions.size, 1)
  t.equal(await callTool(old, 'echo', { a: 1 }), '{"a":1}')
  t.equal(await callTool(next, 'echo', { a: 2 }), '{"a":2}')
  before.changed('tools')
  await old.until('notifications/tools/list_changed')
  t.equal(proxy.stats.sessions, 2)
  await old.terminate()
  t.equal(before.counters.count('session.deleted'), 1)
})

t.test('the sessions of a route that was removed live on; nobody new comes in', async t => {
  trackLeaks(t)
  const server = await sdkServer(t)
  const proxy = await openReverse(t, { a: to(server), b: to(server) })
  const url = proxy.urlOf('a')
  const old = await client(t, url)
  const done = await proxy.reload({ listeners: ANYWHERE, routes: { b: to(server) } })
  t.same(done, { added: [], changed: [], removed: ['a'], kept: ['b'] })
  t.equal(await callTool(old, 'echo', { a: 1 }), '{"a":1}')
  t.equal((await rawPost(url, initialize())).status, 404)
})

t.test('a stream that belongs to no session ends, so that its client opens it where others are served now', async t => {
  trackLeaks(t)
  const [before, after] = [await startRawHttp(x => void x.sse()), await startRawHttp()]
  t.teardown(() => before.close())
  t.teardown(() => after.close())
  const proxy = await openReverse(t, { a: to(before) })
  const stream = await openSse(proxy.urlOf('a'), { method: 'GET', headers: { accept: 'text/event-stream' } })
  await proxy.reload({ listeners: ANYWHERE, routes: { a: to(after) } })
  await stream.ended
})

t.test('a modern request goes the new way, whatever session of old it names', async t => {
  trackLeaks(t)
  const shake = echoWithHandshake('upstream')
  const [before, after] = [await startRawHttp(shake), await startRawHttp(shake)]
  t.teardown(() => before.close())
  t.teardown(() => after.close())
  const proxy = await openReverse(t, { a: to(before) })
  const id = await rawSession(proxy.urlOf('a'))
  await proxy.reload({ listeners: ANYWHERE, routes: { a: to(after) } })
  const message = modern(rpc(1, 'tools/list'))
  await rawPost(proxy.urlOf('a'), message, { ...modernHeaders(message), 'mcp-session-id': id })
  t.equal(after.exchanges.length, 1)
})

t.test('what is more than data is compared by identity', async t => {
  trackLeaks(t)
  class Stamp implements Interceptor {
    readonly name = 'stamp'
    readonly #stamp: string
    constructor(stamp: string) {
      this.#stamp = stamp
    }
    head(_x: unknown, head: { readonly headers: string[] }): void {
      head.headers.push('X-Stamp', this.#stamp)
    }
  }
  const server = await sdkServer(t)
  const [one, two] = [new Stamp('one'), new Stamp('two')]
  const route = (stamp: Stamp) => to(server, { interceptors: [stamp], allowHosts: ['a.test'] })
  const proxy = await openReverse(t, { a: route(one) })
  const again = await proxy.reload({ listeners: ANYWHERE, routes: { a: route(one) } })
  t.same(again.kept, ['a'])
  const other = await proxy.reload({ listeners: ANYWHERE, routes: { a: route(two) } })
  t.same(other.changed, ['a'])
  t.equal((await rawPost(proxy.urlOf('a'), initialize())).headers['x-stamp'], 'two')
})

t.test('options that cannot be meant, or a port that is taken, leave everything as it was', async t => {
  trackLeaks(t)
  const server = await sdkServer(t)
  const other = await startRawHttp()
  t.teardown(() => other.close())
  const proxy = await openReverse(t, { a: to(server) })
  const c = await client(t, proxy.urlOf('a'))
  await t.rejects(proxy.reload({ listeners: ANYWHERE, routes: {} }), /^routes: /)
  const taken = { host: '127.0.0.1', port: Number(new URL(other.url).port) }
  await t.rejects(proxy.reload({ listeners: [...ANYWHERE, taken], routes: { z: to(server) } }), /EADDRINUSE/)
  t.same(
    proxy.routes.map(({ name }) => name),
    ['a']
  )
  t.equal(await callTool(c, 'echo', { a: 1 }), '{"a":1}')
})

t.test('listeners come and go', async t => {
  trackLeaks(t)
  const server = await sdkServer(t)
  const proxy = await openReverse(t, { a: to(server) })
  const [first] = proxy.origins
  await proxy.reload({ listeners: [...ANYWHERE, { host: '127.0.0.1', port: 0 }], routes: { a: to(server) } })
  t.equal(proxy.origins[0], first, 'what is listened on already stays')
  const second = proxy.origins[1]!
  const id = await rawSession(`${second}/a/mcp`)
  t.equal((await rawPost(`${first}/a/mcp`, rpc(1, 'tools/list'), legacyHeaders(id))).status, 200)
  await proxy.reload({ listeners: ANYWHERE, routes: { a: to(server) } })
  t.same(proxy.origins, [first])
  await t.rejects(rawPost(`${second}/a/mcp`, initialize()))
})

t.test('under load nothing is lost, however often it is reloaded', async t => {
  trackLeaks(t)
  const servers = [await sdkServer(t), await sdkServer(t)]
  const proxy = await openReverse(t, { a: to(servers[0]!) })
  const url = proxy.urlOf('a')
  let stop = false
  let calls = 0
  const worker = async (): Promise<void> => {
    while (!stop) {
      const id = await rawSession(url)
      for (let i = 0; i < 5; i++) {
        const answer = await rawPost(url, rpc(i, 'tools/list'), legacyHeaders(id))
        if (answer.status !== 200) throw new Error(`status ${answer.status}: ${answer.text}`)
        calls++
      }
      const gone = await rawRequest(url, { method: 'DELETE', headers: legacyHeaders(id) })
      if (gone.status !== 200) throw new Error(`DELETE: ${gone.status}`)
    }
  }
  const workers = Array.from({ length: 8 }, worker)
  for (let i = 1; i <= 10; i++) {
    const done = await proxy.reload({ listeners: ANYWHERE, routes: { a: to(servers[i % 2]!) } })
    t.same(done.changed, ['a'])
    const seen = calls
    while (calls < seen + 20) await Promise.race([...workers, new Promise(resolve => setImmediate(resolve))])
  }
  stop = true
  await Promise.all(workers)
  t.ok(calls >= 200)
})

t.test('a token that was taken back opens nothing, not even the session it had opened; others live on', async t => {
  trackLeaks(t)
  const server = await sdkServer(t)
  const proxy = await openReverse(t, { a: to(server, { tokens: ['one', 'two'] }) })
  const url = proxy.urlOf('a')
  const [one, two] = [{ 'catflap-token': 'one' }, { 'catflap-token': 'two' }]
  const ids = [await rawSession(url, undefined, one), await rawSession(url, undefined, two)]
  await proxy.reload({ listeners: ANYWHERE, routes: { a: to(server, { tokens: ['two', 'three'] }) } })
  const status = async (id: string, token: Record<string, string>): Promise<number> =>
    (await rawPost(url, rpc(1, 'tools/list'), { ...legacyHeaders(id), ...token })).status
  t.equal(await status(ids[0]!, one), 401)
  t.equal(await status(ids[1]!, two), 200)
  t.equal(server.sessions.size, 1)
})

t.test('once it drains, other options are refused, and nothing listens anew', async t => {
  trackLeaks(t)
  const server = await sdkServer(t)
  const routes = { a: to(server) }
  const proxy = await openReverse(t, routes, { admin: { token: 'op' } })
  const headers = { authorization: 'Bearer op' }
  t.equal((await rawRequest(`${proxy.adminUrl}/api/drain`, { method: 'POST', headers })).status, 202)
  const { origins } = proxy
  const other = { listeners: [...ANYWHERE, ...ANYWHERE], routes: { ...routes, b: to(server) } }
  await t.rejects(proxy.reload(other), { name: 'TypeError', message: /drained/ })
  t.same(proxy.origins, origins)
  await t.rejects(rawPost(proxy.urlOf('a'), initialize()))
})

class WatchedStore extends MemorySessionStore {
  readonly closed = Promise.withResolvers<void>()
  closings = 0

  override close(): void {
    this.closings++
    super.close()
    this.closed.resolve()
  }
}

t.test('a store is closed when the route that uses it is, in whatever generation', async t => {
  trackLeaks(t)
  const server = await sdkServer(t)
  const other = await startRawHttp()
  t.teardown(() => other.close())
  const [store, unused] = [new WatchedStore(), new WatchedStore()]
  t.teardown(() => unused.close())
  const proxy = await openReverse(t, { a: to(server, { store }), b: to(server) })
  const id = await rawSession(proxy.urlOf('a'))
  const ask = async () => (await rawPost(proxy.urlOf('a'), rpc(1, 'tools/list'), legacyHeaders(id))).status
  const record = { path: `${t.testdir({ file: '' })}/file/nowhere` }
  const settings = { requestTimeout: 50_000 }
  for (const given of [store, unused])
    await t.rejects(
      proxy.reload({
        listeners: ANYWHERE,
        routes: { a: to(server, { store: given, settings }), z: to(server, { record }) }
      })
    )
  t.equal(await ask(), 200)
  await proxy.reload({ listeners: ANYWHERE, routes: { a: to(server, { store, settings }), b: to(server) } })
  await proxy.reload({ listeners: ANYWHERE, routes: { a: to(server, { settings }), b: to(server) } })
  t.equal(await ask(), 200)
  t.equal(store.closings + unused.closings, 0)
  await rawRequest(proxy.urlOf('a'), { method: 'DELETE', headers: legacyHeaders(id) })
  await proxy.reload({ listeners: ANYWHERE, routes: { a: to(server, { settings }) } })
  await store.closed.promise
  t.equal(store.closings, 1)
  t.equal((await rawPost(proxy.urlOf('a'), initialize())).status, 200)
})

t.test('options that are refused leave no tape', async t => {
  trackLeaks(t)
  const server = await sdkServer(t)
  const other = await startRawHttp()
  t.teardown(() => other.close())
  const folder = t.testdir()
  const route = (requestTimeout: number) => ({
    a: to(server, { record: { path: `${folder}/a.tape.jsonl` }, settings: { requestTimeout } })
  })
  const proxy = await openReverse(t, route(50_000))
  const before = readdirSync(folder)
  const taken = { host: '127.0.0.1', port: Number(new URL(other.url).port) }
  const wrong = { host: '127.0.0.1', port: 0, tls: { certificate: 'none', key: 'none' } }
  await t.rejects(proxy.reload({ listeners: [...ANYWHERE, taken], routes: route(40_000) }), { code: 'EADDRINUSE' })
  await t.rejects(proxy.reload({ listeners: [...ANYWHERE, wrong], routes: route(40_000) }), /^tls: /)
  t.same(readdirSync(folder), before)
})

t.test('where sessions are kept is not changed by a reload', async t => {
  trackLeaks(t)
  const server = await sdkServer(t)
  const proxy = await openReverse(t, { a: to(server) })
  const sharedStore = { url: 'redis://127.0.0.1:1' }
  const options = { listeners: ANYWHERE, routes: { b: to(server) }, sharedStore }
  await t.rejects(proxy.reload(options), { message: /store: .*restart/ })
  t.same(
    proxy.routes.map(({ name }) => name),
    ['a']
  )
})
