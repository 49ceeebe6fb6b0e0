/** What a reverse proxy has besides its routes: operators, pages, TLS and HTTP/2, who sent a request, what is written down. */

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:http2'
import path from 'node:path'
import t from 'tap'
import { Agent, request } from 'undici'
import { createForward, createReverse } from '../../src/index.ts'
import { startRawHttp } from '../fixtures/servers/raw-http.ts'
import { CA, SERVER_TLS } from '../fixtures/tls/certificates.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { openSse, rawPost, rawRequest } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, modern, modernHeaders, POST_HEADERS, rpc } from '../helpers/rpc.ts'
import { fixtureArgv } from '../helpers/stdio-peer.ts'
import { callTool, client, rawSession } from './http-door.ts'
import { ANYWHERE, openReverse, sdkServer, to } from './reverse-door.ts'

const TOKEN = 'for-operators'
const asOperator = { authorization: `Bearer ${TOKEN}` }

t.test('operators see routes and sessions, end one, read metrics, and drain', async t => {
  trackLeaks(t)
  const server = await sdkServer(t)
  const proxy = await openReverse(
    t,
    { a: to(server), gone: to({ url: 'http://127.0.0.1:1/mcp' }) },
    { admin: { token: TOKEN }, metrics: true }
  )
  const ask = async (path: string, method = 'GET') => {
    const answer = await rawRequest(`${proxy.adminUrl}${path}`, { method, headers: asOperator })
    return { ...answer, json: (answer.text.startsWith('{') ? answer.json() : undefined) as Record<string, unknown> }
  }
  const c = await client(t, proxy.urlOf('a'))
  t.equal(await callTool(c, 'echo', { a: 1 }), '{"a":1}')
  t.equal((await ask('/livez')).status, 200)
  t.equal((await ask('/readyz')).status, 200)
  t.equal((await rawRequest(`${proxy.adminUrl}/api/status`, { method: 'GET' })).status, 401)
  t.match((await ask('/api/status')).json, { routes: [{ name: 'a', sessions: { total: 1 } }, { name: 'gone' }] })
  const { sessions } = (await ask('/api/sessions')).json as { sessions: { handle: string; route: string }[] }
  t.match(sessions, [{ route: 'a' }])
  t.notMatch((await ask('/api/sessions')).text, c.transport.sessionId!)
  const metrics = (await ask('/metrics')).text
  t.match(metrics, /^catflap_sessions\{[^}]*catflap_route="a"[^}]*\} 1/m)
  t.match(metrics, /^mcp_server_operation_duration_seconds_count\{[^}]*catflap_route="a"/m)
  t.equal((await ask(`/api/sessions/${sessions[0]!.handle}`, 'DELETE')).status, 204)
  await t.rejects(callTool(c, 'echo', { a: 2 }))
  t.equal(proxy.stats.sessions, 0)
  t.equal((await ask('/api/drain', 'POST')).status, 202)
  t.equal((await ask('/readyz')).status, 503)
  await t.rejects(rawPost(proxy.urlOf('a'), initialize()), 'nobody new comes in')
})

t.test('a forward proxy has operators, too', async t => {
  trackLeaks(t)
  const server = await sdkServer(t)
  const door = await createForward({ target: { url: server.url }, admin: {}, metrics: true })
  t.teardown(() => door.close({ drainTimeout: 0 }))
  t.ok(door.adminToken!.length >= 32)
  const c = await client(t, door.url!)
  const headers = { authorization: `Bearer ${door.adminToken}` }
  const status = await rawRequest(`${door.adminUrl}/api/status`, { method: 'GET', headers })
  t.match(status.json(), { state: 'ready', routes: [{ sessions: { total: 1 } }] })
  t.match((await rawRequest(`${door.adminUrl}/metrics`, { method: 'GET', headers })).text, /^catflap_sessions/m)
  await c.terminate()
})

