/** Clients on HTTP+SSE: where they connect, what they are told first, and what is refused at the door. */
import t from 'tap'
import { createForward } from '../../src/index.ts'
import { openSse, rawPost, rawRequest } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, POST_HEADERS, rpc } from '../helpers/rpc.ts'
import { pipeDoor, pipeSession } from './pipe-door.ts'
import { JSON_TYPE, messagesUrl, sseReady, sseSession, sseUrl } from './sse-down-door.ts'

const codeOf = (answer: { json(): unknown }) => (answer.json() as { error: { data: { code: string } } }).error.data.code

t.test(
  'the stream begins with its endpoint, on the same origin, under an id of 192 bits that is never the same',
  async t => {
    const { url, door, log } = await pipeDoor(t, 'puppet-stdio.ts')
    const stream = await openSse(sseUrl(url))
    t.equal(stream.status, 200)
    t.match(stream.headers, {
      'content-type': 'text/event-stream',
      'cache-control': /no-cache/,
      'x-accel-buffering': 'no'
    })
    const first = await stream.next()
    t.match(first.raw, /^event: endpoint\ndata: \/messages\?sessionId=[\w-]{32}$/)
    const other = await sseSession(url)
    t.not(new URL(first.data, url).href, other.endpoint.href)
    t.equal(other.endpoint.origin, new URL(url).origin)
    t.equal(door.stats.sessions, 2)
    t.equal(log.of('session-start').length, 2)
    other.close()
    stream.close()
  }
)

t.test('the paths lie beside the endpoint, wherever that is', async t => {
  const { url } = await pipeDoor(t, 'puppet-stdio.ts', { listen: { path: '/team/mcp' } })
  const s = await sseReady(url)
  t.equal(s.endpoint.pathname, '/team/messages')
  t.equal((await s.post(rpc(1, 'do'))).status, 202)
  t.match(await s.next(), { id: 1 })
  for (const path of ['/sse', '/messages', '/mcp', '/team', '/team/sse/', '/team/mcp/sse'])
    t.equal((await rawRequest(new URL(path, url), { method: 'GET' })).status, 404, path)
  s.close()
})

t.test('an endpoint cannot have one of their names', async t => {
  for (const path of ['/sse', '/messages', '/team/sse'])
    await t.rejects(createForward({ target: { command: 'none' }, listen: { path } }), {
      name: 'TypeError',
      message: new RegExp(`^listen\\.path: '${path}' .*HTTP\\+SSE`)
    })
  const { url } = await pipeDoor(t, 'puppet-stdio.ts', { listen: { path: '/sse/mcp' } })
  t.match((await (await pipeSession(url)).post(rpc(1, 'do'))).json(), { id: 1 })
})

t.test('other methods than theirs get 405 with Allow', async t => {
  const { url, door } = await pipeDoor(t, 'puppet-stdio.ts')
  for (const method of ['POST', 'DELETE', 'PUT', 'OPTIONS']) {
    const answer = await rawRequest(sseUrl(url), { method, headers: JSON_TYPE, body: initialize(0) })
    t.same([answer.status, answer.headers.allow, codeOf(answer)], [405, 'GET', 'method_not_allowed'], method)
  }
  for (const method of ['GET', 'DELETE', 'PUT', 'OPTIONS']) {
    const answer = await rawRequest(messagesUrl(url, 'x'), { method, headers: { accept: 'text/event-stream' } })
    t.same([answer.status, answer.headers.allow, codeOf(answer)], [405, 'POST', 'method_not_allowed'], method)
  }
  t.same([door.stats.sessions, door.stats.streams, door.stats.exchanges], [0, 0, 0])
})

t.test('who does not accept a stream gets 406, and nothing is started', async t => {
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts')
  for (const accept of ['application/json', 'text/event-stream;q=0, */*'])
    t.equal((await rawRequest(sseUrl(url), { method: 'GET', headers: { accept } })).status, 406, accept)
  const stream = await openSse(sseUrl(url), { headers: { accept: '*/*' } })
  t.equal(stream.status, 200)
  t.equal(log.of('session-start').length, 1)
  stream.close()
})

