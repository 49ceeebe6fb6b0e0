import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readdir, stat, symlink, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import path from 'node:path'
import t, { type Test } from 'tap'
import { FrameBus } from '../../src/tape/bus.ts'
import { LiveFeed, type LiveFeedOptions } from '../../src/tape/live.ts'
import { TapeReader } from '../../src/tape/reader.ts'
import { Redactor } from '../../src/tape/redact.ts'
import { listDescriptions, openRuntimeFolder, readDescription, runtimeFolder } from '../../src/tape/runtime-folder.ts'
import { attach, runningProcesses } from '../../src/tape/watch.ts'
import { collect, folderOf, message, request, software, target } from './fixtures.ts'

const posix = process.platform !== 'win32'

async function feedIn(t: Test, options: Partial<LiveFeedOptions> = {}) {
  const folder = options.folder ?? path.join(await folderOf(t), 'run')
  const bus = new FrameBus()
  const feed = await LiveFeed.open(bus, { target, software, redactor: new Redactor(), folder, ...options })
  t.teardown(() => feed.close())
  return { folder, bus, feed }
}

async function first(folder: string) {
  const [found] = await collect(runningProcesses({ folder, once: true }))
  return found!
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setImmediate(resolve))
}

t.test('a watcher sees what passes, as a tape; before and after, watching costs nothing', async t => {
  const { folder, bus, feed } = await feedIn(t, {
    target: { kind: 'http', url: 'http://u:secret99@h/' },
    url: 'http://127.0.0.1:7890/mcp'
  })
  t.equal(bus.active, false)
  const found = await first(folder)
  t.match(found, { pid: process.pid, target: { url: 'http://[redacted]@h/' }, url: 'http://127.0.0.1:7890/mcp' })
  t.equal(bus.active, false)
  const reader = (await attach(found))!
  t.equal(reader.header.version, 1)
  t.equal(bus.active, true)
  t.equal(feed.watchers, 1)
  for (let i = 0; i < 3; i++) bus.publish(request(i, 'x', { secret: 'secret99' }))
  const seen = []
  for await (const frame of reader) {
    seen.push(frame)
    if (seen.length === 3) break
  }
  t.strictSame(
    seen.map(f => [f.n, JSON.parse(f.text!).id]),
    [
      [1, 0],
      [2, 1],
      [3, 2]
    ]
  )
  t.ok(seen.every(f => f.t >= 0 && !f.text!.includes('secret99')))
  await until(() => !bus.active)
  t.equal(feed.watchers, 0)
})

t.test('folder, socket and description are for their owner alone', { skip: !posix && 'POSIX modes' }, async t => {
  const { folder, feed } = await feedIn(t)
  t.equal((await stat(folder)).mode & 0o777, 0o700)
  t.equal((await stat(feed.socketPath)).mode & 0o777, 0o600)
  for (const name of await listDescriptions(folder)) t.equal((await stat(path.join(folder, name))).mode & 0o777, 0o600)
  await feed.close()
  t.strictSame(await readdir(folder), [])
})

t.test('a runtime folder that others could have made is refused', { skip: !posix && 'POSIX modes' }, async t => {
  const base = await folderOf(t)
  await mkdir(path.join(base, 'open'))
  await chmod(path.join(base, 'open'), 0o755)
  await mkdir(path.join(base, 'real'), { mode: 0o700 })
  await symlink(path.join(base, 'real'), path.join(base, 'link'))
  await writeFile(path.join(base, 'file'), '')
  for (const [name, reason] of [
    ['open', /mode 755/],
    ['link', /symbolic link/],
    ['file', /no folder/]
  ] as const)
    await t.rejects(openRuntimeFolder(path.join(base, name)), { code: 'runtime_folder', message: reason })
  const long = path.join(base, 'x'.repeat(120))
  await t.rejects(feedIn(t, { folder: long }), { code: 'runtime_folder', message: /too long/ })
})

t.test('who does not know the key gets nothing', async t => {
  const { bus, feed } = await feedIn(t)
  for (const greeting of ['wrong\n', 'x'.repeat(1000), '\n']) {
    const socket = connect(feed.socketPath)
    let got = 0
    socket.on('data', data => {
      got += data.length
    })
    socket.on('error', () => {})
    socket.write(greeting)
    await once(socket, 'close')
    t.equal(got, 0)
  }
  t.equal(bus.active, false)
})

