/** HTTP clients and a stdio server: deadlines, cancellation, a child that does not read, and the end. */
import t from 'tap'
import { rawPost, rawRequest } from '../helpers/raw-client.ts'
import { initialize, notification, rpc } from '../helpers/rpc.ts'
import { pipeDoor, pipeSession, question } from './pipe-door.ts'

const held = { answer: false }
const line = (message: object) => `${JSON.stringify(message)}\n`
const cancel = (requestId: unknown) => notification('notifications/cancelled', { requestId })

t.test('a call that is not answered in time: 504, and the server is told', async t => {
  const { url, log, door } = await pipeDoor(t, 'puppet-stdio.ts', { settings: { requestTimeout: 2_000 } })
  const s = await pipeSession(url)
  const answer = await s.post(rpc('slow', 'do', held))
  t.equal(answer.status, 504)
  t.match(answer.json(), { id: 'slow', error: { code: -31033, data: { code: 'upstream_timeout' } } })
  t.match(await log.child(/seen.*cancelled/), '"requestId":"slow"')
  t.equal(door.stats.sessions, 1)
  t.equal((await s.post(rpc('slow', 'do'))).status, 200, 'the session goes on')
})

t.test('on a stream the timeout is the last event', async t => {
  const settings = { requestTimeout: 2_000, streamAfter: 20 }
  const { url } = await pipeDoor(t, 'puppet-stdio.ts', { settings })
  const s = await pipeSession(url)
  const stream = await s.stream(rpc(1, 'do', held))
  t.match(await stream.nextMessage(), { id: 1, error: { data: { code: 'upstream_timeout' } } })
  t.equal(await stream.ended, 'end')
})

t.test('progress starts the wait anew', async t => {
  const { url } = await pipeDoor(t, 'puppet-stdio.ts', { settings: { requestTimeout: 2_000 } })
  const s = await pipeSession(url)
  const write = line(notification('notifications/progress', { progressToken: 1, progress: 1 }))
  const stream = await s.stream(rpc(1, 'do', { _meta: { progressToken: 1 }, write, every: 800, times: 4 }))
  for (let i = 0; i < 4; i++) t.match(await stream.nextMessage(), { method: 'notifications/progress' })
  t.match(await stream.nextMessage(), { id: 1, result: {} })
})

t.test('while the server waits for the client, a call times out by its age only', async t => {
  const settings = { requestTimeout: 2_000, maxRequestTime: 4_000 }
  const { url } = await pipeDoor(t, 'puppet-stdio.ts', { settings })
  const s = await pipeSession(url)
  const began = performance.now()
  const stream = await s.stream(rpc(1, 'do', { write: question(0), ...held }))
  t.match(await stream.nextMessage(), { id: 0 })
  t.match(await stream.nextMessage(), { id: 1, error: { data: { code: 'upstream_timeout' } } })
  t.ok(performance.now() - began >= 1_990)
})

t.test('a cancellation reaches the server once, under its own id, and ends the call within the grace', async t => {
  const { url, log, door } = await pipeDoor(t, 'puppet-stdio.ts', { settings: { cancelGrace: 50, streamAfter: 10 } })
  const s = await pipeSession(url)
  const [first, second] = [await s.stream(rpc(1, 'do', held)), await s.stream(rpc(1, 'do', held))]
  // A stream may begin before the child has read what it is for.
  await log.until(() => log.seen.filter(text => text.includes('"do"')).length === 2)
  const wire = JSON.parse(log.seen.at(-1) ?? '').id
  t.equal((await s.post(cancel(1))).status, 202)
  t.equal(JSON.parse((await log.child(/seen.*cancelled/)).slice(5)).params.requestId, wire)
  t.match(await second.nextMessage(), { id: 1, error: { data: { code: 'cancelled' } } })
  t.equal(await second.ended, 'end')
  t.equal(door.stats.exchanges, 1)
  await s.post(rpc(2, 'do', { write: line({ jsonrpc: '2.0', id: 1, result: 'first' }) }))
  t.match(await first.nextMessage(), { id: 1, result: 'first' })
  t.equal(log.seen.filter(text => text.includes('cancelled')).length, 1)
})

t.test('a cancelled call ends within the grace also where no call times out', async t => {
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts', { settings: { requestTimeout: 0, cancelGrace: 50 } })
  const s = await pipeSession(url)
  const pending = s.post(rpc(1, 'do', held))
  await log.child(/seen.*"id":1,/)
  await s.post(cancel(1))
  t.match((await pending).json(), { id: 1, error: { data: { code: 'cancelled' } } })
})

t.test('a client that leaves while it is asked: the server hears that, and calls time out again', async t => {
  const settings = { requestTimeout: 2_000, mailboxTtl: 100 }
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts', { settings })
  const s = await pipeSession(url)
  const stream = await s.stream(rpc(1, 'do', { write: question(0), ...held }))
  t.match(await stream.nextMessage(), { id: 0 })
  stream.close()
  t.match(await log.child(/seen.*"id":0,"error"/), 'server_request_unheard')
  t.match((await s.post(rpc(2, 'do', held))).json(), { id: 2, error: { data: { code: 'upstream_timeout' } } })
})