t.test('a POST that names no session, an unknown one or one of the other transport is refused', async t => {
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts')
  const s = await sseReady(url)
  const streamable = await pipeSession(url)
  await log.child(/initialized/)
  const seen = log.seen.length
  const to = (target: URL) => rawRequest(target, { body: rpc(1, 'do'), headers: JSON_TYPE })
  const cases: [string, number, string, Promise<Awaited<ReturnType<typeof rawRequest>>>][] = [
    ['none', 400, 'session_required', to(messagesUrl(url))],
    ['another name', 400, 'session_required', to(new URL(`messages?session=${s.id}`, url))],
    ['empty', 404, 'session_not_found', to(messagesUrl(url, ''))],
    ['unknown', 404, 'session_not_found', to(messagesUrl(url, 'x'.repeat(32)))],
    ['a session of Streamable HTTP', 404, 'session_not_found', to(messagesUrl(url, streamable.id))],
    ['at the endpoint', 404, 'session_not_found', rawPost(url, rpc(1, 'do'), legacyHeaders(s.id))],
    ['DELETE', 404, 'session_not_found', rawRequest(url, { method: 'DELETE', headers: legacyHeaders(s.id) })],
    [
      'GET',
      404,
      'session_not_found',
      rawRequest(url, { method: 'GET', headers: { ...legacyHeaders(s.id), accept: 'text/event-stream' } })
    ]
  ]
  for (const [what, status, code, pending] of cases) {
    const answer = await pending
    t.same([answer.status, codeOf(answer)], [status, code], what)
    t.notMatch(answer.text, s.id)
    if (['empty', 'unknown', 'a session of Streamable HTTP'].includes(what))
      t.match(answer.text, /Open the stream anew/, 'there is no other way to a session in this transport')
  }
  t.equal(log.seen.length, seen, 'no child has seen any of it')
  t.equal((await s.post(rpc(2, 'do'))).status, 202)
  t.match(await s.next(), { id: 2 }, 'the session is unharmed')
  s.close()
})

t.test('what is no message is told to the POST, with nothing on the stream', async t => {
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts', { settings: { maxBody: 1_000 } })
  const s = await sseReady(url)
  await log.child(/initialized/)
  const seen = log.seen.length
  const cases: [string, number, string, ReturnType<typeof s.post>][] = [
    ['no JSON', 400, 'parse_error', s.post('{"jsonrpc":"2.0",')],
    ['nothing', 400, 'parse_error', s.post('')],
    ['no JSON-RPC', 400, 'invalid_request', s.post('{"id":1}')],
    ['said twice', 400, 'ambiguous_request', s.post('{"jsonrpc":"2.0","id":1,"id":2,"method":"x"}')],
    ['text', 415, 'unsupported_media_type', s.post(rpc(1, 'x'), { 'content-type': 'text/plain' })],
    ['compressed', 415, 'unsupported_media_type', s.post(rpc(1, 'x'), { 'content-encoding': 'gzip' })],
    ['too much', 413, 'body_too_large', s.post(rpc(1, 'x', { big: 'x'.repeat(1_000) }))]
  ]
  for (const [what, status, code, pending] of cases) {
    const answer = await pending
    t.same([answer.status, codeOf(answer)], [status, code], what)
  }
  await s.post(rpc('after', 'do'))
  t.match(await s.next(), { id: 'after' })
  t.match(await log.nextSeen(seen), '"after"', 'the child has seen nothing else')
  s.close()
})

t.test('a foreign Host or Origin is 403 on both paths, and nothing is started', async t => {
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts')
  for (const [name, value, code] of [
    ['host', 'evil.example', 'forbidden_host'],
    ['origin', 'https://evil.example', 'forbidden_origin']
  ] as const) {
    const get = await rawRequest(sseUrl(url), { method: 'GET', headers: { [name]: value } })
    t.same([get.status, codeOf(get)], [403, code])
    const post = await rawRequest(messagesUrl(url, 'x'), {
      headers: { ...JSON_TYPE, [name]: value },
      body: rpc(1, 'x')
    })
    t.same([post.status, codeOf(post)], [403, code])
  }
  t.equal(log.of('session-start').length, 0)
})

t.test('a token is asked for on both paths, and a session is its principal’s alone', async t => {
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts', { tokens: ['first-secret', 'other-secret'] })
  t.equal((await rawRequest(sseUrl(url), { method: 'GET' })).status, 401)
  const mine = { authorization: 'Bearer first-secret' }
  const s = await sseReady(url, undefined, mine)
  await log.child(/initialized/)
  const seen = log.seen.length
  const post = (headers: Record<string, string>) =>
    rawRequest(s.endpoint, { body: rpc(1, 'do'), headers: { ...JSON_TYPE, ...headers } })
  t.equal((await post({})).status, 401)
  const other = await post({ authorization: 'Bearer other-secret' })
  t.same([other.status, codeOf(other)], [404, 'session_not_found'], 'it is not even admitted to exist')
  t.equal(log.seen.length, seen)
  t.equal((await post({ 'catflap-token': 'first-secret' })).status, 202)
  t.match(await s.next(), { id: 1 })
  t.equal(log.of('session-start').length, 1)
  s.close()
})

t.test('what cannot listen on loopback alone is refused there as well', async t => {
  const target = { command: process.execPath }
  await t.rejects(createForward({ target, listen: { host: '0.0.0.0', path: '/x/mcp' } }), /token/)
})

t.test('a POST to the endpoint knows nothing of the old transport', async t => {
  const { url } = await pipeDoor(t, 'puppet-stdio.ts')
  const answer = await rawRequest(`${url}?sessionId=x`, { body: initialize(0), headers: POST_HEADERS })
  t.equal(answer.status, 200)
  t.type(answer.headers['mcp-session-id'], 'string')
})
