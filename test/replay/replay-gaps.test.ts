/** What a tape lacks or holds in an odd way: answers that were cut off or left out, headers of errors. */
import { appendFileSync } from 'node:fs'
import t from 'tap'
import { lacksFor } from '../../src/replay/capabilities.ts'
import { rpc } from '../helpers/rpc.ts'
import { asked, byHand, httpTape } from './hand-stage.ts'
import { down, type FrameFacts, note, request, up } from './recording-door.ts'

const CUT = { length: 99_999, sha256: 'a'.repeat(64) }
const call = (id: unknown, name: string): ReturnType<typeof rpc> => rpc(id as number, 'tools/call', { name })

t.test('headers of an error that is JSON-RPC come with it', async t => {
  const refused = (n: number, status: number, header: readonly [string, string]): FrameFacts[] => [
    up(`post-${n}`, request(n, 'tools/call', { name: String(status) })),
    down(
      `post-${n}`,
      { jsonrpc: '2.0', id: n, error: { code: -31_999, message: 'no' } },
      { http: { status, headers: [['content-type', 'application/json'], ['mcp-session-id', 'old'], header] } }
    )
  ]
  const file = httpTape(t, [
    ...refused(1, 401, ['www-authenticate', 'Bearer scope="more"']),
    ...refused(2, 503, ['retry-after', '7'])
  ])
  const { say } = await byHand(t, 'http', file)
  const unauthorized = await say(call(5, '401'))
  t.match(unauthorized, { status: 401, headers: { 'www-authenticate': 'Bearer scope="more"' }, text: /"id":5/ })
  t.not(unauthorized.headers['mcp-session-id'], 'old')
  t.equal(unauthorized.headers['content-type'], 'application/json')
  t.match(await say(call(6, '503')), { status: 503, headers: { 'retry-after': '7' }, text: /"id":6/ })
})

t.test('an answer that is no JSON-RPC, of which only the beginning was recorded, is a miss', async t => {
  const html = { status: 500, headers: [['content-type', 'text/html']] } as const
  const file = httpTape(t, [
    up('post-1', request(1, 'tools/call', { name: 'html' })),
    { stream: 'post-1', dir: 'down', kind: 'body', http: html, text: '<html>half of', truncated: CUT }
  ])
  const { say, door } = await byHand(t, 'http', file)
  t.match((await say(call(1, 'html'))).text, /only the beginning was recorded/)
  t.match(door.replay, { misses: 1 })
})

const left: FrameFacts[] = [up('post-1', request(1, 'tools/call', { name: 'a' })), ...asked(2, 'tools/list', {}, {})]
for (const [what, event, more] of [
  ['that the recorder left frames out of', 'replay-gaps', [note('dropped', { data: { count: 50 } })]],
  ['whose last line was cut off', 'replay-torn', []]
] as const)
  t.test(`on a tape ${what} a request without an answer is a miss, and the tape is named at the start`, async t => {
    const file = httpTape(t, [...left, ...more])
    if (event === 'replay-torn') appendFileSync(file, '{"n":9,"t":1,"side":"cl')
    const { say, heard, door, log } = await byHand(t, 'stdio', file)
    t.match(await log.until(line => line.event === event), { level: 'warn', text: /a\.tape\.jsonl/ })
    await say(call('open', 'a'))
    t.match(await heard.until(m => m.id === 'open'), { error: { code: -31_060, message: /not complete/ } })
    await say(rpc(2, 'tools/list'))
    t.match(await heard.until(m => m.id === 2), { result: {} }, 'others are answered')
    t.match(door.replay, { misses: 1 })
  })

t.test('what several questions take is told together, and forms by their name', async t => {
  const url = { method: 'elicitation/create', params: { mode: 'url', url: 'https://x', message: 'm' } }
  const form = { method: 'elicitation/create', params: { message: 'm', requestedSchema: {} } }
  const tools = { method: 'sampling/createMessage', params: { tools: [] } }
  const lacks = (capabilities: object, ...questions: object[]): unknown =>
    lacksFor({ resultType: 'input_required', inputRequests: { ...questions } }, { ...capabilities })
  for (const questions of [
    [url, form],
    [form, url]
  ])
    for (const elicitation of [undefined, {}, { url: {} }, { form: {} }])
      t.same(lacks(elicitation ? { elicitation } : {}, ...questions), { elicitation: { url: {}, form: {} } })
  t.equal(lacks({ elicitation: { url: {}, form: {} } }, url, form), undefined)
  t.same(lacks({ elicitation: { url: {} } }, form), { elicitation: { form: {} } })
  t.same(lacks({ elicitation: {} }, form, tools), { sampling: { tools: {} } })
  t.same(lacks({}, form, tools), { elicitation: { form: {} }, sampling: { tools: {} } })
})