t.test('one port has HTTP/1.1 and HTTP/2, on clear text and with TLS', async t => {
  trackLeaks(t)
  const server = await sdkServer(t)
  const tls = { certificate: SERVER_TLS.cert, key: SERVER_TLS.key }
  const listeners = [...ANYWHERE, { host: '127.0.0.1', port: 0, tls }]
  const proxy = await openReverse(t, { a: to(server) }, { listeners })
  const [clear, secure] = proxy.origins as [string, string]
  t.match(secure, /^https:/)
  t.equal((await rawPost(`${clear}/a/mcp`, initialize())).status, 200)
  const session = connect(clear)
  t.teardown(() => session.destroy())
  const body = JSON.stringify(initialize())
  const stream = session.request({ ':method': 'POST', ':path': '/a/mcp', ...POST_HEADERS })
  stream.end(body)
  const [head] = await once(stream, 'response')
  t.equal(head[':status'], 200)
  t.ok(head['mcp-session-id'])
  stream.close()
  for (const allowH2 of [false, true]) {
    const agent = new Agent({ allowH2, connect: { ca: CA } })
    t.teardown(() => agent.destroy())
    const answer = await request(`${secure}/a/mcp`, { method: 'POST', headers: POST_HEADERS, body, dispatcher: agent })
    t.equal(answer.statusCode, 200, allowH2 ? 'h2' : 'http/1.1')
    await answer.body.dump()
  }
  session.close()
})

t.test('servers are told who asks; only trusted proxies are believed', async t => {
  trackLeaks(t)
  const server = await startRawHttp()
  t.teardown(() => server.close())
  const proxy = await openReverse(t, { a: to(server) })
  const claim = { 'x-forwarded-for': '9.9.9.9', forwarded: 'for=9.9.9.9' }
  await rawPost(proxy.urlOf('a'), rpc(1, 'ping'), claim)
  const { host } = new URL(proxy.urlOf('a'))
  t.equal(server.exchanges[0]!.headers['x-forwarded-for'], '127.0.0.1')
  t.equal(server.exchanges[0]!.headers['x-forwarded-host'], host)
  t.equal(server.exchanges[0]!.headers['x-forwarded-prefix'], '/a')
  t.match(server.exchanges[0]!.headers.forwarded, /for=127\.0\.0\.1/)
  t.notMatch(server.exchanges[0]!.headers.forwarded, /9\.9\.9\.9/)
  const trusting = await openReverse(t, { a: to(server) }, { trustedProxies: ['127.0.0.0/8'] })
  await rawPost(trusting.urlOf('a'), rpc(1, 'ping'), claim)
  t.equal(server.exchanges[1]!.headers['x-forwarded-for'], '9.9.9.9, 127.0.0.1')
})

t.test('what is not MCP passes where a route names it, by the same guards; other paths are nobody’s', async t => {
  trackLeaks(t)
  const server = await startRawHttp(x => void x.head(200, ['Content-Type', 'text/plain']).end(`page ${x.path}`))
  t.teardown(() => server.close())
  const proxy = await openReverse(t, { a: to(server, { passthrough: ['/a/pages/*'], tokens: ['t'] }) })
  const get = (path: string, headers = {}) => rawRequest(`${proxy.origins[0]}${path}`, { method: 'GET', headers })
  t.equal((await get('/a/pages/x')).status, 401)
  const page = await get('/a/pages/x?q', { 'catflap-token': 't' })
  t.equal(page.status, 200)
  t.equal(page.text, 'page /pages/x?q')
  t.equal(server.exchanges[0]!.headers['catflap-token'], undefined)
  t.equal((await get('/a/other', { 'catflap-token': 't' })).status, 404)
  t.equal((await get('/a/pages/x', { 'catflap-token': 't', host: 'evil.example' })).status, 403)
})

t.test('rules for headers, a line in the access log, and audit events', async t => {
  trackLeaks(t)
  const server = await sdkServer(t)
  const lines: string[] = []
  const events: string[] = []
  const tell = (event: string): void => void events.push(event)
  const log = { debug: tell, info: tell, warn: tell, error: tell }
  const headers = { request: { set: { 'X-Team': 'blue' } }, response: { add: { 'X-Front': 'catflap' } } }
  const proxy = await createReverse({
    listeners: ANYWHERE,
    routes: { a: to(server, { headers }) },
    accessLog: { format: 'json', write: text => void lines.push(...text.trim().split('\n')) },
    log
  })
  const id = await rawSession(proxy.urlOf('a'))
  const answer = await rawPost(proxy.urlOf('a'), rpc(1, 'tools/list'), legacyHeaders(id))
  t.equal(answer.headers['x-front'], 'catflap')
  t.equal(server.requests.at(-1)!.headers['x-team'], 'blue')
  await proxy.close({ drainTimeout: 0 })
  t.match(
    lines.map(line => JSON.parse(line)),
    [
      { route: 'a', method: 'initialize', status: 200, result: 'answered' },
      { method: 'notifications/initialized', status: 202 },
      { method: 'tools/list', status: 200, result: 'answered' }
    ]
  )
  t.notMatch(lines.join('\n'), id)
  for (const event of ['session-made', 'session-ended', 'drain-began', 'drain-ended'])
    t.ok(events.includes(event), event)
})

