import { EventEmitter } from 'node:events'
import { createServer } from 'node:net'
import t from 'tap'
import { runCatflap, startCatflap } from './helpers/catflap.ts'
import { assertNothingLeft, snapshot, trackLeaks, watchProcess } from './helpers/leaks.ts'
import { fixtureArgv, SERVERS, spawnPeer } from './helpers/stdio-peer.ts'
import { Inbox, waitFor, within } from './helpers/wait.ts'

const entry = `${SERVERS}fake-cli.ts`

t.test('leaks: a server, a timer and a grandchild are found, and gone once they are', async t => {
  trackLeaks(t)
  const before = snapshot()
  await assertNothingLeft(before)
  const server = createServer().listen(0, '127.0.0.1')
  const timer = setInterval(() => {}, 1_000_000)
  const child = spawnPeer(fixtureArgv('raw-stdio.ts', '--grandchild'))
  const grandchild = Number((await child.untilStderr(/^grandchild/)).split(' ')[1])
  await child.close()
  const error: Error = await assertNothingLeft(before).then(
    () => new Error('found nothing'),
    found => found
  )
  t.match(error.message, /1 × TCPServerWrap/)
  t.match(error.message, /1 × Timeout/)
  if (process.platform === 'linux') t.match(error.message, `process ${grandchild}: `)
  watchProcess(grandchild)
  process.kill(grandchild, 'SIGKILL')
  clearInterval(timer)
  server.close()
  await assertNothingLeft(before)
})

t.test('leaks: too many listeners on one emitter are a leak too', async t => {
  const before = snapshot()
  const emitter = new EventEmitter()
  const warned = waitFor(process, 'warning')
  for (let i = 0; i < 11; i++) emitter.on('x', () => {})
  await warned
  await t.rejects(assertNothingLeft(before), /MaxListenersExceededWarning/)
})

t.test('waiting: an inbox gives items in order, by predicate, and says what did not come', async t => {
  trackLeaks(t)
  const inbox = new Inbox<number>('numbers')
  const [first, second, big] = [inbox.next(), inbox.next(), inbox.until(n => n > 2)]
  for (const n of [1, 2, 3]) inbox.push(n)
  t.same(await Promise.all([first, second, big, inbox.until(n => n === 1), inbox.next()]), [1, 2, 3, 1, 3])
  await t.rejects(inbox.next({ timeoutMs: 1 }), /waited 1 ms for numbers; so far 3:/)
  const never = inbox.next()
  inbox.end('over')
  await t.rejects(never, /no more numbers \(over\)/)
  await t.rejects(within(new Promise(() => {}), { timeoutMs: 1, what: 'Godot' }), /waited 1 ms for Godot/)
  const emitter = new EventEmitter()
  const heard = waitFor(emitter, 'said')
  emitter.emit('said', 1, 2)
  t.same(await heard, [1, 2])
  await t.rejects(waitFor(emitter, 'said', { timeoutMs: 1 }), /the event 'said'/)
  t.equal(emitter.listenerCount('said') + emitter.listenerCount('error'), 0)
})

t.test('catflap: started once it listens, stopped by SIGTERM or at once', async t => {
  trackLeaks(t)
  const catflap = await startCatflap(['forward', '--', 'node', 'server'], { entry })
  t.equal(catflap.url, 'http://127.0.0.1:1/mcp')
  t.match(catflap.target, /forward --log-format json -- node server$/)
  t.same(await catflap.close(), { code: 0, signal: null })
  t.same(catflap.stderr.items[0], 'a line of text')
  t.same(catflap.events.items.at(-1), { event: 'stopped' })
  const killed = await startCatflap([], { entry })
  t.match(await killed.kill9(), { signal: 'SIGKILL' })
})

t.test('catflap: one that ends instead says all it printed', async t => {
  trackLeaks(t)
  await t.rejects(startCatflap(['--fail'], { entry }), /did not listen; status: 2.*no such option --fail/s)
  const run = runCatflap(['--fail'], { entry, json: false })
  t.same(await run.exit, { code: 2, signal: null })
})
