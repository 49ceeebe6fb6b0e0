/** Taking a session over from who is gone, and from nobody else. */
import { createHash } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { UPDATE } from '../../src/session/redis/scripts.ts'
import { skipWithoutRedis } from '../fixtures/servers/redis.ts'
import { rpc } from '../helpers/rpc.ts'
import { ask, clusterDoors, commandOf, slowCommand, starts, storeAt, wireTo } from './cluster-door.ts'
import { pipeSession } from './pipe-door.ts'

const skip = skipWithoutRedis()
/** For how long one that begins a session anew keeps others from it unless it says so again, in ms. */
const CLAIM = 5_000

t.test('a command may take longer to start than others wait for it: one starts, for all', { skip }, async t => {
  const { target, hold, goOn } = await slowCommand(t, 'puppet-stdio.ts')
  const { instances } = await clusterDoors(t, target, { instances: 3, sessionLoss: 'reinitialize' })
  const [a, b, c] = [instances[0]!, instances[1]!, instances[2]!]
  const { id } = await pipeSession(a.url)
  t.equal((await ask(b, id, rpc(0, 'echo'))).status, 200)
  await hold()
  await a.door.close()
  const calls = [ask(b, id, rpc(1, 'echo')), ask(c, id, rpc(2, 'echo'))]
  await pause(CLAIM + 1_500)
  t.equal(starts(b) + starts(c), 1)
  await goOn()
  for (const [n, call] of calls.entries()) t.match((await call).json(), { id: n + 1, result: {} })
  t.equal(starts(b) + starts(c), 1)
})

t.test('who took a session over and was never told so has not taken it', { skip }, async t => {
  const { target, hold, goOn } = await slowCommand(t, 'puppet-stdio.ts')
  const { redis, open } = await clusterDoors(t, target, { instances: 0, sessionLoss: 'reinitialize' })
  const wire = await wireTo(t, redis.port)
  const a = await open()
  const b = await open({ sharedStore: { ...storeAt(wire.port), timeout: 1_000 } })
  const c = await open()
  const { id } = await pipeSession(a.url)
  t.equal((await ask(b, id, rpc(0, 'echo'))).status, 200)
  await hold()
  await a.door.close()
  const first = ask(b, id, rpc(1, 'echo'))
  await b.log.until(() => starts(b) === 1)
  const lost = wire.loseAnswerTo(createHash('sha1').update(UPDATE).digest('hex'))
  await goOn()
  await lost
  await first
  await b.log.until(line => line.event === 'store-down')
  await b.log.until(line => line.event === 'store-up')
  const answers = await Promise.all([ask(b, id, rpc(2, 'echo')), ask(c, id, rpc(3, 'echo'))])
  for (const answer of answers) t.equal(answer.status, 200, answer.text)
})

t.test('where the store was away for longer than a lease, nobody is taken for gone', { skip }, async t => {
  // Longer than the longest pause between two tries to connect.
  const lease = 6_000
  const { redis, open } = await clusterDoors(t, commandOf('puppet-stdio.ts'), { instances: 0 })
  const [toA, toB] = [await wireTo(t, redis.port), await wireTo(t, redis.port)]
  const a = await open({ sharedStore: { ...storeAt(toA.port), lease } })
  const b = await open({ sharedStore: { ...storeAt(toB.port), lease } })
  const { id } = await pipeSession(a.url)
  t.equal((await ask(b, id, rpc(1, 'echo'))).status, 200)
  const under = ask(b, id, rpc(2, 'echo', { every: 9_000, write: '' }))
  await a.log.child(/"every"/)
  toA.cut()
  toB.cut()
  await pause(lease + 500)
  toB.join()
  await b.log.until(line => line.event === 'store-up')
  const next = ask(b, id, rpc(3, 'echo'))
  // As early as it can be asked whether the other one is there, which is not back yet.
  await pause(300)
  toA.join()
  for (const answer of [await next, await under]) t.equal(answer.status, 200, answer.text)
  t.same([...a.log.of('instance-lost'), ...b.log.of('instance-lost')], [])
})