t.test('a cancelled call that is answered all the same within the grace gets its answer', async t => {
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts')
  const s = await pipeSession(url)
  const pending = s.post(rpc(1, 'do', held))
  await log.child(/seen.*"id":1,/)
  await s.post(cancel(1))
  await s.post(rpc(2, 'do', { write: line({ jsonrpc: '2.0', id: 1, result: 'in time' }) }))
  t.match((await pending).json(), { id: 1, result: 'in time' })
})

t.test('a cancellation in one session touches no equal id in another', async t => {
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts', { settings: { cancelGrace: 20 } })
  const [a, b] = [await pipeSession(url), await pipeSession(url)]
  const [inA, inB] = [a.post(rpc(1, 'do', { ...held, n: 'a' })), b.post(rpc(1, 'do', { ...held, n: 'b' }))]
  await Promise.all([log.child(/seen.*"n":"a"/), log.child(/seen.*"n":"b"/)])
  await a.post(cancel(1))
  t.match((await inA).json(), { id: 1, error: { data: { code: 'cancelled' } } })
  await b.post(rpc(2, 'do', { write: line({ jsonrpc: '2.0', id: 1, result: 'b' }) }))
  t.match((await inB).json(), { id: 1, result: 'b' })
  t.equal(log.seen.filter(text => text.includes('cancelled')).length, 1)
})

t.test('a child that does not read its stdin: what waits is bounded, more gets 503, and calls time out', async t => {
  const { url } = await pipeDoor(t, 'raw-stdio.ts', {
    args: ['--handshake', '--stop-reading-on', 'stop'],
    settings: { maxExchangeQueue: 200_000, requestTimeout: 2_000 }
  })
  const s = await pipeSession(url)
  const big = 'x'.repeat(150_000)
  const calls = [s.post(rpc(0, 'stop'))]
  for (let id = 1; id <= 8; id++) calls.push(s.post(rpc(id, 'do', { big })))
  const answers = await Promise.all(calls)
  const codes = answers.map(a => (a.json() as { error: { data: { code: string } } }).error.data.code)
  t.ok(codes.includes('upstream_queue_full'), codes.join())
  t.ok(codes.includes('upstream_timeout'), codes.join())
  t.ok(answers.every(a => a.status === 503 || a.status === 504))
  t.match(answers.find(a => a.status === 503)?.headers, { 'retry-after': '1' })
})

t.test(
  'what a child says after its session has ended reaches nobody; ends that it resists are not waited for by others',
  async t => {
    const { url } = await pipeDoor(t, 'raw-stdio.ts', {
      args: ['--handshake', '--ignore-eof', '--ignore-term'],
      settings: { killAfter: 200 }
    })
    const [stubborn, other] = [await pipeSession(url), await pipeSession(url)]
    const deleted = rawRequest(url, { method: 'DELETE', headers: stubborn.headers })
    t.equal((await other.post(rpc(1, 'do'))).status, 200)
    t.equal((await deleted).status, 200)
  }
)

t.test('stopping: calls in flight finish, new ones get 503, streams end, children end', async t => {
  const { url, door, log } = await pipeDoor(t, 'puppet-stdio.ts')
  const s = await pipeSession(url)
  const get = await s.listen()
  const flight = s.post(rpc(1, 'do', { every: 300, times: 1 }))
  await log.child(/seen.*"id":1,/)
  const closing = door.close({ drainTimeout: 10_000 })
  t.match((await flight).json(), { id: 1, result: {} })
  await closing
  t.equal(await get.ended, 'end')
  await t.rejects(rawPost(url, initialize(0)))
})

t.test('stopping does not wait longer than it was told', async t => {
  const { url, door, log } = await pipeDoor(t, 'puppet-stdio.ts', { settings: { streamAfter: 10 } })
  const s = await pipeSession(url)
  const [json, stream] = [s.post(rpc(1, 'do', { ...held, n: 1 })), await s.stream(rpc(2, 'do', held))]
  await log.child(/seen.*"n":1/)
  await door.close({ drainTimeout: 50 })
  t.match(await stream.nextMessage(), { id: 2, error: { data: { code: 'shutting_down' } } })
  // Its head was written when the silence had lasted long enough.
  t.match((await json).text, 'shutting_down')
})

t.test('DELETE is answered at once, however long the child takes to go', async t => {
  const args = ['--handshake', '--ignore-eof', '--ignore-term']
  const { url } = await pipeDoor(t, 'raw-stdio.ts', { settings: { killAfter: 1_500 }, args })
  const s = await pipeSession(url)
  const began = performance.now()
  t.equal((await rawRequest(url, { method: 'DELETE', headers: s.headers })).status, 200)
  t.ok(performance.now() - began < 1_400, 'before the child has gone')
  t.equal((await s.post(rpc(1, 'x'))).status, 404)
})
