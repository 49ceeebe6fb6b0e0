/** The same for clients on HTTP/2; the target speaks HTTP/1.1. */
import { createServer } from 'node:http'
import { type ClientHttp2Session, connect, constants, type OutgoingHttpHeaders } from 'node:http2'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import type { Script } from '../fixtures/servers/raw-http.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { Inbox, waitFor, within } from '../helpers/wait.ts'
import { listen, type PassDoor, type PassOptions, passDoor, rawPass } from './passthrough-door.ts'

type Door = Awaited<ReturnType<typeof rawPass>>

async function h2(
  t: Test,
  script?: Script,
  options: PassOptions = {}
): Promise<Door & { session: ClientHttp2Session }> {
  const door = await rawPass(t, script, { ...options, http2: true })
  const session = connect(door.url)
  session.on('error', () => {})
  const closed = new Promise(resolve => session.once('close', resolve))
  t.teardown(async () => {
    session.destroy()
    await closed
  })
  return { ...door, session }
}

async function ask(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body?: string
): Promise<{ headers: Record<string, unknown>; text: string }> {
  const stream = session.request(headers, { endStream: body === undefined })
  if (body !== undefined) stream.end(body)
  const [got] = (await waitFor(stream, 'response')) as [Record<string, unknown>]
  return { headers: got, text: await text(stream) }
}

interface Upload {
  readonly over: Promise<unknown>
  readonly whole: () => boolean
}

/** In front of a target that tells when it is asked, and whether it has got all of a request. */
async function upload(t: Test): Promise<PassDoor & { session: ClientHttp2Session; asked: Inbox<Upload> }> {
  trackLeaks(t)
  const asked = new Inbox<Upload>('requests')
  const server = createServer((req, res) => {
    let whole = false
    req.on('error', () => {})
    req.on('end', () => {
      whole = req.complete
      res.end('thanks')
    })
    req.once('data', () => asked.push({ over: new Promise(r => req.once('close', r)), whole: () => whole }))
  })
  const door = await passDoor(t, `http://127.0.0.1:${await listen(t, server)}/mcp`, { http2: true })
  const session = connect(door.url)
  session.on('error', () => {})
  const closed = new Promise(resolve => session.once('close', resolve))
  t.teardown(async () => {
    session.destroy()
    await closed
  })
  return { ...door, session, asked }
}

const kinds = (door: PassDoor): string[] => door.ended.items.map(o => o.result)

t.test('requests with and without content, in either frame', async t => {
  const door = await h2(t, x => x.respond(200, 'text/plain', `${x.method} ${x.path} ${x.text}`))
  const { session, server } = door
  const say = async (method: string, body?: string, headers: OutgoingHttpHeaders = {}): Promise<string> =>
    (await ask(session, { ':method': method, ':path': '/everything/a?b', ...headers }, body)).text
  t.equal(await say('GET'), 'GET /a?b ')
  t.equal(await say('POST', 'hello'), 'POST /a?b hello', 'of a length that nobody announced')
  t.equal(await say('POST', 'hello', { 'content-length': '5' }), 'POST /a?b hello')
  t.equal(await say('POST'), 'POST /a?b ')
  t.equal(
    await say('DELETE', 'GET /admin HTTP/1.1\r\nHost: x\r\n\r\n'),
    'DELETE /a?b GET /admin HTTP/1.1\r\nHost: x\r\n\r\n'
  )
  t.equal(await say('DELETE'), 'DELETE /a?b ')
  t.equal(server.exchanges.length, 6, 'and nothing was read as another request')
  t.same(new Set(kinds(door)), new Set(['answered']))
})

t.test('headers are those of one HTTP there and the other here', async t => {
  const { session, server } = await h2(t, x =>
    x
      .head(302, [
        'Set-Cookie',
        'a=1; Path=/',
        'Set-Cookie',
        'b=2',
        'Location',
        '/login',
        'Keep-Alive',
        'timeout=5',
        'X-Two',
        '1',
        'X-Two',
        '2'
      ])
      .end('x')
  )
  const { headers } = await ask(session, {
    ':path': '/everything/a',
    ':authority': 'front.test',
    cookie: ['a=1', 'b=2'],
    'x-one': '1'
  })
  t.match(headers, {
    ':status': 302,
    location: '/everything/login',
    'set-cookie': ['a=1; Path=/everything', 'b=2'],
    'x-two': '1, 2',
    via: '1.1 catflap',
    'keep-alive': undefined,
    connection: undefined
  })
  t.match((await server.exchange()).headers, {
    host: `127.0.0.1:${server.port}`,
    cookie: 'a=1; b=2',
    'x-one': '1',
    via: '2.0 catflap',
    'x-forwarded-host': 'front.test',
    'x-forwarded-for': '127.0.0.1'
  })
  t.notOk(server.exchanges[0]!.rawHeaders.some(part => part.startsWith(':')))
})

