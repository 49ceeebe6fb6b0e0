/** What an instance had in hand when it stood still, was taken for gone, or began to stop: nothing of it is lost. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { skipWithoutRedis, startRedis } from '../fixtures/servers/redis.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawRequest } from '../helpers/raw-client.ts'
import { initialize, POST_HEADERS, rpc } from '../helpers/rpc.ts'
import { ask, clusterDoors, commandOf, gate, LEASE, slowCommand, starts, storeAt, wireTo } from './cluster-door.ts'
import { pipeSession } from './pipe-door.ts'

const skip = skipWithoutRedis()
const PUPPET = commandOf('puppet-stdio.ts')
const STILL = fileURLToPath(new URL('../fixtures/standing-still.ts', import.meta.url))

t.test('a process that stood still for longer than its lease goes on with what a client began', { skip }, async t => {
  trackLeaks(t)
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  // A process of its own: one that goes round and round could not even fail its test.
  const child = spawn(process.execPath, ['--no-warnings', STILL, String(redis.port)], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(async () => {
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  const [url] = (await once(child.stdout, 'data')) as [Buffer]
  const begun = await rawRequest(String(url).trim(), { headers: POST_HEADERS, body: initialize(0), timeoutMs: 20_000 })
  t.equal(begun.status, 200, begun.text)
})

t.test('a call that a hook keeps while its instance lets go of the session is answered', { skip }, async t => {
  const { open } = await clusterDoors(t, PUPPET, { instances: 0, sessionLoss: 'reinitialize' })
  const { hook, held, ...door } = gate()
  const [a, b] = [await open({ interceptors: [hook] }), await open()]
  const { id } = await pipeSession(a.url)
  t.equal((await ask(b, id, rpc(0, 'echo'))).status, 200)
  door.shut()
  const call = ask(a, id, rpc(1, 'echo', { n: 1 }))
  await held.next()
  const closing = a.door.close()
  await a.log.until(line => line.event === 'session-left')
  door.open()
  const answer = await call
  t.match(answer.json(), { id: 1, result: { echo: { n: 1 } } }, answer.text)
  await closing
  t.equal((await ask(b, id, rpc(2, 'echo'))).status, 200, 'the session goes on')
})

t.test('a call that a hook keeps while others take its session over is carried out there, once', { skip }, async t => {
  const { redis, open } = await clusterDoors(t, PUPPET, { instances: 0, sessionLoss: 'reinitialize' })
  const wire = await wireTo(t, redis.port)
  const { hook, held, ...door } = gate()
  const a = await open({ interceptors: [hook], sharedStore: storeAt(wire.port) })
  const b = await open()
  const { id } = await pipeSession(a.url)
  t.equal((await ask(b, id, rpc(0, 'echo'))).status, 200)
  door.shut()
  const call = ask(a, id, rpc(1, 'echo', { n: 1 }))
  await held.next()
  wire.cut()
  await pause(LEASE + 200)
  t.equal((await ask(b, id, rpc(2, 'echo'))).status, 200, 'it is taken over')
  wire.join()
  await a.log.until(line => line.event === 'instance-lost')
  // Begins only once it has its lease again.
  await pipeSession(a.url)
  door.open()
  const answer = await call
  t.match(answer.json(), { id: 1, result: { echo: { n: 1 } } }, answer.text)
  const seen = [...a.log.seen, ...b.log.seen].filter(line => line.includes('"n":1'))
  t.equal(seen.length, 1)
})

t.test('an instance that stops while a dead child is being replaced answers who waits for that', { skip }, async t => {
  const { target, hold, goOn } = await slowCommand(t, 'puppet-stdio.ts')
  const { instances } = await clusterDoors(t, target, { sessionLoss: 'reinitialize' })
  const [a, b] = [instances[0]!, instances[1]!]
  const { id } = await pipeSession(a.url)
  await hold()
  t.equal((await ask(a, id, rpc(1, 'echo', { exit: 1 }))).status, 200)
  await a.log.until(line => line.event === 'child-exit')
  const calls = [ask(a, id, rpc(2, 'echo')), ask(b, id, rpc(3, 'echo'))]
  await a.log.until(() => starts(a) === 2)
  const closing = a.door.close()
  // What is let go of would be so at once.
  await pause(300)
  await goOn()
  for (const [n, call] of calls.entries()) t.match((await call).json(), { id: n + 2, result: { echo: null } })
  t.equal(starts(a) + starts(b), 2, 'the child that was starting is the one')
  await closing
  t.equal((await ask(b, id, rpc(4, 'echo'))).status, 200, 'the session goes on')
})
