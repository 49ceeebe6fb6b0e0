/** A client on a pipe and a server on a pipe: whose answer is whose. */
import t from 'tap'
import { notification, rpc } from '../helpers/rpc.ts'
import { stdioDoor } from './pipe-door.ts'

const request = (idText: string, params: object = {}) =>
  `{"jsonrpc":"2.0","id":${idText},"method":"do","params":${JSON.stringify(params)}}\n`
const answer = (idText: string, result: unknown = {}) =>
  `{"jsonrpc":"2.0","id":${idText},"result":${JSON.stringify(result)}}`
const held = { answer: false }

t.test('several messages in one chunk are handed over and answered in their order', async t => {
  const { send, lines, log } = await stdioDoor(t, 'puppet-stdio.ts')
  const step = (n: number) => rpc(n, 'do', { write: `${JSON.stringify(notification(`before ${n}`))}\n`, n })
  send(step(1), notification('n/1'), step(2), notification('n/2'), step(3))
  await lines.until(line => line.includes('"id":3'))
  t.same(
    lines.items.map(line => JSON.parse(line)).map(m => m.method ?? m.id),
    ['before 1', 1, 'before 2', 2, 'before 3', 3]
  )
  await log.child(/seen.*"id":3/)
  t.same(
    log.seen.map(line => JSON.parse(line)).map(m => m.id ?? m.method),
    [1, 'n/1', 2, 'n/2', 3]
  )
})

t.test('two calls in flight with one id each get their own answer, with the id in its own type', async t => {
  const { send, lines } = await stdioDoor(t, 'raw-stdio.ts', { args: ['--reverse', '2'] })
  for (const id of ['1', '"1"', '9007199254740993']) {
    send(request(id, { n: 'first' }), request(id, { n: 'second' }))
    t.equal(await lines.next(), answer(id, { echo: { n: 'second' } }))
    t.equal(await lines.next(), answer(id, { echo: { n: 'first' } }))
  }
})

t.test(
  'an id that the server spells as a double is answered as the server spells it, and the call is over',
  async t => {
    const { send, lines, door } = await stdioDoor(t, 'puppet-stdio.ts')
    send(request('9007199254740993', { rounded: true }))
    t.equal(await lines.next(), answer('9007199254740992', { for: '9007199254740993' }))
    t.equal(door.stats.exchanges, 0)
  }
)

t.test('progress for two calls with one token goes to the client under its own token', async t => {
  const { send, lines, log } = await stdioDoor(t, 'puppet-stdio.ts')
  const progress = (progressToken: unknown) =>
    JSON.stringify(notification('notifications/progress', { progressToken, progress: 1 }))
  send(rpc(1, 'do', { ...held, _meta: { progressToken: 0 } }), rpc(2, 'do', { ...held, _meta: { progressToken: 0 } }))
  const wire = JSON.parse((await log.child(/seen.*"id":2/)).slice(5)).params._meta.progressToken
  t.type(wire, 'number')
  t.not(wire, 0)
  send(rpc(3, 'do', { write: `${progress(0)}\n${progress(wire)}\n` }))
  t.equal(await lines.next(), progress(0))
  t.equal(await lines.next(), progress(0))
})

t.test(
  'a cancellation reaches the server once, with the id the server knows; the late answer reaches nobody',
  async t => {
    const { send, lines, log, door } = await stdioDoor(t, 'puppet-stdio.ts', { settings: { cancelGrace: 20 } })
    send(request('1', held), request('1', { ...held, n: 2 }))
    const wire = JSON.parse((await log.child(/seen.*"n":2/)).slice(5)).id
    send(notification('notifications/cancelled', { requestId: 1, reason: 'enough' }))
    t.match(JSON.parse((await log.child(/seen.*cancelled/)).slice(5)).params, { requestId: wire, reason: 'enough' })
    // A call that begins once the grace is over cannot be mixed up with the one that was cancelled.
    send(rpc('wait', 'do', { every: 60, times: 1 }))
    await lines.next()
    t.equal(door.stats.exchanges, 1, 'only the first is still in flight')
    send(rpc('late', 'do', { write: `${answer(String(wire), 'late')}\n` }))
    t.match(await lines.next(), '"id":"late"')
    t.equal(log.of('late').length, 1)
    t.equal(log.seen.filter(line => line.includes('cancelled')).length, 1)
  }
)

t.test('a newer call of the same id never gets the answer of the one that was cancelled', async t => {
  const { send, lines } = await stdioDoor(t, 'puppet-stdio.ts')
  send(request('5', held), notification('notifications/cancelled', { requestId: 5 }))
  send(request('5', { write: `${answer('5', 'old')}\n`, n: 'new' }))
  t.equal(JSON.parse(await lines.next()).result.echo.n, 'new')
})

t.test("the server's own ids pass untouched, beside equal ones of the client", async t => {
  const { send, lines, log } = await stdioDoor(t, 'puppet-stdio.ts')
  const question = '{"id":1, "jsonrpc":"2.0","method":"roots/list"}'
  send(rpc(1, 'do', { write: `${question}\n`, ...held }))
  t.equal(await lines.next(), question)
  send('{"jsonrpc":"2.0","result":{"roots":[]},"id":1}\n')
  t.equal(await log.child(/seen.*roots":/), 'seen {"jsonrpc":"2.0","result":{"roots":[]},"id":1}')
  send(rpc(2, 'do', { write: `${answer('1')}\n` }))
  t.equal(await lines.next(), answer('1'))
})
