import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, mkdir, readdir, readFile, readlink, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { FrameBus } from '../../src/tape/bus.ts'
import { TapeReader } from '../../src/tape/reader.ts'
import { defaultTapeFolder, slugOf } from '../../src/tape/tape-folder.ts'
import { answer, collect, folderOf, linesOf, message, note, recorderAt, request } from './fixtures.ts'

const posix = process.platform !== 'win32'

t.test('frames go to a new file of its owner alone, in order, numbered and timed', async t => {
  const file = path.join(await folderOf(t), 'a.tape.jsonl')
  const recorder = await recorderAt(file)
  for (let i = 0; i < 2000; i++) recorder.frame(request(i, 'x'))
  await recorder.close()
  const lines = await linesOf(file)
  t.strictSame(
    lines.map(l => l.n),
    Array.from({ length: 2000 }, (_, i) => i + 1)
  )
  t.ok(lines.every((l, i) => JSON.parse(l.text!).id === i))
  t.ok(lines.every((l, i) => i === 0 || l.t >= lines[i - 1]!.t))
  if (posix) t.equal((await stat(file)).mode & 0o777, 0o600)
  const { size } = await stat(file)
  t.strictSame(recorder.stats, { frames: 2000, bytes: size, drops: 0, queued: 0 })
  recorder.frame(request(1, 'late'))
  await recorder.close()
  t.equal((await stat(file)).size, size, 'closed is closed')
})

t.test('frames are queued until they are written, encoded or not', async t => {
  const file = path.join(await folderOf(t), 'a.tape.jsonl')
  const recorder = await recorderAt(file)
  for (let i = 0; i < 100; i++) recorder.frame(request(i, 'x'))
  t.equal(recorder.stats.queued, 100)
  await recorder.flush()
  t.equal(recorder.stats.queued, 0)
  t.equal((await linesOf(file)).length, 100)
  await recorder.close()
})

t.test('order holds where a message in between has to be hashed first', async t => {
  const file = path.join(await folderOf(t), 'a.tape.jsonl')
  const recorder = await recorderAt(file, { maxMessage: 1000 })
  for (let i = 0; i < 300; i++) recorder.frame(request(i, 'x', i % 50 === 7 ? { pad: 'x'.repeat(5000) } : {}))
  await recorder.close()
  const lines = await linesOf(file)
  t.ok(lines.every((l, i) => l.n === i + 1 && l.text!.startsWith(`{"jsonrpc":"2.0","id":${i},`)))
  t.equal(lines.filter(l => l.truncated).length, 6)
})

t.test('a frame is on disk without anybody flushing', async t => {
  const file = path.join(await folderOf(t), 'a.tape.jsonl')
  const recorder = await recorderAt(file)
  t.teardown(() => recorder.close())
  const stop = new AbortController()
  const started = performance.now()
  recorder.frame(request(1, 'x'))
  for await (const frame of await TapeReader.open(file, { follow: true, signal: stop.signal })) {
    t.equal(frame.n, 1)
    break
  }
  t.ok(performance.now() - started < 1000)
})

t.test(
  'recording never overwrites: beside a file that is not empty comes one with a number, an empty one is taken and made private',
  async t => {
    const folder = await folderOf(t)
    const file = path.join(folder, 'a.tape.jsonl')
    await writeFile(file, 'precious')
    for (const name of ['a-2.tape.jsonl', 'a-3.tape.jsonl']) {
      const beside = await recorderAt(file)
      t.equal(beside.path, path.join(folder, name))
      await beside.close()
    }
    t.equal(await readFile(file, 'utf8'), 'precious')
    const empty = path.join(folder, 'b.tape.jsonl')
    await writeFile(empty, '')
    await chmod(empty, 0o644)
    await (await recorderAt(empty)).close()
    if (posix) t.equal((await stat(empty)).mode & 0o777, 0o600)
    t.match(await readFile(empty, 'utf8'), /^\{"catflap":"tape","version":1,.*\}\n$/)
    await t.rejects(recorderAt(path.join(folder, 'none', 'a.tape.jsonl')), { code: 'tape_unwritable' })
  }
)

t.test('block: traffic waits while the queue is full and goes on at half', async t => {
  const file = path.join(await folderOf(t), 'a.tape.jsonl')
  const recorder = await recorderAt(file, { maxQueueBytes: 50_000 })
  const bus = new FrameBus()
  bus.subscribe(recorder)
  t.equal(bus.blocked(), undefined)
  let waits = 0
  for (let i = 0; i < 500; i++) {
    bus.publish(message({ i, pad: 'x'.repeat(2000) }))
    const blocked = bus.blocked()
    if (blocked) {
      t.equal(recorder.full, true)
      waits++
      await blocked
      t.equal(recorder.full, false)
    }
  }
  await recorder.close()
  t.ok(waits > 5, `${waits} waits`)
  t.equal((await linesOf(file)).length, 500)
})

