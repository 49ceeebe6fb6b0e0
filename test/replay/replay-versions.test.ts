/** Tapes of revision 2026-07-28 by hand: versions, replay sessions by name, what a client declares, batches of an earlier revision. */
import t, { type Test } from 'tap'
import type { Forward } from '../../src/index.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { type RawResponse, rawPost } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, modern, modernHeaders, notification, type Rpc, rpc } from '../helpers/rpc.ts'
import { Inbox } from '../helpers/wait.ts'
import { asked, type Json, told } from './hand-stage.ts'
import { down, type FrameFacts, JSON_HEAD, notice, request, result, sseHead, tapeOf, up } from './recording-door.ts'
import { recorded, replayClient, replayDoor } from './replay-stage.ts'

const META = (modern(rpc(0, 'x')).params as { _meta: object })._meta
const LEVEL = 'io.modelcontextprotocol/logLevel'

const modernly = (n: number, method: string, params: object, value: object): FrameFacts[] => [
  up(`post-${n}`, request(n, method, { ...params, _meta: META })),
  down(`post-${n}`, result(n, value), { http: JSON_HEAD })
]

async function say(door: Forward, message: Rpc, headers: Record<string, string> = {}): Promise<RawResponse> {
  return await rawPost(door.url!, message, { ...modernHeaders(message), ...headers })
}

const count = (n: number): FrameFacts[] =>
  modernly(n, 'tools/call', { name: 'count', arguments: {} }, { resultType: 'complete', n })
const counts = (t: Test): string => tapeOf(t, [...count(1), ...count(2)])
const call = (id: number, name = 'count'): Rpc => modern(rpc(id, 'tools/call', { name, arguments: {} }))

t.test('a request of a revision that was not recorded gets -32022 with those that were', async t => {
  trackLeaks(t)
  const door = await replayDoor(t, counts(t))
  const other = call(1)
  Object.assign((other.params as { _meta: object })._meta, { 'io.modelcontextprotocol/protocolVersion': '2027-01-01' })
  const refused = await say(door, other, { 'mcp-protocol-version': '2027-01-01' })
  t.equal(refused.status, 400)
  t.match(JSON.parse(refused.text), { id: 1, error: { code: -32_022, data: { supported: ['2026-07-28'] } } })
  const begun = await rawPost(door.url!, initialize(2))
  t.match(JSON.parse(begun.text), { id: 2, error: { code: -32_022, data: { supported: ['2026-07-28'] } } })
})

t.test('who gives a name has a replay session of that name; all others share one', async t => {
  trackLeaks(t)
  const door = await replayDoor(t, counts(t))
  const next = async (headers: Record<string, string>, query = ''): Promise<number> => {
    const answer = await rawPost(`${door.url}${query}`, call(1), { ...modernHeaders(call(1)), ...headers })
    return JSON.parse(answer.text).result.n
  }
  t.equal(await next({}), 1)
  t.equal(await next({ 'Catflap-Replay-Session': 'a' }), 1)
  t.equal(await next({ 'Catflap-Replay-Session': 'b' }), 1)
  t.equal(await next({}, '?replay-session=c'), 1)
  t.equal(await next({ 'Catflap-Replay-Session': 'a' }), 2)
  t.equal(await next({}, '?replay-session=a'), 2)
  t.equal(await next({}), 2)
  t.match(door.replay, { sessions: 4, requests: 7, unused: 0 })
})

t.test('an answer that asks for what the client has not declared is -32021', async t => {
  trackLeaks(t)
  const inputRequests = {
    colour: { method: 'elicitation/create', params: { mode: 'url', url: 'http://a/', message: 'm' } }
  }
  const asks = { resultType: 'input_required', inputRequests, requestState: 'state 1' }
  const params = { name: 'ask', arguments: {} }
  const inputResponses = { colour: { action: 'accept' } }
  const door = await replayDoor(
    t,
    tapeOf(t, [
      ...modernly(1, 'tools/call', params, asks),
      ...modernly(2, 'tools/call', { ...params, inputResponses, requestState: 'state 1' }, { resultType: 'complete' })
    ])
  )
  for (const capabilities of [{}, { elicitation: {} }, { elicitation: { form: {} } }]) {
    const refused = await say(door, modern(rpc(1, 'tools/call', params), capabilities))
    t.equal(refused.status, 400)
    const { error } = JSON.parse(refused.text)
    t.match(error, { code: -32_021, data: { requiredCapabilities: { elicitation: { url: {} } } } })
  }
  const able = { elicitation: { url: {} } }
  t.match(JSON.parse((await say(door, modern(rpc(2, 'tools/call', params), able))).text).result, asks)
  const retry = rpc(3, 'tools/call', { ...params, inputResponses, requestState: 'state 1' })
  t.match(JSON.parse((await say(door, modern(retry, able))).text).result, { resultType: 'complete' })
  const other = rpc(4, 'tools/call', { ...params, inputResponses, requestState: 'another' })
  t.match(JSON.parse((await say(door, modern(other, able))).text).error, { code: -31_060 }, 'states are as recorded')
})

