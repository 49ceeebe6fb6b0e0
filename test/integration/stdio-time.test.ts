/** A client on a pipe: deadlines, and the end of the conversation. */
import t from 'tap'
import { initialize, notification, rpc } from '../helpers/rpc.ts'
import { within } from '../helpers/wait.ts'
import { question, stdioDoor } from './pipe-door.ts'

const held = { answer: false }

t.test('a call that is not answered in time is cancelled at the server and fails with its id', async t => {
  const { send, nextMessage, log } = await stdioDoor(t, 'puppet-stdio.ts', { settings: { requestTimeout: 50 } })
  send(rpc('slow', 'do', held))
  t.match(await nextMessage(), { id: 'slow', error: { code: -31033, data: { code: 'upstream_timeout' } } })
  t.match(await log.child(/seen.*cancelled/), '"requestId":"slow"')
})

t.test('progress starts the wait anew', async t => {
  const { send, lines, log } = await stdioDoor(t, 'puppet-stdio.ts', { settings: { requestTimeout: 1_000 } })
  await log.child(/^pid/)
  const progress = notification('notifications/progress', { progressToken: 'p', progress: 1 })
  const params = { _meta: { progressToken: 'p' }, write: `${JSON.stringify(progress)}\n`, every: 300, times: 5 }
  send(rpc(1, 'do', params))
  const last = await lines.until(line => line.includes('"id":1'))
  t.ok('result' in JSON.parse(last))
  t.equal(lines.items.length, 6)
})

t.test('while the server waits for the client, no call times out but for its age', async t => {
  const settings = { requestTimeout: 300, maxRequestTime: 2_500 }
  const { send, nextMessage, log } = await stdioDoor(t, 'puppet-stdio.ts', { settings })
  await log.child(/^pid/)
  const began = performance.now()
  send(rpc(1, 'do', { write: question(0), ...held }))
  t.match(await nextMessage(), { id: 0, method: 'sampling/createMessage' })
  t.match(await nextMessage(), { id: 1, error: { data: { code: 'upstream_timeout' } } })
  t.ok(performance.now() - began >= 2_490)
  const answered = performance.now()
  send({ jsonrpc: '2.0', id: 0, result: {} }, rpc(2, 'do', held))
  t.match(await nextMessage(), { id: 2, error: { data: { code: 'upstream_timeout' } } })
  t.ok(performance.now() - answered < 2_000, 'once it is answered, the usual time counts')
})

t.test('a question that the server takes back keeps nothing waiting', async t => {
  const settings = { requestTimeout: 200, maxRequestTime: 5_000 }
  const { send, nextMessage, log } = await stdioDoor(t, 'puppet-stdio.ts', { settings })
  await log.child(/^pid/)
  const began = performance.now()
  const back = `${JSON.stringify(notification('notifications/cancelled', { requestId: 0 }))}\n`
  send(rpc(1, 'do', { write: question(0) + back, ...held }))
  t.match(await nextMessage(), { id: 0 })
  t.match(await nextMessage(), { method: 'notifications/cancelled' })
  t.match(await nextMessage(), { id: 1, error: { data: { code: 'upstream_timeout' } } })
  t.ok(performance.now() - began < 4_500)
})

t.test('initialize that is not answered in time fails, and is not cancelled', async t => {
  const { send, nextMessage, log } = await stdioDoor(t, 'raw-stdio.ts', {
    args: ['--mute', '--seen'],
    settings: { requestTimeout: 50 }
  })
  send(initialize(0))
  t.match(await nextMessage(), { id: 0, error: { data: { code: 'upstream_timeout' } } })
  send(notification('last'))
  await log.child(/seen.*"last"/)
  t.same(log.seen.length, 2)
})

t.test('an input that ends at once still gets all its answers, and then the child ends', async t => {
  const { send, input, lines, door, log } = await stdioDoor(t, 'puppet-stdio.ts')
  send(initialize(0), notification('notifications/initialized'))
  for (let i = 1; i <= 50; i++) send(rpc(i, 'do', { n: i }))
  input.end('{"jsonrpc":"2.0","id":"last, without line end","method":"do"}')
  t.same(await door.ended, { why: 'client' })
  await lines.until(line => line.includes('without line end'))
  t.equal(lines.items.length, 52)
  await door.close()
  t.equal(log.of('child-exit').length, 0, 'an end that was asked for is no news')
})

t.test('a client that reads no more is gone: its calls keep nothing waiting', async t => {
  const { send, input, output, door } = await stdioDoor(t, 'puppet-stdio.ts', { settings: { drainTimeout: 60_000 } })
  send(rpc(1, 'do', held), rpc(2, 'do', held))
  input.end()
  output.destroy(Object.assign(new Error('EPIPE'), { code: 'EPIPE' }))
  t.same(await within(door.ended), { why: 'client' })
})

t.test('the session of a pipe outlives every idle time', async t => {
  const settings = { sessionIdle: 20, sessionMax: 20 }
  const { send, nextMessage, door } = await stdioDoor(t, 'puppet-stdio.ts', { settings })
  send(initialize(0))
  await nextMessage()
  // Three times the pace of the reaper.
  send(rpc(1, 'do', { every: 160, times: 1 }))
  t.match(await nextMessage(), { id: 1, result: {} })
  t.equal(door.stats.sessions, 1)
})

t.test('requests in flight are bounded; answers and notifications still pass', async t => {
  const { send, nextMessage, log } = await stdioDoor(t, 'puppet-stdio.ts', { settings: { maxExchanges: 2 } })
  send(rpc(1, 'do', held), rpc(2, 'do', held), rpc(3, 'do'), notification('passes'))
  t.match(await nextMessage(), { id: 3, error: { data: { code: 'too_many_exchanges' } } })
  await log.child(/seen.*passes/)
})
