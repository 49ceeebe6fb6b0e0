/** A leg at a server on HTTP+SSE that misbehaves, is slow, or goes away. */
import { constants, createGzip } from 'node:zlib'
import t from 'tap'
import { faults } from '../fixtures/servers/faults.ts'
import type { RawExchange } from '../fixtures/servers/raw-exchange.ts'
import { type Script, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { accept, opens } from '../fixtures/servers/raw-sse.ts'
import { notification, rpc } from '../helpers/rpc.ts'
import { within } from '../helpers/wait.ts'
import { answer, lostIn, openLeg, start } from './sse-leg-start.ts'

t.test('an endpoint at another origin loses the leg, and nothing is sent there', async t => {
  const elsewhere = await startRawHttp()
  t.teardown(() => elsewhere.close())
  for (const [endpoint, origin] of [
    [`http://127.0.0.1:${elsewhere.port}/messages`, `http://127.0.0.1:${elsewhere.port}`],
    [`//localhost:${elsewhere.port}/messages`, `http://localhost:${elsewhere.port}`],
    ['https://127.0.0.1/messages', 'https://127.0.0.1'],
    ['data:text/plain,x', 'null'],
    ['http://', 'no URL at all']
  ] as const) {
    const { server, say, log } = await start(t, { open: opens(endpoint) })
    const { heard } = say(rpc(1, 'ping'))
    const text = await heard.next()
    t.match(text, 'error upstream_protocol')
    t.ok(text.includes(`http://127.0.0.1:${server.port}`) && text.includes(origin), text)
    t.match(await lostIn(log), 'lost upstream_protocol')
    t.match(await say(rpc(2, 'ping')).heard.next(), 'error upstream_protocol')
    t.same(server.posts.items, [])
  }
  t.equal(elsewhere.counters.count('connection'), 0)
})

t.test('a server that opens no stream, or names no endpoint, has only so much time', async t => {
  const silent = await start(t, { open: () => {} }, { connectTimeout: 300 })
  t.match(await silent.say(rpc(1, 'ping')).heard.next(), 'error upstream_connect_timeout')
  await lostIn(silent.log)
  const nameless = await start(t, { open: x => x.sse().sendEvent({ comment: 'soon' }) }, { connectTimeout: 300 })
  t.match(await nameless.say(rpc(1, 'ping')).heard.next(), /^error upstream_protocol .* did not name its endpoint/)
  const stream = await nameless.server.streams.next()
  await stream.aborted
})

t.test('what a GET can get in place of a stream', async t => {
  const scripts: [Script, RegExp][] = [
    [x => x.respond(401, 'text/plain', 'a-secret-name'), /upstream_status .*401 .*--header 'Authorization/],
    [x => x.json(200, '{}'), /upstream_protocol .*no event stream.*--upstream-transport/],
    [x => x.respond(405, 'text/plain', ''), /upstream_status .*405 .*--upstream-transport/],
    [x => x.reset(), /upstream_reset/],
    [x => x.redirect('http://127.0.0.1:1/sse'), /upstream_status .*307/],
    [x => x.respond(200, 'text/event-stream', 'x', ['Content-Encoding', 'mystery']), /upstream_protocol .*unknown/],
    [x => x.respond(200, 'text/event-stream', 'x', ['Content-Encoding', 'gzip']), /upstream_protocol .*not gzip/]
  ]
  for (const [open, expected] of scripts) {
    const { say, log } = await start(t, { open })
    const text = await say(rpc(1, 'ping')).heard.next()
    t.match(text, expected)
    t.notMatch(text, 'a-secret-name')
    await lostIn(log)
  }
  const { say } = openLeg(t, 'http://127.0.0.1:1/sse')
  t.match(await say(rpc(1, 'ping')).heard.next(), 'error upstream_unreachable')
})

t.test('a POST that is never answered, or never ends, is given up when nobody waits for it', async t => {
  const { server, say, log } = await start(
    t,
    { post: faults.hang },
    { orderWait: 50, unheardWait: 300, connectTimeout: 1_000 }
  )
  say(notification('n'))
  const [call, cancelled] = [say(rpc(1, 'a')), say(rpc(2, 'b'))]
  const note = await server.posts.next()
  const [first, second] = [await server.posts.next(), await server.posts.next()]
  await note.aborted
  t.match(await log.until(l => l.startsWith('note')), /^note n did not reach the server: .*within 0.3 s/)
  cancelled.handle.cancel('client-gone')
  await second.aborted
  await server.posts.until(x => x.text.includes('notifications/cancelled'))
  t.same(call.heard.items, [], 'but for what somebody waits for')
  await server.tell(answer(1))
  t.match(await call.heard.next(), 'last')
  await first.aborted

  server.nextPosts(x => void x.head(202).write('endless'))
  say(rpc(3, 'c'))
  await (await server.posts.until(x => x.text.includes('"c"'))).aborted
  t.notOk(log.items.some(l => l.startsWith('lost')))
})

t.test('a message that was taken is taken, whatever comes with the status', async t => {
  const { server, say, log } = await start(t)
  server.nextPosts(
    x => x.respond(202, 'text/plain', 'x', ['Content-Encoding', 'mystery']),
    x => x.respond(200, 'text/plain', 'x', ['Content-Encoding', 'gzip']),
    x => x.head(202, ['Content-Length', '10']).cut()
  )
  const calls = [1, 2, 3].map(id => say(rpc(id, 'x')))
  for (const _ of calls) await server.posts.next()
  // Behind this notification nothing is left of them.
  say(notification('n'))
  say(rpc(4, 'last'))
  await server.posts.until(x => x.text.includes('last'))
  for (const [i, { heard }] of calls.entries()) {
    await server.tell(answer(i + 1))
    t.match(await heard.next(), 'last')
  }
  t.same(log.items, [])
})

t.test('of what the server writes to a POST, no more than a little is read', async t => {
  for (const status of [202, 500]) {
    const { server, say } = await start(t, { post: x => void x.head(status).write('x'.repeat(100_000)) })
    say(rpc(1, 'a'))
    await within((await server.posts.next()).aborted)
  }
})

t.test('a request that the server does not take fails alone, or has its error', async t => {
  const { server, say, log } = await start(t)
  const text = (id: string) =>
    `{"error": {"code":-32600,"message":"no","data":9007199254740993}${id === '' ? '' : `, "id":${id}`}, "jsonrpc":"2.0"}`
  const cases: [Script, string | RegExp][] = [
    [
      x => x.respond(400, 'text/plain', 'Missing a-secret-name'),
      /^error upstream_status .*\/sse answered with HTTP 400/
    ],
    [x => x.json(500, text('7')), `last ${text('7')}`],
    [x => x.json(400, text('null')), /^last \{"jsonrpc":"2.0","id":7,"error":\{"code":-32600,.*9007199254740993\}\}$/],
    [x => x.json(400, text('')), /^last \{"jsonrpc":"2.0","id":7,/],
    [x => x.json(400, text('8')), /^error upstream_status/],
    [x => x.respond(400, 'text/plain', 'x'.repeat(100_000)), /^error upstream_status/],
    [x => x.redirect('http://127.0.0.1:1/messages'), /^error upstream_status .*307/],
    [x => x.reset(), /^error upstream_reset/],
    [
      x => {
        x.head(503, ['Content-Length', '10'])
        x.cut()
      },
      /^error upstream_status .*503/
    ]
  ]
  for (const [script, expected] of cases) {
    server.nextPosts(script)
    const { heard } = say(rpc(7, 'x'))
    const told = await heard.next()
    if (typeof expected === 'string') t.equal(told, expected)
    else t.match(told, expected)
    t.notMatch(told, 'a-secret-name')
  }
  server.nextPosts(x => x.json(400, text('7')))
  say(notification('notifications/x'))
  t.match(await log.until(l => l.startsWith('note')), /^note notifications\/x did not reach the server: .*HTTP 400/)
  t.notMatch(log.items.join(), 'a-secret-name')
  const { heard } = say(rpc(9, 'x'))
  await server.posts.until(x => x.text.includes('"id":9'))
  await server.tell(answer(9))
  t.match(await heard.next(), 'last', 'the session goes on')
})

t.test('404 to a message: the server has forgotten the session', async t => {
  const { server, say, log } = await start(t)
  const other = say(rpc(1, 'x'))
  await server.posts.next()
  server.nextPosts(x => x.respond(404, 'text/plain', 'Session not found: a-secret-name'))
  const { heard } = say(rpc(2, 'x'))
  t.match(await heard.next(), 'error upstream_session_lost')
  t.match(await other.heard.next(), 'error upstream_session_lost')
  t.match(await lostIn(log), /"expected":0/)
  t.notMatch(log.items.join(), 'a-secret-name')
  await (await server.streams.next()).aborted

  const told = await start(t)
  told.server.nextPosts(x => x.json(404, { jsonrpc: '2.0', id: null, error: { code: -32001, message: 'unknown' } }))
  t.match(await told.say(rpc(1, 'x')).heard.next(), /^last .*"id":1.*unknown/)
  await lostIn(told.log)
})

t.test('the end of the stream is the end of the leg, and nothing is sent again', async t => {
  for (const end of [(x: RawExchange) => x.end(), (x: RawExchange) => x.cut(), (x: RawExchange) => x.reset()]) {
    const { server, say, log } = await start(t)
    const calls = [say(rpc(1, 'x')), say(rpc(2, 'x'))]
    await server.posts.until(x => x.text.includes('"id":2'))
    end(await server.streams.next())
    for (const { heard } of calls) t.match(await heard.next(), 'error upstream_session_lost')
    t.match(await lostIn(log), 'cannot take up again')
    t.match(await say(rpc(3, 'x')).heard.next(), 'error upstream_session_lost')
    t.same([server.posts.items.length, server.streams.items.length], [2, 1])
  }
})

t.test('a pause stops the stream, but never its beginning', async t => {
  const packed: Script = async x => {
    x.sse(['Content-Encoding', 'gzip'])
    const zip = createGzip({ flush: constants.Z_SYNC_FLUSH })
    const write = x.write.bind(x)
    zip.on('data', chunk => void write(chunk).catch(() => {}))
    x.write = text => new Promise(resolve => zip.write(text, () => resolve()))
    await x.sendEvent({ event: 'endpoint', data: '/messages' })
  }
  for (const open of [undefined, packed]) {
    const { server, say, leg, log } = await start(t, { open })
    say(rpc(1, 'x'))
    leg.pause()
    await server.posts.next()
    const much = notification('much', { text: 'x'.repeat(100_000) })
    const writing = server.say(`data: ${JSON.stringify(much)}\n\n`.repeat(300))
    const heard = () => log.items.filter(l => l.includes('much')).length
    // Time enough for what is not held back: each of these goes to the server and back.
    const roundTrips = async (): Promise<void> => {
      for (let i = 0; i < 100; i++) {
        await say(notification('n')).heard.next()
        await server.posts.next()
      }
    }
    await roundTrips()
    t.equal(heard(), 0)
    leg.resume()
    await log.until(() => heard() === 1)
    leg.pause()
    await roundTrips()
    t.ok(heard() < 10, 'also in the middle, but for what was under way')
    leg.resume()
    await writing
    await log.until(() => heard() === 300)
  }
})

t.test('a server that takes no messages is waited for', async t => {
  const { server, say, log } = await start(t, {}, { maxInput: 500 })
  const held: RawExchange[] = []
  for (let i = 0; i < 6; i++) server.nextPosts(x => void held.push(x))
  for (let id = 1; id <= 6; id++) say(rpc(id, 'x', { long: 'x'.repeat(100) }))
  await log.until(l => l === 'full')
  await server.posts.until(x => x.text.includes('"id":6'))
  t.notOk(log.items.includes('drain'))
  for (const x of held) accept(x)
  await log.until(l => l === 'drain')
})

t.test('a message over the limit fails its call alone', async t => {
  const { server, say, log } = await start(t, {}, { maxLine: 10_000 })
  const calls = [1, 2, 3, 4].map(id => say(rpc(id, 'x')))
  await server.posts.until(x => x.text.includes('"id":4'))
  const event = (message: object) => `event: message\r\ndata: ${JSON.stringify(message)}\r\n\r\n`
  const exact = JSON.stringify(answer(4, '')).length
  await server.say(
    [
      event(answer(1, 'small')),
      event(answer(2, 'x'.repeat(30_000))),
      `: ${'c'.repeat(20_000)}\n\n`,
      `event: other\ndata: ${'c'.repeat(20_000)}\n\n`,
      event(answer(4, 'x'.repeat(10_000 - exact))),
      event({ result: 'x'.repeat(10_200), id: 3, jsonrpc: '2.0' }),
      event({ jsonrpc: '2.0', id: 'q', method: 'sampling/createMessage', params: { x: 'x'.repeat(20_000) } }),
      event(notification('after'))
    ].join('')
  )
  const [small, big, last, fits] = calls
  t.match(await small!.heard.next(), 'small')
  t.match(await big!.heard.next(), /^error message_too_large .*30/)
  t.match(await last!.heard.next(), 'error message_too_large')
  t.match(await fits!.heard.next(), 'last')
  t.match(await log.until(l => l.startsWith('own')), /"id":"q","error".*message_too_large/, 'its question is answered')
  await log.until(l => l.includes('after'))
  t.equal(log.items.filter(l => l.startsWith('noise')).length, 3)
})
