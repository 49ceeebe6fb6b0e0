/** HTTP clients and a stdio server: which of a client's streams carries what the server says. */
import t from 'tap'
import { openSse, send } from '../helpers/raw-client.ts'
import { notification, rpc } from '../helpers/rpc.ts'
import { pipeDoor, pipeSession, question } from './pipe-door.ts'

const held = { answer: false }
const line = (message: object) => `${JSON.stringify(message)}\n`
const answer = (id: number | string) => line({ jsonrpc: '2.0', id, result: 'late' })
const progress = (progressToken: unknown, n = 1) =>
  line(notification('notifications/progress', { progressToken, progress: n }))

t.test('an answer that comes first is JSON; with something before it, or after silence, it is a stream', async t => {
  const { url } = await pipeDoor(t, 'puppet-stdio.ts', { settings: { streamAfter: 50 } })
  const s = await pipeSession(url)
  t.match((await s.post(rpc(1, 'do'))).headers['content-type'], 'application/json')
  const early = await s.stream(rpc(2, 'do', { write: line(notification('n')) }))
  t.match(early.headers['content-type'], 'text/event-stream')
  t.match(await early.nextMessage(), { method: 'n' })
  t.match(await early.nextMessage(), { id: 2, result: {} })
  t.equal(await early.ended, 'end')
  const silent = await s.stream(rpc(3, 'do', held))
  t.match([silent.status, silent.headers['content-type']], [200, 'text/event-stream'])
  t.equal((await s.post(rpc(4, 'do', { write: answer(3) }))).status, 200)
  t.match(await silent.nextMessage(), { id: 3 })
  t.equal(await silent.ended, 'end')
})

t.test('a silent stream carries comments, between events', async t => {
  const { url } = await pipeDoor(t, 'puppet-stdio.ts', { settings: { streamAfter: 10, keepAlive: 50 } })
  const s = await pipeSession(url)
  const [get, post] = [await s.listen(), await s.stream(rpc(1, 'do', held))]
  for (const stream of [get, post]) t.equal((await stream.next()).comments.length, 1)
  await s.post(rpc(2, 'do', { write: answer(1) }))
  t.match(await post.nextMessage(), { id: 1 })
})

t.test('progress goes to the stream of its own call, with several in flight and one token', async t => {
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts', { settings: { streamAfter: 10 } })
  const s = await pipeSession(url)
  const call = (id: number) => s.stream(rpc(id, 'do', { ...held, _meta: { progressToken: 'p' } }))
  const [one, two, get] = [await call(1), await call(2), await s.listen()]
  await log.until(() => log.seen.length > 2)
  const tokens = log.seen
    .slice(1)
    .map(text => JSON.parse(text))
    .map(m => [m.id, m.params._meta.progressToken])
  t.equal(new Set(tokens.map(([, token]) => token)).size, 2)
  for (const [id, token] of tokens) await s.post(rpc(`for ${id}`, 'do', { write: progress(token, id) }))
  for (const [stream, n] of [
    [one, 1],
    [two, 2]
  ] as const) {
    t.match(await stream.nextMessage(), { params: { progressToken: 'p', progress: n } })
    await s.post(rpc('end', 'do', { write: answer(n) }))
    t.match(await stream.nextMessage(), { id: n })
  }
  t.same(get.events.items, [])
})

t.test(
  'a question goes to the only call in flight, with several to the newest GET stream, and to one only',
  async t => {
    const { url, log } = await pipeDoor(t, 'puppet-stdio.ts', { settings: { streamAfter: 10 } })
    const s = await pipeSession(url)
    const [older, newer] = [await s.listen(), await s.listen()]
    const only = await s.stream(rpc(1, 'do', { write: question('a'), ...held }))
    t.match(await only.nextMessage(), { id: 'a' })
    t.equal((await s.post({ jsonrpc: '2.0', id: 'a', result: {} })).status, 202)
    await log.child(/seen.*"id":"a"/)
    const second = await s.stream(rpc(2, 'do', { every: 10, times: 1, write: question('b'), ...held }))
    t.match(await newer.nextMessage(), { id: 'b' })
    t.same(
      [older, only, second].map(stream => stream.events.items.length),
      [0, 1, 0]
    )
  }
)

t.test('what nobody can hear waits for a GET stream, or until one call is left', async t => {
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts', { settings: { streamAfter: 10 } })
  const s = await pipeSession(url)
  await s.post(notification('do', { write: line(notification('n')) + question('a') }))
  await log.child(/seen.*"do"/)
  const get = await s.listen()
  t.match(await get.nextMessage(), { method: 'n' })
  t.match(await get.nextMessage(), { id: 'a' })
  get.close()
  await get.ended
  const [one, two] = [await s.stream(rpc(1, 'do', held)), await s.stream(rpc(2, 'do', held))]
  await s.post(notification('do', { write: question('b') + answer(1) }))
  t.match(await one.nextMessage(), { id: 1 })
  t.match(await two.nextMessage(), { id: 'b' }, 'the call that is left may be the one that asks')
})

