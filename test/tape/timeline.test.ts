import t from 'tap'
import { printable, printableJson } from '../../src/printable.ts'
import { painter, wantsColour } from '../../src/tape/colour.ts'
import { globToRegExp } from '../../src/tape/filter.ts'
import type { TapeFrame } from '../../src/tape/format.ts'
import { Pairing } from '../../src/tape/pairing.ts'
import { formatTimeline, Timeline, type TimelineOptions } from '../../src/tape/timeline.ts'
import { collect } from './fixtures.ts'

let n = 0
function frame(facts: Partial<TapeFrame>): TapeFrame {
  n++
  return { n, t: n, side: 'client', dir: 'up', kind: 'message', ...facts }
}
const call = (id: unknown, method: string, facts: Partial<TapeFrame> = {}, params: object = {}) =>
  frame({ text: JSON.stringify({ jsonrpc: '2.0', id, method, params }), ...facts })
const reply = (id: unknown, facts: Partial<TapeFrame> = {}, result: object = {}) =>
  frame({ dir: 'down', text: JSON.stringify({ jsonrpc: '2.0', id, result }), ...facts })

async function lines(frames: TapeFrame[], options: TimelineOptions = {}): Promise<string[]> {
  async function* source(): AsyncGenerator<TapeFrame, void, void> {
    yield* frames
  }
  return collect(formatTimeline(source(), options))
}

t.test('requests to the server are shown where they are asked for, and where they failed', async t => {
  const place = { side: 'server', stream: 'post-1' } as const
  const frames = [
    frame({ ...place, kind: 'open', http: { method: 'POST', path: '/mcp' } }),
    frame({ ...place, kind: 'head', dir: 'down', http: { status: 200 } }),
    frame({ ...place, kind: 'end', dir: 'down', outcome: 'complete' }),
    frame({ ...place, kind: 'head', dir: 'down', http: { status: 404 } }),
    call(1, 'ping', { side: 'server', stream: 'stdio' })
  ]
  t.match(await lines(frames), [/HTTP 404/, /ping/])
  t.equal((await lines(frames)).length, 2)
  t.match(await lines(frames, { filter: { side: 'server' } }), [
    /POST \/mcp/,
    /HTTP 200/,
    /end complete/,
    /404/,
    /ping/
  ])
})

t.test('a conversation reads like one', async t => {
  const s = { session: 's1' }
  const shown = await lines([
    call(1, 'tools/call', { ...s, stream: 'post-1', t: 1000 }, { name: 'ask', arguments: { q: 1 } }),
    call(0, 'elicitation/create', { ...s, stream: 'post-1', dir: 'down', t: 1010 }, { message: 'sure?' }),
    reply(0, { ...s, stream: 'post-2', dir: 'up', t: 1500 }, { action: 'accept' }),
    frame({
      ...s,
      t: 1600,
      dir: 'down',
      text: '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}'
    }),
    reply(1, { ...s, stream: 'post-1', t: 3250 }, { isError: true }),
    frame({ ...s, t: 3300, kind: 'open', stream: 'get-3', http: { method: 'GET', path: '/mcp' } }),
    frame({
      ...s,
      t: 3300,
      kind: 'head',
      dir: 'down',
      stream: 'get-3',
      http: { status: 200, headers: [['content-type', 'text/event-stream']] }
    }),
    frame({ ...s, t: 3400, kind: 'end', dir: 'down', stream: 'get-3', outcome: 'client closed' }),
    frame({ ...s, t: 3500, kind: 'note', side: 'server', dir: 'down', note: 'stderr', remark: 'warming up' }),
    frame({
      ...s,
      t: 3600,
      dir: 'down',
      own: true,
      http: { status: 504 },
      text: '{"jsonrpc":"2.0","id":7,"error":{"code":-31033,"message":"too late"}}'
    })
  ])
  t.strictSame(shown, [
    '    1.000s s1 post-1      client → tools/call ask #1 {"q":1}',
    '    1.010s s1 post-1      client ← elicitation/create #0 {"message":"sure?"}',
    '    1.500s s1 post-2      client → elicitation/create #0 490 ms {"action":"accept"}',
    '    1.600s s1             client ← notifications/progress {"progress":1}',
    '    3.250s s1 post-1      client ← tools/call ask #1 2.25 s isError {"isError":true}',
    '    3.300s s1 get-3       client → GET /mcp',
    '    3.300s s1 get-3       client ← HTTP 200 text/event-stream',
    '    3.400s s1 get-3       client ← end client closed',
    '    3.500s s1             · server ! stderr warming up',
    '    3.600s s1             client ← (catflap) HTTP 504 answer #7 error -31033 too late'
  ])
})

t.test('equal ids in flight at once: each answer finds the request of its own stream, type and side', async t => {
  const shown = await lines([
    call(1, 'a', { stream: 'post-1' }),
    call(1, 'b', { stream: 'post-2' }),
    call('1', 'c', { stream: 'post-3' }),
    call(1, 'd', { stream: 'post-1', side: 'server' }),
    reply(1, { stream: 'post-2' }),
    reply(1, { stream: 'post-1' }),
    reply('1', { stream: 'get-9' }),
    reply(1, { stream: 'post-1', side: 'server' }),
    reply(1, { stream: 'post-1' })
  ])
  t.strictSame(
    shown.slice(4).map(l => /(?:client ←|← server) (\w+)/.exec(l)![1]),
    ['b', 'a', 'c', 'd', 'answer']
  )
})