t.test('a client that lacked a capability comes again with it, and its recording is still there', async t => {
  const params = { name: 'ask', arguments: {} }
  const asks = (n: number): object => ({
    resultType: 'input_required',
    inputRequests: { [`colour ${n}`]: { method: 'elicitation/create', params: { message: 'm', requestedSchema: {} } } },
    requestState: `state ${n}`
  })
  const tape = tapeOf(t, [
    ...modernly(1, 'tools/call', params, asks(1)),
    ...modernly(2, 'tools/call', params, asks(2)),
    ...modernly(3, 'tools/call', params, { resultType: 'complete' })
  ])
  for (const options of [{}, { repeat: 'error' }, { match: 'strict', repeat: 'error' }] as const)
    await t.test(JSON.stringify(options), async t => {
      trackLeaks(t)
      const door = await replayDoor(t, tape, options)
      const able = { elicitation: {} }
      for (const state of ['state 1', 'state 2']) {
        for (const capabilities of [{}, {}]) {
          const { error } = JSON.parse((await say(door, modern(rpc(1, 'tools/call', params), capabilities))).text)
          t.match(error, { code: -32_021 })
        }
        const { result } = JSON.parse((await say(door, modern(rpc(2, 'tools/call', params), able))).text)
        t.match(result, { requestState: state })
      }
      const { result } = JSON.parse((await say(door, modern(rpc(3, 'tools/call', params), able))).text)
      t.match(result, { resultType: 'complete' })
      t.match(door.replay, { misses: 0, unused: 0 })
    })
})

t.test('answers that a client gives in its requests are compared with the recorded ones', async t => {
  const params = { name: 'ask', arguments: {} }
  const answer = (choice: string): object => ({
    ...params,
    inputResponses: { colour: { action: 'accept', content: { choice } } },
    requestState: 'state 1'
  })
  const tape = tapeOf(t, modernly(2, 'tools/call', answer('red'), { resultType: 'complete', n: 2 }))
  for (const onDivergence of ['continue', 'error'] as const)
    await t.test(onDivergence, async t => {
      trackLeaks(t)
      const door = await replayDoor(t, tape, { onDivergence })
      const other = JSON.parse((await say(door, modern(rpc(1, 'tools/call', answer('blue') as never)))).text)
      const difference = ['params.inputResponses.colour.content.choice: "red" → "blue"']
      if (onDivergence === 'continue') t.match(other, { id: 1, result: { n: 2 } })
      else
        t.match(other, { id: 1, error: { message: /"red" → "blue"/, data: { code: 'replay_diverged', difference } } })
      t.match(door.replay, {
        misses: 0,
        divergences: 1,
        unused: 0,
        details: { divergences: [{ method: 'tools/call', line: 2, difference }] }
      })
      const same = JSON.parse((await say(door, modern(rpc(2, 'tools/call', answer('red') as never)))).text)
      t.match(same, { id: 2, result: { n: 2 } })
      t.equal(door.replay?.divergences, 1)
    })
})

t.test('logs come to requests that ask for them, from the level on that they name', async t => {
  trackLeaks(t)
  const line = (level: string): FrameFacts => down('post-1', notice('notifications/message', { level, data: level }))
  const params = { name: 'log', arguments: {} }
  const logging = { ...META, [LEVEL]: 'debug' }
  const file = tapeOf(t, [
    up('post-1', request(1, 'tools/call', { ...params, _meta: logging })),
    sseHead('post-1'),
    line('debug'),
    line('warning'),
    down('post-1', result(1, { resultType: 'complete' }))
  ])
  const door = await replayDoor(t, file)
  for (const [level, expected] of [
    [undefined, []],
    ['debug', ['debug', 'warning']],
    ['warning', ['warning']]
  ] as const) {
    const message = modern(rpc(1, 'tools/call', params), {}, level === undefined ? {} : { [LEVEL]: level })
    const heard = new Inbox<Json>('messages')
    await told(door.url!, message, modernHeaders(message), heard).answer
    t.same(
      heard.items.filter(m => m.method !== undefined).map(m => m.params?.data),
      expected
    )
    t.match(heard.items.at(-1), { id: 1, result: {} })
  }
})

