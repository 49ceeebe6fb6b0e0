import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { FrameBus } from '../../src/tape/bus.ts'
import { LiveFeed } from '../../src/tape/live.ts'
import { TapeReader } from '../../src/tape/reader.ts'
import { Redactor } from '../../src/tape/redact.ts'
import { openRuntimeFolder } from '../../src/tape/runtime-folder.ts'
import {
  answer,
  chunksOf,
  collect,
  folderOf,
  message,
  note,
  recorderAt,
  request,
  software,
  target
} from './fixtures.ts'

const posix = process.platform !== 'win32'
const cli = fileURLToPath(new URL('cli-fixture.ts', import.meta.url))

function start(t: Test, args: string[], env: NodeJS.ProcessEnv = {}) {
  const child = spawn(process.execPath, [cli, ...args], {
    env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined, ...env }
  })
  t.teardown(() => child.kill('SIGKILL'))
  return child
}

async function run(t: Test, args: string[], input?: string) {
  const child = start(t, args)
  child.stdin.on('error', () => {})
  child.stdin.end(input ?? '')
  const [out, err, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit') as Promise<[number]>
  ])
  return { out, err, code }
}

async function sample(t: Test): Promise<string> {
  const file = path.join(await folderOf(t), 'a.tape.jsonl')
  const recorder = await recorderAt(file)
  for (let i = 1; i <= 3; i++) {
    recorder.frame(request(i, 'tools/call', { name: `tool-${i}` }, { session: `s${i}`, stream: `post-${i}` }))
    recorder.frame(answer(i, { said: '\x1b[31mred' }, { session: `s${i}`, stream: `post-${i}` }))
  }
  recorder.frame(note('stderr', 'hello'))
  await recorder.close()
  return file
}

