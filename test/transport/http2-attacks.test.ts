/** What a client of HTTP/2 could do to a server with little effort, frame by frame: each ends at a bound, and others go on. */
import t, { type Test } from 'tap'
import type { HttpReply } from '../../src/transport/downstream/http-reply.ts'
import { readBody } from '../../src/transport/downstream/http-server.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { Inbox, within } from '../helpers/wait.ts'
import {
  ACK,
  CANCEL,
  END_HEADERS,
  END_STREAM,
  ENHANCE_YOUR_CALM,
  fields,
  frame,
  get,
  type RawClient,
  REFUSED,
  rawClient,
  TYPE,
  u32
} from './raw-http2.ts'
import { type Conversation, client, conversations, json, type Served, serve, WIRES } from './wires.ts'

const CLEAR = WIRES[2]!
const OPEN = END_HEADERS | END_STREAM

interface Attack extends Served {
  readonly raw: RawClient
  readonly seen: readonly Conversation[]
  /** Somebody else is served as ever. */
  othersGoOn(): Promise<void>
}

async function attack(t: Test, options?: Parameters<typeof serve>[3], unacknowledged?: string): Promise<Attack> {
  trackLeaks(t)
  const { handler, all } = conversations()
  const served = await serve(
    t,
    CLEAR,
    (req, reply) => {
      if (req.url === '/other') reply.answer(json(200, '{}'))
      else handler(req, reply)
    },
    options
  )
  const other = client(t, CLEAR, served.port)
  const othersGoOn = async () => {
    t.equal((await other.get({ path: '/other' })).status, 200)
  }
  await othersGoOn()
  const raw = await rawClient(t, CLEAR, served.port)
  await raw.frames.until(f => f.type === TYPE.settings)
  if (!unacknowledged) raw.write(frame(TYPE.settings, ACK, 0))
  return { ...served, raw, seen: all.items, othersGoOn }
}

/** Says it again and again, until the connection is over or `enough` times. */
async function flood(raw: RawClient, enough: number, say: (n: number) => readonly Buffer[]): Promise<number> {
  let over = false
  void raw.closed.then(() => {
    over = true
  })
  for (let n = 0; n < enough; n++) {
    if (over) return n
    raw.write(...say(n))
    if (n % 10 === 0) await new Promise(resolve => setImmediate(resolve))
  }
  return enough
}

t.test('rapid reset: each stream is opened and taken back in one breath', async t => {
  const { raw, seen, port, server, othersGoOn } = await attack(t)
  const head = get(port)
  await flood(raw, 20_000, n => [
    frame(TYPE.headers, OPEN, 2 * n + 1, head),
    frame(TYPE.reset, 0, 2 * n + 1, u32(CANCEL))
  ])
  t.equal(await raw.goaway(), ENHANCE_YOUR_CALM)
  await within(raw.closed)
  t.ok(seen.length < 300, `${seen.length} were begun`)
  t.equal(server.refusals.bad_http, 1)
  await othersGoOn()
})

for (const [how, code] of [
  ['cancelled', CANCEL],
  ['given up as if all were in order', 0]
] as const)
  t.test(`rapid reset: each is ${how} once it was begun, and its work with it`, async t => {
    const { raw, seen, port, othersGoOn } = await attack(t)
    const head = get(port)
    let begun = 0
    for (let n = 0; n < 1000 && !raw.frames.ended; n++) {
      raw.write(frame(TYPE.headers, OPEN, 2 * n + 1, head))
      while (seen.length <= n && !raw.frames.ended) await new Promise(resolve => setImmediate(resolve))
      raw.write(frame(TYPE.reset, 0, 2 * n + 1, u32(code)))
      begun++
    }
    t.equal(await raw.goaway(), ENHANCE_YOUR_CALM)
    t.ok(begun > 100 && begun < 400, `${begun} were begun`)
    for (const { events } of seen) t.equal(await events.next(), 'gone')
    await othersGoOn()
  })

