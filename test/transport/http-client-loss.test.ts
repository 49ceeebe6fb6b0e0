/** How a client on a pipe loses its session, and how it does not. */
import t from 'tap'
import type { RawExchange } from '../fixtures/servers/raw-exchange.ts'
import { echoWithHandshake, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { initialize, notification, rpc } from '../helpers/rpc.ts'
import { answerTo, modernCall, withServer } from './http-client-door.ts'

const TEXT = '{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"},"id":null}'

type Answer = (x: RawExchange) => void

async function inSession(t: Parameters<typeof withServer>[0]) {
  const { server, door } = await withServer(t, startRawHttp(echoWithHandshake('s-1')))
  await door.handshake()
  await server.counters.until('GET')
  return { server, door, posts: server.counters.count('POST') }
}

for (const [what, refuse] of [
  ['', x => x.json(400, TEXT)],
  [', gzipped', x => x.gzip(400, TEXT)],
  [', without an id', x => x.json(400, TEXT.replace(',"id":null', ''))]
] as [string, Answer][])
  t.test(`400 that refuses the session${what}: it is lost`, async t => {
    for (const how of ['request', 'batch', 'notification', 'answer'] as const) {
      await t.test(how, async t => {
        const { server, door, posts } = await inSession(t)
        server.next(refuse)
        const asks = how === 'request' || how === 'batch'
        const said =
          how === 'batch'
            ? door.batch([rpc(1, 'a'), rpc(2, 'b')])
            : door.say(how === 'request' ? rpc(1, 'a') : how === 'answer' ? answerTo(1) : notification('n'))
        t.match(await said.heard.next(), asks ? /^error upstream_session_lost .*Start anew/ : /^end$/)
        await door.log.until(l => l.startsWith('lost upstream_session_lost'))
        t.match(await door.say(rpc(3, 'c')).heard.next(), /^error upstream_session_lost/)
        t.equal(server.counters.count('POST'), posts + 1, 'nothing is sent twice')
        await door.leg.close()
        t.equal(server.counters.count('DELETE'), 0, 'there is nothing left to end')
      })
    }
  })

t.test('with its own id it is an answer: 404 and 400', async t => {
  const { server, door } = await inSession(t)
  for (const status of [404, 400]) {
    const refusal = TEXT.replace('null', '1')
    server.next(x => x.json(status, refusal))
    t.equal(await door.ask(rpc(1, 'a')), refusal)
    server.next(x => x.json(status, `[${refusal}]`))
    const { heard } = door.batch([rpc(1, 'a'), rpc(2, 'b')])
    t.match(await heard.next(), '"id":1')
    t.match(await heard.next(), '"id":2')
  }
  t.match(await door.ask(rpc(2, 'a')), '"echo"')
  t.notOk(door.log.items.some(l => l.startsWith('lost')))
})

t.test('a 400 in words ends it, too', async t => {
  const { server, door } = await inSession(t)
  server.next(x => x.respond(400, 'text/plain', 'Bad Request: No valid session ID provided'))
  t.match(await door.say(rpc(1, 'a')).heard.next(), /^error upstream_session_lost /)
})

t.test('so it is with a 404 on a stream, and with any other 400', async t => {
  const { server, door } = await inSession(t)
  server.next(x => x.respond(404, 'text/event-stream', `data: ${TEXT.replace('null', '1')}\n\n`))
  t.match(await door.say(rpc(1, 'a')).heard.next(), /^error upstream_status .*HTTP 404/)
  server.next(x => x.respond(400, 'text/plain', 'Bad session'))
  t.match(await door.say(rpc(1, 'a')).heard.next(), /^error upstream_status .*HTTP 400/)
  server.next(x => x.json(400, TEXT.replace('No valid session ID provided', 'no')))
  t.match(await door.ask(rpc(1, 'a')), /"id":1.*Bad Request: no"/)
  server.next(x => x.json(400, TEXT.replace('-32000', '-32600')))
  t.equal(await door.say(notification('n')).heard.next(), 'end')
  t.match(await door.ask(rpc(2, 'a')), '"echo"')
  t.notOk(door.log.items.some(l => l.startsWith('lost')))
})

t.test('initialize, what comes without a session and modern requests are refused as ever', async t => {
  const { server, door } = await withServer(t, startRawHttp())
  const refuse: Answer = x => x.json(400, TEXT)
  for (const message of [initialize(1), rpc(1, 'a'), modernCall(1, 'x')]) {
    server.next(refuse)
    t.match(await door.ask(message), /"id":1.*No valid session/)
  }
  const other = await inSession(t)
  for (const message of [initialize(1), modernCall(1, 'x')]) {
    other.server.next(refuse)
    t.match(await other.door.ask(message), /"id":1.*No valid session/)
  }
  t.notOk([...door.log.items, ...other.door.log.items].some(l => l.startsWith('lost')))
})
