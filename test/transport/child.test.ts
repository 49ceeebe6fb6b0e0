import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { Child, type ChildOptions, type ChildStartError, type ExitInfo } from '../../src/transport/upstream/child.ts'
import { rollCall } from '../fixtures/children/roll-call.ts'

type Test = Parameters<Parameters<typeof t.test>[0]>[0]

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/children/${name}`, import.meta.url))

/** A child whose events can be awaited. `log` has all of them in order. */
function start(t: Test, args: readonly (string | number)[], options: Partial<ChildOptions> = {}) {
  const log: string[] = []
  const lines: string[] = []
  const long: { length: number; sha256: string }[] = []
  const exit = Promise.withResolvers<ExitInfo>()
  const error = Promise.withResolvers<ChildStartError>()
  let changed = Promise.withResolvers<void>()
  const note = (text: string): void => {
    log.push(text)
    changed.resolve()
    changed = Promise.withResolvers<void>()
  }
  const [script = '', ...rest] = args.map(String)
  const child = new Child(
    { command: process.execPath, args: [fixture(script), ...rest], maxLine: 1_000_000, ...options },
    {
      line: line => {
        lines.push(line.toString())
        note('line')
      },
      oversize: info => {
        long.push(info)
        note('oversize')
      },
      stderr: line => note(`stderr ${line}`),
      exit: info => {
        note('exit')
        exit.resolve(info)
      },
      error: reason => {
        note('error')
        error.resolve(reason)
      },
      drain: () => note('drain')
    }
  )
  t.teardown(() => child.kill())
  /** Resolves when the log has the entry, counted from the start, so many times. */
  const until = async (entry: string, times = 1): Promise<void> => {
    while (log.filter(e => e === entry).length < times) await changed.promise
  }
  return { child, log, lines, long, until, exit: exit.promise, error: error.promise }
}

/** By whether a signal could be sent. */
function exists(pid: number | undefined): boolean {
  try {
    return pid !== undefined && process.kill(pid, 0)
  } catch {
    return false
  }
}

t.test('lines go in and come out, and the child ends with its input', async t => {
  const { child, lines, log, exit, until } = start(t, ['echo.mjs'])
  t.equal(child.write(Buffer.from('{"id":9007199254740993}')), true)
  child.write(Buffer.from('ä\u{1f408}'))
  child.write(Buffer.alloc(100_000, 'z'))
  await until('line', 3)
  t.same(lines, ['{"id":9007199254740993}', 'ä\u{1f408}', 'z'.repeat(100_000)])
  child.endInput()
  t.match(await exit, { code: 0, signal: null, stderr: [] })
  t.equal(log.at(-1), 'exit')
  await child.close()
  t.equal(exists(child.pid), false)
  t.equal(child.write(Buffer.from('late')), false, 'writing to the dead harms nobody')
})

t.test('characters, line endings and lines are put together from what chunks they come in', async t => {
  const parts = [
    Buffer.from('a\u{1f408}b\r\n').subarray(0, 3),
    Buffer.from('a\u{1f408}b\r\n').subarray(3),
    Buffer.from('\n\nc\nmid')
  ]
  const { child, lines, log, exit, until } = start(t, ['say.mjs', ...parts.map(p => p.toString('base64'))])
  for (let n = 1; n <= parts.length; n++) {
    await until('stderr next', n)
    child.write(Buffer.from('go'))
  }
  t.match(await exit, { code: 3 }, 'a child that dies in the middle of a line')
  t.same(lines, ['a\u{1f408}b', 'c', 'mid'])
  t.equal(log.at(-1), 'exit', 'what it had begun to write comes before its exit')
})

t.test('a line over the limit is reported once it ends; others come through', async t => {
  const { child, lines, long, until } = start(t, ['echo.mjs'], { maxLine: 1000 })
  child.write(Buffer.from('before'))
  const line = Buffer.alloc(5_000_000, 'abc')
  child.write(line)
  child.write(Buffer.from('after'))
  await until('line', 2)
  t.same(lines, ['before', 'after'])
  t.match(long, [{ length: line.length, sha256: createHash('sha256').update(line).digest('hex') }])
})

t.test('a command that does not exist or may not be executed is an error that names it, but no arguments', async t => {
  const dir = t.testdir({ script: '#!/bin/sh\n' })
  chmodSync(`${dir}/script`, 0o644)
  const cases: [Partial<ChildOptions>, RegExp][] = [
    [{ command: 'no-such-command' }, /^command not found: no-such-command \(ENOENT\)$/],
    [{ command: `${dir}/script` }, /^no permission to execute .*\/script \(EACCES\)$/],
    [{ cwd: `${dir}/nowhere` }, /^no such working directory: .*\/nowhere \(ENOENT\)$/],
    [{ args: ['nul\0'] }, /^cannot execute .*node.* \(ERR_INVALID_ARG_VALUE\)$/]
  ]
  for (const [options, message] of cases) {
    const { child, log, error } = start(t, ['echo.mjs'], { args: ['canary'], ...options })
    t.same(log, [], 'not while it is being made')
    child.write(Buffer.from('x'))
    const reason = await error
    t.match(reason.message, message)
    t.notMatch(JSON.stringify(Object.entries(reason)) + reason.stack, /canary|nul/)
    await child.close()
    await child.kill()
    t.same(log, ['error'])
  }
})

t.test('environment and working directory are what was asked for', async t => {
  const cwd = t.testdir({ 'tell.mjs': 'console.log(JSON.stringify([process.cwd(), process.env.A, process.env.HOME]))' })
  const options = { args: ['tell.mjs'], cwd, env: { A: 'ä', HOME: undefined } }
  const { lines, exit } = start(t, ['tell.mjs'], options)
  await exit
  t.same(JSON.parse(lines[0]!), [cwd, 'ä', null])
})

t.test('stderr never blocks the child; its last lines are kept, cut to size', async t => {
  const { log, lines, exit } = start(t, ['loud.mjs', 20_000], { stderrLines: 3 })
  const { stderr } = await exit
  t.same(lines, ['ready'])
  t.same(stderr, ['line 19999', `${'y'.repeat(2048)}…`, 'last, without end'])
  t.equal(log.filter(e => e.startsWith('stderr ')).length, 20_002)
})

t.test('a child that floods waits while it is paused, and nothing is lost', async t => {
  const flood = start(t, ['flood.mjs', 64])
  await flood.until('line')
  flood.child.pause()
  const seen = flood.lines.length
  const before = process.memoryUsage.rss()
  // The same flood, unhindered, takes about the time in which the paused one would come to its end as well.
  const other = start(t, ['flood.mjs', 64])
  await other.exit
  t.equal(other.lines.length, 65_536)
  t.notOk(flood.log.includes('stderr done'), 'it cannot write on')
  t.ok(flood.lines.length - seen < 200, 'no more lines came')
  t.ok(process.memoryUsage.rss() - before < 400 * 1024 * 1024)
  flood.child.resume()
  await flood.exit
  t.equal(flood.lines.length, 65_536)
  t.equal(flood.log.at(-1), 'exit')
})

t.test('output that waits for a paused owner is kept beyond the exit', async t => {
  const { child, lines, log, until } = start(t, [
    'say.mjs',
    Buffer.from('a\n').toString('base64'),
    Buffer.from('b\n').toString('base64')
  ])
  await until('stderr next')
  child.write(Buffer.from('go'))
  await until('line')
  child.pause()
  const other = start(t, ['echo.mjs'])
  await until('stderr next', 2)
  child.write(Buffer.from('go'))
  while (exists(child.pid)) await new Promise(resolve => setTimeout(resolve, 5))
  // A round trip through another child: time enough for `exit`, were it not held back.
  other.child.write(Buffer.from('x'))
  await other.until('line')
  t.same(lines, ['a'])
  t.notOk(log.includes('exit'))
  child.resume()
  await until('exit')
  t.same(lines, ['a', 'b'])
})

t.test('closing while paused waits for no reader', async t => {
  const { child, until, exit } = start(t, ['flood.mjs', 64], { killGrace: { stdin: 10, term: 50 } })
  await until('line')
  child.pause()
  await child.close()
  // By either signal: tap hooks itself into our children, and a process that is stuck in a write handles no SIGTERM then.
  t.match(await exit, { code: null, signal: /^SIG/ })
})

t.test('writing tells when to wait and when to go on', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const { child, lines, until, exit } = start(t, ['slow-reader.mjs', port])
  const [socket] = await once(server, 'connection')
  let bytes = 0
  for (let more = true; more; bytes += 10_001) more = child.write(Buffer.alloc(10_000, 'x'))
  socket.write('read')
  await until('drain')
  child.endInput()
  await exit
  t.same(lines, [String(bytes)])
  socket.destroy()
})

t.test('a child that closed its input cannot be used any more and is ended', async t => {
  const { child, until, exit } = start(t, ['deaf.mjs'], { killGrace: { stdin: 10 } })
  await until('line')
  child.write(Buffer.from('anybody there?'))
  t.match(await exit, { signal: 'SIGTERM' })
  await child.close()
})

t.test('close: the end of its input, then SIGTERM, then SIGKILL, to all of the group', async t => {
  const calls = await rollCall()
  t.teardown(() => calls.close())
  const { child, exit, log } = start(t, ['family.mjs', calls.port, 'stubborn', 'mild', 'stubborn'], {
    killGrace: { stdin: 50, term: 300 }
  })
  const members = await calls.members(3)
  const closed = child.close()
  t.equal(child.close(), child.close(), 'asking again changes nothing')
  const mild = members.find(m => m.role === 'mild')
  await mild?.died
  t.ok(exists(child.pid), 'SIGTERM came first')
  await closed
  t.match(await exit, { signal: 'SIGKILL' })
  await Promise.all(members.map(m => m.died))
  t.equal(exists(child.pid), false)
  t.equal(log.filter(e => e === 'exit').length, 1)
})

t.test('kill spares nobody and wastes no time', async t => {
  const calls = await rollCall()
  t.teardown(() => calls.close())
  const hour = 3_600_000
  const { child, exit } = start(t, ['family.mjs', calls.port, 'stubborn', 'stubborn'], {
    killGrace: { stdin: hour, term: hour }
  })
  const members = await calls.members(2)
  const closed = child.close()
  await child.kill()
  await closed
  t.match(await exit, { signal: 'SIGKILL' })
  await Promise.all(members.map(m => m.died))
})

t.test('what a child leaves behind dies after it, and does not delay its exit for ever', async t => {
  const calls = await rollCall()
  t.teardown(() => calls.close())
  const { child, lines, log, exit } = start(t, ['family.mjs', calls.port, 'leaver', 'stubborn', 'mild'], {
    killGrace: { term: 2500 }
  })
  const members = await calls.members(3)
  const stubborn = members.find(m => m.role === 'stubborn')!
  members.find(m => m.role === 'leaver')?.socket.write('go')
  t.match(await exit, { code: 0 })
  t.ok(exists(stubborn.pid), 'the exit was told although another one still held the output')
  t.same(lines, ['bye'])
  t.equal(log.at(-1), 'exit')
  await child.close()
  await Promise.all(members.map(m => m.died))
  t.equal(exists(child.pid), false)
})

t.test('a child that dies while much is being written to it harms nobody', async t => {
  const { child, log, exit } = start(t, ['echo.mjs'])
  while (child.write(Buffer.alloc(100_000, 'x'))) {}
  process.kill(child.pid!, 'SIGKILL')
  for (let n = 0; n < 100; n++) child.write(Buffer.from('more'))
  t.match(await exit, { code: null, signal: 'SIGKILL' })
  child.endInput()
  child.pause()
  child.resume()
  await child.close()
  t.equal(log.at(-1), 'exit')
})

t.test(
  'arguments reach the command as they are: no shell reads them',
  { skip: process.platform === 'win32' },
  async t => {
    const dir = t.testdir({})
    writeFileSync(`${dir}/tool`, '#!/bin/sh\nprintf "%s\\n" "$1"\n', { mode: 0o755 })
    const { lines, exit } = start(t, [''], { command: `${dir}/tool`, args: ['$(id) `id` ; echo x'] })
    await exit
    t.same(lines, ['$(id) `id` ; echo x'])
  }
)