t.test('show: lines, filters, JSON that is a tape again, standard input', async t => {
  const file = await sample(t)
  const all = await run(t, ['tape', 'show', file])
  t.strictSame([all.code, all.err, all.out.trimEnd().split('\n').length], [0, '', 7])
  t.notMatch(all.out, '\x1b')
  t.match(all.out, /tools\/call tool-2 #2 [\d.]+ ms/)
  const filtered = await run(t, ['tape', 'show', file, '--session', 's2', '--method', 'tools/*', '--direction', 'down'])
  t.equal(filtered.out.trimEnd().split('\n').length, 1)
  const json = await run(t, ['tape', 'show', '-', '--json', '--grep', 'tool-[13]'], await readFile(file, 'utf8'))
  const back = await TapeReader.from(chunksOf(json.out), 'x')
  t.strictSame(
    (await collect(back)).map(f => f.n),
    [1, 5]
  )
})

t.test('show --follow goes on as the tape grows, until Ctrl-C', { skip: !posix && 'signals' }, async t => {
  const file = await sample(t)
  const child = start(t, ['tape', 'show', file, '--follow'])
  let lines = 0
  for await (const _ of createInterface({ input: child.stdout })) {
    lines++
    if (lines === 7)
      await appendFile(file, '{"n":8,"t":9,"side":"client","dir":"up","kind":"open","http":{"method":"GET"}}\n')
    if (lines === 8) child.kill('SIGINT')
  }
  t.equal(lines, 8)
  t.strictSame(child.exitCode ?? (await once(child, 'exit'))[0], 0)
})

t.test('a torn tape is shown and said to be torn; validate finds it valid with a warning', async t => {
  const file = await sample(t)
  await appendFile(file, '{"n":8,"t":')
  const shown = await run(t, ['tape', 'show', file])
  t.strictSame([shown.code, shown.out.trimEnd().split('\n').length], [0, 7])
  t.match(shown.err, /a\.tape\.jsonl:9: torn last line/)
  const checked = await run(t, ['tape', 'validate', file])
  t.equal(checked.code, 0)
  t.match(checked.out, /:9: warning: torn/)
})

t.test('exit codes: 0, 1 with a one-line reason, 2 for wrong usage', async t => {
  const file = await sample(t)
  t.equal((await run(t, ['tape', 'validate', file])).code, 0)
  const bad = path.join(path.dirname(file), 'bad.tape.jsonl')
  await writeFile(bad, `${(await readFile(file, 'utf8')).split('\n')[0]}\n{"n":"\x1b[2J"}\n`)
  const invalid = await run(t, ['tape', 'validate', bad])
  t.equal(invalid.code, 1)
  t.match(invalid.out, /bad\.tape\.jsonl:2: /)
  t.notMatch(invalid.out, '\x1b')
  for (const args of [
    ['tape', 'show', '/nowhere'],
    ['tape', 'show', bad],
    ['tape', 'ls', '/nowhere']
  ]) {
    const failed = await run(t, args)
    t.equal(failed.code, 1, args.join(' '))
    t.match(failed.err, /^catflap: [^\n]+\n$/)
  }
  for (const args of [
    ['tape'],
    ['tape', 'show'],
    ['tape', 'show', file, '--grep', '('],
    ['tape', 'show', file, '--direction', 'left'],
    ['tape', 'show', file, '--nonsense'],
    ['tail', '--pid', '1', '--once']
  ])
    t.equal((await run(t, args)).code, 2, args.join(' '))
  for (const args of [
    ['tape', 'ls', '--help'],
    ['tape', 'show', '--help'],
    ['tape', 'validate', '--help'],
    ['tail', '--help']
  ])
    t.match((await run(t, args)).out, /Examples:/)
})

t.test('ls: the tapes of a folder at a glance', async t => {
  const file = await sample(t)
  await writeFile(path.join(path.dirname(file), 'b.tape.jsonl'), 'no tape')
  const { out, code } = await run(t, ['tape', 'ls', path.dirname(file)])
  t.equal(code, 0)
  t.match(out, /7 frames .*a\.tape\.jsonl {2}http:\/\/localhost:3001\/mcp\n.*b\.tape\.jsonl {2}.*not a catflap tape/)
})

t.test('a reader that goes away is a quiet end', { skip: !posix && 'EPIPE' }, async t => {
  const file = path.join(await folderOf(t), 'a.tape.jsonl')
  const recorder = await recorderAt(file)
  for (let i = 0; i < 20_000; i++) recorder.frame(message({ i, pad: 'x'.repeat(200) }))
  await recorder.close()
  const child = start(t, ['tape', 'show', file])
  child.stdout.once('data', () => child.stdout.destroy())
  const [err, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')])
  t.strictSame([code, err], [0, ''])
})

async function feedIn(t: Test, folder: string) {
  const bus = new FrameBus()
  const feed = await LiveFeed.open(bus, {
    target,
    software,
    redactor: new Redactor(),
    folder: path.join(folder, 'catflap')
  })
  t.teardown(() => feed.close())
  return { bus, feed }
}

async function says(child: ChildProcess, pattern: RegExp): Promise<void> {
  let all = ''
  for await (const [data] of on(child.stderr!)) {
    all += data
    if (pattern.test(all)) return
  }
}

async function* on(stream: NodeJS.ReadableStream): AsyncGenerator<[string], void, void> {
  for (;;) yield (await once(stream, 'data')).map(String) as [string]
}

t.test('tail waits for a catflap, shows what passes, and ends with Ctrl-C', { skip: !posix && 'signals' }, async t => {
  const folder = await folderOf(t)
  const child = start(t, ['tail'], { XDG_RUNTIME_DIR: folder })
  await says(child, /no catflap is running; waiting/)
  const { bus, feed } = await feedIn(t, folder)
  await says(child, /watching catflap \d+: http:\/\/localhost:3001\/mcp/)
  t.equal(feed.watchers, 1)
  bus.publish(request(1, 'tools/list'))
  const [line] = (await once(createInterface({ input: child.stdout! }), 'line')) as [string]
  t.match(line, /^\d\d:\d\d:\d\d\.\d{3} .*client → tools\/list #1/)
  child.kill('SIGINT')
  t.equal((await once(child, 'exit'))[0], 0)
})

t.test('tail --json of several processes is one tape', { skip: !posix && 'signals' }, async t => {
  const folder = await folderOf(t)
  const one = await feedIn(t, folder)
  const two = await feedIn(t, folder)
  const child = start(t, ['tail', '--json', '--once'], { XDG_RUNTIME_DIR: folder })
  await says(child, /watching[\s\S]*watching/)
  for (let i = 0; i < 5; i++) {
    one.bus.publish(request(i, 'a', {}, { session: 's1' }))
    two.bus.publish(request(i, 'b', {}, { session: 's1' }))
  }
  const whole = text(child.stdout!)
  await one.feed.close()
  await two.feed.close()
  const frames = await collect(await TapeReader.from(chunksOf(await whole), 'tail'))
  t.equal(child.exitCode ?? (await once(child, 'exit'))[0], 0)
  t.strictSame(
    frames.map(f => f.n),
    Array.from({ length: 10 }, (_, i) => i + 1)
  )
})

t.test(
  'tail --pid and --once say when nobody is there',
  { skip: !posix && 'runtime folder by XDG_RUNTIME_DIR' },
  async t => {
    const folder = await folderOf(t)
    await mkdir(path.join(folder, 'x'))
    await openRuntimeFolder(path.join(folder, 'catflap'))
    for (const args of [
      ['tail', '--once'],
      ['tail', '--pid', '1']
    ]) {
      const child = start(t, args, { XDG_RUNTIME_DIR: folder })
      const [err, [code]] = await Promise.all([text(child.stderr!), once(child, 'exit')])
      t.equal(code, 1)
      t.match(err, /^catflap: no catflap/)
    }
  }
)
