/** Several servers behind one address: each route is as if it were alone. */
import t from 'tap'
import { createReverse, MemorySessionStore, type ReverseOptions } from '../../src/index.ts'
import { startRawHttp } from '../fixtures/servers/raw-http.ts'
import { connectSse, HANDLERS } from '../helpers/clients.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost, talk } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, modern, modernHeaders, POST_HEADERS, rpc } from '../helpers/rpc.ts'
import { fixtureArgv } from '../helpers/stdio-peer.ts'
import { callTool, client, rawSession } from './http-door.ts'
import { ANYWHERE, openReverse, sdkServer, to } from './reverse-door.ts'

t.test('each route leads to its own server, each client to its own session', async t => {
  trackLeaks(t)
  const [a, b] = [await sdkServer(t), await sdkServer(t)]
  const [node, ...args] = fixtureArgv('stdio-server.ts')
  const proxy = await openReverse(t, { a: to(a), b: to(b), c: { targets: { command: node, args } } })
  t.same(
    proxy.routes.map(({ name, path }) => [name, path]),
    [
      ['a', '/a/mcp'],
      ['b', '/b/mcp'],
      ['c', '/c/mcp']
    ]
  )
  const clients = await Promise.all(['a', 'b', 'c'].map(name => client(t, proxy.urlOf(name))))
  for (const c of clients) t.equal(await callTool(c, 'echo', { a: 1 }), '{"a":1}')
  t.equal(a.sessions.size, 1)
  t.equal(b.sessions.size, 1)
  t.equal(proxy.stats.sessions, 3)
})

t.test('the session of one route is unknown on another', async t => {
  trackLeaks(t)
  const [a, b] = [await sdkServer(t), await sdkServer(t)]
  const proxy = await openReverse(t, { a: to(a), b: to(b) })
  const id = await rawSession(proxy.urlOf('a'))
  const before = b.requests.length
  const answer = await rawPost(proxy.urlOf('b'), rpc(1, 'tools/list'), legacyHeaders(id))
  t.equal(answer.status, 404)
  t.equal(b.requests.length, before, 'the other server never hears of it')
  t.equal((await rawPost(proxy.urlOf('a'), rpc(1, 'tools/list'), legacyHeaders(id))).status, 200)
})

t.test('old HTTP+SSE clients and modern ones are served beside each other', async t => {
  trackLeaks(t)
  const [legacy, now] = [await sdkServer(t), await startRawHttp()]
  t.teardown(() => now.close())
  const proxy = await openReverse(t, { old: to(legacy), now: to(now) })
  const c = await connectSse(proxy.urlOf('old').replace(/mcp$/, 'sse'), { handlers: HANDLERS })
  t.teardown(() => c.close())
  t.equal(await callTool(c, 'echo', { a: 1 }), '{"a":1}')
  const message = modern(rpc(1, 'tools/list'))
  t.equal((await rawPost(proxy.urlOf('now'), message, modernHeaders(message))).status, 200)
})

