/** What stands on a tape of what passed between catflap and the server, where the two sides are not on the same transport. */
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import t, { type Test } from 'tap'
import { createForward } from '../../src/index.ts'
import type { TapeFrame } from '../../src/tape/format.ts'
import { TapeReader } from '../../src/tape/reader.ts'
import { Timeline } from '../../src/tape/timeline.ts'
import { validateTape } from '../../src/tape/validate.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { notification, rpc } from '../helpers/rpc.ts'
import { pair, type Wire } from './pairing-door.ts'
import { SESSION } from './pairing-servers.ts'
import { LogInbox } from './pipe-door.ts'
import { sseSession } from './sse-down-door.ts'

const KEY = 'k3y-Fo8Zq2Lw9Xr4Tb7'

interface Told {
  readonly frames: readonly TapeFrame[]
  readonly text: string
}

async function framesOf(file: string): Promise<TapeFrame[]> {
  const frames: TapeFrame[] = []
  for await (const frame of await TapeReader.open(file)) frames.push(frame)
  return frames
}

/** A handshake, a call and its answer, and the end. */
async function taped(t: Test, client: Wire, server: Wire): Promise<Told> {
  const file = path.join(t.testdir(), 'a.tape.jsonl')
  const p = await pair(t, client, server, { version: '2025-11-25', record: { path: file } })
  await p.server.tell(notification('soon'))
  await p.client.heard.until(m => m.method === 'soon')
  void p.client.say(rpc('c', 'do'), { authorization: `Bearer ${KEY}` })
  const heard = await p.server.heard.next()
  heard.answer({ jsonrpc: '2.0', id: heard.json.id, result: {} })
  await p.client.heard.until(m => m.id === 'c')
  await p.door.close()
  const frames = await framesOf(file)
  for await (const finding of validateTape(file)) t.fail(`the tape is valid: ${JSON.stringify(finding)}`)
  return { frames, text: await readFile(file, 'utf8') }
}

const atServer = (frames: readonly TapeFrame[], kind: string): TapeFrame[] =>
  frames.filter(f => f.side === 'server' && f.kind === kind)
const headerOf = (frame: TapeFrame | undefined, wanted: string): string | undefined =>
  frame?.http?.headers?.find(([name]) => name.toLowerCase() === wanted)?.[1]

for (const client of ['stdio', 'sse'] as const) {
  t.test(`client on ${client}, server on Streamable HTTP: the tape has the requests that catflap makes`, async t => {
    const { frames, text } = await taped(t, client, 'http')
    const opened = atServer(frames, 'open')
    t.same(opened.map(f => f.http?.method).sort(), ['DELETE', 'GET', 'POST', 'POST', 'POST'])
    for (const { stream, http } of opened) {
      t.equal(stream?.replace(/\d+$/, ''), `${http?.method?.toLowerCase()}-`)
      t.equal(http?.path, '/mcp')
      const head = atServer(frames, 'head').find(f => f.stream === stream)
      t.ok(head?.http?.status, `${stream} was answered`)
      t.equal(atServer(frames, 'end').filter(f => f.stream === stream).length, 1, `${stream} has ended`)
    }
    t.equal(new Set(opened.map(f => f.stream)).size, 5)
    const { session } = frames.find(f => f.note === 'session-start')!
    t.same([...new Set(opened.map(f => f.session))], [session])
    t.equal(headerOf(opened.at(-1), 'mcp-session-id'), session, 'under a handle')
    t.equal(headerOf(opened.at(-1), 'mcp-protocol-version'), '2025-11-25')
    const credentials = opened.map(f => headerOf(f, 'authorization')).filter(value => value !== undefined)
    t.same([...new Set(credentials)], client === 'sse' ? ['Bearer [redacted]'] : [])
    t.notOk(text.includes(KEY), 'credentials are nowhere')
    t.notOk(text.includes(SESSION), "the server's session id is nowhere")
    t.notOk(frames.some(f => f.note === 'session-lost'))
    const all = new Timeline()
    t.notOk(
      frames.some(f => f.side === 'server' && f.kind !== 'note' && all.line(f) !== undefined),
      'a timeline leaves out what only carries messages'
    )
    const server = new Timeline({ filter: { side: 'server' } })
    t.ok(
      frames.some(f => /→ server POST \/mcp/.test(server.line(f) ?? '')),
      'and shows it where it is asked for'
    )
  })
}

t.test('a server on HTTP+SSE: the GET and the POSTs that catflap makes', async t => {
  const { frames, text } = await taped(t, 'stdio', 'sse')
  const opened = atServer(frames, 'open').map(f => `${f.stream?.replace(/\d+$/, '')} ${f.http?.method}`)
  // The first POST and the first GET show which transport it is.
  t.same(opened.sort(), ['get- GET', 'get- GET', 'post- POST', 'post- POST', 'post- POST', 'post- POST'])
  const posted = atServer(frames, 'open').find(f => f.http?.path?.startsWith('/messages'))
  t.equal(posted?.http?.path, '/messages?sessionId=[redacted]')
  t.notOk(text.includes('a-secret-name'), "the server's session id is nowhere")
  t.notOk(frames.some(f => f.note === 'session-lost'))
})

t.test('nothing is told twice where a client on HTTP makes these requests itself', async t => {
  const { frames } = await taped(t, 'http', 'http')
  t.same(atServer(frames, 'open').concat(atServer(frames, 'head'), atServer(frames, 'end')), [])
})

t.test('a client on HTTP+SSE: where it was told to POST', async t => {
  const { frames } = await taped(t, 'sse', 'stdio')
  const told = frames.filter(f => f.kind === 'event')
  const { session } = frames.find(f => f.note === 'session-start')!
  t.match(told, [{ side: 'client', dir: 'down', own: true, session, sse: { event: 'endpoint' } }])
  t.equal(told[0]?.text, '/messages?sessionId=[redacted]')
  t.match(told[0]?.stream, /^get-/)
})

/** Says something when it hears that nobody has more to say to it. */
const LAST_WORD = `process.stdin.resume().once('end', () => console.log('{"jsonrpc":"2.0","method":"last/word"}'))`

t.test('what a server says when its client on HTTP+SSE has left is told as late', async t => {
  trackLeaks(t)
  const file = path.join(t.testdir(), 'b.tape.jsonl')
  const log = new LogInbox('lines of the log')
  const target = { command: process.execPath, args: ['-e', LAST_WORD] }
  const door = await createForward({ target, log, record: { path: file } })
  t.teardown(() => door.close({ drainTimeout: 0 }))
  const s = await sseSession(door.url!)
  s.close()
  await log.until(l => l.event === 'late')
  await door.close()
  const frames = await framesOf(file)
  t.match(
    frames.filter(f => f.note === 'late').map(f => f.remark),
    ['last/word that nobody waits for any more']
  )
  t.same(
    frames.filter(f => f.text?.includes('last/word')).map(f => f.side),
    ['server'],
    'it never reached the client'
  )
})

t.test('the head of a tape says what the server was known to speak', async t => {
  trackLeaks(t)
  for (const [transport, kind] of [
    ['sse', 'sse'],
    ['streamable-http', 'http'],
    ['auto', 'http']
  ] as const) {
    const file = path.join(t.testdir(), `${transport}.tape.jsonl`)
    const door = await createForward({ target: { url: 'http://127.0.0.1:1/', transport }, record: { path: file } })
    await door.close()
    t.equal((await TapeReader.open(file)).header.target.kind, kind, transport)
  }
})