t.test('nothing recorded reaches the terminal raw', async t => {
  const evil = '\x1b]0;owned\x07\x1b[2J\r\n\x9b31m\u202e\u2066\u200b\u2028\u{e0041}\ud800'
  const shown = await lines([
    call(1, `m${evil}`, { session: evil, stream: evil }, { name: evil, arguments: { evil } }),
    frame({
      dir: 'down',
      text: JSON.stringify({ jsonrpc: '2.0', id: 1, error: { code: 1, message: evil, data: evil } })
    }),
    frame({ text: evil }),
    frame({ kind: 'note', note: evil, remark: evil, data: { [evil]: evil } }),
    frame({ kind: evil, text: evil }),
    frame({ kind: 'open', http: { method: evil, path: evil } }),
    frame({ kind: 'head', http: { status: 200, headers: [['Content-Type', evil]] } }),
    frame({ kind: 'event', sse: { id: evil, event: evil }, text: evil }),
    frame({ kind: 'end', outcome: evil }),
    frame({ text: `{"id":${evil}1,"method":"x"}` })
  ])
  for (const line of shown) t.notMatch(line, /[\p{Cc}\p{Cf}\p{Cs}\u2028]/u)
  t.strictSame(JSON.parse(printableJson(JSON.stringify({ evil }))), { evil })
  t.notMatch(printableJson(JSON.stringify({ evil })), /[\p{Cc}\p{Cf}\p{Cs}\u2028]/u)
  t.equal(printable('Ä 漢字 😀'), 'Ä 漢字 😀')
})

t.test('filters', async t => {
  const frames = [
    call(1, 'tools/call', { session: 's1' }, { name: 'find-me' }),
    call(2, 'tools/list', { session: 's2' }),
    reply(1, { session: 's1' }),
    reply(2, { session: 's2' }, { tools: ['found'] }),
    frame({ side: 'server', kind: 'note', note: 'stderr', remark: 'find-me too' })
  ]
  const count = async (filter: TimelineOptions['filter']) => (await lines(frames, { filter })).length
  t.equal(await count({}), 5)
  t.equal(await count({ session: 's1' }), 2)
  t.equal(await count({ method: 'tools/call' }), 2, 'with the answer')
  t.equal(await count({ method: 'tools/*' }), 4)
  t.equal(await count({ method: 'tools' }), 0)
  t.equal(await count({ direction: 'down' }), 2)
  t.equal(await count({ side: 'server' }), 1)
  t.equal(await count({ grep: /find-me/ }), 2)
  t.equal(await count({ session: 's2', grep: /found/ }), 1)
  t.ok(globToRegExp('notifications/**').test('notifications/tools/list_changed'))
  t.notOk(globToRegExp('notifications/*').test('notifications/tools/list_changed'))
  t.ok(globToRegExp('a.b+(c)?').test('a.b+(c)d'))
})

t.test('requests that are never answered do not pile up', async t => {
  const pairing = new Pairing()
  for (let i = 0; i < 50_000; i++) pairing.see(call(i, 'x'))
  t.ok(pairing.pending <= 10_000)
  for (let i = 0; i < 50_000; i++) pairing.see(call(7, 'x'))
  t.ok(pairing.pending <= 11_000)
})

t.test('odd messages: batches, truncated, binary, nesting without end, no JSON at all', async t => {
  const shown = await lines([
    frame({ text: '[{"jsonrpc":"2.0","id":1,"method":"a"},{"jsonrpc":"2.0","method":"b"}]' }),
    frame({ dir: 'down', text: '[{"jsonrpc":"2.0","id":1,"result":{}}]' }),
    frame({
      text: '{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"big","arguments":{"x":"yyyy',
      truncated: { length: 9_000_000, sha256: 'a'.repeat(64) }
    }),
    frame({ base64: 'AAEC' }),
    frame({ text: '['.repeat(1_000_000) }),
    frame({ text: `{"params":${'{"a":'.repeat(300_000)}` }),
    frame({ text: 'hello' }),
    frame({ text: '[1,2,3]' })
  ])
  t.match(shown[0], /batch of 2: a #1, b$/)
  t.match(shown[1], /← a #1 1\.0 ms \{\}$/)
  t.match(shown[2], /tools\/call big #2 .*\(truncated, 9\.0 MB\)$/)
  t.match(shown[3], /3 B of binary$/)
  for (const line of shown) t.ok(line.length < 400)
})

t.test('lines keep to a width, colours to terminals, clocks to the wall when asked', async t => {
  const timeline = new Timeline({
    width: 100,
    colour: true,
    clock: { started: '2026-11-23T10:00:00.000Z' },
    prefix: '[7] '
  })
  const line = timeline.line(call(1, 'x', { t: 61_500 }, { long: 'y'.repeat(10_000) }))!
  t.match(line, /^\[7\] /)
  t.match(line, /:01:01\.500/)
  t.match(line, '\x1b[1mx\x1b[22m')
  t.ok(line.length < 200)
  t.equal(painter(false)('red', 'x'), 'x')
  t.equal(wantsColour({ isTTY: true }, {}), true)
  t.equal(wantsColour({ isTTY: true }, { NO_COLOR: '1' }), false)
  t.equal(wantsColour({ isTTY: true }, { NO_COLOR: '' }), true)
  t.equal(wantsColour({ isTTY: false }, {}), false)
})
