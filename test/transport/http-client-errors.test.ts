/** What a client on a pipe hears of the errors that a server tells by HTTP. */
import t from 'tap'
import { faults } from '../fixtures/servers/faults.ts'
import { startHttpServer } from '../fixtures/servers/http-server.ts'
import { echoWithHandshake, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { initialize, notification, rpc, toolCall } from '../helpers/rpc.ts'
import { answerTo, modernCall, withServer } from './http-client-door.ts'

const error = '{ "code": -32000, "message": "no", "data": {"n": 1.0} }'

t.test('a JSON-RPC error with the id of the request passes untouched, whatever the status', async t => {
  const { server, door } = await withServer(t, startRawHttp())
  const answer = `{"error":${error}, "id":1,"jsonrpc":"2.0"}`
  for (const status of [400, 404, 500, 503]) {
    server.next(x => x.json(status, answer))
    const { heard } = door.say(rpc(1, 'a'))
    t.equal(await heard.next(), `last ${answer}`)
    t.equal(await heard.next(), 'end')
  }
  t.same(door.log.items, [], 'without a session, 404 loses none')
})

t.test('one without an id, with null or with an id of the server’s making gets that of the request', async t => {
  const { server, door } = await withServer(t, startRawHttp())
  for (const id of ['', '"id":null,', '"id":"server-error",']) {
    server.next(x => x.json(400, `{"jsonrpc":"2.0",${id}"error":${error}}`))
    t.equal(await door.ask(rpc('r', 'a')), `{"jsonrpc":"2.0","id":"r","error":${error}}`)
  }
  server.next(x => x.json(200, `{"jsonrpc":"2.0","id":null,"error":${error}}`))
  t.equal(await door.ask(rpc('r', 'a')), `{"jsonrpc":"2.0","id":"r","error":${error}}`, 'with a 200 as well')
  server.next(x => x.json(400, `{"jsonrpc":"2.0","id":null,"error":${error}}`))
  const batch = door.batch([rpc(1, 'a'), rpc(2, 'b')])
  t.equal(await batch.heard.next(), `message {"jsonrpc":"2.0","id":1,"error":${error}}`)
  t.equal(await batch.heard.next(), `last {"jsonrpc":"2.0","id":2,"error":${error}}`, 'each request of a batch')
})

t.test('an error that is no JSON-RPC is told with target, status and the beginning of its body', async t => {
  const { server, door } = await withServer(t, startRawHttp())
  server.next(
    x => x.respond(500, 'text/html', `<h1>\n  Oh\u001b[31m no</h1>${'x'.repeat(5_000_000)}`),
    faults.tooMany,
    x => x.head(502).end(),
    x => x.respond(302, 'text/plain', '', ['Location', 'http://127.0.0.1:1/'])
  )
  const said = async () => door.say(rpc(1, 'a')).heard.next()
  const first = await said()
  t.ok(first.startsWith(`error upstream_status ${server.url} answered with HTTP 500 Internal Server Error and no`))
  t.match(first, '<h1> Oh\\u001b[31m no</h1>xxx')
  t.ok(first.length < 500)
  t.match(await said(), /HTTP 429 Too Many Requests and no JSON-RPC message: later$/)
  t.match(await said(), /HTTP 502 Bad Gateway and no JSON-RPC message\.$/)
  t.match(await said(), /^error upstream_status .*HTTP 302/)
})

t.test('where credentials are missing, it is said how to give them', async t => {
  const { server, door } = await withServer(t, startRawHttp())
  for (const fault of ['unauthorized', 'forbidden'] as const) {
    server.next(faults[fault])
    t.match(
      await door.say(rpc(1, 'a')).heard.next(),
      /^error upstream_status .*HTTP 40[13].*--header 'Authorization: …'/
    )
  }
  server.next(x => x.json(401, `{"jsonrpc":"2.0","id":1,"error":${error}}`))
  t.equal(await door.ask(rpc(1, 'a')), `{"jsonrpc":"2.0","id":1,"error":${error}}`)
  t.match(door.log.items, [/^note .*HTTP 401\. Give credentials with --header/])
})

t.test('a 2xx without an answer in it', async t => {
  const { server, door } = await withServer(t, startRawHttp())
  server.next(faults.html200, faults.notJson, faults.notJsonRpc, x => x.head(202).end(), faults.jsonRpcOfOther)
  for (let i = 0; i < 5; i++) t.match(await door.say(rpc(1, 'a')).heard.next(), /^error upstream_protocol/)
  t.match(door.log.items, [/^late .*nobody asked/])
  server.next(x => x.respond(200, 'text/plain', JSON.stringify(answerTo(1))))
  t.match(await door.ask(rpc(1, 'a')), '"id":1', 'a wrong Content-Type is forgiven')
})

t.test('a server that cannot be reached', async t => {
  const { server, door } = await withServer(t, startRawHttp())
  await server.close()
  t.match(await door.say(rpc(1, 'a')).heard.next(), /^error upstream_unreachable/)
  t.match(await door.say(notification('n')).heard.next(), /^error upstream_unreachable/)
  t.match(await door.say(modernCall(1, 'x')).heard.next(), /^error upstream_unreachable/)
})

t.test('a notification or an answer that is refused is worth a note, and no more', async t => {
  const { server, door } = await withServer(t, startRawHttp())
  server.next(
    x => x.json(400, { jsonrpc: '2.0', error: { code: -32_600, message: 'not now' } }),
    x => x.head(403).end(),
    x => x.head(500).end()
  )
  t.equal(await door.say(notification('notifications/progress')).heard.next(), 'end')
  t.equal(await door.say(answerTo(1)).heard.next(), 'end')
  t.equal(await door.batch([answerTo(1), answerTo(2)]).heard.next(), 'end')
  t.match(door.log.items, [
    /^note notifications\/progress was refused: .*HTTP 400.*not now/,
    /^note the client's answer was refused: .*HTTP 403.*--header/,
    /^note a batch was refused: .*HTTP 500/
  ])
})

t.test('404 in a session: the request fails as the server says, all others and the leg with it', async t => {
  const { server, door } = await withServer(t, startHttpServer())
  await door.handshake()
  await server.counters.until('http GET')
  const held = door.say(toolCall(1, 'slow'))
  await server.counters.until('slow.started')
  const id = door.leg.upstreamId!
  const sessions = server.sessions as Map<string, unknown>
  const session = sessions.get(id)
  sessions.delete(id)
  const { heard } = door.say(rpc(2, 'ping'))
  t.match(await heard.next(), /^last .*"id":2.*Session not found/)
  t.match(await held.heard.next(), /^error upstream_session_lost/)
  t.match(await door.log.next(), /^lost upstream_session_lost .*Start anew/)
  t.match(await door.say(rpc(3, 'ping')).heard.next(), /^error upstream_session_lost/)
  sessions.set(id, session)
  await door.leg.close()
  t.equal(server.counters.count('http DELETE'), 0, 'there is nothing left to end')
  t.notOk(
    [...heard.items, ...held.heard.items, ...door.log.items].some(l => l.includes(id)),
    'its id is told to nobody'
  )
})

t.test('404 without a message, to a notification or to a stream that is taken up again', async t => {
  const id = 'a-session-with-a-long-id'
  for (const how of ['request', 'notification', 'resume'] as const)
    await t.test(how, async t => {
      const { server, door } = await withServer(t, startRawHttp(echoWithHandshake(id)))
      await door.handshake()
      await server.counters.until('GET')
      if (how === 'resume')
        server.next(async x => {
          x.sse()
          await x.sendEvent({ id: '1', data: '' })
          x.end()
        })
      server.next(x => x.head(404).end())
      const { heard } = door.say(how === 'notification' ? notification('n') : rpc(1, 'a'))
      t.match(await heard.next(), how === 'notification' ? /^end$/ : /^error upstream_session_lost .*raw|127/)
      t.match(await door.log.until(l => l.startsWith('lost')), 'upstream_session_lost')
      t.equal(door.log.items.filter(l => l.startsWith('lost')).length, 1)
    })
})

t.test('initialize that is refused leaves no session, and may be tried again', async t => {
  const { server, door } = await withServer(t, startRawHttp(echoWithHandshake('s')))
  server.next(x => x.json(400, { jsonrpc: '2.0', id: null, error: { code: -32_602, message: 'not you' } }))
  t.match(await door.ask(initialize(0)), /"id":0,.*not you/)
  t.equal(door.leg.upstreamId, undefined)
  await door.handshake()
  t.equal(door.leg.upstreamId, 's')
})

t.test('servers that name the session they refuse do not make it known', async t => {
  const id = 'a-session-with-a-long-id'
  const { server, door } = await withServer(t, startRawHttp(echoWithHandshake(id)))
  await door.handshake()
  server.always(x => x.respond(400, 'text/plain', `${id} is not ready`))
  t.match(await door.say(rpc(1, 'a')).heard.next(), /message: … is not ready$/)
  t.equal(await door.say(notification('n')).heard.next(), 'end')
  t.match(door.log.items, [/message: … is not ready$/])
})