t.test('a client that knows both eras finds out that the tape is of the earlier one', async t => {
  for (const wire of ['http', 'stdio'] as const)
    await t.test(wire, async t => {
      trackLeaks(t)
      const { file } = await recorded(t, { client: 'http', server: 'http' }, async c => await c.client.listTools())
      const door = wire === 'stdio' ? file : await replayDoor(t, file)
      const { c, end } = await replayClient(t, wire, door, { era: 'auto' })
      t.equal(c.client.getNegotiatedProtocolVersion(), '2025-11-25')
      t.ok((await c.client.listTools()).tools.length > 0)
      await end()
    })
})

const INFO = { protocolVersion: '2025-03-26', capabilities: {} }
const CLIENT = { name: 'a', version: '1' }

async function olderDoor(
  t: Test,
  frames: readonly FrameFacts[]
): Promise<{ door: Forward; headers: Record<string, string> }> {
  const older = tapeOf(
    t,
    [
      up('post-1', request(1, 'initialize', { ...INFO, clientInfo: CLIENT })),
      down('post-1', result(1, { ...INFO, serverInfo: CLIENT }), { http: JSON_HEAD }),
      ...frames
    ].map(frame => ({ session: 's2', ...frame })),
    'b.tape.jsonl'
  )
  const door = await replayDoor(t, older)
  const begun = await rawPost(door.url!, initialize(0, '2025-03-26'))
  return { door, headers: legacyHeaders(begun.headers['mcp-session-id'] as string, '2025-03-26') }
}

t.test('a batch of revision 2025-03-26 is answered, each request on its own', async t => {
  trackLeaks(t)
  const { door, headers } = await olderDoor(t, [
    ...asked(3, 'tools/list', {}, { tools: [] }),
    ...asked(4, 'prompts/list', {}, { prompts: [] })
  ])
  const heard = new Inbox<Json>('messages')
  const batch = [rpc('a', 'tools/list'), rpc('b', 'prompts/list'), rpc('c', 'resources/list')]
  await told(door.url!, batch, headers, heard).answer
  const answers = heard.items.flat() as Json[]
  t.same(answers.map(m => m.id).sort(), ['a', 'b', 'c'])
  t.match(
    answers.find(m => m.id === 'c'),
    { error: { code: -31_060 } }
  )
})

t.test('a batch that was answered by one JSON text is again, in the order of its answers', async t => {
  trackLeaks(t)
  const { door, headers } = await olderDoor(t, [
    up('post-3', [request(3, 'tools/list'), request(4, 'prompts/list')]),
    down('post-3', [result(4, { prompts: [] }), result(3, { tools: [] })], { http: JSON_HEAD })
  ])
  for (const batch of [
    [rpc('a', 'tools/list'), rpc('b', 'prompts/list')],
    [rpc('b', 'prompts/list'), notification('notifications/roots/list_changed'), rpc('a', 'tools/list')]
  ]) {
    const answer = await rawPost(door.url!, batch, headers)
    t.equal(answer.headers['content-type'], 'application/json')
    t.match(JSON.parse(answer.text), [
      { id: 'b', result: { prompts: [] } },
      { id: 'a', result: { tools: [] } }
    ])
  }
  const alone = await rawPost(door.url!, [rpc('a', 'tools/list')], headers)
  t.match(JSON.parse(alone.text), [{ id: 'a', result: { tools: [] } }])
  const part = await rawPost(door.url!, rpc('c', 'tools/list'), headers)
  t.match(JSON.parse(part.text), { id: 'c', result: { tools: [] } })
})

t.test('the answer to a batch of which one is late is no longer waited for', async t => {
  trackLeaks(t)
  const { door, headers } = await olderDoor(t, [
    up('post-3', [request(3, 'tools/list'), request(4, 'prompts/list')]),
    down('post-3', [result(4, { prompts: [] }), result(3, { tools: [] })], { http: JSON_HEAD, t: 1_400 })
  ])
  t.match(door.replay, { misses: 0 })
  const slow = await replayDoor(t, `${t.testdirName}/b.tape.jsonl`, { speed: 1 })
  const begun = await rawPost(slow.url!, initialize(0, '2025-03-26'))
  const own = { ...headers, 'mcp-session-id': begun.headers['mcp-session-id'] as string }
  const heard = new Inbox<Json>('messages')
  await told(slow.url!, [rpc('a', 'tools/list'), rpc('b', 'prompts/list')], own, heard).answer
  t.same((heard.items.flat() as Json[]).map(m => m.id).sort(), ['a', 'b'])
})
