/** Clients on HTTP+SSE and the tape: every message once, on its stream, and no session's id in clear anywhere. */
import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import t from 'tap'
import type { TapeFrame } from '../../src/tape/format.ts'
import { TapeReader } from '../../src/tape/reader.ts'
import { validateTape } from '../../src/tape/validate.ts'
import { rawRequest } from '../helpers/raw-client.ts'
import { notification, rpc } from '../helpers/rpc.ts'
import { pipeDoor, question } from './pipe-door.ts'
import { JSON_TYPE, messagesUrl, sseReady, sseSession } from './sse-down-door.ts'

const held = { answer: false }
const line = (message: object): string => `${JSON.stringify(message)}\n`

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

t.test('every message is on the tape once, byte for byte, under one session; answers stand on the stream', async t => {
  const tape = path.join(t.testdir(), 'a.tape.jsonl')
  const { url, door } = await pipeDoor(t, 'puppet-stdio.ts', { record: { path: tape } })
  const s = await sseReady(url)
  const said = [line(notification('meanwhile', { n: 1.0 })), question(7)]
  const sent = [
    '{ "id" : 1,"jsonrpc":"2.0","method":"d\\u006f","params":{"write":%,"a":1.0}}'.replace(
      '%',
      JSON.stringify(said.join(''))
    ),
    '{"jsonrpc":"2.0","id":7,"result":{"x":9007199254740993}}',
    '{"jsonrpc":"2.0","method":"n","params":{"s":"é\\ud83d\\ude00"}}'
  ]
  await s.post(sent[0])
  const heard = [await s.stream.next(), await s.stream.next(), await s.stream.next()].map(event => event.data)
  await s.post(sent[1])
  await s.post(sent[2])
  await s.post(rpc(2, 'do'))
  await s.next()
  await door.close()
  t.same(await faults(tape), [])
  const frames = await framesOf(tape)
  t.same(texts(frames, 'client', 'up').slice(2, 5), sent)
  t.same(
    texts(frames, 'client', 'down'),
    s.stream.events.items.slice(1).map(event => event.data)
  )
  t.same(texts(frames, 'client', 'down').slice(1, 4), heard)
  t.same(texts(frames, 'server', 'up').concat(texts(frames, 'server', 'down')), [], 'nothing differs at the server')
  t.equal(new Set(frames.filter(f => f.kind !== 'note').map(f => f.session)).size, 1)
  const streams = new Set(frames.filter(f => f.dir === 'down' && f.kind === 'message').map(f => f.stream))
  t.equal(streams.size, 1)
  t.match([...streams][0], /^get-/)
  const post = frames.find(f => f.text === sent[0])!
  t.match(post.stream, /^post-/)
  const answered = frames.filter(f => f.stream === post.stream && f.dir === 'down')
  t.match(answered, [{ kind: 'head', http: { status: 202 } }])
  t.equal(answered.length, 1, 'its POST was answered with 202 and nothing else')
  const heads = frames.filter(f => f.stream === [...streams][0] && f.kind === 'head')
  t.match(heads, [{ http: { status: 200 } }])
  t.equal(heads.length, 1)
})

t.test('notifications that a hook swallows leave one head, on their own POST', async t => {
  const tape = path.join(t.testdir(), 'd.tape.jsonl')
  const drop = { name: 'drop', message: (_: unknown, m: { method?: string }) => (m.method === 'gone' ? undefined : m) }
  const { url, door } = await pipeDoor(t, 'puppet-stdio.ts', { record: { path: tape }, interceptors: [drop as never] })
  const s = await sseReady(url)
  await s.post(notification('gone'))
  await s.post(rpc(1, 'do'))
  await s.next()
  await door.close()
  const frames = await framesOf(tape)
  const post = frames.find(f => f.text?.includes('gone'))!
  t.equal(frames.filter(f => f.stream === post.stream && f.kind === 'head').length, 1)
  t.equal(frames.filter(f => f.stream?.startsWith('get-') && f.kind === 'head').length, 1, 'the stream has one head')
})

