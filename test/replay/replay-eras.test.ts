/** Tapes of the earlier era: what modern requests are told, and clients that have no session. */
import t, { type Test } from 'tap'
import { trackLeaks } from '../helpers/leaks.ts'
import { openSse, rawPost, rawRequest } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, modern, modernHeaders, notification, rpc } from '../helpers/rpc.ts'
import { Inbox } from '../helpers/wait.ts'
import { asked, byHand, handshake, httpTape, type Json, told } from './hand-stage.ts'
import { down, type FrameFacts, JSON_HEAD, notice, request, result, sseHead, tapeOf, up } from './recording-door.ts'
import { replayClient, replayDoor } from './replay-stage.ts'

const OTHER_VERSION = {
  code: -32_022,
  data: { supported: ['2025-11-25'], requested: '2026-07-28', code: 'unsupported_modern_version' }
}
const legacyTape = (t: Test): string => httpTape(t, asked(1, 'tools/list', {}, { tools: [] }))

t.test(
  'a modern request to a tape of an earlier revision gets -32022 with that; server/discover sends clients on',
  async t => {
    const list = modern(rpc(7, 'tools/list'))
    const discover = modern(rpc(8, 'server/discover'))
    await t.test('HTTP', async t => {
      trackLeaks(t)
      const door = await replayDoor(t, legacyTape(t))
      const refused = await rawPost(door.url!, list, modernHeaders(list))
      t.equal(refused.status, 400)
      t.match(JSON.parse(refused.text), { id: 7, error: OTHER_VERSION })
      const discovered = await rawPost(door.url!, discover, modernHeaders(discover))
      t.equal(discovered.status, 400)
      t.match(JSON.parse(discovered.text), { id: 8, error: { code: -31_050 } }, 'no error of the modern era')
      t.match(door.replay, { misses: 0 })
    })
    await t.test('stdio', async t => {
      const { say, heard, door } = await byHand(t, 'stdio', legacyTape(t))
      await say(list)
      t.match(await heard.until(m => m.id === 7), { error: OTHER_VERSION })
      await say(discover)
      t.match(await heard.until(m => m.id === 8), { error: { code: -32_601 } })
      t.match(door.replay, { misses: 0 })
    })
  }
)

t.test('a client that speaks the modern era alone is told so', async t => {
  trackLeaks(t)
  const file = legacyTape(t)
  const door = await replayDoor(t, file)
  for (const [wire, tape] of [
    ['http', door],
    ['stdio', file]
  ] as const)
    await t.rejects(
      replayClient(t, wire, tape, { era: 'modern' }),
      wire === 'http' ? /2026-07-28/ : /could not connect/
    )
})

/** A server without sessions: its client never sends `initialize`. */
const HEADERS = [['MCP-Protocol-Version', '2025-06-18']] as const
const without = (n: number, method: string, params: object, value: object): FrameFacts[] =>
  asked(n, method, params, value, { http: { method: 'POST', path: '/mcp', headers: HEADERS } })
const count = (n: number): FrameFacts[] => without(n, 'tools/call', { name: 'count' }, { n })

/** Of a server that names sessions, as `httpTape` makes it of one that does not. */
const inSession = (t: Test, n: unknown): string =>
  tapeOf(
    t,
    [...handshake(), ...asked(1, 'tools/call', { name: 'count' }, { n })].map(frame => ({
      session: 's1',
      ...frame,
      ...(frame.dir === 'down' && frame.http && { http: { ...frame.http, headers: NAMED } })
    }))
  )
const NAMED = [...JSON_HEAD.headers, ['mcp-session-id', 's1']] as const

const call = (id: number): object => rpc(id, 'tools/call', { name: 'count' })

