/** Which transport a URL speaks: found out once, with whose credentials, and again when it has changed. */
import t, { type Test } from 'tap'
import type { ForwardOptions, UrlTarget } from '../../src/index.ts'
import { startHttpServer } from '../fixtures/servers/http-server.ts'
import { echoWithHandshake, type RawHttpServer, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { handshakeOf, methodOf } from '../fixtures/servers/raw-json.ts'
import { echoing, opens, type RawSseServer, startRawSse } from '../fixtures/servers/raw-sse.ts'
import { startSseServer } from '../fixtures/servers/sse-server.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, rpc } from '../helpers/rpc.ts'
import { callTool, client, openDoor } from './http-door.ts'
import { stdioDoor } from './pipe-door.ts'
import { sseClient, sseSession } from './sse-down-door.ts'

const seenAt = (server: { requests: readonly { method: string; url: string }[] }): string[] =>
  server.requests.map(r => `${r.method} ${r.url.split('?')[0]}`)

t.test('an unknown URL gets a POST first, then a GET; what it is, is asked once', async t => {
  trackLeaks(t)
  const server = await startSseServer()
  t.teardown(() => server.close())
  const { url } = await openDoor(t, server.url)
  const one = await client(t, url)
  t.equal(await callTool(one, 'echo', { n: 1 }), '{"n":1}')
  const first = seenAt(server)
  t.same(first.slice(0, 4), ['POST /sse', 'GET /sse', 'GET /sse', 'POST /messages'])
  const two = await client(t, url)
  const three = await sseClient(t, url)
  for (const c of [two, three]) t.equal(await callTool(c, 'echo', { n: 2 }), '{"n":2}')
  const later = seenAt(server).slice(first.length)
  t.equal(later.filter(r => r === 'POST /sse').length, 0, 'it is known by now')
  t.equal(later.filter(r => r === 'GET /sse').length, 2, 'one stream a client')
  t.same(server.errors, [])
})

t.test('a server on Streamable HTTP is asked nothing but what its clients say', async t => {
  trackLeaks(t)
  const server = await startHttpServer()
  t.teardown(() => server.close())
  const { url } = await openDoor(t, server.url)
  await rawPost(url, initialize())
  t.same(seenAt(server), ['POST /mcp'])
})

t.test('a refusal that is just a refusal costs one GET in a while, not one for each client', async t => {
  trackLeaks(t)
  const server = await startRawHttp(x => x.respond(404, 'text/plain', 'not here'))
  t.teardown(() => server.close())
  const { url } = await openDoor(t, server.url)
  for (let i = 0; i < 5; i++) {
    const answer = await rawPost(url, initialize(i))
    t.same([answer.status, answer.text], [404, 'not here'])
  }
  t.same([server.counters.count('POST'), server.counters.count('GET')], [5, 1])
})

t.test('where HTTP+SSE was, there is Streamable HTTP: the next clients find out anew', async t => {
  trackLeaks(t)
  const before = await startSseServer()
  t.teardown(() => before.close())
  const { url } = await openDoor(t, before.url)
  const one = await client(t, url)
  t.equal(await callTool(one, 'echo'), '{}')
  await before.close()
  const after = await startRawHttp(echoWithHandshake('s'), { port: before.port })
  t.teardown(() => after.close())
  const failed = await rawPost(url, initialize(1))
  t.match([failed.status, failed.json()], [502, { id: 1, error: { data: { code: /upstream/, target: /sse$/ } } }])
  const answer = await rawPost(url, initialize(2))
  t.match([answer.status, answer.json()], [200, { id: 2, result: { protocolVersion: '2025-11-25' } }])
  const id = answer.headers['mcp-session-id'] as string
  t.match((await rawPost(url, rpc(3, 'x'), legacyHeaders(id))).json(), { id: 3, result: {} })
})

t.test('a server on HTTP+SSE that was away for a while is used again', async t => {
  trackLeaks(t)
  const before = await startSseServer()
  const { url } = await openDoor(t, before.url)
  t.equal((await rawPost(url, initialize(1))).status, 200)
  await before.close()
  for (const id of [2, 3]) t.match([(await rawPost(url, initialize(id))).status], [502])
  const after = await startSseServer({ port: before.port })
  t.teardown(() => after.close())
  const c = await client(t, url)
  t.equal(await callTool(c, 'echo', { n: 1 }), '{"n":1}')
})

t.test('clients that come all at once find out all the same', async t => {
  trackLeaks(t)
  const server = await startSseServer()
  t.teardown(() => server.close())
  const { url } = await openDoor(t, server.url)
  const clients = await Promise.all([client(t, url), client(t, url), sseClient(t, url), sseClient(t, url)])
  t.same(
    await Promise.all(clients.map((c, n) => callTool(c, 'echo', { n }))),
    [0, 1, 2, 3].map(n => `{"n":${n}}`)
  )
  t.same(server.errors, [])
})

t.test('where Streamable HTTP was, there is HTTP+SSE', async t => {
  trackLeaks(t)
  const before = await startRawHttp(echoWithHandshake('s'))
  const { url } = await openDoor(t, `http://127.0.0.1:${before.port}/sse`)
  const first = await rawPost(url, initialize(1))
  t.equal(first.status, 200)
  await before.close()
  const after = await startSseServer({ port: before.port })
  t.teardown(() => after.close())
  const old = await rawPost(url, rpc(2, 'x'), legacyHeaders(first.headers['mcp-session-id'] as string))
  t.equal(old.status, 404, 'the session of before is gone')
  const c = await client(t, url)
  t.equal(await callTool(c, 'echo', { n: 1 }), '{"n":1}')
})

async function answeringSse(t: Test, options: Parameters<typeof startRawSse>[0] = {}): Promise<RawSseServer> {
  const server: RawSseServer = await startRawSse({
    post(x) {
      if (methodOf(x.text) !== 'initialize') return echoing(() => server)(x)
      x.respond(202, 'text/plain', 'Accepted')
      return server.tell(handshakeOf(x.text))
    },
    ...options
  })
  t.teardown(() => server.close())
  return server
}

t.test("what is asked to find out has the client's credentials and the headers of the target", async t => {
  trackLeaks(t)
  const server = await answeringSse(t)
  const target = { url: server.url, headers: ['X-Key', 'k'] }
  const door = await openDoor(t, server.url, { target })
  const answer = await rawPost(`${door.url}?tenant=7`, initialize(), { authorization: 'Bearer me', 'x-own': 'o' })
  t.equal(answer.status, 200)
  t.same(
    server.http.exchanges.map(x => `${x.method} ${x.path}`),
    ['POST /sse?tenant=7', 'GET /sse?tenant=7', 'GET /sse?tenant=7', 'POST /messages?sessionId=a-secret-name']
  )
  for (const { headers } of server.http.exchanges)
    t.same([headers.authorization, headers['x-key'], headers['x-own']], ['Bearer me', 'k', 'o'])
})

t.test('an endpoint elsewhere is refused, and nothing is sent there', async t => {
  trackLeaks(t)
  const elsewhere = await startRawHttp()
  t.teardown(() => elsewhere.close())
  const endpoint = `http://127.0.0.1:${elsewhere.port}/messages`
  const server = await answeringSse(t, { open: opens(endpoint) })
  const told = { id: 'i', error: { message: /another origin|origin/ } }
  const door = await openDoor(t, server.url)
  const http = await rawPost(door.url, initialize('i'), { authorization: 'Bearer me' })
  t.match([http.status, http.json()], [502, told])
  const pipe = await stdioDoor(t, 'puppet-stdio.ts', { target: { url: server.url } })
  pipe.send(initialize('i'))
  t.match(await pipe.nextMessage(), told)
  const sse = await openDoor(t, server.url, { target: { url: server.url, transport: 'sse' } })
  const s = await sseSession(sse.url)
  await s.post(initialize('i'))
  t.match(await s.next(), told)
  s.close()
  t.equal(elsewhere.counters.count('request'), 0)
})

/** What an `initialize` gets where the user has said which transport it is, over HTTP and on a pipe. */
async function insisting(t: Test, server: { url: string; http?: RawHttpServer }, transport: UrlTarget['transport']) {
  const target: ForwardOptions['target'] = { url: server.url, transport }
  const { url } = await openDoor(t, server.url, { target })
  const http = await rawPost(url, initialize('i'))
  const pipe = await stdioDoor(t, 'puppet-stdio.ts', { target })
  pipe.send(initialize('i'))
  return { http, piped: await pipe.nextMessage() }
}

t.test('--upstream-transport sse: nothing is found out', async t => {
  trackLeaks(t)
  const server = await answeringSse(t)
  const { http, piped } = await insisting(t, server, 'sse')
  t.equal(http.status, 200)
  t.match(
    [http.json(), piped],
    [
      { id: 'i', result: {} },
      { id: 'i', result: {} }
    ]
  )
  t.same(
    server.http.exchanges.map(x => `${x.method} ${x.path.split('?')[0]}`),
    ['GET /sse', 'POST /messages', 'GET /sse', 'POST /messages']
  )
})

t.test('--upstream-transport sse for a server on Streamable HTTP: an error that says so', async t => {
  trackLeaks(t)
  const server = await startRawHttp(echoWithHandshake())
  t.teardown(() => server.close())
  const { http, piped } = await insisting(t, server, 'sse')
  const told = { id: 'i', error: { message: /HTTP 405/, data: { code: 'upstream_status' } } }
  t.match([http.status, http.json(), piped], [502, told, told])
  t.equal(server.counters.count('POST'), 0)
})

t.test('--upstream-transport streamable-http for a server on HTTP+SSE: its own refusal', async t => {
  trackLeaks(t)
  const server = await answeringSse(t)
  const { http, piped } = await insisting(t, server, 'streamable-http')
  t.same([http.status, http.text], [404, 'Cannot POST'])
  t.match(piped, { id: 'i', error: { message: /HTTP 404.*Cannot POST/, data: { code: 'upstream_status' } } })
  t.equal(server.http.counters.count('GET'), 0)
})
