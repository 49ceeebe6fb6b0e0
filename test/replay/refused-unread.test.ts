/** What was refused for its wrapping, and not for itself, is no answer to an equal request that comes well wrapped. */
import t, { type Test } from 'tap'
import { Matcher, type MatcherOptions } from '../../src/replay/matching.ts'
import type { Conversation } from '../../src/replay/recording.ts'
import { DEFAULT_RULES } from '../../src/replay/rules.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { down, type FrameFacts, JSON_HEAD, read, request, result, tapeOf, up } from './recording-door.ts'
import { replayDoor } from './replay-stage.ts'

const OPTIONS: MatcherOptions = { mode: 'keyed', repeat: 'last', rules: DEFAULT_RULES }
const WRAPPED = {
  'io.modelcontextprotocol/protocolVersion': '2026-07-28',
  'io.modelcontextprotocol/clientCapabilities': {}
}

interface Answered {
  readonly status: number
  readonly answer: object
  readonly params?: object
  readonly own?: true
}

const failed = (code: number, data?: object): object => ({
  jsonrpc: '2.0',
  id: 1,
  error: { code, message: 'no', data }
})
const fine = (status = 200): Answered => ({ status, answer: result(1, { ok: true }), params: { _meta: WRAPPED } })

/** The same request again and again, each time answered otherwise. */
function framesOf(session: string | undefined, answers: readonly Answered[]): FrameFacts[] {
  const headers: [string, string][] = [
    session === undefined ? ['MCP-Protocol-Version', '2026-07-28'] : ['Mcp-Session-Id', session]
  ]
  return answers.flatMap(({ status, answer, params, own }, i) => [
    up(`post-${i}`, request(1, 'tools/list', params), {
      ...(session !== undefined && { session }),
      http: { method: 'POST', path: '/mcp', headers }
    }),
    down(`post-${i}`, answer, {
      ...(session !== undefined && { session }),
      ...(own && { own }),
      http: { ...JSON_HEAD, status }
    })
  ])
}

async function matcher(
  t: Test,
  session: string | undefined,
  answers: readonly Answered[],
  mode: MatcherOptions['mode']
) {
  const { legacy, modern } = await read(t, tapeOf(t, framesOf(session, answers)))
  const all = [...legacy, ...(modern ? [modern] : [])] as Conversation[]
  return new Matcher(all, { ...OPTIONS, mode })
}

/** Lines of the answers that three equal requests find. */
function linesOf(matching: Matcher): (number | string)[] {
  const cursor = matching.cursor()
  return [1, 2, 3].map(() => {
    const match = cursor.match({ method: 'tools/list', params: {} })
    return 'miss' in match ? match.miss.text : match.request.place.line
  })
}

for (const mode of ['keyed', 'strict', 'method'] as const)
  t.test(`${mode}: an answer to what came badly wrapped is passed over`, async t => {
    const refusals: Answered[] = [
      { ...fine(), status: 400, answer: failed(-32_020) },
      { ...fine(), status: 400, answer: failed(-32_021) },
      { ...fine(), status: 400, answer: failed(-32_022) },
      { status: 400, answer: failed(-32_602), params: {} }
    ]
    const modern = await matcher(t, undefined, [...refusals, fine(), fine()], mode)
    t.same(linesOf(modern), [10, 12, 12])
    t.same(modern.unused, [], 'nobody has to ask badly once more')
    const lost: Answered[] = [
      { status: 404, answer: failed(-32_001) },
      { status: 400, answer: { ...failed(-32_000), error: { code: -32_000, message: 'No valid session ID' } } },
      { status: 404, answer: failed(-31_011, { code: 'session_not_found' }), own: true }
    ]
    const legacy = await matcher(t, 's', [fine(), ...lost, fine()], mode)
    t.same(linesOf(legacy), [2, 10, 10])
    t.same(legacy.unused, [])
  })

t.test('a refusal of the request itself is as recorded', async t => {
  const refused: Answered = { ...fine(), status: 400, answer: failed(-32_602) }
  t.same(linesOf(await matcher(t, undefined, [refused, fine()], 'keyed')), [2, 4, 4])
  const unknown: Answered = { ...fine(), status: 404, answer: failed(-32_601) }
  t.same(linesOf(await matcher(t, undefined, [unknown, fine()], 'keyed')), [2, 4, 4])
  t.same(linesOf(await matcher(t, 's', [{ status: 400, answer: failed(-32_602) }, fine()], 'keyed')), [2, 4, 4])
})

t.test('where nothing else is known of a request, it is refused once more', async t => {
  const refused: Answered = { ...fine(), status: 400, answer: failed(-32_020) }
  t.same(linesOf(await matcher(t, undefined, [refused], 'keyed')), [2, 2, 2])
})

t.test('initialize as a modern request is a method that no modern tape has', async t => {
  trackLeaks(t)
  const tape = tapeOf(t, framesOf(undefined, [fine()]))
  const door = await replayDoor(t, tape)
  const answer = await fetch(door.url!, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      Accept: 'application/json, text/event-stream',
      'MCP-Protocol-Version': '2026-07-28',
      'Mcp-Method': 'initialize',
      Connection: 'close'
    },
    body: JSON.stringify(request(7, 'initialize', { _meta: WRAPPED }))
  })
  t.equal(answer.status, 404)
  t.match(await answer.json(), { id: 7, error: { code: -32_601 } })
  const legacy = await fetch(door.url!, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Accept: 'application/json, text/event-stream', Connection: 'close' },
    body: JSON.stringify(request(8, 'initialize', { protocolVersion: '2025-11-25' }))
  })
  t.match([legacy.status, await legacy.json()], [400, { id: 8, error: { code: -32_022 } }])
  await door.close()
})
