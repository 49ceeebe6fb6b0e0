/** Who may ask on the admin listener, how it speaks HTTP, and what one can do to it. */
import { connect } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import { Audit } from '../../src/admin/audit.ts'
import { PlainServer } from '../../src/admin/plain-server.ts'
import { RoutesMetrics } from '../../src/metrics/routes-metrics.ts'
import { startHttpServer } from '../fixtures/servers/http-server.ts'
import { type RawHttpServer, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { openSse, rawPost, rawRequest, talk } from '../helpers/raw-client.ts'
import { legacyHeaders, rpc } from '../helpers/rpc.ts'
import { rawSession } from '../integration/http-door.ts'
import { Scrape } from '../metrics/scrape.ts'
import { events, openAdmin, openStage, type Stage, TOKEN, withHealth } from './stage.ts'

const BEARER = { authorization: `Bearer ${TOKEN}` }
const get = (url: string, headers: Record<string, string> = BEARER, method = 'GET') =>
  rawRequest(url, { method, headers })

async function rawStage(t: import('tap').Test): Promise<{ server: RawHttpServer; stage: Stage }> {
  trackLeaks(t)
  const server = await startRawHttp()
  t.teardown(() => server.close())
  return { server, stage: await openStage(t, { one: { target: { url: server.url } } }) }
}

t.test('without the token nobody learns anything but whether it lives and is ready', async t => {
  const { stage } = await rawStage(t)
  const { log, inbox } = events()
  const { admin } = await openAdmin(t, stage, { audit: new Audit(log) })
  t.match(admin, /^http:\/\/127\.0\.0\.1:\d+$/)
  for (const path of ['/metrics', '/api/status', '/api/sessions', '/api/drain', '/openapi.json', '/nowhere', '/'])
    for (const headers of [{}, { authorization: 'Bearer wrong' }, { authorization: TOKEN }, { 'catflap-token': '' }]) {
      const answer = await get(`${admin}${path}`, headers as Record<string, string>)
      t.match([answer.status, answer.headers['content-type']], [401, 'application/problem+json'], path)
      t.match(answer.headers['www-authenticate'], 'Bearer')
      t.match(answer.json(), { status: 401, code: 'unauthorized', title: 'Unauthorized' })
    }
  for (const headers of [BEARER, { 'catflap-token': TOKEN }])
    t.equal((await get(`${admin}/api/status`, headers as Record<string, string>)).status, 200)
  t.equal(
    (await get(`${admin}/api/status`, { ...BEARER, 'catflap-token': 'wrong' })).status,
    401,
    'the one that is ours counts'
  )
  t.match(inbox.items[0], { event: 'admin-refused', client: '127.0.0.1' })
  t.notMatch(JSON.stringify(inbox.items), /wrong/)
  const told = inbox.items.length
  t.same((await get(`${admin}/livez`, {})).json(), { status: 'ok' })
  t.same((await get(`${admin}/readyz`, {})).json(), { status: 'ready' })
  t.match((await get(`${admin}/readyz`)).json(), {
    status: 'ready',
    state: 'ready',
    routes: [{ name: 'one', ready: true }]
  })
  t.equal(inbox.items.length, told, 'probes need none')
})

t.test('a token must be given, and not an empty one', async t => {
  const { stage } = await rawStage(t)
  await t.rejects(openAdmin(t, stage, { token: '' }), { name: 'TypeError', message: /admin\.token/ })
})

t.test('pages of the web do not get at it', async t => {
  const { stage } = await rawStage(t)
  const { admin } = await openAdmin(t, stage, { allowHosts: ['catflap.internal'] })
  t.match((await get(`${admin}/livez`, { host: 'evil.example' })).json(), { code: 'forbidden_host', status: 403 })
  t.equal((await get(`${admin}/api/status`, { ...BEARER, origin: 'https://evil.example' })).status, 403)
  t.equal((await get(`${admin}/livez`, { host: 'catflap.internal:9901' })).status, 200)
})

t.test('methods are those of HTTP: HEAD, OPTIONS, 405 with Allow; nothing may be kept', async t => {
  const { stage } = await rawStage(t)
  const { admin } = await openAdmin(t, stage)
  const head = await get(`${admin}/api/status`, BEARER, 'HEAD')
  t.same([head.status, head.text], [200, ''])
  t.ok(Number(head.headers['content-length']) > 100)
  const options = await get(`${admin}/api/drain`, BEARER, 'OPTIONS')
  t.match([options.status, options.headers.allow, options.text], [204, 'GET, HEAD, POST, OPTIONS', ''])
  for (const [method, path, allow] of [
    ['POST', '/api/status', 'GET, HEAD, OPTIONS'],
    ['GET', '/api/sessions/s-1', 'DELETE, OPTIONS'],
    ['DELETE', '/livez', 'GET, HEAD, OPTIONS'],
    ['PUT', '/api/drain', 'GET, HEAD, POST, OPTIONS']
  ] as const) {
    const answer = await get(`${admin}${path}`, BEARER, method)
    t.match([answer.status, answer.headers.allow], [405, allow], `${method} ${path}`)
    t.match(answer.json(), { code: 'method_not_allowed' })
  }
  for (const path of ['/livez', '/api/status', '/nowhere']) {
    const { headers } = await get(`${admin}${path}`)
    t.match([headers['cache-control'], headers['x-content-type-options']], ['no-store', 'nosniff'], path)
  }
  for (const path of [
    '/api/status/',
    '/api/sessions/',
    '/api/sessions/..%2fstatus',
    '/livez/x',
    '//livez',
    '/api/sessions/a%2Fb'
  ])
    t.match([(await get(`${admin}${path}`, BEARER, path.includes('sessions/') ? 'DELETE' : 'GET')).status], [404], path)
})

t.test('requests have no body; one that has is not read', async t => {
  const { stage } = await rawStage(t)
  const { admin } = await openAdmin(t, stage)
  const answer = await rawRequest(`${admin}/api/drain`, { method: 'POST', headers: BEARER, body: 'x'.repeat(100) })
  t.match([answer.status, answer.headers.connection], [413, 'close'])
  t.match(answer.json(), { code: 'body_too_large' })
  const { host } = new URL(admin)
  const head = `POST /api/drain HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${TOKEN}\r\n`
  const chunked = await talk(admin, `${head}Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n`)
  t.match(chunked, /^HTTP\/1\.1 413 /, 'nor is anybody told to go on')
  const empty = await rawRequest(`${admin}/api/sessions/s-1`, {
    method: 'DELETE',
    headers: { ...BEARER, 'content-length': '0' }
  })
  t.equal(empty.status, 404)
})

t.test('what is no request is told so; connections, heads and time have bounds', async t => {
  trackLeaks(t)
  const server = new PlainServer((_, res) => res.end('ok'), {
    connections: 2,
    request: 200,
    headerSize: 2_000,
    leaving: 50
  })
  const { port } = await server.listen('127.0.0.1', 0)
  t.teardown(() => server.close())
  const url = `http://127.0.0.1:${port}`
  const bad = await talk(url, 'HELLO\r\n\r\n')
  t.match(bad, /^HTTP\/1\.1 400 Bad Request\r\n/)
  t.match(bad, /application\/problem\+json/)
  t.match(bad, /"code":"bad_http"/)
  t.match(await talk(url, `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(3_000)}\r\n\r\n`), /^HTTP\/1\.1 431 /)
  t.match(await talk(url, 'GET / HTTP/1.1\r\nHos'), /^HTTP\/1\.1 408 /, 'slow clients')
  const open = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')]
  await Promise.all(open.map(socket => new Promise(resolve => socket.once('connect', resolve))))
  const oldest = new Promise(resolve => open[0]!.once('close', resolve).once('error', () => {}))
  open.push(connect(port, '127.0.0.1'))
  await oldest
  t.same([open[1]!.destroyed, open[2]!.destroyed], [false, false], 'the oldest of one too many is closed, and no other')
  for (const socket of open) socket.destroy()
})

t.test('silence ends a connection, also of who asks and does not read', async t => {
  trackLeaks(t)
  const much = Buffer.alloc(8 * 1024 * 1024, 'x')
  const server = new PlainServer((_, res) => res.end(much), { silence: 200 })
  const { port } = await server.listen('127.0.0.1', 0)
  t.teardown(() => server.close())
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  const closed = new Promise(resolve => socket.once('close', resolve))
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  await new Promise(resolve => socket.once('readable', resolve))
  // A full receive window says nothing of the other side's close until it is read.
  setTimeout(() => socket.resume(), 600)
  await closed
  t.ok(socket.bytesRead < much.length)
})

t.test('ready as long as every route has a target that is not known to be down; with the token, why not', async t => {
  const { server, stage } = await rawStage(t)
  const { admin, subject } = await openAdmin(t, stage)
  const core = stage.cores.get('one')!
  const member = (state: 'up' | 'ejected' | 'down' | 'parked', reason?: string) =>
    ({ member: 'm', label: 'http://a.example/mcp', state, inFlight: 0, reason }) as const
  for (const [states, status] of [
    [[], 200],
    [['up'], 200],
    [['ejected', 'up'], 200],
    [['ejected'], 503],
    [['down', 'parked'], 503]
  ] as const) {
    withHealth(core, () => states.map(state => member(state, 'it refused 5 times')))
    t.equal((await get(`${admin}/readyz`, {})).status, status, states.join())
  }
  const until = async (after: number): Promise<number> => {
    withHealth(core, () => [{ ...member('ejected', 'it refused 5 times'), until: Date.now() + after }])
    return (await get(`${admin}/readyz`, {})).status
  }
  t.equal(await until(60_000), 503, 'left out still')
  t.equal(await until(0), 200, 'its trial is due, and only a client’s call can be one')
  withHealth(core, () => [member('down', 'it refused 5 times'), member('parked')])
  t.same((await get(`${admin}/readyz`, {})).json(), { status: 'not ready' })
  t.match((await get(`${admin}/readyz`)).json(), {
    routes: [
      { name: 'one', ready: false, why: /^no target is up: http:\/\/a\.example\/mcp is down \(it refused 5 times\); / }
    ]
  })
  withHealth(core, () => [])
  const early = await openAdmin(t, stage, { starting: true })
  t.match((await get(`${early.admin}/readyz`)).json(), { status: 'not ready', state: 'starting' })
  early.subject.ready()
  t.equal((await get(`${early.admin}/readyz`, {})).status, 200)
  await subject.drain({})
  t.match((await get(`${admin}/readyz`)).json(), { status: 'not ready', state: 'draining' })
  t.equal((await get(`${admin}/livez`, {})).status, 200)
  t.equal(server.counters.count('request'), 0, 'nobody is bothered with it')
})

t.test('status: routes, sessions by revision and transport, what is in flight', async t => {
  trackLeaks(t)
  const server = await startHttpServer()
  t.teardown(() => server.close())
  const stage = await openStage(t, { one: { target: { url: server.url } }, two: { target: { url: server.url } } })
  const { admin } = await openAdmin(t, stage)
  const id = await rawSession(stage.url('one'))
  await rawSession(stage.url('one'), '2025-06-18')
  const stream = await openSse(stage.url('one'), { headers: { ...legacyHeaders(id), accept: 'text/event-stream' } })
  const status = (await get(`${admin}/api/status`)).json() as { routes: Record<string, unknown>[] }
  t.match(status, {
    version: String,
    state: 'ready',
    listeners: [{ protocols: ['http/1.1'] }],
    routes: [
      {
        name: 'one',
        path: '/one/mcp',
        generation: 1,
        retiring: false,
        ready: true,
        targets: [{ name: server.url, state: 'unknown' }],
        sessions: {
          total: 2,
          versions: { '2025-11-25': 1, '2025-06-18': 1 },
          transports: { http: 2, sse: 0, stdio: 0 }
        },
        exchanges: 0,
        streams: 1
      },
      { name: 'two', sessions: { total: 0 } }
    ]
  })
  t.notMatch(JSON.stringify(status), id)
  stream.close()
})

t.test('sessions are listed by their handles, and ended by them on both sides', async t => {
  trackLeaks(t)
  const { log, inbox } = events()
  const server = await startHttpServer()
  t.teardown(() => server.close())
  const stage = await openStage(t, { one: { target: { url: server.url } } })
  const { admin } = await openAdmin(t, stage, { audit: new Audit(log) })
  const id = await rawSession(stage.url('one'))
  const other = await rawSession(stage.url('one'))
  const stream = await openSse(stage.url('one'), { headers: { ...legacyHeaders(id), accept: 'text/event-stream' } })
  const { text } = await get(`${admin}/api/sessions`)
  const { sessions } = JSON.parse(text) as { sessions: { handle: string; inFlight: number; createdAt: string }[] }
  t.match(sessions, [
    { handle: /^s-/, route: 'one', transport: 'http', protocolVersion: '2025-11-25' },
    { handle: /^s-/ }
  ])
  t.same(sessions.map(s => s.inFlight).toSorted(), [0, 1])
  for (const secret of [id, other]) {
    t.notMatch(text, secret, 'ids are secrets')
    t.equal((await get(`${admin}/api/sessions/${secret}`, BEARER, 'DELETE')).status, 404, 'and open nothing')
  }
  const mine = sessions.find(s => s.inFlight === 1)!
  t.equal((await get(`${admin}/api/sessions/${mine.handle}`, BEARER, 'DELETE')).status, 204)
  t.equal(await stream.ended, 'end')
  t.match((await rawPost(stage.url('one'), rpc(1, 'ping'), legacyHeaders(id))).json(), {
    error: { data: { code: 'session_not_found' } }
  })
  await server.counters.until('session.deleted')
  t.equal((await rawPost(stage.url('one'), rpc(1, 'ping'), legacyHeaders(other))).status, 200, 'others go on')
  t.equal((await get(`${admin}/api/sessions/${mine.handle}`, BEARER, 'DELETE')).status, 404)
  const event = await inbox.until(e => e.event === 'admin-action')
  t.match(event, { action: 'end-session', session: mine.handle, principal: /^p-[0-9a-f]{12}$/ })
  t.notMatch(JSON.stringify(inbox.items), TOKEN)
})

t.test('metrics of all routes', async t => {
  trackLeaks(t)
  const server = await startRawHttp()
  t.teardown(() => server.close())
  const metrics = new RoutesMetrics()
  t.teardown(() => metrics.close())
  const wires = { down: 'http', up: 'http' } as const
  const route = (name: string) => ({ target: { url: server.url }, metrics: metrics.route({ name, wires, among: 2 }) })
  const stage = await openStage(t, { one: route('one'), two: route('two') })
  metrics.process.listener(stage.server)
  const { admin } = await openAdmin(t, stage, { metricsText: () => metrics.text() })
  await rawPost(stage.url('two'), rpc(1, 'ping'))
  const answer = await get(`${admin}/metrics`)
  t.match(answer.headers['content-type'], 'text/plain; version=0.0.4')
  const scrape = new Scrape(answer.text)
  t.same(
    scrape.all('mcp_server_operation_duration_seconds_count').map(s => s.labels.catflap_route),
    ['two']
  )
})

t.test('a drain is asked for once, however often; its progress shows', async t => {
  const { server, stage } = await rawStage(t)
  const { log, inbox } = events()
  const { admin } = await openAdmin(t, stage, { audit: new Audit(log) })
  t.same((await get(`${admin}/api/drain`)).json(), { phase: 'none' })
  server.next(() => {})
  const hanging = rawPost(stage.url('one'), rpc(1, 'ping'))
  const x = await server.exchange(1)
  const first = await get(`${admin}/api/drain?timeout=5s`, BEARER, 'POST')
  t.match([first.status, first.headers.location], [202, '/api/drain'])
  t.match(first.json(), { phase: 'draining', calls: 1, streams: 0, cut: 0 })
  t.match((await get(`${admin}/api/drain?timeout=1ms`, BEARER, 'POST')).json(), { phase: 'draining', calls: 1 })
  t.equal((await get(`${admin}/readyz`, {})).status, 503)
  x.json(200, '{"jsonrpc":"2.0","id":1,"result":{}}')
  t.equal((await hanging).status, 200)
  for (let i = 0; i < 500; i++) {
    const { phase } = (await get(`${admin}/api/drain`)).json() as { phase: string }
    if (phase === 'drained') break
  }
  t.match((await get(`${admin}/api/drain`)).json(), { phase: 'drained', calls: 0, cut: 0 })
  t.equal(inbox.items.filter(e => e.event === 'admin-action').length, 1)
})

t.test('whatever is asked, the answer is JSON of a known status, and never a fault of catflap', async t => {
  const { stage } = await rawStage(t)
  const { admin } = await openAdmin(t, stage, { metricsText: () => ['a 1\n'] })
  const { host } = new URL(admin)
  const target = fc.oneof(
    fc.constantFrom(
      '/livez',
      '/readyz',
      '/metrics',
      '/api/status',
      '/api/sessions',
      '/api/sessions/s-1',
      '/openapi.json'
    ),
    fc.webPath(),
    fc
      .string({ unit: fc.constantFrom(...'/api%2e.sessions?&=#\\{}:@*'), minLength: 1, maxLength: 30 })
      .map(s => `/${s}`)
  )
  const query = fc.oneof(
    fc.constant(''),
    fc.webQueryParameters().map(q => `?${q}`),
    fc.webQueryParameters().map(q => `?limit=${q}`)
  )
  const method = fc.constantFrom('GET', 'HEAD', 'OPTIONS', 'PUT', 'PATCH', 'DELETE', 'TRACE', 'PROPFIND')
  const seen = new Set<string>()
  await fc.assert(
    fc.asyncProperty(method, target, query, fc.boolean(), async (method, target, query, known) => {
      const auth = known ? `Authorization: Bearer ${TOKEN}\r\n` : ''
      const heard = await talk(
        admin,
        `${method} ${target}${query} HTTP/1.1\r\nHost: ${host}\r\n${auth}Connection: close\r\n\r\n`
      )
      const [head = '', body = ''] = heard.split('\r\n\r\n')
      const status = head.slice(9, 12)
      seen.add(status)
      if (!['200', '204', '400', '401', '404', '405'].includes(status)) return false
      if (body === '') return method === 'HEAD' || status === '204'
      return head.includes('text/plain') || typeof JSON.parse(body) === 'object'
    }),
    { numRuns: 300 }
  )
  for (const status of ['200', '401', '404', '405']) t.ok(seen.has(status), status)
})

t.test('connections on which nobody says anything keep no probe out', async t => {
  const { stage } = await rawStage(t)
  const { admin } = await openAdmin(t, stage)
  const port = Number(new URL(admin).port)
  const silent = Array.from({ length: 80 }, () => connect(port, '127.0.0.1').on('error', () => {}))
  t.teardown(() => {
    for (const socket of silent) socket.destroy()
  })
  await Promise.all(silent.map(socket => new Promise(resolve => socket.once('connect', resolve))))
  for (let i = 0; i < 5; i++) t.equal((await get(`${admin}/livez`, {})).status, 200)
})