t.test('questions wait for a bounded time and number; the server then gets an error', async t => {
  const settings = { maxMailbox: 2, mailboxTtl: 300, maxServerRequests: 4 }
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts', { settings })
  const s = await pipeSession(url)
  await s.post(notification('do', { write: ['a', 'b', 'c'].map(id => question(id)).join('') }))
  t.match(await log.child(/seen.*"id":"a"/), /"error".*too many messages.*server_request_unheard/)
  for (const id of ['b', 'c'])
    t.match(await log.child(new RegExp(`seen.*"id":"${id}"`)), /"error".*no stream.*server_request_unheard/)
  const get = await s.listen()
  await s.post(notification('do', { write: [1, 2, 3, 4, 5].map(id => question(id)).join('') }))
  t.match(await log.child(/seen.*"id":5/), /"error".*too many requests/)
  for (const id of [1, 2, 3, 4]) t.match(await get.nextMessage(), { id })
})

t.test('answers find their own child, by the id in its own type; others are 202 and go nowhere', async t => {
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts')
  const [a, b] = [await pipeSession(url), await pipeSession(url)]
  const [toA, toB] = [await a.listen(), await b.listen()]
  for (const s of [a, b]) await s.post(notification('do', { write: question(0) }))
  for (const stream of [toA, toB]) t.match(await stream.nextMessage(), { id: 0 })
  const reply = (id: unknown, of: string) => ({ jsonrpc: '2.0', id, result: { of } })
  for (const [s, id, of] of [
    [b, 0, 'b'],
    [b, 0, 'b again'],
    [a, '0', 'a as text'],
    [a, 7, 'a unknown'],
    [a, 0, 'a']
  ] as const)
    t.equal((await s.post(reply(id, of))).status, 202)
  await log.child(/seen.*"of":"a"/)
  await log.child(/seen.*"of":"b"/)
  t.equal(log.seen.filter(text => text.includes('"of"')).length, 2)
})

t.test('answers in a batch find their questions too, and others go nowhere', async t => {
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts')
  const s = await pipeSession(url, '2025-03-26')
  const get = await s.listen()
  await s.post(notification('do', { write: question(0) }))
  t.match(await get.nextMessage(), { id: 0 })
  const reply = (id: number) => ({ jsonrpc: '2.0', id, result: { to: id } })
  const stream = await s.stream([reply(0), reply(1), rpc(2, 'do')])
  t.match(await stream.nextMessage(), { id: 2 })
  t.equal((await s.post([reply(0)])).status, 202)
  await s.post(rpc(3, 'do'))
  await log.child(/seen.*"id":3,/)
  t.same(
    log.seen.filter(text => text.includes('"to"')),
    [JSON.stringify(reply(0))]
  )
})

t.test('a question that the server takes back is taken back where it went', async t => {
  const { url } = await pipeDoor(t, 'puppet-stdio.ts')
  const s = await pipeSession(url)
  const [first, second] = [await s.listen(), await s.listen()]
  await s.post(notification('do', { write: question('q') }))
  t.match(await second.nextMessage(), { id: 'q' })
  const third = await s.listen()
  const back = line(notification('notifications/cancelled', { requestId: 'q' }))
  await s.post(notification('do', { write: back }))
  t.match(await second.nextMessage(), { method: 'notifications/cancelled' })
  t.same([first.events.items, third.events.items], [[], []])
})

t.test('a client that vanishes in mid call cancels nothing; the late answer reaches nobody', async t => {
  const { url, log, door } = await pipeDoor(t, 'puppet-stdio.ts')
  const s = await pipeSession(url)
  const { req, head } = send(url, { body: rpc(1, 'do', held), headers: s.headers })
  await log.child(/seen.*"id":1,/)
  req.destroy()
  await t.rejects(head)
  const get = await s.listen()
  const answered = await s.post(rpc(1, 'do', { write: answer(1), n: 'newer' }))
  t.match(answered.json(), { id: 1, result: { echo: { n: 'newer' } } }, 'the same id, another call')
  t.notOk(log.seen.some(text => text.includes('cancelled')))
  t.same(get.events.items, [])
  t.equal(door.stats.exchanges, 1, 'the GET stream')
})

t.test('a reader that is too slow fails its own call, and another on the same session goes on', async t => {
  const { url, log, door } = await pipeDoor(t, 'puppet-stdio.ts', {
    settings: { maxExchangeQueue: 100_000, maxMessage: 50_000_000 }
  })
  const s = await pipeSession(url)
  const big = line(notification('notifications/progress', { progressToken: 1, data: 'x'.repeat(200_000) }))
  const params = { _meta: { progressToken: 1 }, write: big, every: 1, times: 500, answer: false }
  const slow = await openSse(url, { body: rpc(1, 'do', params), headers: s.headers })
  slow.pause()
  t.match(await log.child(/seen.*cancelled/), '"requestId":1', 'the server need not go on')
  t.equal(door.stats.exchanges, 0)
  t.equal((await s.post(rpc(2, 'do'))).status, 200)
  slow.close()
})

t.test('one answer of more than the queue is no slow reader', async t => {
  const { url } = await pipeDoor(t, 'puppet-stdio.ts', { settings: { maxExchangeQueue: 10_000 } })
  const s = await pipeSession(url)
  const big = JSON.stringify({ jsonrpc: '2.0', id: 1, result: 'x'.repeat(1_000_000) })
  t.equal((await s.post(rpc(1, 'do', { answer: big }))).text, big)
  const stream = await s.stream(rpc(1, 'do', { write: line(notification('n')), answer: big }))
  t.match(await stream.nextMessage(), { method: 'n' })
  t.equal((await stream.next()).data, big)
})
