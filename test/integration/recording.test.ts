/** Recording and watching with the real command line, and what is then on the tape. */
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { createForward } from '../../src/index.ts'
import type { TapeFrame } from '../../src/tape/format.ts'
import { TapeReader } from '../../src/tape/reader.ts'
import { validateTape } from '../../src/tape/validate.ts'
import { startHttpServer } from '../fixtures/servers/http-server.ts'
import { echo, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { runCatflap, startCatflap } from '../helpers/catflap.ts'
import { connectHttp, connectStdio, HANDLERS } from '../helpers/clients.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { openSse, rawPost } from '../helpers/raw-client.ts'
import { initialize, notification, rpc, toolCall } from '../helpers/rpc.ts'
import { fixtureArgv } from '../helpers/stdio-peer.ts'

async function framesOf(file: string): Promise<TapeFrame[]> {
  const frames: TapeFrame[] = []
  for await (const frame of await TapeReader.open(file)) frames.push(frame)
  return frames
}

async function faults(file: string): Promise<unknown[]> {
  const out: unknown[] = []
  for await (const finding of validateTape(file)) out.push(finding)
  return out
}

const texts = (frames: readonly TapeFrame[], side: string, dir: string): (string | undefined)[] =>
  frames.filter(f => f.side === side && f.dir === dir && f.kind === 'message').map(f => f.text)

t.test('a conversation is on the tape as it was said, each stream in order, and the tape is valid', async t => {
  trackLeaks(t)
  const server = await startHttpServer({ mode: 'stateful' })
  t.teardown(() => server.close())
  const tape = path.join(t.testdir(), 'a.tape.jsonl')
  const catflap = await startCatflap(['forward', '--listen', '0', '--record', tape, server.url])
  t.teardown(() => catflap.kill9())
  const { client, listening, terminate, close } = await connectHttp(catflap.url, {
    capabilities: { elicitation: {}, sampling: {}, roots: {} },
    handlers: HANDLERS
  })
  await listening()
  await client.callTool({ name: 'progress', arguments: { n: 3 } }, { onprogress: () => {} })
  await client.callTool({ name: 'elicit', arguments: { message: 'which?', via: 'call' } })
  await client.callTool({ name: 'sample', arguments: { message: 'say', via: 'session' } })
  await terminate()
  await close()
  t.same(await catflap.close(), { code: 0, signal: null })
  t.same(await faults(tape), [])
  t.equal((await stat(tape)).mode & 0o777, 0o600)
  const frames = await framesOf(tape)
  const handles = new Set(frames.map(f => f.session).filter(s => s !== undefined))
  t.equal(handles.size, 1, 'one session, under its handle from the first frame on')
  t.ok(frames.every(f => f.session !== undefined || f.kind === 'note'))
  const call = frames.find(f => f.dir === 'up' && f.text?.includes('"progress"'))!
  const stream = frames.filter(f => f.stream === call.stream)
  t.same(
    stream.map(f => (f.text ? (JSON.parse(f.text).method ?? 'answer') : f.kind)),
    ['tools/call', 'head', ...Array(3).fill('notifications/progress'), 'answer', 'end']
  )
  const asked = frames.find(f => f.text?.includes('elicitation/create'))!
  t.match(asked.stream, /^post-/, 'asked on the stream of its call')
  t.match(
    frames.find(f => f.text?.includes('sampling/createMessage'))!.stream,
    /^get-/,
    'asked on the stream of the session'
  )
  t.ok(frames.findIndex(f => f.kind === 'note' && f.note === 'session-end') > 0)
})

t.test('bytes on the tape are the bytes on the wire', async t => {
  trackLeaks(t)
  const upstream = await startRawHttp(echo)
  t.teardown(() => upstream.close())
  const file = path.join(t.testdir(), 'b.tape.jsonl')
  const forward = await createForward({ target: { url: upstream.url }, record: { path: file } })
  t.teardown(() => forward.close())
  const sent =
    '{ "id" : 9007199254740993,"method":"x\\u0079","jsonrpc":"2.0","params":{"a":1.0,"a":"é\\ud83d\\ude00"}\n}'
  const { text } = await rawPost(forward.url!, sent)
  await forward.close()
  const frames = await framesOf(file)
  t.same(texts(frames, 'client', 'up'), [sent])
  t.same(texts(frames, 'client', 'down'), [text])
})

t.test('where the two sides differ, the tape has both', async t => {
  trackLeaks(t)
  const tape = path.join(t.testdir(), 'c.tape.jsonl')
  const args = [
    'forward',
    '--stdio',
    '--record',
    tape,
    '--',
    ...fixtureArgv('raw-stdio.ts', '--handshake', '--reverse', '2')
  ]
  const catflap = runCatflap(args)
  catflap.send(initialize())
  await catflap.nextMessage()
  catflap.send(rpc(5, 'first'))
  catflap.send(rpc(5, 'second'))
  t.same([(await catflap.nextMessage()).id, (await catflap.nextMessage()).id], [5, 5])
  catflap.proc.stdin.end()
  await catflap.exit
  const frames = await framesOf(tape)
  const up = texts(frames, 'server', 'up').map(text => JSON.parse(text!))
  t.equal(up.length, 1, 'of two equal ids one had to change')
  t.equal(up[0].method, 'second')
  t.not(up[0].id, 5)
  t.same(
    texts(frames, 'server', 'down').map(text => JSON.parse(text!).id),
    [up[0].id]
  )
  t.same(
    texts(frames, 'client', 'up').map(text => JSON.parse(text!).id),
    [0, 5, 5]
  )
})

t.test('a folder gets one tape a session, each whole', async t => {
  trackLeaks(t)
  const server = await startHttpServer({ mode: 'stateful' })
  t.teardown(() => server.close())
  const folder = path.join(t.testdir(), 'tapes/')
  const forward = await createForward({ target: { url: server.url }, record: { path: folder } })
  t.teardown(() => forward.close())
  for (const name of ['one', 'two']) {
    const { client, terminate, close } = await connectHttp(forward.url!)
    await client.callTool({ name: 'echo', arguments: { name } })
    await terminate()
    await close()
  }
  await forward.close()
  const files = (await readdir(folder)).filter(f => f.includes('s-'))
  t.equal(files.length, 2)
  for (const file of files) {
    const methods = texts(await framesOf(path.join(folder, file)), 'client', 'up').map(text => JSON.parse(text!).method)
    t.same(methods.slice(0, 2), ['initialize', 'notifications/initialized'])
    t.ok(methods.includes('tools/call'))
  }
})

t.test(
  'a full disk stops the recording, loudly, and not the traffic',
  { skip: process.platform !== 'linux' && 'needs /dev/full' },
  async t => {
    trackLeaks(t)
    const upstream = await startRawHttp(echo)
    t.teardown(() => upstream.close())
    const catflap = await startCatflap(['forward', '--listen', '0', '--record', '/dev/full', upstream.url])
    t.teardown(() => catflap.kill9())
    for (let i = 0; i < 5; i++) t.equal((await rawPost(catflap.url, rpc(i, 'x'))).status, 200)
    const event = await catflap.events.until(e => e.event === 'recording-stopped')
    t.match(event.text, /ENOSPC|no space/i)
    t.equal((await rawPost(catflap.url, rpc(9, 'x'))).status, 200)
    t.same(await catflap.close(), { code: 0, signal: null })
  }
)

t.test('catflap tail shows the traffic of a proxy that runs, and its JSON is a tape', async t => {
  trackLeaks(t)
  // Not a test folder: the path of a socket must be short.
  const dir = await mkdtemp(path.join(tmpdir(), 'cf-'))
  t.teardown(() => rm(dir, { recursive: true }))
  const env = { XDG_RUNTIME_DIR: dir }
  const tail = runCatflap(['tail', '--json'], { env, json: false })
  t.teardown(() => tail.kill9())
  const tape = fixtureArgv('raw-stdio.ts', '--handshake')
  const catflap = await startCatflap(['forward', '--listen', '0', '--', ...tape], { env })
  t.teardown(() => catflap.kill9())
  await tail.stderr.until(line => line.startsWith('watching catflap'))
  const { headers } = await rawPost(catflap.url, initialize())
  const session = { 'Mcp-Session-Id': String(headers['mcp-session-id']) }
  await rawPost(catflap.url, notification('notifications/initialized'), session)
  await rawPost(catflap.url, toolCall(1, 'seen', { a: 1 }), session)
  const line = await tail.stdout.until(l => l.includes('"dir":"up"') && l.includes('seen'))
  t.match(JSON.parse(line), { side: 'client', kind: 'message' })
  t.match(JSON.parse(tail.stdout.items[0]!), { catflap: 'tape', version: 1 })
  t.notOk(
    tail.stdout.items.some(l => l.includes(session['Mcp-Session-Id'])),
    'no session id'
  )
  t.same(await catflap.close(), { code: 0, signal: null })
  t.same(await tail.close(), { code: 0, signal: null })
})

t.test('kill -9 leaves a tape that reads, with what was said before', async t => {
  trackLeaks(t)
  const upstream = await startRawHttp(x => {
    x.sse()
    x.sendMessage({ jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken: 1, progress: 1 } })
  })
  t.teardown(() => upstream.close())
  const tape = path.join(t.testdir(), 'k.tape.jsonl')
  const catflap = await startCatflap(['forward', '--listen', '0', '--record', tape, upstream.url])
  const stream = await openSse(catflap.url, { method: 'POST', body: rpc(1, 'long') })
  await stream.next()
  const reader = await TapeReader.open(tape, { follow: true })
  for await (const frame of reader) if (frame.text?.includes('notifications/progress')) break
  await catflap.kill9()
  t.same(
    (await faults(tape)).filter(f => (f as { severity: string }).severity === 'error'),
    []
  )
  t.match(await readFile(tape, 'utf8'), /"method\\":\\"long/)
})

t.test('a server without sessions gets a tape of its own for its first initialize at most', async t => {
  trackLeaks(t)
  const server = await startRawHttp(echo)
  t.teardown(() => server.close())
  const folder = `${path.join(t.testdir(), 'tapes')}/`
  const door = await createForward({ target: { url: server.url }, record: { path: folder } })
  for (let i = 0; i < 5; i++) t.equal((await rawPost(door.url!, initialize(i))).status, 200)
  await door.close()
  t.equal((await readdir(folder)).length, 2, 'one from before this was known, one for all that is outside sessions')
})

t.test('clients that start the command twice, and start it again, each get a server and a tape', async t => {
  trackLeaks(t)
  const folder = t.testdir()
  const tape = path.join(folder, 'x.tape.jsonl')
  const entry = fileURLToPath(new URL('../../bin/catflap.ts', import.meta.url))
  const args = ['--no-warnings', entry, 'forward', '--stdio', '--record', tape, '--', ...fixtureArgv('stdio-server.ts')]
  for (const era of ['auto', 'modern'] as const) {
    const { client, close } = await connectStdio({ args, era })
    t.ok((await client.listTools()).tools.length > 0, era)
    await close()
  }
  const tapes = (await readdir(folder)).sort()
  t.ok(tapes.length >= 2 && tapes.includes('x.tape.jsonl') && tapes.includes('x-2.tape.jsonl'), tapes.join(' '))
  for (const name of tapes) t.same(await faults(path.join(folder, name)), [], name)
})