t.test('drop: what does not fit is counted and marked where it is missing', async t => {
  const file = path.join(await folderOf(t), 'a.tape.jsonl')
  const recorder = await recorderAt(file, { maxQueueBytes: 10_000, overflow: 'drop' })
  for (let i = 0; i < 50; i++) recorder.frame(message({ i, pad: 'x'.repeat(1000) }, { session: i % 2 ? 's1' : 's2' }))
  t.equal(recorder.full, false)
  const { drops } = recorder.stats
  t.ok(drops > 30)
  await recorder.flush()
  recorder.frame(message({ last: true }))
  await recorder.close()
  const lines = await linesOf(file)
  const marks = lines.filter(l => l.note === 'dropped')
  t.equal(
    marks.reduce((sum, m) => sum + (m.data!.count as number), 0),
    drops
  )
  t.same(new Set(marks.map(m => m.session)), new Set(['s1', 's2']))
  t.equal(lines.indexOf(marks[0]!), 50 - drops, 'right behind the last frame that fitted')
  t.match(lines.at(-1), { text: '{"last":true}' })
})

t.test('one message larger than the queue is recorded all the same', async t => {
  const file = path.join(await folderOf(t), 'a.tape.jsonl')
  const recorder = await recorderAt(file, { maxQueueBytes: 1000, overflow: 'drop' })
  recorder.frame(message({ pad: 'x'.repeat(5000) }))
  await recorder.close()
  t.equal((await linesOf(file))[0]!.text!.length, 5010)
})

t.test('an oversized message is kept as a prefix with length and SHA-256', async t => {
  const file = path.join(await folderOf(t), 'a.tape.jsonl')
  const recorder = await recorderAt(file, { maxMessage: 100_000 })
  const big = message({ pad: 'ä'.repeat(200_000) })
  recorder.frame(big)
  recorder.frame(message({ pad: 'x'.repeat(99_000) }))
  await recorder.close()
  const [first, second] = await linesOf(file)
  t.strictSame(first!.truncated, {
    length: big.bytes!.length,
    sha256: createHash('sha256').update(big.bytes!).digest('hex')
  })
  t.ok(Buffer.byteLength(first!.text!) > 65_530 && Buffer.byteLength(first!.text!) <= 65_536)
  t.ok(big.bytes!.toString().startsWith(first!.text!))
  t.equal(second!.truncated, undefined)
})

t.test(
  'a full disk stops the recording once and loudly, and blocks nobody',
  { skip: !existsSync('/dev/full') && 'this system has no /dev/full' },
  async t => {
    const reasons: string[] = []
    const recorder = await recorderAt('/dev/full', { maxQueueBytes: 10_000, onError: reason => reasons.push(reason) })
    const bus = new FrameBus()
    bus.subscribe(recorder)
    for (let i = 0; i < 200; i++) {
      bus.publish(message({ i, pad: 'x'.repeat(1000) }))
      await bus.blocked()
    }
    await recorder.flush()
    t.equal(reasons.length, 1)
    t.match(reasons[0], /ENOSPC/)
    t.strictSame([recorder.failed, recorder.full, recorder.stats.queued], [true, false, 0])
    await recorder.close()
    t.equal(reasons.length, 1)
  }
)

t.test('a folder gets one tape a session, and one for what belongs to none', async t => {
  const folder = path.join(await folderOf(t), 'tapes', 'deep')
  const recorder = await recorderAt(`${folder}/`)
  recorder.frame(request(1, 'server/discover'))
  recorder.frame(note('session-start', 'begins', { session: 's1' }))
  recorder.frame(request(1, 'a', {}, { session: 's1' }))
  recorder.frame(request(1, 'b', {}, { session: 's2' }))
  recorder.frame(note('session-end', 'ended', { session: 's1' }))
  await recorder.flush()
  recorder.frame(answer(1, {}, { session: 's1' }))
  await recorder.close()
  const names = (await readdir(folder)).sort()
  t.equal(names.length, 3)
  if (posix) t.equal((await stat(folder)).mode & 0o777, 0o700)
  const s1 = names.find(n => n.endsWith('-s1.tape.jsonl'))!
  t.match(s1, /^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ-localhost-3001-mcp-s1\.tape\.jsonl$/)
  const reader = await TapeReader.open(path.join(folder, s1))
  t.equal(reader.header.session, 's1')
  t.strictSame(
    (await collect(reader)).map(f => [f.n, f.note ?? f.kind]),
    [
      [1, 'session-start'],
      [2, 'message'],
      [3, 'session-end'],
      [4, 'message']
    ]
  )
  t.ok(names.some(n => n.includes(`-p${process.pid}.tape`)))
  if (posix) for (const name of names) t.equal((await stat(path.join(folder, name))).mode & 0o777, 0o600)
})

