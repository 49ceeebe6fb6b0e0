/** Clients that were refused at the door, and came again. */
import t, { type Test } from 'tap'
import type { Forward } from '../../src/index.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, rpc } from '../helpers/rpc.ts'
import { asked, handshake } from './hand-stage.ts'
import { down, end, type FrameFacts, JSON_HEAD, request, tapeOf, up } from './recording-door.ts'
import { replayDoor } from './replay-stage.ts'

const BEGIN = initialize(0).params!
const beginning = (n: number): FrameFacts => up(`post-${n}`, request(n, 'initialize', BEGIN))

/** Without credentials. */
const unauthorized = (n: number): FrameFacts[] => [
  beginning(n),
  {
    stream: `post-${n}`,
    dir: 'down',
    kind: 'body',
    http: { status: 401, headers: [['WWW-Authenticate', 'Bearer realm="x"']] },
    text: 'who are you?'
  }
]
const busy = (n: number): FrameFacts[] => [
  beginning(n),
  down(
    `post-${n}`,
    { jsonrpc: '2.0', id: n, error: { code: -31_900, message: 'busy' } },
    { http: { ...JSON_HEAD, status: 503 } }
  )
]
const broken = (n: number): FrameFacts[] => [beginning(n), end(`post-${n}`, 'upstream_reset')]

/** A session that was begun, with one answer. */
function begun(session: string, first: number): FrameFacts[] {
  const frames = [...handshake({}, `${session}-post`), ...asked(first, 'tools/list', {}, { tools: [], session })]
  return frames.map(frame => ({ session, ...frame }))
}

const statusOf = async (door: Forward): Promise<number | 'broke'> =>
  await rawPost(door.url!, initialize(0)).then(
    ({ status }) => status,
    () => 'broke' as const
  )

async function listed(door: Forward): Promise<unknown> {
  const begun = await rawPost(door.url!, initialize(0))
  const headers = legacyHeaders(begun.headers['mcp-session-id'] as string)
  return JSON.parse((await rawPost(door.url!, rpc(1, 'tools/list'), headers)).text).result
}

async function door(t: Test, ...frames: FrameFacts[][]): Promise<Forward> {
  trackLeaks(t)
  return await replayDoor(t, tapeOf(t, frames.flat()))
}

t.test('refused as often as on the tape, then let in for good', async t => {
  const tape = await door(t, unauthorized(1), busy(2), broken(3), begun('s1', 10))
  const first = await rawPost(tape.url!, initialize(0))
  t.match(first, { status: 401, text: 'who are you?', headers: { 'www-authenticate': 'Bearer realm="x"' } })
  t.same([await statusOf(tape), await statusOf(tape), await statusOf(tape)], [503, 'broke', 200])
  t.same(await listed(tape), { tools: [], session: 's1' })
  await tape.close()
  t.match(tape.replay, { misses: 0, unused: 0, hits: 6 })
})

t.test('a refusal comes when as many have begun before', async t => {
  const tape = await door(t, begun('s1', 10), busy(20), begun('s2', 30))
  t.same([await statusOf(tape), await statusOf(tape), await statusOf(tape), await statusOf(tape)], [200, 503, 200, 200])
})

t.test('a server without session ids: a client begins where it was let in', async t => {
  const frames = [beginning(1), ...busy(1).slice(1), ...handshake({}, 'post'), ...asked(10, 'tools/list', {}, {})]
  const tape = await door(t, frames)
  t.same([await statusOf(tape), await statusOf(tape)], [503, 200])
  t.same(await listed(tape), {})
})

t.test('where nobody was let in, nobody is', async t => {
  const tape = await door(t, busy(1), unauthorized(2))
  t.same([await statusOf(tape), await statusOf(tape), await statusOf(tape)], [503, 401, 401])
})