t.test('streams that the server is made to reset count as well', async t => {
  const { raw, seen, port, othersGoOn } = await attack(t)
  const head = get(port)
  // A window of nothing more is an error of that stream (RFC 9113 §6.9).
  await flood(raw, 20_000, n => [frame(TYPE.headers, OPEN, 2 * n + 1, head), frame(TYPE.window, 0, 2 * n + 1, u32(0))])
  t.ok([ENHANCE_YOUR_CALM, 1].includes(await raw.goaway()))
  await within(raw.closed)
  t.ok(seen.length < 1_000, `${seen.length} were begun`)
  await othersGoOn()
})

t.test('a client may cancel now and then', async t => {
  const { raw, seen, port, othersGoOn } = await attack(t)
  for (let n = 0; n < 150; n++)
    raw.write(frame(TYPE.headers, OPEN, 2 * n + 1, get(port)), frame(TYPE.reset, 0, 2 * n + 1, u32(CANCEL)))
  raw.write(frame(TYPE.headers, OPEN, 1001, get(port)))
  while (!seen.some(({ reply }) => reply.state === 'pending')) await new Promise(resolve => setImmediate(resolve))
  seen.at(-1)!.reply.answer(json(200, '{}'))
  await raw.frames.until(f => f.type === TYPE.data && f.stream === 1001)
  await othersGoOn()
})

t.test('streams whose answers have begun may be left as often as a client likes', async t => {
  const { raw, seen, port, othersGoOn } = await attack(t)
  for (let n = 0; n < 300; n++) {
    raw.write(frame(TYPE.headers, OPEN, 2 * n + 1, get(port)))
    while (seen.length <= n) await new Promise(resolve => setImmediate(resolve))
    seen[n]!.reply.openStream()
    await raw.frames.until(f => f.type === TYPE.headers && f.stream === 2 * n + 1)
    raw.write(frame(TYPE.reset, 0, 2 * n + 1, u32(CANCEL)))
  }
  raw.write(frame(TYPE.headers, OPEN, 1001, get(port)))
  while (seen.length < 301) await new Promise(resolve => setImmediate(resolve))
  seen.at(-1)!.reply.answer(json(200, '{}'))
  await raw.frames.until(f => f.type === TYPE.data && f.stream === 1001)
  t.notOk(raw.frames.items.some(f => f.type === TYPE.goaway))
  await othersGoOn()
})

t.test('and more of them at once than nghttp2 would take for an attack', async t => {
  const { raw, seen, port, othersGoOn } = await attack(t)
  const round = 100
  for (let n = 0; n < 1_500; n += round) {
    const ids = Array.from({ length: round }, (_, i) => 2 * (n + i) + 1)
    raw.write(...ids.map(id => frame(TYPE.headers, OPEN, id, get(port))))
    while (seen.length < n + round && !raw.frames.ended) await new Promise(resolve => setImmediate(resolve))
    for (const { reply } of seen.slice(n)) reply.openStream()
    await raw.frames.until(f => f.type === TYPE.headers && f.stream === ids.at(-1))
    raw.write(...ids.map(id => frame(TYPE.reset, 0, id, u32(CANCEL))))
  }
  t.equal(await seen.at(-1)!.events.next(), 'gone')
  t.notOk(raw.frames.items.some(f => f.type === TYPE.goaway))
  await othersGoOn()
})

t.test('many large bodies at once: one too many is refused, and the others are read to their end', async t => {
  trackLeaks(t)
  const piece = 4 * 1024 * 1024
  const whole: number[] = []
  const { port } = await serve(t, CLEAR, (req, reply) =>
    readBody(req, 2 ** 30, (_, body) => {
      whole.push(body.length)
      reply.answer(json(200, '{}'))
    })
  )
  const { session } = client(t, CLEAR, port)
  const held = Array.from({ length: 16 }, () => {
    const stream = session!.request({ ':method': 'POST' })
    const over = new Promise<number>(resolve => stream.once('close', () => resolve(stream.rstCode)))
    stream.on('error', () => {}).resume()
    return { stream, over }
  })
  await Promise.all(held.map(({ stream }) => new Promise(resolve => stream.write(Buffer.alloc(piece - 16), resolve))))
  const { stream, over } = held[0]!
  stream.write(Buffer.alloc(1024))
  t.equal(await within(over), REFUSED)
  for (const { stream } of held.slice(1)) stream.end()
  for (const { over } of held.slice(1)) t.equal(await within(over), 0)
  t.same(whole, Array(15).fill(piece - 16))
  const after = session!.request({ ':method': 'POST' })
  after.end(Buffer.alloc(piece))
  t.equal(
    (await within(new Promise<Record<string, unknown>>(resolve => after.once('response', resolve))))[':status'],
    200
  )
  after.resume()
})

