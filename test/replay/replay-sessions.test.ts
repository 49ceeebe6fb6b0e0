/** Tapes of several sessions of one client, and clients with a replay session by name: who has which, and for how long. */
import t, { type Test } from 'tap'
import type { Forward } from '../../src/index.ts'
import { SILENT } from '../../src/log.ts'
import { Message } from '../../src/protocol/message.ts'
import { Replay } from '../../src/replay/replay.ts'
import { SharedTape } from '../../src/replay/shared-tape.ts'
import type { CallReceiver, UpstreamCall } from '../../src/transport/upstream.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, modern, rpc, toolCall } from '../helpers/rpc.ts'
import { asked, handshake } from './hand-stage.ts'
import { down, type FrameFacts, JSON_HEAD, request, result, tapeOf, up } from './recording-door.ts'
import { replayDoor } from './replay-stage.ts'

/** What one client asked in each of its sessions; the answers count through all of them. */
const SESSIONS = [
  ['count', 'a'],
  ['count', 'b'],
  ['b', 'count']
] as const
const LIVE = ['count 1', 'a 2', 'count 3', 'b 4', 'b 5', 'count 6']

function severalSessions(t: Test): string {
  let n = 0
  const frames = SESSIONS.flatMap((names, i) => {
    const session = `s${i + 1}`
    const headers = [...JSON_HEAD.headers, ['mcp-session-id', session] as const]
    const stream = ({ http, ...frame }: FrameFacts): FrameFacts => ({
      ...frame,
      ...(http && { http: frame.dir === 'down' ? { ...http, headers } : http }),
      stream: `${frame.stream}${i}`,
      session
    })
    const calls = names.flatMap(name => {
      n++
      return asked(n, 'tools/call', { name, arguments: {} }, { content: [], said: `${name} ${n}` })
    })
    return [...handshake(), ...calls].map(stream)
  })
  return tapeOf(t, frames)
}

/** One client's sessions, one after the other. */
async function run({ url }: Forward, headers: Record<string, string> = {}): Promise<unknown[]> {
  const said: unknown[] = []
  for (const names of SESSIONS) {
    const begun = await rawPost(url!, initialize(), headers)
    const own = { ...legacyHeaders(begun.headers['mcp-session-id'] as string), ...headers }
    for (const name of names) {
      const { result, error } = JSON.parse((await rawPost(url!, toolCall(1, name), own)).text)
      said.push(result?.said ?? error.message)
    }
  }
  return said
}

t.test('each session of a client has the next of those that began alike', async t => {
  for (const options of [{}, { match: 'strict' }, { repeat: 'error' }] as const)
    await t.test(JSON.stringify(options), async t => {
      trackLeaks(t)
      const door = await replayDoor(t, severalSessions(t), options)
      t.same(await run(door), LIVE)
      t.match(door.replay, { misses: 0, unused: 0 })
      t.same(await run(door), LIVE, 'and the first again when all were had')
    })
})

t.test('clients that give a name have all of them for themselves', async t => {
  trackLeaks(t)
  const door = await replayDoor(t, severalSessions(t), { match: 'strict' })
  const workers = ['one', 'two'].map(name => run(door, { 'Catflap-Replay-Session': name }))
  t.same(await Promise.all(workers), [LIVE, LIVE])
})

t.test('a replay session is remembered while a thousand others are busy', async t => {
  const meta = (modern(rpc(0, 'x')).params as { _meta: object })._meta
  const values = [1, 2, 3].flatMap(n => [
    up(`post-${n}`, request(n, 'tools/call', { name: 'next', arguments: {}, _meta: meta })),
    down(`post-${n}`, result(n, { resultType: 'complete', n }), { http: JSON_HEAD })
  ])
  const open = up('post-9', request(9, 'tools/call', { name: 'open', arguments: {}, _meta: meta }))
  const replay = await Replay.open({ tape: tapeOf(t, [...values, open]) }, { log: SILENT })
  t.teardown(() => replay.close())
  const leg = new SharedTape(replay, { late() {}, unowned() {}, noise() {}, stderr() {}, lost() {} }).leg()
  const call = (session: string, name: string, receiver: Partial<CallReceiver> = {}): UpstreamCall =>
    leg.call(
      {
        kind: 'request',
        era: 'modern',
        message: Message.from(modern(toolCall(1, name))),
        batch: undefined,
        body: undefined,
        headers: ['Catflap-Replay-Session', session]
      },
      { ...DEAF, ...receiver }
    )
  const next = async (session: string): Promise<unknown> =>
    await new Promise((resolve, reject) =>
      call(session, 'next', {
        onMessage: ({ json }) => resolve((json as { result?: { n: number } }).result?.n),
        onError: reject
      })
    )
  t.equal(await next('idle'), 1)
  const busy = Array.from({ length: 1001 }, (_, i) => call(`worker ${i}`, 'open'))
  t.same([await next('late'), await next('late'), await next('late')], [1, 2, 3])
  t.equal(await next('worker 0'), 1)
  t.equal(await next('idle'), 1, 'the one that was idle longest was forgotten')
  for (const one of busy) one.cancel('client-gone')
  for (let i = 0; i < 1000; i++) await next(`newcomer ${i}`)
  t.equal(await next('worker 0'), 1, 'those that are idle again are forgotten')
})

const DEAF: CallReceiver = { onHead() {}, onData() {}, onMessage() {}, onEnd() {}, onError() {} }