t.test('a slow watcher loses frames and is told how many; a quick one and the traffic do not notice', async t => {
  const { folder, bus, feed } = await feedIn(t, { maxQueueBytes: 300_000 })
  const found = await first(folder)
  const slow = connect(found.socket)
  t.teardown(() => slow.destroy())
  slow.pause()
  slow.write(`${found.key}\n`)
  await until(() => feed.watchers === 1)
  const quick = (await attach(found))!
  const total = 400
  const sent = (async () => {
    for (let i = 0; i < total; i++) {
      bus.publish(message({ i, pad: 'x'.repeat(20_000) }))
      t.equal(bus.blocked(), undefined)
      await new Promise(resolve => setImmediate(resolve))
      await new Promise(resolve => setImmediate(resolve))
    }
  })()
  let seen = 0
  let lost = 0
  for await (const frame of quick) {
    if (frame.note === 'dropped') lost += frame.data!.count as number
    else seen++
    if (seen + lost === total) break
  }
  await sent
  const late = await TapeReader.from(slow as AsyncIterable<Buffer>, 'slow')
  let got = 0
  let missing = 0
  let last = 0
  for await (const frame of late) {
    t.ok(frame.n > last)
    last = frame.n
    if (frame.note === 'dropped') missing += frame.data!.count as number
    else got++
    if (got + missing === total) break
  }
  t.equal(got + missing, total)
  t.ok(missing > 0, `${missing} lost`)
})

t.test('what a killed process left behind is removed by the next; what lives stays', async t => {
  const { folder } = await feedIn(t)
  const script = `
    import { LiveFeed } from ${JSON.stringify(new URL('../../src/tape/live.ts', import.meta.url).href)}
    import { FrameBus } from ${JSON.stringify(new URL('../../src/tape/bus.ts', import.meta.url).href)}
    import { Redactor } from ${JSON.stringify(new URL('../../src/tape/redact.ts', import.meta.url).href)}
    await LiveFeed.open(new FrameBus(), { target: { kind: 'x' }, software: { name: 'x', version: '0' }, redactor: new Redactor(), folder: ${JSON.stringify(folder)} })
    console.log('ready')
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  t.equal((await listDescriptions(folder)).length, 2)
  child.kill('SIGKILL')
  await once(child, 'exit')
  await feedIn(t, { folder })
  const alive = await listDescriptions(folder)
  t.equal(alive.length, 2)
  for (const name of alive) t.equal((await readDescription(path.join(folder, name)))?.pid, process.pid)
  if (posix) t.equal((await readdir(folder)).filter(n => n.endsWith('.sock')).length, 2)
})

t.test('processes that start later are found; close ends the stream of who watches', async t => {
  const folder = path.join(await folderOf(t), 'run')
  const stop = new AbortController()
  const processes = runningProcesses({ folder, signal: stop.signal })
  const finding = processes.next()
  const { feed, bus } = await feedIn(t, { folder })
  const found = (await finding).value!
  t.equal(found.pid, process.pid)
  const reader = (await attach(found, stop.signal))!
  bus.publish(request(1, 'last'))
  await feed.close()
  t.equal((await collect(reader)).length, 1, 'what was published is still delivered')
  t.equal(bus.active, false)
  t.equal(await attach(found), undefined, 'gone')
  const ending = processes.next()
  stop.abort()
  t.equal((await ending).done, true)
})

t.test('more watchers than allowed are turned away', async t => {
  const { folder, feed } = await feedIn(t, { maxWatchers: 1 })
  const found = await first(folder)
  const one = (await attach(found))!
  await t.rejects(attach(found) as Promise<unknown>, { code: 'tape_malformed' })
  t.equal(feed.watchers, 1)
  await one.close()
})

t.test('the runtime folder follows the platform', async t => {
  t.equal(runtimeFolder({ XDG_RUNTIME_DIR: '/run/user/7' }, 'linux'), '/run/user/7/catflap')
  t.match(runtimeFolder({}, 'linux'), /catflap-\w+$/)
  t.equal(runtimeFolder({ LOCALAPPDATA: 'C:\\L' }, 'win32'), 'C:\\L\\catflap\\run')
})