t.test('bodies that are whole count until they are answered', async t => {
  trackLeaks(t)
  const piece = 4 * 1024 * 1024
  const whole = new Inbox<HttpReply>('bodies')
  const { port } = await serve(t, CLEAR, (req, reply) => readBody(req, 2 ** 30, () => whole.push(reply)))
  const { session } = client(t, CLEAR, port)
  const ask = () => {
    const stream = session!.request({ ':method': 'POST' })
    stream.on('error', () => {}).resume()
    stream.end(Buffer.alloc(piece))
    return within(new Promise<number>(resolve => stream.once('close', () => resolve(stream.rstCode))))
  }
  const held = Array.from({ length: 16 }, ask)
  while (whole.items.length < 16) await whole.next()
  t.equal(await ask(), REFUSED)
  for (const reply of whole.items.slice(0, 16)) reply.answer(json(200, '{}'))
  t.same(await Promise.all(held), Array(16).fill(0))
  const after = ask()
  const reply = await whole.until(one => one.state === 'pending')
  reply.answer(json(200, '{}'))
  t.equal(await after, 0)
})

t.test(
  'more streams than are allowed, by a client that has not heard how many are: these alone are refused',
  async t => {
    const { raw, seen, port, othersGoOn } = await attack(t, {}, 'no settings acknowledged')
    for (let n = 0; n < 300; n++) raw.write(frame(TYPE.headers, OPEN, 2 * n + 1, get(port)))
    t.ok([REFUSED, ENHANCE_YOUR_CALM].includes(await raw.reset(2 * 299 + 1)))
    t.equal(seen.length, 256)
    t.equal(raw.frames.items.filter(f => f.type === TYPE.reset).length, 44)
    seen[0]!.reply.answer(json(200, '{}'))
    await raw.frames.until(f => f.type === TYPE.data && f.stream === 1)
    raw.write(frame(TYPE.headers, OPEN, 1001, get(port)))
    while (seen.length < 257) await new Promise(resolve => setImmediate(resolve))
    await othersGoOn()
  }
)

t.test('more streams than are allowed, by a client that knows better: its connection ends', async t => {
  const { raw, seen, port, othersGoOn } = await attack(t)
  for (let n = 0; n < 300; n++) raw.write(frame(TYPE.headers, OPEN, 2 * n + 1, get(port)))
  t.equal(await raw.goaway(), 1)
  await within(raw.closed)
  t.ok(seen.length <= 256, `${seen.length} were begun`)
  for (const { events } of seen) t.equal(await events.next(), 'gone')
  await othersGoOn()
})

t.test('pings without end', async t => {
  const { raw, server, othersGoOn } = await attack(t)
  const ping = frame(TYPE.ping, 0, 0, Buffer.alloc(8))
  await flood(raw, 20_000, () => Array.from({ length: 10 }, () => ping))
  t.equal(await raw.goaway(), ENHANCE_YOUR_CALM)
  await within(raw.closed)
  t.equal(server.refusals.bad_http, 1)
  await othersGoOn()
})

t.test('pings whose answers nobody reads', async t => {
  const { raw, othersGoOn } = await attack(t)
  raw.socket.pause()
  const ping = frame(TYPE.ping, 0, 0, Buffer.alloc(8))
  await flood(raw, 20_000, () => Array.from({ length: 100 }, () => ping))
  raw.socket.resume()
  await within(raw.closed)
  await othersGoOn()
})

t.test('settings without end', async t => {
  const { raw, othersGoOn } = await attack(t)
  const settings = frame(TYPE.settings, 0, 0, Buffer.concat([Buffer.of(0, 4), u32(65_535)]))
  await flood(raw, 20_000, () => Array.from({ length: 10 }, () => settings))
  await raw.goaway()
  await within(raw.closed)
  await othersGoOn()
})