t.test('a stream that is reset frees the target, and harms no other', async t => {
  const { session, server, ended } = await h2(t, () => {})
  const early = session.request({ ':path': '/health' })
  early.on('error', () => {})
  const first = await server.exchange(1)
  early.close(constants.NGHTTP2_CANCEL)
  await first.aborted
  t.match(await ended.next(), { result: 'gone' })
  server.always(x => void x.sse())
  const late = session.request({ ':path': '/health' })
  late.on('error', () => {})
  await waitFor(late, 'response')
  late.close(constants.NGHTTP2_CANCEL)
  await (await server.exchange(2)).aborted
  server.always(x => x.respond(200, 'text/plain', 'alive'))
  t.equal((await ask(session, { ':path': '/health' })).text, 'alive')
})

for (const length of [undefined, '1000'])
  for (const how of ['reset', 'reset without a reason', 'connection'])
    t.test(`an upload that is cut (${how}, ${length ?? 'no'} length) is none for the target`, async t => {
      const { session, ended, asked } = await upload(t)
      const headers = { ':path': '/health', ':method': 'POST', ...(length && { 'content-length': length }) }
      const stream = session.request(headers)
      stream.on('error', () => {})
      stream.write('half of it')
      const target = await asked.next()
      if (how === 'connection') session.destroy()
      else stream.close(how === 'reset' ? constants.NGHTTP2_CANCEL : constants.NGHTTP2_NO_ERROR)
      await target.over
      t.equal(target.whole(), false)
      t.match(await ended.next(), { result: 'gone' })
    })

t.test('a client that leaves before HEAD was answered is noticed', async t => {
  const { session, server, ended } = await h2(t, () => {})
  for (const [i, code] of [constants.NGHTTP2_CANCEL, constants.NGHTTP2_NO_ERROR, undefined].entries()) {
    const stream = session.request({ ':path': '/health', ':method': 'HEAD' })
    stream.on('error', () => {})
    const x = await server.exchange(i + 1)
    if (code === undefined) session.destroy()
    else stream.close(code)
    await within(x.aborted)
    t.match(await ended.next(), { result: 'gone' })
  }
})

t.test('a connection that is lost frees all of its requests', async t => {
  const { session, server, passthrough } = await h2(t, () => {})
  for (let i = 0; i < 3; i++) session.request({ ':path': '/health' }).on('error', () => {})
  const all = await Promise.all([1, 2, 3].map(n => server.exchange(n)))
  session.destroy()
  await Promise.all(all.map(x => x.aborted))
  t.equal(await passthrough.drained(2_000), true)
})

t.test('an answer that breaks off resets the stream', async t => {
  const { session, ended } = await h2(t, async x => {
    x.head(200, ['Content-Length', '100'])
    await x.write('half')
    x.cut()
  })
  const stream = session.request({ ':path': '/health' })
  stream.resume()
  await t.rejects(waitFor(stream, 'end'), { code: 'ERR_HTTP2_STREAM_ERROR' })
  t.match(await ended.next(), { result: 'failed', code: 'upstream_reset' })
})

t.test('errors of our own', async t => {
  const { session, server } = await h2(t, x => x.reset(), { settings: { maxBody: 100 } })
  t.match(await ask(session, { ':path': '/health' }), {
    headers: { ':status': 502, 'content-type': 'application/json' },
    text: /upstream_reset/
  })
  t.match(await ask(session, { ':path': '/health', ':method': 'POST' }, 'x'.repeat(10_000)), {
    headers: { ':status': 413 },
    text: /body_too_large/
  })
  await server.close()
  t.match(await ask(session, { ':path': '/health' }), { headers: { ':status': 502 }, text: /upstream_unreachable/ })
})

t.test('a large answer passes, and a stream that is not read holds up no other', async t => {
  const size = 8 * 1024 * 1024
  const { session, server } = await h2(t, x => x.respond(200, 'text/plain', Buffer.alloc(size, 'x')))
  const held = session.request({ ':path': '/health' })
  held.on('error', () => {})
  await waitFor(held, 'response')
  server.always(x => x.respond(200, 'text/plain', 'alive'))
  t.equal((await ask(session, { ':path': '/health' })).text, 'alive')
  let got = 0
  for await (const chunk of held) got += (chunk as Buffer).length
  t.equal(got, size)
})
