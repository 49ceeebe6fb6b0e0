/** A session at a server on HTTP+SSE as a leg: one stream, many POSTs. */
import { constants, createGzip, gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { Message } from '../../src/protocol/message.ts'
import { HttpUpstream } from '../../src/transport/upstream/http.ts'
import { SseLeg, type SseLegOptions } from '../../src/transport/upstream/sse.ts'
import type { CallReceiver, UpstreamCall } from '../../src/transport/upstream.ts'
import { faults } from '../fixtures/servers/faults.ts'
import type { RawExchange } from '../fixtures/servers/raw-exchange.ts'
import { type Script, startRawHttp } from '../fixtures/servers/raw-http.ts'
import {
  accept,
  echoing,
  opens,
  type RawSseOptions,
  type RawSseServer,
  startRawSse
} from '../fixtures/servers/raw-sse.ts'
import { startSseServer } from '../fixtures/servers/sse-server.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { initialize, notification, rpc, toolCall } from '../helpers/rpc.ts'
import { Inbox, within } from '../helpers/wait.ts'

type LegOptions = Partial<SseLegOptions> & { readonly targetHeaders?: readonly string[] }

function openLeg(t: Test, url: string, { targetHeaders = [], ...options }: LegOptions = {}) {
  const upstream = new HttpUpstream(new URL(url), {
    headers: targetHeaders,
    connections: 20,
    maxPending: 100,
    connectTimeout: 10_000,
    headersTimeout: 0,
    keepAliveTimeout: 1_000,
    closeTimeout: 1_000
  })
  const log = new Inbox<string>('what the leg says')
  const leg = new SseLeg(
    upstream,
    { connectTimeout: 10_000, maxLine: 1_000_000, maxInput: 1_000_000, ...options },
    {
      message: (m, call) => log.push(`${call ? 'owned ' : ''}${m.bytes}`),
      late: m => log.push(`late ${m.bytes}`),
      noise: bytes => log.push(`noise ${bytes.subarray(0, 40)}`),
      stderr() {},
      lost: (error, facts) => log.push(`lost ${error.code} ${error.message} ${JSON.stringify(facts)}`),
      own: m => log.push(`own ${m.bytes}`),
      note: text => log.push(`note ${text}`),
      full: () => log.push('full'),
      drain: () => log.push('drain')
    }
  )
  t.teardown(async () => {
    await leg.close()
    await upstream.close()
  })
  const say = (text: string | object, headers: readonly string[] = []) => {
    const heard = new Inbox<string>(`what ${JSON.stringify(text).slice(0, 60)} hears`)
    const receiver: CallReceiver = {
      onHead() {},
      onData() {},
      onMessage: (m, last) => heard.push(`${last ? 'last' : 'message'} ${m.bytes}`),
      onEnd: () => heard.push('end'),
      onError: error => heard.push(`error ${error.code} ${error.message}`),
      onCancelled: () => heard.push('cancelled')
    }
    const message = Message.parse(Buffer.from(typeof text === 'string' ? text : JSON.stringify(text)))
    const kind = message.kind === 'request' ? ('request' as const) : ('notify' as const)
    const input = { kind, era: 'legacy' as const, message, batch: undefined, body: undefined, headers }
    const handle: UpstreamCall = leg.call(input, receiver)
    return { heard, handle }
  }
  return { leg, log, say, upstream }
}

async function start(t: Test, served: RawSseOptions = {}, options: LegOptions = {}) {
  trackLeaks(t)
  const server: RawSseServer = await startRawSse(served)
  t.teardown(() => server.close())
  return { server, ...openLeg(t, server.url, options) }
}

const answer = (id: number | string, result: unknown = {}) => ({ jsonrpc: '2.0', id, result })
const lostIn = (log: Inbox<string>) => log.until(l => l.startsWith('lost'))

t.test('a conversation with a server of the official SDK', async t => {
  trackLeaks(t)
  const server = await startSseServer()
  t.teardown(() => server.close())
  const { leg, log, say } = openLeg(t, server.url)
  t.match(await say(initialize(0, '2024-11-05', { sampling: {} })).heard.next(), '"protocolVersion":"2024-11-05"')
  say(notification('notifications/initialized'))
  const call = say(toolCall(1, 'echo', { a: [1, 'é\u2028'] }))
  t.match(await call.heard.next(), '"id":1')
  t.equal(await call.heard.next(), 'end')

  const progress = rpc(2, 'tools/call', { name: 'progress', arguments: { n: 2 }, _meta: { progressToken: 'p' } })
  t.match(await say(progress).heard.next(), 'progressed 2')
  const owned = log.items.filter(l => l.startsWith('owned'))
  t.same(
    owned.map(l => JSON.parse(l.slice(6)).params.progress),
    [1, 2]
  )

  const asking = say(toolCall(3, 'sample'))
  const question = JSON.parse(await log.until(l => l.includes('sampling/createMessage')))
  say(answer(question.id, { role: 'assistant', model: 'm', content: { type: 'text', text: 'hello' } }))
  t.match(await asking.heard.next(), 'hello')

  const slow = say(toolCall(4, 'slow', { key: 'k' }))
  await server.counters.until('slow.started')
  say(notification('notifications/cancelled', { requestId: 4 }))
  await server.counters.until('slow.cancelled')
  t.same(slow.heard.items, ['cancelled'])

  server.changed('tools')
  t.match(await log.until(l => l.includes('list_changed')), 'notifications/tools/list_changed')
  await leg.close()
  await server.counters.until('session.closed')
  t.same(server.errors, [])
})

t.test('wherever the endpoint is said to be on the same origin, messages go there', async t => {
  const forms: [string, string][] = [
    ['/messages?sessionId=1', '/messages?sessionId=1'],
    ['?sessionId=2', '/sse?sessionId=2'],
    ['post/3', '/post/3'],
    ['../4', '/4']
  ]
  for (const [endpoint, path] of forms) {
    const { server, say } = await start(t, { open: opens(endpoint), refuse: x => server.posts.push(x) })
    say(rpc(1, 'ping'))
    t.equal((await server.posts.next()).path, path)
  }
  const { server, say } = await start(t, {
    open: x => opens(`http://127.0.0.1:${server.port}/absolute?x=5#fragment`)(x)
  })
  say(rpc(1, 'ping'))
  t.equal((await server.posts.next()).path, '/absolute?x=5')
})

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

t.test('a second endpoint changes nothing and is noted', async t => {
  const { server, say, log } = await start(t)
  say(rpc(1, 'ping'))
  await server.posts.next()
  await server.say({ event: 'endpoint', data: '/elsewhere' })
  t.match(await log.until(l => l.startsWith('note')), 'named an endpoint again')
  say(rpc(2, 'ping'))
  t.match((await server.posts.next()).path, /^\/messages/)
})

t.test('what is said before the endpoint is known waits, in order, up to a bound', async t => {
  const { server, say, log } = await start(t, { open: x => void x.sse() }, { maxInput: 200 })
  for (let id = 1; id <= 8; id++) say(rpc(id, 'ping'))
  const refused = say(rpc(9, 'ping', { long: 'x'.repeat(300) }))
  t.equal(log.items[0], 'full')
  t.match(await say(rpc(10, 'ping')).heard.next(), 'error upstream_queue_full')
  await server.streams.next()
  t.same(server.posts.items, [])
  await server.say({ event: 'endpoint', data: '/messages' })
  const seen = [await server.posts.next(), await server.posts.next(), await server.posts.next()]
  t.ok(seen.every(x => x.path === '/messages'))
  await log.until(l => l === 'drain')
  const { heard } = say(rpc(11, 'ping'))
  await server.posts.until(x => x.text.includes('"id":11'))
  await server.tell(answer(11))
  t.match(await heard.next(), 'last')
  t.same(refused.heard.items, [])
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
    [x => x.json(200, '{}'), /upstream_protocol .*no event stream/],
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

t.test('headers of the client go along, with the stream as with every message', async t => {
  const { server, say, leg } = await start(t, {}, { targetHeaders: ['X-Key', 'ours'], query: '?tenant=7' })
  const headers = (token: string) => [
    ...['Authorization', token, 'X-Key', 'theirs', 'X-Other', 'kept', 'Mcp-Session-Id', 'no'],
    ...['Content-Type', 'text/plain', 'Accept', 'application/json', 'Last-Event-ID', '7']
  ]
  const first = say(rpc(1, 'a'), headers('one'))
  const stream = await server.streams.next()
  t.equal(stream.path, '/sse?tenant=7')
  t.match(stream.headers, { authorization: 'one', 'x-key': 'ours', 'x-other': 'kept', accept: 'text/event-stream' })
  t.match(stream.headers, { 'accept-encoding': 'identity' })
  const post = await server.posts.next()
  t.match(post.headers, { authorization: 'one', 'x-key': 'ours', 'content-type': 'application/json', accept: '*/*' })
  for (const x of [stream, post]) t.notOk(x.headers['mcp-session-id'] ?? x.headers['last-event-id'])
  t.notOk(stream.headers['content-type'])

  say(rpc(2, 'b'), headers('two'))
  await server.posts.next()
  say(notification('n'))
  t.match(
    (await server.posts.next()).headers,
    { authorization: 'two' },
    'also with what the client did not say over HTTP'
  )
  first.handle.cancel('timeout')
  t.match((await server.posts.next()).headers, { authorization: 'two' }, 'nor anybody but us')
  await leg.close()

  const given = await start(t, {}, { headers: ['Authorization', 'given'] })
  given.say(rpc(1, 'a'), headers('one'))
  t.match((await given.server.streams.next()).headers, { authorization: 'given' })
})

t.test('redirects to the same origin are followed', async t => {
  const { server, say } = await start(t, {
    open: x => (x.path === '/sse' ? x.redirect('/moved/sse') : opens('/deep/messages')(x))
  })
  server.nextPosts(x => x.redirect('there?b=2'))
  say(rpc(1, 'ping'))
  t.equal((await server.posts.next()).path, '/deep/messages')
  const moved = await server.posts.next()
  t.same([moved.path, moved.method, JSON.parse(moved.text).id], ['/deep/there?b=2', 'POST', 1])
  t.equal(server.http.exchanges[1]?.path, '/moved/sse')
})

t.test('a stream that is compressed all the same is read', async t => {
  const events = `event: endpoint\ndata: /messages\n\ndata: ${JSON.stringify(answer(1, 'unpacked'))}\n\n`
  const { server, say, log } = await start(t, {
    open: x => {
      x.sse(['Content-Encoding', 'gzip'])
      return x.write(gzipSync(events, { finishFlush: constants.Z_SYNC_FLUSH }))
    },
    post: x => x.gzip(400, JSON.stringify({ jsonrpc: '2.0', id: null, error: { code: -1, message: 'packed' } }))
  })
  t.match(await say(rpc(1, 'ping')).heard.next(), 'unpacked')
  t.equal(
    await say(rpc(2, 'ping')).heard.next(),
    'last {"jsonrpc":"2.0","id":2,"error":{"code":-1,"message":"packed"}}'
  )
  server.http.exchanges[0]?.cut()
  t.match(await lostIn(log), 'upstream_session_lost')
})

t.test('what stands behind a notification waits until the server has taken it; requests wait for nobody', async t => {
  const { server, say, log } = await start(t)
  const held: RawExchange[] = []
  const hold: Script = x => void held.push(x)
  server.nextPosts(hold, hold, hold, hold)
  say(rpc(1, 'a'))
  say(rpc(2, 'b'))
  say(notification('n'))
  await server.posts.until(x => x.text.includes('"n"'))
  t.equal(held.length, 3, 'two requests and the notification behind them, none of them taken')
  say(rpc(3, 'c'))
  await server.tell(notification('seen'))
  await log.until(l => l.includes('seen'))
  t.equal(server.posts.items.length, 3)
  accept(held.find(x => x.text.includes('"n"'))!)
  await server.posts.until(x => x.text.includes('"c"'))
  say(answer('server-1'))
  await server.posts.until(x => x.text.includes('server-1'))
  say(rpc(4, 'd'))
  await server.posts.until(x => x.text.includes('"d"'))
})

t.test('but not for ever', async t => {
  const { server, say } = await start(t, {}, { orderWait: 300 })
  server.nextPosts(faults.hang)
  say(notification('n'))
  say(rpc(1, 'a'))
  await server.posts.next()
  const began = performance.now()
  t.match((await server.posts.next()).text, '"a"')
  t.ok(performance.now() - began > 200)
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
      for (let i = 0; i < 20; i++) {
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
    t.ok(heard() < 100, 'also in the middle, but for what was under way')
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

t.test('events without a name are messages, other names are not, and what is no message is noise', async t => {
  // A byte order mark may stand at the very beginning.
  const { server, say, log } = await start(t, {
    open: x => x.sse().write('\ufeffevent: endpoint\ndata: /messages\n\n')
  })
  say(rpc(1, 'x'))
  await server.posts.next()
  await server.say(`event: ping\ndata: {"jsonrpc":"2.0","method":"no"}\n\n: comment\n\ndata:\n\nid: 3\n\n`)
  await server.say('data: {"jsonrpc":"2.0",\rdata: "method":"two-lines"}\r\rdata: nonsense\n\n')
  t.equal(await log.next(), '{"jsonrpc":"2.0",\n"method":"two-lines"}')
  t.equal(await log.next(), 'noise nonsense')
})

t.test('equal ids at once are told apart', async t => {
  const { server, say } = await start(t)
  const [first, second] = [say(rpc(1, 'x')), say(rpc(1, 'y'))]
  const post = await server.posts.until(x => x.text.includes('"y"'))
  const { id } = JSON.parse(post.text)
  t.not(id, 1)
  server.nextPosts(x => x.respond(500, 'text/plain', ''))
  await server.tell(answer(id, 'second'))
  t.equal(await second.heard.next(), `last ${JSON.stringify(answer(1, 'second'))}`)
  await server.tell(answer(1, 'first'))
  t.match(await first.heard.next(), 'first')
})

t.test('close ends the stream and what is on its way', async t => {
  const { server, say, leg, log } = await start(t, { post: faults.hang })
  const { heard } = say(rpc(1, 'x'))
  say(notification('n'))
  const [post, note, stream] = [await server.posts.next(), await server.posts.next(), await server.streams.next()]
  await leg.close()
  await Promise.all([post.aborted, note.aborted, stream.aborted])
  t.match(heard.items, [/^error session_not_found/])
  t.match(await lostIn(log), '"expected":1')
  t.match(await say(rpc(2, 'x')).heard.next(), 'error session_not_found')
})

t.test('close before anything was said opens nothing', async t => {
  const { server, leg } = await start(t)
  await leg.close()
  t.equal(server.http.counters.count('connection'), 0)
})

t.test('a request that was given up before it could be sent is never sent', async t => {
  const { server, say } = await start(t, { open: x => void x.sse() })
  const given = say(rpc(1, 'given-up'))
  say(rpc(2, 'kept'))
  await server.streams.next()
  given.handle.cancel('client-gone')
  await server.say({ event: 'endpoint', data: '/messages' })
  await server.posts.until(x => x.text.includes('notifications/cancelled'))
  t.notOk(server.posts.items.some(x => x.text.includes('given-up')))
})

t.test('an answer may come before its POST is taken', async t => {
  const { server, say } = await start(t)
  const held: RawExchange[] = []
  server.nextPosts(x => void held.push(x))
  const { heard } = say(rpc(1, 'x'))
  await server.posts.next()
  await server.tell(answer(1))
  t.match(await heard.next(), 'last')
  held[0]?.respond(500, 'text/plain', 'too late')
  const served: RawSseServer = server
  server.nextPosts(echoing(() => served))
  t.match(await say(rpc(2, 'x', { still: 'there' })).heard.next(), 'there')
  t.same(heard.items.slice(1), ['end'])
})
