/** Clients on HTTP+SSE: slow ones, servers that do not read, silence. What waits is bounded, and others are unharmed. */
import t from 'tap'
import type { Exchange, Interceptor } from '../../src/index.ts'
import type { RawResponse } from '../helpers/raw-client.ts'
import { modern, notification, rpc } from '../helpers/rpc.ts'
import { pipeDoor } from './pipe-door.ts'
import { sseReady, sseSession } from './sse-down-door.ts'

const line = (message: object): string => `${JSON.stringify(message)}\n`
const codeOf = (answer: RawResponse) => (answer.json() as { error?: { data: { code: string } } }).error?.data.code
const FLOOD = { write: line(notification('n', { data: 'x'.repeat(200_000) })), every: 1, times: 250 }

interface Meter extends Interceptor {
  /** What waits in catflap for the client of the first stream; the most that was seen is kept. */
  look(): number
  readonly most: number
  /** Resolves once something waits. */
  waits(): Promise<void>
}

function meter(): Meter {
  let stream: Exchange | undefined
  let most = 0
  const look = (): number => {
    const queued = stream?.reply.queued ?? 0
    most = Math.max(most, queued)
    return queued
  }
  return {
    name: 'meter',
    look,
    waits: () =>
      new Promise(resolve => {
        const again = (): unknown => (look() > 0 ? resolve() : setImmediate(again))
        again()
      }),
    get most() {
      return most
    },
    request(x) {
      if (x.kind === 'listen') stream ??= x
      return undefined
    },
    message(_place, message) {
      look()
      return message
    }
  }
}

t.test('a client that reads slowly holds its own server back, and gets everything', async t => {
  const most = meter()
  const { url } = await pipeDoor(t, 'puppet-stdio.ts', { interceptors: [most] })
  const [s, other] = [await sseReady(url), await sseReady(url)]
  s.stream.pause()
  await s.post(rpc(1, 'do', FLOOD))
  await most.waits()
  // Until nothing moves any more, however much the kernel takes.
  for (let before = -1; before !== most.look() || before === 0; ) {
    before = most.look()
    for (let id = 1; id <= 20; id++) {
      await other.post(rpc(id, 'do'))
      t.match(await other.next(), { id }, 'another is unharmed')
    }
  }
  t.notOk(s.stream.events.items.some(event => event.data.includes('"id":1')))
  s.stream.resume()
  await s.stream.events.until(event => event.data.includes('"id":1'), { timeoutMs: 30_000 })
  t.equal(s.stream.events.items.length, 2 + FLOOD.times + 1)
  t.ok(most.most < 2_000_000, `${most.most} bytes waited at most`)
  s.close()
  other.close()
})

t.test('a slow client that goes away while its server is held back leaves nothing', async t => {
  const most = meter()
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts', { interceptors: [most] })
  const s = await sseReady(url)
  s.stream.pause()
  await s.post(rpc(1, 'do', FLOOD))
  await most.waits()
  s.close()
  await log.until(l => l.event === 'session-end')
})

t.test('a client that reads nothing waits with its POSTs, and goes on when it reads', async t => {
  const most = meter()
  const { url, door } = await pipeDoor(t, 'puppet-stdio.ts', { interceptors: [most] })
  const s = await sseReady(url)
  s.stream.pause()
  await s.post(rpc(1, 'do', FLOOD))
  await most.waits()
  // The server waits with its output, so it reads no input either.
  const posts = Array.from({ length: 6 }, (_, i) => s.post(rpc(`post ${i}`, 'do', { pad: 'x'.repeat(300_000) })))
  await Promise.race(posts)
  t.ok(door.stats.exchanges > 1)
  s.stream.resume()
  t.same(new Set((await Promise.all(posts)).map(answer => answer.status)), new Set([202]))
  for (let i = 0; i < 6; i++)
    await s.stream.events.until(event => event.data.includes(`"post ${i}"`), { timeoutMs: 30_000 })
  s.close()
})

t.test(
  'a child that does not read: POSTs wait for their 202, bounded in size and time; others are unharmed',
  async t => {
    const { url, door } = await pipeDoor(t, 'raw-stdio.ts', {
      args: ['--handshake', '--stop-reading-on', 'stop'],
      settings: { maxExchangeQueue: 400_000, requestTimeout: 1_500 }
    })
    const [s, other] = [await sseReady(url), await sseReady(url)]
    await s.post(rpc('stop', 'stop'))
    const big = 'x'.repeat(150_000)
    const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => s.post(rpc(i, 'do', { big }))))
    const accepted = answers.filter(a => a.status === 202)
    const refused = answers.filter(a => a.status === 503)
    t.ok(accepted.length >= 1 && accepted.length < 4, `${accepted.length} were taken`)
    t.equal(accepted.length + refused.length, 8)
    for (const answer of refused) t.same([codeOf(answer), answer.headers['retry-after']], ['upstream_queue_full', '1'])
    for (let i = 0; i <= accepted.length; i++)
      t.match(await s.next(), { error: { data: { code: 'upstream_timeout' } } })
    await other.post(rpc(1, 'do'))
    t.match(await other.next(), { id: 1 })
    t.equal(door.stats.exchanges, 2, 'the streams alone')
    s.close()
    other.close()
  }
)