t.test('one frame of settings with too many of them', async t => {
  const { raw, othersGoOn } = await attack(t)
  const one = Buffer.concat([Buffer.of(0, 4), u32(65_535)])
  raw.write(frame(TYPE.settings, 0, 0, Buffer.concat(Array.from({ length: 1000 }, () => one))))
  t.not(await raw.goaway(), 0)
  await within(raw.closed)
  await othersGoOn()
})

t.test('a head that never ends', async t => {
  const { raw, seen, port, othersGoOn } = await attack(t)
  raw.write(frame(TYPE.headers, END_STREAM, 1, get(port)))
  const more = fields(['x-more', 'y'.repeat(1000)])
  const sent = await flood(raw, 5_000, () => [frame(TYPE.continuation, 0, 1, more)])
  t.ok(sent < 5_000, `${sent} frames`)
  await within(raw.closed)
  t.equal(seen.length, 0)
  await othersGoOn()
})

t.test('a head that never ends, in frames of nothing', async t => {
  const { raw, seen, port, othersGoOn } = await attack(t)
  raw.write(frame(TYPE.headers, END_STREAM, 1, get(port)))
  await flood(raw, 5_000, () => [frame(TYPE.continuation, 0, 1)])
  await within(raw.closed)
  t.equal(seen.length, 0)
  await othersGoOn()
})

t.test('a head that is begun and never finished occupies its connection for a while', async t => {
  const { raw, seen, port, othersGoOn } = await attack(t)
  raw.write(frame(TYPE.headers, END_STREAM, 1, get(port)))
  await othersGoOn()
  t.equal(seen.length, 0)
  raw.socket.destroy()
})

t.test('headers: too many bytes are told where they can be, and reset where they cannot', async t => {
  const { raw, seen, port, othersGoOn } = await attack(t, { maxHeaderSize: 4096 })
  raw.write(frame(TYPE.headers, OPEN, 1, get(port, ['x', 'y'.repeat(5000)])))
  const told = await raw.frames.until(f => f.type === TYPE.data && f.stream === 1)
  t.match(told.payload.toString(), 'headers_too_large')
  // Past what is read at all: small on the wire, large once it is unpacked.
  const indexed = Buffer.concat([Buffer.of(0x40), fields(['x-big', 'z'.repeat(3000)]).subarray(1)])
  const bomb = Buffer.concat([get(port), indexed, ...Array.from({ length: 200 }, () => Buffer.of(0x80 | 62))])
  raw.write(frame(TYPE.headers, OPEN, 3, bomb))
  t.equal(await raw.reset(3), ENHANCE_YOUR_CALM)
  const many = Array.from({ length: 300 }, (_, n) => [`x-${n}`, ''] as const)
  raw.write(frame(TYPE.headers, OPEN, 5, get(port, ...many)))
  t.equal(await raw.reset(5), ENHANCE_YOUR_CALM)
  t.equal(seen.length, 0)
  raw.write(frame(TYPE.headers, OPEN, 7, get(port)))
  while (seen.length < 1) await new Promise(resolve => setImmediate(resolve))
  await othersGoOn()
})

t.test('data of nothing, without end', async t => {
  const { raw, port, othersGoOn } = await attack(t)
  raw.write(frame(TYPE.headers, END_HEADERS, 1, get(port)))
  const nothing = frame(TYPE.data, 0, 1)
  await flood(raw, 20_000, () => [nothing])
  await within(raw.closed)
  await othersGoOn()
})

t.test('priorities, windows and frames nobody knows, without end, keep nothing', async t => {
  const { raw, seen, port, othersGoOn } = await attack(t)
  const noise = Buffer.concat([
    frame(TYPE.priority, 0, 1, Buffer.alloc(5)),
    frame(0xbb, 0, 0, Buffer.alloc(100)),
    frame(TYPE.priority, 0, 99, Buffer.of(0, 0, 0, 1, 0))
  ])
  await flood(raw, 5_000, () => [noise, noise, noise])
  await othersGoOn()
  if (!raw.frames.ended) {
    raw.write(frame(TYPE.headers, OPEN, 101, get(port)))
    while (seen.length < 1) await new Promise(resolve => setImmediate(resolve))
  }
})

t.test('what is no HTTP/2 at all', async t => {
  const { raw, server, othersGoOn } = await attack(t)
  raw.write(Buffer.alloc(100_000, 0xff))
  t.not(await raw.goaway(), 0)
  await within(raw.closed)
  t.equal(server.refusals.bad_http, 1)
  await othersGoOn()
})