t.test(
  'many sessions need few descriptors',
  { skip: process.platform !== 'linux' && 'counts descriptors in /proc' },
  async t => {
    const folder = path.join(await folderOf(t), 'tapes')
    await mkdir(folder)
    const recorder = await recorderAt(folder, { maxOpenFiles: 4 })
    const before = (await readdir('/proc/self/fd')).length
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 100; i++) recorder.frame(request(round, 'x', {}, { session: `s${i}` }))
      await recorder.flush()
      t.ok((await readdir('/proc/self/fd')).length <= before + 6)
    }
    await recorder.close()
    const names = await readdir(folder)
    t.equal(names.length, 100)
    for (const name of names.slice(0, 5)) t.equal((await linesOf(path.join(folder, name))).length, 3)
  }
)

t.test(
  'what comes of an ended session while its end is being written leaves no descriptor behind',
  { skip: process.platform !== 'linux' && 'looks into /proc' },
  async t => {
    const folder = path.join(await folderOf(t), 'tapes')
    const recorder = await recorderAt(`${folder}/`)
    const s1 = { session: 's1' }
    recorder.frame(request(0, 'x', {}, s1))
    await recorder.flush()
    // As many as are written at once, and some more.
    for (let i = 1; i < 512; i++) recorder.frame(request(i, 'x', {}, s1))
    recorder.frame(note('session-end', 'ended', s1))
    for (let i = 512; i < 600; i++) recorder.frame(request(i, 'x', {}, s1))
    await recorder.close()
    const fds = await readdir('/proc/self/fd')
    const open = await Promise.all(fds.map(fd => readlink(`/proc/self/fd/${fd}`).catch(() => '')))
    t.strictSame(
      open.filter(name => name.startsWith(folder)),
      []
    )
    const [name] = await readdir(folder)
    t.strictSame(
      (await linesOf(path.join(folder, name!))).map(l => l.n),
      Array.from({ length: 601 }, (_, i) => i + 1)
    )
  }
)

t.test('kill -9 loses at most the last second, and the tape is readable', async t => {
  const file = path.join(await folderOf(t), 'a.tape.jsonl')
  const child = spawn(process.execPath, [fileURLToPath(new URL('kill-fixture.ts', import.meta.url)), file], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const said: [id: number, at: number][] = []
  for await (const line of createInterface({ input: child.stdout })) {
    said.push(line.split(' ').map(Number) as [number, number])
    if (said.at(-1)![1] - said[0]![1] > 1500) break
  }
  const killed = Date.now()
  child.kill('SIGKILL')
  await once(child, 'exit')
  const frames = await collect(await TapeReader.open(file))
  const due = said.findLast(([, at]) => at <= killed - 1000)![0]
  t.ok(frames.length >= due, `${frames.length} frames on the tape, ${due} were due, ${said.at(-1)![0]} handed over`)
  t.ok(frames.every((f, i) => f.n === i + 1))
})

t.test('the default folder follows the platform', async t => {
  t.equal(defaultTapeFolder({ HOME: '/home/a' }, 'linux'), '/home/a/.local/state/catflap/tapes')
  t.equal(defaultTapeFolder({ HOME: '/home/a', XDG_STATE_HOME: '/s' }, 'linux'), '/s/catflap/tapes')
  t.equal(defaultTapeFolder({ HOME: '/home/a', XDG_STATE_HOME: 's' }, 'linux'), '/home/a/.local/state/catflap/tapes')
  t.equal(defaultTapeFolder({ HOME: '/Users/a' }, 'darwin'), '/Users/a/Library/Application Support/catflap/tapes')
  t.equal(defaultTapeFolder({ LOCALAPPDATA: 'C:\\L' }, 'win32'), 'C:\\L\\catflap\\tapes')
})

t.test('names of tapes tell the server and hold nothing odd', async t => {
  t.equal(
    slugOf({ kind: 'stdio', argv: ['npx', '-y', '@modelcontextprotocol/server-everything'] }),
    'npx-server-everything'
  )
  t.equal(slugOf({ kind: 'stdio', argv: ['C:\\x\\node.exe', './a/server.js', '[redacted]'] }), 'node-server')
  t.equal(slugOf({ kind: 'http', url: 'https://[redacted]@api.example.com/mcp?x=[redacted]' }), 'api.example.com-mcp')
  t.equal(slugOf({ kind: 'stdio', argv: ['../../..'] }), 'target')
})
