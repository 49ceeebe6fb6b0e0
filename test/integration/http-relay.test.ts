/** What a server answers is the client's to see: statuses, bodies, headers, redirects. */
import { gzipSync } from 'node:zlib'
import t from 'tap'
import { CHALLENGE, faults, redirectTo } from '../fixtures/servers/faults.ts'
import { echo, echoWithHandshake, type Script, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { rawPost, rawRequest, talk } from '../helpers/raw-client.ts'
import { legacyHeaders, POST_HEADERS, rpc } from '../helpers/rpc.ts'
import { openDoor, rawDoor, rawSession } from './http-door.ts'

const CALL = JSON.stringify(rpc(1, 'x'))

t.test('odd statuses are relayed with their bodies and headers', async t => {
  const { server, url } = await rawDoor(t)
  const see = (script: Script) => {
    server.next(script)
    return rawPost(url, CALL)
  }
  t.match(await see(faults.teapot), { status: 418, text: 'short and stout', headers: { 'content-type': 'text/plain' } })
  t.match(await see(faults.tooMany), { status: 429, text: 'later', headers: { 'retry-after': '7' } })
  t.match(await see(faults.unauthorized), { status: 401, headers: { 'www-authenticate': CHALLENGE } })
  t.match(await see(faults.forbidden), { status: 403, headers: { 'www-authenticate': /insufficient_scope/ } })
  t.match(await see(faults.html500), { status: 500, text: /Internal Server Error/ })
  t.match(await see(faults.html200), { status: 200, text: /log in first/ })
  t.match(await see(faults.notJson), { status: 200, text: 'this is { not JSON' })
  t.match(await see(faults.notJsonRpc), { status: 200, text: '{"hello":"world"}' })
  t.match(await see(faults.jsonRpcOfOther), { status: 200, text: /nobody asked/ })
  t.match(await see(faults.sseNotJson), { status: 200, text: 'data: this is { not JSON\n\n' })
  t.match(await see(x => x.head(204).end()), { status: 204, text: '' })
  t.match(await see(x => x.head(202, ['X-Note', 'accepted']).end()), { status: 202, headers: { 'x-note': 'accepted' } })
  t.match(
    await see(x =>
      x.respond(400, 'application/json', '{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no"}}')
    ),
    { status: 400 }
  )
  t.same(server.errors, [])
})

t.test('a redirect to the same origin is followed, any other is relayed', async t => {
  const { server, url } = await rawDoor(t)
  const other = await startRawHttp()
  t.teardown(() => other.close())
  for (const status of [307, 308]) {
    server.next(redirectTo('/elsewhere?q=1', status), redirectTo(`${server.url}/again`, status))
    t.match((await rawPost(url, CALL, { 'x-kept': 'yes' })).json(), { id: 1, result: {} }, `${status}`)
    const [first, second, third] = server.exchanges.slice(-3)
    t.same([first!.path, second!.path, third!.path], ['/mcp', '/elsewhere?q=1', '/mcp/again'])
    t.same([third!.method, third!.text, third!.headers['x-kept']], ['POST', CALL, 'yes'])
  }
  for (const status of [301, 302, 303, 307, 308]) {
    server.next(redirectTo(other.url, status))
    t.match(await rawPost(url, CALL), { status, headers: { location: other.url } }, `${status} to another origin`)
  }
  server.next(redirectTo('/elsewhere', 303))
  t.match(await rawPost(url, CALL), { status: 303 }, 'one that would turn the POST into a GET')
  t.equal(other.exchanges.length, 0, 'no credentials go where nobody sent them')
})

t.test('redirects in a circle end', async t => {
  const { url, server } = await rawDoor(t, redirectTo('/round'))
  const answer = await rawPost(url, CALL)
  t.match([answer.status, answer.json()], [502, { id: 1, error: { data: { code: 'upstream_redirect' } } }])
  t.equal(server.exchanges.length, 6)
})

t.test('end-to-end headers pass to the server, others do not', async t => {
  const { server, url } = await rawDoor(t)
  await rawPost(url, CALL, [
    'Content-Type',
    'application/json; charset=utf-8',
    'accept',
    'application/json, text/event-stream',
    'Authorization',
    'Bearer for-the-server',
    'traceparent',
    '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    'Mcp-Method',
    'x',
    'Mcp-Param-Region',
    '=?base64?w7w=?=',
    'X-UnKnown',
    'as spelled',
    'X-Twice',
    '1',
    'x-twice',
    '2',
    'X-Latin',
    'caf\u00e9',
    'Cookie',
    'a=1',
    'Connection',
    'keep-alive, X-Named, close',
    'X-Named',
    'hop-by-hop by name',
    'Keep-Alive',
    'timeout=5',
    'TE',
    'trailers',
    'Proxy-Authorization',
    'Basic Zm9v',
    'Proxy-Connection',
    'keep-alive',
    'Accept-Encoding',
    'gzip, br',
    'Via',
    '1.0 before'
  ])
  const [seen] = server.exchanges
  const kept = seen!.rawHeaders.filter((_, i) => i % 2 === 0)
  for (const name of ['traceparent', 'Mcp-Method', 'Mcp-Param-Region', 'X-UnKnown', 'Authorization', 'Cookie'])
    t.ok(kept.includes(name), name)
  t.same(seen!.values('x-twice'), ['1', '2'])
  t.same(seen!.values('x-latin'), ['caf\u00e9'])
  t.same(seen!.values('x-unknown'), ['as spelled'])
  t.same(seen!.values('content-type'), ['application/json; charset=utf-8'])
  t.same(seen!.values('via'), ['1.0 before, 1.1 catflap'])
  t.same(seen!.values('accept-encoding'), ['identity'])
  for (const name of ['x-named', 'keep-alive', 'te', 'proxy-authorization', 'proxy-connection'])
    t.same(seen!.values(name), [], name)
  t.equal(seen!.headers.host, new URL(server.url).host)
})

t.test('end-to-end headers pass to the client, others do not', async t => {
  const { server, url } = await rawDoor(t)
  server.next(x =>
    x.respond(200, 'application/json', Buffer.from('{}'), [
      'Set-Cookie',
      'a=1',
      'X-Between',
      '0',
      'Set-Cookie',
      'b=2',
      'X-Twice',
      '1',
      'x-twice',
      '2',
      'X-Latin',
      'caf\u00e9',
      'traceresponse',
      '00-0af7',
      'Cache-Control',
      'no-store',
      'Date',
      'Thu, 01 Jan 1970 00:00:00 GMT',
      'Connection',
      'X-Named',
      'X-Named',
      'hop-by-hop by name',
      'Keep-Alive',
      'timeout=3',
      'Proxy-Authenticate',
      'Basic',
      'Via',
      '1.1 before'
    ])
  )
  const answer = await rawPost(url, CALL)
  const values = (name: string) =>
    answer.rawHeaders.filter((_, i) => i % 2 === 1 && answer.rawHeaders[i - 1]!.toLowerCase() === name)
  t.same(values('set-cookie'), ['a=1', 'b=2'])
  t.same(values('x-twice'), ['1', '2'])
  t.ok(answer.rawHeaders.includes('X-Twice') && answer.rawHeaders.includes('x-twice'), 'as spelled')
  t.same(values('x-latin'), ['caf\u00e9'])
  t.same(values('traceresponse'), ['00-0af7'])
  t.same(values('cache-control'), ['no-store'])
  t.same(values('date'), ['Thu, 01 Jan 1970 00:00:00 GMT'])
  t.same(values('via'), ['1.1 before, 1.1 catflap'])
  for (const name of ['x-named', 'proxy-authenticate']) t.same(values(name), [], name)
  t.not(values('keep-alive')[0], 'timeout=3')
})

t.test('Via names us both ways, by another name, or not at all', async t => {
  const { server, url } = await rawDoor(t, undefined, { via: 'my-door' })
  t.equal((await rawPost(url, CALL)).headers.via, '1.1 my-door')
  t.equal(server.exchanges.at(-1)!.headers.via, '1.1 my-door')
  t.equal((await rawPost(url, '{')).headers.via, undefined, 'what catflap answers itself passed through nobody')
  const silent = await rawDoor(t, undefined, { via: false })
  t.equal((await rawPost(silent.url, CALL)).headers.via, undefined)
  t.equal(silent.server.exchanges.at(-1)!.headers.via, undefined)
})

t.test('headers of the target are set in place of those of the client', async t => {
  const { server, url } = await rawDoor(t)
  void url
  const target = { url: `${server.url}?key=1&x=%20y`, headers: ['authorization', 'Bearer ours', 'X-Added', 'yes'] }
  const added = await rawDoor(t, undefined, { target })
  await rawPost(added.url, CALL, { authorization: 'Bearer theirs' })
  const seen = server.exchanges.at(-1)!
  t.same(
    [seen.values('authorization'), seen.values('x-added'), seen.path],
    [['Bearer ours'], ['yes'], '/mcp?key=1&x=%20y']
  )
  const userinfo = { url: server.url.replace('//', '//us%40er:pa%3Ass@') }
  const basic = await rawDoor(t, undefined, { target: userinfo })
  await rawPost(basic.url, CALL, { authorization: 'Bearer theirs' })
  t.same(server.exchanges.at(-1)!.values('authorization'), [`Basic ${Buffer.from('us@er:pa:ss').toString('base64')}`])
  t.notMatch(basic.door.target, /us|pa/)
})

t.test('a server that does not let clients end sessions: 405 to DELETE is relayed and the session goes on', async t => {
  const script: Script = x =>
    x.method === 'DELETE' ? x.head(405, ['Allow', 'POST']).end() : echoWithHandshake('theirs')(x)
  const { door, url } = await rawDoor(t, script)
  const id = await rawSession(url)
  t.equal((await rawRequest(url, { method: 'DELETE', headers: legacyHeaders(id) })).status, 405)
  t.equal(door.stats.sessions, 1)
  t.equal((await rawPost(url, CALL, legacyHeaders(id))).status, 200)
})

t.test('compressed answers are relayed as they are, although identity was asked for', async t => {
  const { server, url } = await rawDoor(t)
  const body = '{"jsonrpc":"2.0","id":1,"result":{"zipped":true}}'
  server.next(x => x.gzip(200, body))
  const answer = await rawPost(url, CALL)
  t.equal(answer.headers['content-encoding'], 'gzip')
  t.same(answer.body, gzipSync(body))
})

t.test('a GET without a session goes to the server too, and its answer back', async t => {
  const { server, url } = await rawDoor(t, echo)
  const answer = await rawRequest(url, { method: 'GET', headers: { ...POST_HEADERS, accept: 'text/event-stream' } })
  t.match(answer, { status: 405, headers: { allow: 'POST' } })
  t.equal(server.exchanges.length, 1)
})

t.test('the query of the client’s URL reaches the server, behind the target’s own', async t => {
  const { server, url } = await rawDoor(t)
  await rawPost(`${url}?a=1&b=%2F`, CALL)
  t.equal(server.exchanges.at(-1)!.path, '/mcp?a=1&b=%2F')
  const door = await openDoor(t, `${server.url}?own=0`)
  await rawPost(`${door.url}?a=1`, CALL)
  t.equal(server.exchanges.at(-1)!.path, '/mcp?own=0&a=1')
  await rawPost(`${door.url}?`, CALL)
  t.equal(server.exchanges.at(-1)!.path, '/mcp?own=0')
})

t.test('a request target may be a whole URL', async t => {
  const { url } = await rawDoor(t)
  const { host } = new URL(url)
  const head = `POST http://${host}/mcp?x HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nAccept: */*\r\n`
  t.match(
    await talk(url, `${head}Connection: close\r\nContent-Length: ${CALL.length}\r\n\r\n${CALL}`),
    /^HTTP\/1\.1 200 /
  )
})