t.test('requests that break the rules are refused one by one, and never begun', async t => {
  const { raw, seen, port, othersGoOn } = await attack(t)
  const malformed = [
    fields([':method', 'GET'], [':scheme', 'http'], [':authority', 'a']),
    fields([':method', 'GET'], [':method', 'PUT'], [':scheme', 'http'], [':path', '/'], [':authority', 'a']),
    get(port, [':path', '/']),
    get(port, ['X-Upper', '1']),
    get(port, ['connection', 'close']),
    get(port, ['transfer-encoding', 'chunked']),
    get(port, ['te', 'gzip']),
    get(port, ['content-length', '5'])
  ]
  for (const [n, head] of malformed.entries()) {
    raw.write(frame(TYPE.headers, OPEN, 2 * n + 1, head))
    t.equal(await raw.reset(2 * n + 1), 1, head.toString('latin1'))
  }
  t.equal(seen.length, 0)
  await othersGoOn()
})

t.test('values that are none are left out', async t => {
  const { raw, seen, port } = await attack(t)
  const bad = [['x-a', 'b\r\nc: d'] as const, ['x-b', 'b\0c'] as const]
  raw.write(frame(TYPE.headers, OPEN, 1, get(port, ...bad, ['x-c', 'd'])))
  while (seen.length < 1) await new Promise(resolve => setImmediate(resolve))
  t.same(seen[0]!.req.rawHeaders, ['host', `localhost:${port}`, 'x-c', 'd'])
})

t.test('more of a body than was announced, or less, is never a request', async t => {
  for (const bytes of ['four', '2']) {
    const { raw, seen, port, othersGoOn } = await attack(t)
    raw.write(frame(TYPE.headers, END_HEADERS, 1, get(port, ['content-length', '3'])))
    while (seen.length < 1) await new Promise(resolve => setImmediate(resolve))
    const { req, events } = seen[0]!
    readBody(req, 100, () => t.fail('it is not whole'))
    raw.write(frame(TYPE.data, END_STREAM, 1, Buffer.from(bytes)))
    t.equal(await events.next(), 'gone')
    await othersGoOn()
  }
})

t.test('answers that are not taken fill their connection up, and nothing else', async t => {
  const { raw, seen, port, othersGoOn } = await attack(t)
  const body = Buffer.alloc(48 * 1024 * 1024)
  // The window of the connection is 64 KiB, and never grows.
  for (let n = 0; n < 2; n++) raw.write(frame(TYPE.headers, OPEN, 2 * n + 1, get(port)))
  while (seen.length < 2) await new Promise(resolve => setImmediate(resolve))
  for (const { reply } of seen) reply.answer({ status: 200, headers: [], body })
  raw.write(frame(TYPE.headers, OPEN, 5, get(port)))
  while (seen.length < 3) await new Promise(resolve => setImmediate(resolve))
  t.pass('as much as two of the largest messages leaves room')
  seen[2]!.reply.answer({ status: 200, headers: [], body })
  await othersGoOn()
  raw.write(frame(TYPE.headers, OPEN, 7, get(port)))
  t.equal(await raw.reset(7), REFUSED)
  t.equal(seen.length, 3)
  raw.write(...[1, 3, 5].map(stream => frame(TYPE.reset, 0, stream, u32(CANCEL))))
  for (const { events } of seen) t.equal(await events.next(), 'gone')
  raw.write(frame(TYPE.headers, OPEN, 9, get(port)))
  while (seen.length < 4) await new Promise(resolve => setImmediate(resolve))
  await othersGoOn()
})

t.test("blanks inside a server's header take no time", async t => {
  trackLeaks(t)
  const { handler, all } = conversations()
  const { port } = await serve(t, CLEAR, handler)
  const asking = client(t, CLEAR, port).ask({ bodiless: true })
  const { reply } = await all.next()
  const value = `a${' '.repeat(40_000)}b`
  const since = performance.now()
  reply.answer(json(200, '{}', ['X-Blanks', ` ${value}\t`]))
  const took = performance.now() - since
  t.ok(took < 500, `${took} ms`)
  t.equal((await asking.head).headers['x-blanks'], value)
})