t.test('a client that was recorded without a session is served without one', async t => {
  trackLeaks(t)
  const door = await replayDoor(t, tapeOf(t, [...count(1), ...count(2)]))
  const next = async (headers: Record<string, string>): Promise<unknown> => {
    const answer = await rawPost(door.url!, call(1), { 'mcp-protocol-version': '2025-06-18', ...headers })
    t.equal(answer.headers['mcp-session-id'], undefined)
    return JSON.parse(answer.text).result?.n
  }
  t.equal(await next({}), 1)
  t.equal(await next({ 'Catflap-Replay-Session': 'a' }), 1)
  t.equal(await next({}), 2)
  t.equal(await next({ 'Catflap-Replay-Session': 'a' }), 2)
  t.match(door.replay, { sessions: 2, requests: 4, misses: 0, unused: 0 })
  t.equal((await rawRequest(door.url!, { method: 'GET', headers: { accept: 'text/event-stream' } })).status, 405)
  t.equal((await rawPost(door.url!, notification('notifications/initialized'))).status, 202)
  t.equal((await rawPost(door.url!, initialize())).headers['mcp-session-id'], undefined, 'none was ever begun')
  const other = modern(rpc(3, 'tools/list'))
  t.match(JSON.parse((await rawPost(door.url!, other, modernHeaders(other))).text), {
    error: { code: -32_022, data: { supported: ['2025-06-18'] } }
  })
})

t.test('what came on the stream of such a call comes there again', async t => {
  trackLeaks(t)
  const log = (data: string): object => notice('notifications/message', { level: 'info', data })
  const file = tapeOf(t, [
    up('post-1', request(1, 'tools/call', { name: 'log' })),
    sseHead('post-1'),
    down('post-1', log('first')),
    down('post-1', result(1, { done: true }))
  ])
  const door = await replayDoor(t, file)
  const heard = new Inbox<Json>('messages')
  await told(door.url!, rpc('x', 'tools/call', { name: 'log' }), {}, heard).answer
  t.match(heard.items, [{ params: { data: 'first' } }, { id: 'x', result: { done: true } }])
})

t.test('the same on a pipe, and on HTTP+SSE', async t => {
  trackLeaks(t)
  const door = await replayDoor(t, tapeOf(t, [...count(1), ...count(2)]))
  const stream = await openSse(new URL('/sse', door.url!).href, { headers: { accept: 'text/event-stream' } })
  t.teardown(() => stream.close())
  const messages = new URL((await stream.events.next()).data, door.url!).href
  for (const n of [1, 2]) {
    t.equal((await rawPost(messages, call(n))).status, 202)
    t.match(JSON.parse((await stream.events.next()).data), { id: n, result: { n } })
  }
})

t.test('beside sessions, who has none gets the recordings of who had none first', async t => {
  trackLeaks(t)
  const began = inSession(t, 'in a session')
  const file = tapeOf(t, count(2), 'b.tape.jsonl')
  const door = await replayDoor(t, began, { tape: [began, file] } as never)
  t.match(JSON.parse((await rawPost(door.url!, call(1))).text), { result: { n: 2 } })
  const begun = await rawPost(door.url!, initialize())
  const own = legacyHeaders(begun.headers['mcp-session-id'] as string)
  t.equal(JSON.parse((await rawPost(door.url!, call(1), own)).text).result?.n, 'in a session')
})

t.test('where all had sessions, who has none is refused, also where somebody was when it was recorded', async t => {
  trackLeaks(t)
  const refused: FrameFacts[] = [
    up('post-1', request(1, 'tools/call', { name: 'count' })),
    down(
      'post-1',
      { jsonrpc: '2.0', id: 1, error: { code: -32_000, message: 'Bad Request: Mcp-Session-Id header is required' } },
      { http: { status: 400, headers: [['content-type', 'application/json']] } }
    )
  ]
  for (const frames of [[], refused]) {
    const began = inSession(t, 1)
    const file = tapeOf(t, frames, 'b.tape.jsonl')
    const door = await replayDoor(t, began, { tape: [began, file] } as never)
    const answer = await rawPost(door.url!, call(1))
    t.equal(answer.status, 400)
    t.match(JSON.parse(answer.text), { error: { data: { code: 'session_required' } } })
  }
})

t.test('clients without sessions do not cancel one another, whose requests have the same ids', async t => {
  trackLeaks(t)
  const door = await replayDoor(t, tapeOf(t, count(1)), { faults: [{ kind: 'delay', ms: 300, share: 1 }] })
  const answer = rawPost(door.url!, call(1), { 'mcp-protocol-version': '2025-06-18' })
  const cancelled = notification('notifications/cancelled', { requestId: 1 })
  t.equal((await rawPost(door.url!, cancelled, { 'mcp-protocol-version': '2025-06-18' })).status, 202)
  t.equal(JSON.parse((await answer).text).result?.n, 1)
})