t.test("no session's id is in clear on a tape or in the log, whoever names it", async t => {
  const tape = path.join(t.testdir(), 'b.tape.jsonl')
  const { url, door, log } = await pipeDoor(t, 'puppet-stdio.ts', {
    record: { path: tape },
    tokens: ['first-secret', 'other-secret']
  })
  const mine = { authorization: 'Bearer first-secret' }
  const s = await sseReady(url, undefined, mine)
  const to = (target: URL | string, headers: Record<string, string>) =>
    rawRequest(target, { body: rpc(1, 'do'), headers: { ...JSON_TYPE, ...headers } })
  await s.post(rpc(1, 'do', { session: s.id, url: s.endpoint.href, write: `noise ${s.id}\n` }))
  await s.next()
  await to(s.endpoint, { authorization: 'Bearer other-secret' })
  await to(s.endpoint, {})
  const unknown = 'Zq8-3kJw_5uYt0PbXm2RcVn7LdEa9HsG'
  await to(messagesUrl(url, unknown), mine)
  await to(`${messagesUrl(url, unknown)}&sessionId=${s.id}`, mine)
  await to(`${messagesUrl(url).href}?a=b&session%49d=${s.id}`, mine)
  await rawRequest(url, { method: 'DELETE', headers: { ...mine, 'mcp-session-id': s.id } })
  const ended = await sseSession(url, mine)
  ended.close()
  await log.until(l => l.event === 'session-end')
  await to(ended.endpoint, mine)
  await s.post('{"not":"a message"}')
  await s.post(rpc(2, 'do', { exit: 3 }))
  await s.stream.ended
  await door.close()
  const text = await readFile(tape, 'utf8')
  for (const id of [s.id, ended.id, unknown]) t.notOk(text.includes(id), 'tape')
  for (const { text, facts, event } of log.items)
    if (event !== 'stderr' && event !== 'noise') t.notOk(`${text}${JSON.stringify(facts)}`.includes(s.id), event)
  t.notMatch(text, /first-secret|other-secret/)
  const frames = await framesOf(tape)
  t.match(
    frames.find(f => f.http?.path?.startsWith('/messages'))?.http?.path,
    /sessionId=/,
    'the parameter is still told'
  )
  t.same(await faults(tape), [])
})

t.test('a folder gets one tape a session, with its POSTs and its stream', async t => {
  const folder = `${path.join(t.testdir(), 'tapes')}/`
  const { url, door } = await pipeDoor(t, 'puppet-stdio.ts', { record: { path: folder } })
  const [a, b] = [await sseReady(url), await sseReady(url)]
  for (const s of [a, b]) {
    await s.post(rpc(1, 'do', { mine: s === a ? 'first' : 'second' }))
    await s.next()
  }
  await door.close()
  const files = (await readdir(folder)).map(file => path.join(folder, file))
  t.equal(files.length, 2)
  for (const file of files) {
    const frames = await framesOf(file)
    t.same(await faults(file), [])
    t.equal(texts(frames, 'client', 'up').length, 3)
    t.equal(texts(frames, 'client', 'down').length, 2)
    t.equal(frames[0]?.kind === 'open' || frames.some(f => f.kind === 'open'), true, 'the GET')
    const words = (await readFile(file, 'utf8')).match(/first|second/g)
    t.equal(new Set(words).size, 1)
  }
})

t.test('what was refused, left and lost is told', async t => {
  const tape = path.join(t.testdir(), 'c.tape.jsonl')
  const { url, door, log } = await pipeDoor(t, 'puppet-stdio.ts', {
    record: { path: tape },
    settings: { maxSessions: 1 }
  })
  const s = await sseReady(url)
  await t.rejects(sseSession(url))
  await s.post([rpc(1, 'batched')])
  await s.next()
  await s.post(rpc(2, 'do', held))
  await log.child(/seen.*"id":2/)
  s.close()
  await log.until(l => l.event === 'session-end')
  const gone = await sseReady(url)
  await gone.post(rpc(3, 'do', { exit: 3 }))
  await gone.stream.ended
  await door.close()
  const frames = await framesOf(tape)
  const notes = frames.filter(f => f.kind === 'note' && f.note !== 'stderr').map(f => f.note)
  for (const note of ['session-start', 'refused', 'disconnect', 'session-end', 'child-exit'] as const)
    t.ok(notes.includes(note), note)
  t.equal(notes.filter(note => note === 'session-end').length, 2)
  t.equal(texts(frames, 'client', 'down').filter(text => text?.includes('-32600')).length, 1, 'the refusal, once')
  t.same(await faults(tape), [])
})