t.test('what no route serves is told so, and reaches no server', async t => {
  trackLeaks(t)
  const server = await startRawHttp()
  t.teardown(() => server.close())
  const proxy = await openReverse(t, { a: to(server) })
  for (const path of ['/', '/mcp', '/a', '/a/mcp/', '/A/mcp', '/a/mcp/..', '/a/%6dcp', '/b/mcp']) {
    const answer = await rawPost(`${proxy.origins[0]}${path}`, initialize())
    t.equal(answer.status, 404, path)
    t.match(JSON.parse(answer.text), { error: { code: -31404 } })
  }
  t.equal(server.exchanges.length, 0)
  const body = JSON.stringify(initialize())
  const head = [`POST ${proxy.urlOf('a')} HTTP/1.1`, `Host: ${new URL(proxy.urlOf('a')).host}`, 'Connection: close']
  for (const [name, value] of Object.entries(POST_HEADERS)) head.push(`${name}: ${value}`)
  const said = await talk(proxy.origins[0]!, `${head.join('\r\n')}\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
  t.match(said, /^HTTP\/1\.1 200 /, 'a whole URL as the target is a path like any other')
})

t.test('a route with a host is for that host alone, and foreign hosts are refused on every route', async t => {
  trackLeaks(t)
  const [a, b] = [await startRawHttp(), await startRawHttp()]
  t.teardown(() => a.close())
  t.teardown(() => b.close())
  const proxy = await openReverse(t, {
    a: to(a, { path: '/mcp', host: 'a.example' }),
    b: to(b, { path: '/mcp' })
  })
  const url = `${proxy.origins[0]}/mcp`
  const port = new URL(url).port
  t.equal((await rawPost(url, initialize(), { host: `A.example:${port}` })).status, 200)
  t.same([a.exchanges.length, b.exchanges.length], [1, 0])
  t.equal((await rawPost(url, initialize())).status, 200)
  t.same([a.exchanges.length, b.exchanges.length], [1, 1])
  const foreign = await rawPost(url, initialize(), { host: 'evil.example' })
  t.equal(foreign.status, 403)
  t.same([a.exchanges.length, b.exchanges.length], [1, 1])
})

t.test('a host may be an IPv6 address, and the one in a whole URL counts for more than the header', async t => {
  trackLeaks(t)
  const [six, named, any] = [await startRawHttp(), await startRawHttp(), await startRawHttp()]
  for (const server of [six, named, any]) t.teardown(() => server.close())
  const proxy = await openReverse(t, {
    six: to(six, { path: '/mcp', host: '::1' }),
    named: to(named, { path: '/mcp', host: 'a.example' }),
    any: to(any, { path: '/mcp' })
  })
  const body = JSON.stringify(initialize())
  const fields = Object.entries(POST_HEADERS).map(([name, value]) => `${name}: ${value}`)
  const ask = async (target: string, host: string) => {
    const head = [`POST ${target} HTTP/1.1`, `Host: ${host}`, 'Connection: close', ...fields]
    const text = `${head.join('\r\n')}\r\nContent-Length: ${body.length}\r\n\r\n${body}`
    t.match(await talk(proxy.origins[0]!, text), /^HTTP\/1\.1 200 /, `${target} ${host}`)
    return [six, named, any].map(server => server.exchanges.length)
  }
  t.same(await ask('/mcp', '[::1]'), [1, 0, 0])
  t.same(await ask('/mcp', '[::1]:7890'), [2, 0, 0])
  t.same(await ask('http://a.example/mcp', '127.0.0.1'), [2, 1, 0])
  t.same(await ask('http://127.0.0.1/mcp', 'a.example'), [2, 1, 1])
  t.equal(any.exchanges[0]!.headers['x-forwarded-host'], '127.0.0.1')
  const twice = { six: to(six, { path: '/mcp', host: '::1' }), also: to(six, { path: '/mcp', host: '[::1]' }) }
  await t.rejects(createReverse({ listeners: ANYWHERE, routes: twice }), /^routes.also.path/)
})

t.test("a route's token opens that route only", async t => {
  trackLeaks(t)
  const server = await startRawHttp()
  t.teardown(() => server.close())
  const proxy = await openReverse(t, { a: to(server, { tokens: ['for-a'] }), b: to(server, { tokens: ['for-b'] }) })
  const status = async (name: string, token?: string): Promise<number> =>
    (await rawPost(proxy.urlOf(name), initialize(), token === undefined ? {} : { 'catflap-token': token })).status
  t.equal(await status('a', 'for-a'), 200)
  t.equal(await status('b', 'for-b'), 200)
  t.equal(await status('a', 'for-b'), 401)
  t.equal(await status('b'), 401)
})

t.test("a route that is full, or whose server is gone, does not show on its neighbour's", async t => {
  trackLeaks(t)
  const [good, silent] = [await sdkServer(t), await startRawHttp(() => {})]
  t.teardown(() => silent.close())
  const proxy = await openReverse(t, {
    good: to(good),
    hangs: to(silent, { settings: { maxUpstreamConnections: 2, maxPending: 1 } }),
    gone: to({ url: 'http://127.0.0.1:1/mcp' })
  })
  const c = await client(t, proxy.urlOf('good'))
  const hanging = Array.from({ length: 6 }, () => rawPost(proxy.urlOf('hangs'), initialize()).catch(() => undefined))
  const gone = await rawPost(proxy.urlOf('gone'), initialize())
  t.equal(gone.status, 502)
  for (let i = 0; i < 20; i++) t.equal(await callTool(c, 'echo', { i }), `{"i":${i}}`)
  await proxy.close({ drainTimeout: 0 })
  const statuses = (await Promise.all(hanging)).map(answer => answer?.status)
  t.ok(statuses.every(status => status === 503 || status === 502 || status === undefined))
})

t.test('closing lets calls in flight finish, on all routes', async t => {
  trackLeaks(t)
  const [a, b] = [await sdkServer(t), await sdkServer(t)]
  const proxy = await openReverse(t, { a: to(a), b: to(b) })
  const [ca, cb] = [await client(t, proxy.urlOf('a')), await client(t, proxy.urlOf('b'))]
  const calls = [callTool(ca, 'slow'), callTool(cb, 'slow')]
  await Promise.all([a.counters.until('slow.started'), b.counters.until('slow.started')])
  const closing = proxy.close({ drainTimeout: 5_000 })
  a.state.gate.release()
  b.state.gate.release()
  t.equal((await Promise.all(calls)).length, 2)
  await closing
  t.same(proxy.stats, { sessions: 0, exchanges: 0, connections: 0 })
})

t.test('options that cannot be meant are refused by name, before anything is opened', async t => {
  trackLeaks(t)
  const url = 'http://127.0.0.1:1/mcp'
  const a = { targets: [{ url }] }
  const store = new MemorySessionStore({ maxSessions: 1, idleTtl: 1_000, maxTtl: 1_000 })
  t.teardown(() => store.close())
  const wrong: [unknown, RegExp][] = [
    [{ routes: {} }, /^routes: /],
    [{ routes: { 'a b': a } }, /^routes: 'a b'/],
    [{ routes: { a: { targets: [] } } }, /^routes\.a\.targets: /],
    [{ routes: { a: { targets: [{ url: 'nonsense' }] } } }, /^target\.url: 'nonsense'/],
    [{ routes: { a: { ...a, path: 'x' } } }, /^routes\.a\.path: 'x'/],
    [{ routes: { a: { ...a, path: '/x/sse' } } }, /^routes\.a\.path: '\/x\/sse'/],
    [{ routes: { a: { ...a, path: '/x' }, b: { ...a, path: '/x' } } }, /^routes\.b\.path: .*route 'a'/],
    [{ routes: { a: { ...a, host: 'http://x' } } }, /host name/],
    [{ routes: { a }, listeners: [{ host: '0.0.0.0' }] }, /^routes\.a: '0\.0\.0\.0' .*tokens/],
    [{ routes: { a: { ...a, store }, b: { ...a, store } } }, /^routes\.b\.store: route 'a' has it/],
    [{ routes: { a }, listeners: [{ port: -1 }] }, /^listeners\[0\]\.port: -1/],
    [{ routes: { a: { ...a, settings: { maxBody: -1 } } } }, /^maxBody: -1/]
  ]
  for (const [options, message] of wrong)
    await t.rejects(
      createReverse({ listeners: ANYWHERE, ...(options as ReverseOptions) }),
      { name: 'TypeError', message },
      JSON.stringify(options)
    )
})

t.test('a port that is taken fails the start, and leaves nothing', async t => {
  trackLeaks(t)
  const server = await startRawHttp()
  t.teardown(() => server.close())
  const port = Number(new URL(server.url).port)
  await t.rejects(
    createReverse({ listeners: [...ANYWHERE, { host: '127.0.0.1', port }], routes: { a: to(server) } }),
    /EADDRINUSE/
  )
})
