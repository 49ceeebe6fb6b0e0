/** catflap as the command of a stdio client: how it ends, and what ends with it. */
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { rollCall } from '../fixtures/children/roll-call.ts'
import { type CatflapRun, runCatflap } from '../helpers/catflap.ts'
import { connectStdio } from '../helpers/clients.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { initialize, notification, rpc } from '../helpers/rpc.ts'
import { fixtureArgv, type StdioFixture } from '../helpers/stdio-peer.ts'
import { catflapArgs } from './pipe-door.ts'

interface RunOptions {
  readonly catflap?: readonly string[]
  readonly args?: readonly string[]
  readonly command?: readonly string[]
  readonly json?: boolean
}

function run(t: Test, file: StdioFixture, { catflap = [], args = [], command, json }: RunOptions = {}): CatflapRun {
  trackLeaks(t)
  const argv = command ?? fixtureArgv(file, ...args)
  const started = runCatflap(['forward', '--stdio', '--no-tail', ...catflap, '--', ...argv], { json })
  t.teardown(() => started.kill9())
  return started
}

const DEBUG = ['--log-level', 'debug']
const family = fileURLToPath(new URL('../fixtures/children/family.mjs', import.meta.url))
const ofChild = (catflap: CatflapRun, text: string) =>
  catflap.events.until(e => e.event === 'stderr' && String(e.text).includes(text))

t.test('a client that closes: exit code 0, nothing on stderr, no child left', async t => {
  trackLeaks(t)
  const c = await connectStdio({ args: catflapArgs([], fixtureArgv('stdio-server.ts', '--era', 'legacy', '--quiet')) })
  await c.client.listTools()
  await c.close()
  t.same(c.stderr.items, [])
})

t.test('an input that is closed at once still gets all its answers', async t => {
  const catflap = run(t, 'puppet-stdio.ts')
  const calls = Array.from({ length: 20 }, (_, i) => rpc(i + 1, 'do'))
  const lines = [initialize(0), notification('notifications/initialized'), ...calls].map(m => JSON.stringify(m))
  catflap.proc.stdin.end(lines.join('\n'))
  t.same(await catflap.exit, { code: 0, signal: null })
  t.same(
    catflap.stdout.items.map(line => JSON.parse(line).id),
    Array.from({ length: 21 }, (_, i) => i)
  )
})

t.test('stdout carries nothing but messages, whatever is logged and whatever the child writes', async t => {
  const catflap = run(t, 'raw-stdio.ts', { catflap: DEBUG, args: ['--noise', '3', '--stderr', 'hello'], json: false })
  catflap.send(rpc(1, 'x'))
  catflap.send('garbage\n')
  catflap.proc.stdin.end()
  t.same(await catflap.exit, { code: 0, signal: null })
  for (const line of catflap.stdout.items) t.match(JSON.parse(line), { jsonrpc: '2.0' })
  t.equal(catflap.stdout.items.length, 2)
  t.ok(catflap.stderr.items.some(line => line.includes('noise 2')))
  t.ok(catflap.stderr.items.some(line => line.includes('hello')))
})

t.test('a server that dies: the call fails with its id, exit code 1 and one line that says why', async t => {
  const catflap = run(t, 'raw-stdio.ts', { args: ['--die-on', 'x'], json: false })
  catflap.send(rpc('call', 'x'))
  t.match(await catflap.nextMessage(), { id: 'call', error: { data: { code: 'child_exited', exitCode: 3 } } })
  t.same(await catflap.exit, { code: 1, signal: null })
  t.equal(catflap.stderr.items.length, 1)
  t.match(catflap.stderr.items[0], /^catflap: error: .*exited with code 3.*fatal: the fixture died as asked/)
})

t.test('a server that ends by itself without a fault ends the conversation without one', async t => {
  const catflap = run(t, 'puppet-stdio.ts')
  catflap.send(rpc(1, 'do', { exit: 0 }))
  t.match(await catflap.nextMessage(), { id: 1, result: {} })
  t.same(await catflap.exit, { code: 0, signal: null })
})

t.test('a command that cannot be started: exit code 1 and one line that names it', async t => {
  const catflap = run(t, 'raw-stdio.ts', { command: ['no-such-command-at-all', '--key=secret'], json: false })
  t.same(await catflap.exit, { code: 1, signal: null })
  t.equal(catflap.stderr.items.length, 1)
  t.match(catflap.stderr.items[0], /no-such-command-at-all could not be started: command not found/)
  t.notMatch(catflap.stderr.items[0], 'secret')
})

for (const [how, act] of [
  ['the client goes away', (c: CatflapRun) => void c.proc.stdin.end()],
  ['catflap gets SIGTERM', (c: CatflapRun) => void c.proc.kill('SIGTERM')],
  ['catflap is killed', (c: CatflapRun) => void c.proc.kill('SIGKILL')]
] as const) {
  t.test(`a server that ignores SIGTERM and the end of its input ends with all it started when ${how}`, async t => {
    trackLeaks(t)
    const roll = await rollCall()
    t.teardown(() => roll.close())
    const command = [process.execPath, family, String(roll.port), 'stubborn', 'mild', 'stubborn']
    const options = { catflap: ['--kill-after', '200ms'], command }
    const catflap = run(t, 'raw-stdio.ts', options)
    const members = await roll.members(3)
    act(catflap)
    await Promise.all(members.map(m => m.died))
    const exit = await catflap.exit
    t.same(exit, how.endsWith('killed') ? { code: null, signal: 'SIGKILL' } : { code: 0, signal: null })
  })
}

t.test('SIGTERM lets a call in flight finish; a new one is refused', async t => {
  const catflap = run(t, 'puppet-stdio.ts', { catflap: DEBUG })
  catflap.send(rpc(1, 'do', { answer: false }))
  await ofChild(catflap, '"id":1,')
  catflap.proc.kill('SIGTERM')
  await catflap.events.until(e => e.event === 'stopping')
  catflap.send(rpc(2, 'do'))
  t.match(await catflap.nextMessage(), { id: 2, error: { data: { code: 'shutting_down' } } })
  // Notifications still pass; this one tells the fixture to answer.
  catflap.send(notification('do', { write: `${JSON.stringify({ jsonrpc: '2.0', id: 1, result: {} })}\n` }))
  t.match(await catflap.nextMessage(), { id: 1, result: {} })
  t.same(await catflap.exit, { code: 0, signal: null })
})

t.test('a second signal ends at once, and the child with it', async t => {
  const catflap = run(t, 'puppet-stdio.ts', { catflap: DEBUG })
  catflap.send(rpc(1, 'do', { answer: false }))
  await ofChild(catflap, '"id":1,')
  catflap.proc.kill('SIGTERM')
  await catflap.events.until(e => e.event === 'stopping')
  catflap.proc.kill('SIGTERM')
  t.same(await catflap.exit, { code: 143, signal: null })
})