t.test('a command on a route inherits a short list of variables, and what the route gives', async t => {
  trackLeaks(t)
  process.env.CATFLAP_TEST_SECRET_OF_OURS = 'x'
  process.env.SECRET_OF_OURS = 'x'
  process.env.WANTED_BY_ROUTE = 'yes'
  t.teardown(() => {
    for (const name of ['CATFLAP_TEST_SECRET_OF_OURS', 'SECRET_OF_OURS', 'WANTED_BY_ROUTE']) delete process.env[name]
  })
  const program =
    'const e=JSON.stringify(Object.keys(process.env));process.stdin.on("data",d=>{for(const l of String(d).trim().split("\\n")){const m=JSON.parse(l);if(m.id!==undefined)process.stdout.write(JSON.stringify({jsonrpc:"2.0",id:m.id,result:{protocolVersion:"2025-11-25",capabilities:{},serverInfo:{name:"e",version:"1"},env:e}})+"\\n")}})'
  const proxy = await openReverse(t, {
    a: {
      targets: {
        command: process.execPath,
        args: ['-e', program],
        env: { GIVEN: '1' },
        inheritEnv: ['WANTED_BY_ROUTE']
      }
    }
  })
  const answer = (await rawPost(proxy.urlOf('a'), initialize())).json() as { result: { env: string } }
  const names = JSON.parse(answer.result.env) as string[]
  for (const name of ['PATH', 'GIVEN', 'WANTED_BY_ROUTE']) t.ok(names.includes(name), name)
  for (const name of ['SECRET_OF_OURS', 'CATFLAP_TEST_SECRET_OF_OURS']) t.notOk(names.includes(name), name)
})

t.test('several targets share what is asked, and a session stays with its own', async t => {
  trackLeaks(t)
  const [one, two] = [await sdkServer(t), await sdkServer(t)]
  const proxy = await openReverse(t, { a: { targets: [{ url: one.url }, { url: two.url }] } })
  const clients = await Promise.all(Array.from({ length: 4 }, () => client(t, proxy.urlOf('a'))))
  t.equal(one.sessions.size, 2)
  t.equal(two.sessions.size, 2)
  for (let i = 0; i < 5; i++) for (const c of clients) t.equal(await callTool(c, 'echo', { i }), `{"i":${i}}`)
})

t.test('secrets in the URLs of targets are shown nowhere', async t => {
  trackLeaks(t)
  const server = await startRawHttp(x => x.respond(200, 'application/json', '{}'))
  t.teardown(() => server.close())
  const secrets = ['s3cret-in-path', 's3cret-user', 's3cret-word', 's3cret-query']
  const url = (origin: string): string =>
    `${origin.replace('://', '://s3cret-user:s3cret-word@')}/s3cret-in-path/mcp?key=s3cret-query`
  const targets = ['http://127.0.0.1:1', new URL(server.url).origin, 'http://127.0.0.1:1'].map(o => ({ url: url(o) }))
  const seen: string[] = []
  const tell = (event: string, text: string, facts?: object): void =>
    void seen.push(`${event} ${text} ${JSON.stringify(facts)}`)
  const proxy = await openReverse(
    t,
    { a: { targets, health: { failures: 1, ejection: 60_000 }, passthrough: ['/a/*'] } },
    {
      secrets: ['s3cret-in-path'],
      admin: { token: TOKEN },
      metrics: true,
      accessLog: { format: 'json', write: text => void seen.push(text) },
      log: { debug: tell, info: tell, warn: tell, error: tell }
    }
  )
  for (let n = 0; n < 4; n++) {
    seen.push((await rawPost(proxy.urlOf('a'), rpc(n, 'ping'))).text)
    seen.push((await rawRequest(`${proxy.origins[0]}/a/page`, { method: 'POST', body: 'x' })).text)
  }
  t.ok(server.exchanges.length > 0)
  for (const path of ['/api/status', '/readyz', '/metrics'])
    seen.push((await rawRequest(`${proxy.adminUrl}${path}`, { method: 'GET', headers: asOperator })).text)
  const { origin } = new URL(server.url)
  t.same(
    proxy.routes[0]!.route.core.target.health!().map(m => m.member),
    ['http://127.0.0.1:1/[redacted]/mcp', `${origin}/[redacted]/mcp`, 'http://127.0.0.1:1/[redacted]/mcp#2']
  )
  await proxy.close({ drainTimeout: 0 })
  for (const secret of secrets)
    t.notOk(
      seen.find(text => text.includes(secret)),
      secret
    )
  t.ok(seen.find(text => text.startsWith('target-')))
  t.ok(
    seen.find(text => text.includes('"target":')),
    'the access log names targets'
  )
})