for (const [what, pad, atMost] of [
  ['bytes', 150_000, 3],
  ['number', 0, 256]
] as const) {
  t.test(`POSTs that wait are bounded in ${what}: more get 503 at once, and the others go on waiting`, async t => {
    const { url } = await pipeDoor(t, 'raw-stdio.ts', {
      args: ['--handshake', '--stop-reading-on', 'stop'],
      settings: { maxExchangeQueue: 400_000 }
    })
    const s = await sseReady(url)
    await s.post(rpc('stop', 'stop'))
    await s.post(rpc('first', 'do', { pad: 'x'.repeat(300_000) }))
    const posts = Array.from({ length: atMost + 10 }, () => s.post(notification('n', { pad: 'x'.repeat(pad) })))
    let refused = 0
    const tenth = new Promise<void>(resolve => {
      for (const post of posts)
        void post.then(
          answer => answer.status === 503 && codeOf(answer) === 'upstream_queue_full' && ++refused === 10 && resolve()
        )
    })
    await tenth
    s.close()
    const statuses = (await Promise.all(posts)).map(answer => answer.status)
    t.equal(statuses.filter(status => status === 404).length, atMost)
    t.equal(statuses.filter(status => status === 503).length, 10)
  })
}

t.test('POSTs that wait when their stream ends get 404', async t => {
  const { url, door, log } = await pipeDoor(t, 'raw-stdio.ts', { args: ['--handshake', '--stop-reading-on', 'stop'] })
  const s = await sseReady(url)
  await s.post(rpc('stop', 'stop'))
  await s.post(rpc('first', 'do', { big: 'x'.repeat(300_000) }))
  const waiting = [s.post(rpc(1, 'do')), s.post(notification('n'))]
  // Two streams that were opened after them were taken up after them.
  for (let i = 0; i < 2; i++) (await sseSession(url)).close()
  s.close()
  t.same(
    (await Promise.all(waiting)).map(answer => answer.status),
    [404, 404]
  )
  await log.until(() => log.of('session-end').length === 3)
  t.equal(door.stats.exchanges, 0)
})

t.test("catflap's own answers are bounded too for a client that reads nothing", async t => {
  const { url } = await pipeDoor(t, 'puppet-stdio.ts', {
    settings: { maxExchangeQueue: 500_000, requestTimeout: 1_000 }
  })
  const s = await sseReady(url)
  s.stream.pause()
  let taken = 0
  let answer = await s.post(modern(rpc('x'.repeat(1_000_000), 'do')))
  while (answer.status === 202 && taken++ < 40) answer = await s.post(modern(rpc('x'.repeat(1_000_000), 'do')))
  t.same([answer.status, codeOf(answer)], [503, 'slow_client'])
  s.stream.resume()
  await s.stream.events.until(() => s.stream.events.items.length === 2 + taken, { timeoutMs: 30_000 })
  await s.post(rpc('after', 'do'))
  await s.stream.events.until(event => event.data.includes('"after"'))
  s.close()
})

t.test('a silent stream carries comments, between events and never within', async t => {
  const { url } = await pipeDoor(t, 'puppet-stdio.ts', { settings: { keepAlive: 50 } })
  const s = await sseReady(url)
  for (let i = 0; i < 3; i++) t.match(await s.stream.next(), { data: '', comments: [/./] })
  const write = line(notification('n', { data: 'é'.repeat(500_000) }))
  await s.post(rpc(1, 'do', { write, every: 20, times: 10 }))
  await s.stream.events.until(event => event.data.includes('"id":1'))
  const events = s.stream.events.items.filter(event => event.data !== '')
  t.equal(events.length, 2 + 10 + 1)
  for (const event of events) t.same(event.comments, [])
  t.same(new Set(events.slice(2, 12).map(event => `${event.data}\n` === write)), new Set([true]))
  await s.stream.events.until(event => event.comments.length > 0 && s.stream.events.items.at(-1) === event)
  s.close()
})

t.test('messages of one client reach the server in the order of their 202s', async t => {
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts')
  const s = await sseReady(url)
  for (let i = 0; i < 100; i++) await s.post(notification('n', { i }))
  await log.child(/seen.*"i":99/)
  const order = log.seen.flatMap(text => /"i":(\d+)/.exec(text)?.[1] ?? []).map(Number)
  t.same(
    order,
    Array.from({ length: 100 }, (_, i) => i)
  )
  s.close()
})