t.test('streams of both eras and both kinds of servers end when it drains', async t => {
  trackLeaks(t)
  const server = await sdkServer(t)
  const now = await startRawHttp(x => void x.sse())
  t.teardown(() => now.close())
  const [node, ...args] = fixtureArgv('stdio-server.ts')
  const proxy = await openReverse(t, { a: to(server), c: { targets: { command: node, args } }, now: to(now) })
  const streams = []
  for (const name of ['a', 'c']) {
    const id = await rawSession(proxy.urlOf(name))
    const headers = { ...legacyHeaders(id), accept: 'text/event-stream' }
    streams.push(await openSse(proxy.urlOf(name), { method: 'GET', headers }))
  }
  const listen = modern(rpc(1, 'subscriptions/listen'))
  streams.push(await openSse(proxy.urlOf('now'), { body: listen, headers: modernHeaders(listen) }))
  const began = performance.now()
  await proxy.close({ drainTimeout: 10_000 })
  t.ok(performance.now() - began < 5_000, 'nobody waits for streams')
  t.same(await Promise.all(streams.map(stream => stream.ended)), ['end', 'end', 'end'])
})

t.test('each route has its own tape, and what one says is not on that of another', async t => {
  trackLeaks(t)
  const [one, two] = [await sdkServer(t), await sdkServer(t)]
  const folder = t.testdir()
  const tape = (name: string): string => path.join(folder, `${name}.tape.jsonl`)
  const proxy = await openReverse(t, {
    one: to(one, { record: { path: tape('one') }, tokens: ['secret-of-one'] }),
    two: to(two, { record: { path: tape('two') } })
  })
  await rawSession(proxy.urlOf('one'), undefined, { 'catflap-token': 'secret-of-one' })
  const id = await rawSession(proxy.urlOf('two'))
  await rawPost(proxy.urlOf('two'), rpc(7, 'prompts/list'), legacyHeaders(id))
  await proxy.close({ drainTimeout: 0 })
  const [first, second] = [readFileSync(tape('one'), 'utf8'), readFileSync(tape('two'), 'utf8')]
  t.match(first, /initialize/)
  t.notMatch(first, /prompts\/list|secret-of-one/)
  t.match(second, /prompts\/list/)
  t.notMatch(second, id)
})

t.test('pages have lines in the access log, refusals there are events, and a drain waits for them', async t => {
  trackLeaks(t)
  const asked = Promise.withResolvers<() => void>()
  const server = await startRawHttp(x => {
    if (x.path.startsWith('/pages/quick')) return void x.head(200, ['Content-Type', 'text/plain']).end('page')
    asked.resolve(() => x.head(200, ['Content-Type', 'text/plain']).end('at last'))
  })
  t.teardown(() => server.close())
  const lines: string[] = []
  const events: string[] = []
  const tell = (event: string): void => void events.push(event)
  const proxy = await createReverse({
    listeners: ANYWHERE,
    routes: { a: to(server, { passthrough: ['/a/pages/*'], tokens: ['t'] }) },
    accessLog: { format: 'json', write: text => void lines.push(...text.trim().split('\n')) },
    admin: { token: TOKEN },
    log: { debug: tell, info: tell, warn: tell, error: tell }
  })
  t.teardown(() => proxy.close({ drainTimeout: 0 }))
  const get = (path: string, headers = {}) => rawRequest(`${proxy.origins[0]}${path}`, { method: 'GET', headers })
  const token = { 'catflap-token': 't' }
  t.equal((await get('/a/pages/quick?secret', token)).status, 200)
  t.equal((await get('/a/pages/quick')).status, 401)
  t.ok(events.includes('session-refused'))
  const slow = get('/a/pages/slow', token)
  const answer = await asked.promise
  const drain = await rawRequest(`${proxy.adminUrl}/api/drain`, { headers: asOperator })
  t.match(drain.json(), { calls: 1 })
  answer()
  t.equal((await slow).text, 'at last')
  await proxy.close()
  t.match(
    lines.map(line => JSON.parse(line)),
    [
      { kind: 'page', name: '/a/pages/quick', status: 200, result: 'answered' },
      { kind: 'page', status: 401, code: 'unauthorized' },
      { kind: 'page', name: '/a/pages/slow', status: 200 }
    ]
  )
})
