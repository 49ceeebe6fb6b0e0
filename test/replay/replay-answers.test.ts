/** What is answered from a tape that was written by hand: statuses, broken connections, questions, cancellations, versions. */
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import t, { type Test } from 'tap'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { initialize, notification, rpc } from '../helpers/rpc.ts'
import { asked, byHand, handshake, httpTape } from './hand-stage.ts'
import {
  down,
  end,
  type FrameFacts,
  JSON_HEAD,
  notice,
  request,
  result,
  sseHead,
  tapeOf,
  up
} from './recording-door.ts'
import { replayDoor } from './replay-stage.ts'

const SAMPLING = { sampling: {} }
const WIRES = ['http', 'stdio'] as const
const BEGIN = initialize(0).params!

t.test('a status that is no message: 401 as it was over HTTP, an error on a pipe', async t => {
  const head = {
    status: 401,
    headers: [
      ['WWW-Authenticate', 'Bearer realm="x"'],
      ['Mcp-Session-Id', 'old'],
      ['Content-Type', 'text/plain']
    ]
  }
  const file = httpTape(t, [
    up('post-1', request(1, 'tools/list')),
    { stream: 'post-1', dir: 'down', kind: 'body', http: head as never, text: 'who are you?' },
    ...asked(2, 'tools/list', {}, { tools: [] })
  ])
  await t.test('HTTP', async t => {
    const { say } = await byHand(t, 'http', file)
    const first = await say(rpc(1, 'tools/list')).catch(error => error)
    t.match(first, { status: 401, text: 'who are you?', headers: { 'www-authenticate': 'Bearer realm="x"' } })
    t.not(first.headers['mcp-session-id'], 'old')
    t.match((await say(rpc(2, 'tools/list')))?.text, '"tools":[]', 'the second recording')
  })
  await t.test('stdio', async t => {
    const { say, heard } = await byHand(t, 'stdio', file)
    await say(rpc(1, 'tools/list'))
    t.match(await heard.next(), { id: 1, error: { code: -31_037, data: { code: 'upstream_status', status: 401 } } })
    await say(rpc(2, 'tools/list'))
    t.match(await heard.next(), { id: 2, result: { tools: [] } })
  })
})

t.test('an initialize that was refused by a status makes no session', async t => {
  trackLeaks(t)
  const head = { status: 401, headers: [['WWW-Authenticate', 'Bearer']] } as never
  const refused = [
    up('post-800', request(1, 'initialize', BEGIN)),
    { stream: 'post-800', dir: 'down', kind: 'head', http: head }
  ] as const
  const door = await replayDoor(t, tapeOf(t, [...refused, ...handshake().map(frame => ({ session: 's1', ...frame }))]))
  const first = await rawPost(door.url!, initialize(1))
  t.equal(first.status, 401)
  t.equal(first.headers['mcp-session-id'], undefined)
  t.equal(door.stats.sessions, 0)
  t.match(door.replay, { misses: 0 })
})

t.test('the recorded pauses, where they are wanted: from the request, and behind the answer to a question', async t => {
  const at = (time: number, frame: FrameFacts): FrameFacts => ({ ...frame, t: time })
  const day = 86_400_000
  const file = httpTape(
    t,
    [
      at(day, up('post-1', request(1, 'tools/call', { name: 'slow' }))),
      at(day + 40, sseHead('post-1')),
      at(day + 40, down('post-1', request(9, 'sampling/createMessage', { messages: [], maxTokens: 1 }))),
      at(2 * day, up('post-2', sampled(9, 'yes'))),
      at(2 * day, accepted('post-2')),
      at(2 * day + 60, down('post-1', answered(1, 'done')))
    ],
    SAMPLING
  )
  for (const [speed, least] of [
    [1, [40, 60]],
    [0.5, [80, 120]],
    ['instant', [0, 0]]
  ] as const) {
    const { say, next, heard } = await byHand(t, 'stdio', file, { capabilities: SAMPLING, speed })
    const began = performance.now()
    await say(rpc(5, 'tools/call', { name: 'slow' }))
    const { id } = await next()
    const askedAfter = performance.now() - began
    await say(sampled(id, 'yes'))
    const saidAt = performance.now()
    t.match(await heard.until(m => m.id === 5), { result: {} })
    const answeredAfter = performance.now() - saidAt
    t.ok(askedAfter >= least[0] - 1 && askedAfter < 10_000, `${speed}: asked after ${askedAfter} ms`)
    t.ok(answeredAfter >= least[1] - 2 && answeredAfter < 10_000, `${speed}: answered after ${answeredAfter} ms`)
  }
})

t.test('what is too deep to be compared is a miss, and no fault', async t => {
  const { say, heard, door } = await byHand(t, 'stdio', httpTape(t, asked(1, 'tools/list', {}, { tools: [] })))
  let deep: unknown = 1
  for (let i = 0; i < 1_000; i++) deep = [deep]
  await say(rpc(1, 'tools/call', { name: 'a', arguments: { deep } }))
  t.match(await heard.until(m => m.id === 1), { error: { code: -31_060, message: /nested too deeply/ } })
  await say(rpc(2, 'tools/list'))
  t.match(await heard.until(m => m.id === 2), { result: { tools: [] } })
  t.match(door.replay, { misses: 1 })
})

t.test('a 404 within a session does not begin the session anew', async t => {
  const file = httpTape(t, [
    up('post-1', request(1, 'tools/list')),
    { stream: 'post-1', dir: 'down', kind: 'head', http: { status: 404, headers: [] } },
    ...asked(2, 'prompts/list', {}, { prompts: [] })
  ])
  const { say, door } = await byHand(t, 'http', file)
  t.equal((await say(rpc(1, 'tools/list')))?.status, 404)
  t.equal((await say(rpc(2, 'prompts/list')))?.status, 200, 'the session goes on')
  t.equal(door.stats.sessions, 1)
})

t.test('a stream that broke without an answer breaks again', async t => {
  const file = httpTape(t, [
    up('post-1', request(1, 'tools/call', { name: 'a' })),
    sseHead('post-1'),
    down('post-1', log('first')),
    end('post-1', 'upstream_reset')
  ])
  const { say, next } = await byHand(t, 'http', file)
  const answer = await say(rpc(1, 'tools/call', { name: 'a' }))
  t.match(await next(), { params: { data: 'first' } })
  t.ok(answer.broke)
})

const log = (data: string): object => notice('notifications/message', { level: 'info', data })
const answered = (id: unknown, text: string): object => result(id, { content: [{ type: 'text', text }] })
const sampled = (id: unknown, text: string): object =>
  result(id, { role: 'assistant', content: { type: 'text', text } })
const accepted = (stream: string): FrameFacts => ({
  stream,
  dir: 'down',
  kind: 'head',
  http: { status: 202, headers: [] }
})

/** A call in which the client is asked something, and two messages behind its answer. */
const asking = (t: Test): string =>
  httpTape(
    t,
    [
      up('post-1', request(1, 'tools/call', { name: 'ask' })),
      sseHead('post-1'),
      down('post-1', request(77, 'sampling/createMessage', { messages: [], maxTokens: 1 })),
      up('post-2', sampled(77, 'yes')),
      accepted('post-2'),
      down('post-1', log('thanks')),
      down('post-1', answered(1, 'done'))
    ],
    SAMPLING
  )
const ask = rpc(5, 'tools/call', { name: 'ask' })

for (const wire of WIRES) {
  t.test(`${wire}: what follows a question waits for its answer`, async t => {
    const { say, next, heard, door } = await byHand(t, wire, asking(t), { capabilities: SAMPLING })
    void say(ask)
    const question = await next()
    t.match(question, { method: 'sampling/createMessage', id: Number })
    t.not(question.id, 77, 'an id of its own')
    await say(rpc(6, 'ping'))
    t.match(await heard.until(m => m.id === 6), { result: {} }, 'other requests are answered meanwhile')
    t.notOk(heard.items.some(m => m.id === 5))
    await say(sampled(question.id, 'yes'))
    await heard.until(m => m.id === 5)
    const behind = heard.items.filter(m => m.id === 5 || m.params?.data === 'thanks')
    t.match(behind, [{ params: { data: 'thanks' } }, { id: 5, result: { content: [{ text: 'done' }] } }])
    t.match(door.replay, { divergences: 0, misses: 0 })
  })

  t.test(`${wire}: a client that cannot be asked is not, and gets the rest`, async t => {
    const { say, heard } = await byHand(t, wire, asking(t))
    await say(ask)
    await heard.until(m => m.id === 5)
    t.same(
      heard.items.filter(m => m.id !== 'begin').map(m => m.method ?? m.id),
      ['notifications/message', 5]
    )
  })

  t.test(`${wire}: another answer than the recorded one is counted, and told`, async t => {
    const { say, next, heard, door, log } = await byHand(t, wire, asking(t), { capabilities: SAMPLING })
    void say(ask)
    await say(sampled((await next()).id, 'no'))
    t.match(await heard.until(m => m.id === 5), { result: {} })
    t.match(door.replay, { divergences: 1, misses: 0 })
    t.match(door.replay?.details.divergences, [
      { method: 'sampling/createMessage', line: Number, difference: ['result.content.text: "yes" → "no"'] }
    ])
    t.match(await log.until(l => l.event === 'replay-divergence'), { text: /"yes" → "no"/ })
  })

  t.test(`${wire}: or fails the call`, async t => {
    const { say, next, heard } = await byHand(t, wire, asking(t), { capabilities: SAMPLING, onDivergence: 'error' })
    void say(ask)
    await say(sampled((await next()).id, 'no'))
    const failed = await heard.until(m => m.id === 5)
    t.match(failed, { error: { code: -31_061, message: /otherwise.*"yes" → "no"/, data: { code: 'replay_diverged' } } })
    t.notOk(
      heard.items.some(m => m.params?.data === 'thanks'),
      'and nothing else of it comes'
    )
  })

  t.test(`${wire}: what was cancelled waits until it is cancelled again`, async t => {
    const file = httpTape(t, [
      up('post-1', request(1, 'tools/call', { name: 'slow' })),
      up('post-2', notice('notifications/cancelled', { requestId: 1 })),
      accepted('post-2'),
      ...asked(3, 'tools/list', {}, { tools: [] })
    ])
    const { say, heard, door } = await byHand(t, wire, file, { door: { settings: { cancelGrace: 50 } } })
    const slow = say(rpc('slow', 'tools/call', { name: 'slow' }))
    await say(rpc(2, 'tools/list'))
    await heard.until(m => m.id === 2)
    t.equal(door.stats.exchanges, wire === 'http' ? 2 : 1, 'it is open, beside the GET stream')
    await say(notification('notifications/cancelled', { requestId: 'slow' }))
    if (wire === 'http') t.match((await slow).text, '-31042')
    await say(rpc(3, 'tools/list'))
    await heard.until(m => m.id === 3)
  })
}

t.test('what stayed open stays open until its client leaves', async t => {
  const file = httpTape(t, [
    up('post-1', request(1, 'tools/call', { name: 'slow' })),
    ...asked(3, 'tools/list', {}, {})
  ])
  const { say, leave, door } = await byHand(t, 'http', file)
  const slow = say(rpc('slow', 'tools/call', { name: 'slow' })).catch(() => 'left')
  t.match((await rawPost(door.url!, {})).status, 400)
  leave()
  t.equal(await slow, 'left')
})

t.test('whatever revision a client asks for, it learns the one that was recorded', async t => {
  trackLeaks(t)
  const door = await replayDoor(t, httpTape(t, []))
  const answer = await rawPost(door.url!, initialize('x', '2024-11-05'))
  t.match(JSON.parse(answer.text), { id: 'x', result: { protocolVersion: '2025-11-25' } })
})

t.test('equal requests get their recordings in turn, each client its own', async t => {
  trackLeaks(t)
  const count = (n: number): FrameFacts[] => asked(n, 'tools/call', { name: 'count' }, { n })
  const file = httpTape(t, [...count(1), ...count(2)])
  for (const [repeat, expected] of [
    ['last', [1, 2, 2, 2]],
    ['cycle', [1, 2, 1, 2]],
    ['error', [1, 2, -31_060, -31_060]]
  ] as const)
    await t.test(repeat, async t => {
      const clients = [await byHand(t, 'http', file, { repeat }), await byHand(t, 'stdio', file, { repeat })]
      for (const { say, heard } of clients) {
        for (let id = 1; id <= 4; id++) {
          await say(rpc(id, 'tools/call', { name: 'count' }))
          await heard.until(m => m.id === id)
        }
        const told = heard.items.filter(m => typeof m.id === 'number').map(m => m.result?.n ?? m.error?.code)
        t.same(told, expected)
      }
    })
})

t.test('what the server said of its own comes behind what it came behind', async t => {
  const file = httpTape(t, [
    { stream: 'get-9', dir: 'up', kind: 'open', http: { method: 'GET', path: '/mcp', headers: [] } },
    sseHead('get-9'),
    down('get-9', notice('notifications/prompts/list_changed')),
    ...asked(1, 'tools/call', { name: 'change' }, {}),
    down('get-9', notice('notifications/tools/list_changed')),
    ...asked(2, 'tools/list', {}, { tools: [] })
  ])
  for (const wire of WIRES)
    await t.test(wire, async t => {
      const { say, next } = await byHand(t, wire, file)
      t.match(await next(), { method: 'notifications/prompts/list_changed' })
      await say(rpc(1, 'tools/call', { name: 'change' }))
      t.match(await next(), { id: 1 })
      t.match(await next(), { method: 'notifications/tools/list_changed' })
      await say(rpc(2, 'tools/list'))
      t.match(await next(), { id: 2 })
    })
})

t.test('what changes by itself in the answers of a client is no divergence, nor what a rule leaves out', async t => {
  const day = '2026-11-23T00:00:00.500Z'
  const uuid = '0b0f5f5e-3f0e-4d5a-9b8e-2f6d6a3c1a11'
  const content = (value: object): object => ({ action: 'accept', content: value })
  const file = httpTape(
    t,
    [
      up('post-1', request(1, 'tools/call', { name: 'ask' })),
      sseHead('post-1'),
      down('post-1', request(77, 'elicitation/create', { message: 'who?', requestedSchema: {} })),
      up('post-2', result(77, content({ uuid, at: day, run: 1 }))),
      accepted('post-2'),
      down('post-1', answered(1, 'done'))
    ],
    { elicitation: {} }
  )
  const now = new Date().toISOString()
  const other = uuid.replace('0b0f', 'ffff')
  const rules = path.join(t.testdirName, 'own.rules.yaml')
  const rule = 'answers:\n  - { method: elicitation/create, ignore: [/result/content/run] }\n'
  for (const [text, given, difference] of [
    ['version: 1', { uuid: other, at: day, run: 1 }, []],
    ['version: 1', { uuid: other, at: now, run: 2 }, ['result.content.run: 1 → 2']],
    [`version: 1\n${rule}`, { uuid: other, at: day, run: 2 }, []],
    [
      `version: 1\ndefaults: false\n${rule}`,
      { uuid: other, at: day, run: 2 },
      [`result.content.uuid: "${uuid}" → "${other}"`]
    ]
  ] as const) {
    await writeFile(rules, text)
    const { say, next, heard, door } = await byHand(t, 'stdio', file, { capabilities: { elicitation: {} }, rules })
    await say(ask)
    await say(result((await next()).id, content(given)))
    await heard.until(m => m.id === 5)
    t.same(
      door.replay?.details.divergences.flatMap(d => d.difference),
      difference
    )
  }
})

t.test('what came behind a GET of another session comes with the request that it came behind', async t => {
  const tools = (stream: string): object => notice('notifications/tools/list_changed', { stream })
  const session = (n: number, frames: readonly FrameFacts[]): FrameFacts[] =>
    [...handshake({}, `post-${n}`), ...frames].map(frame => ({
      ...frame,
      session: `s${n}`,
      ...(frame.dir === 'down' &&
        frame.kind !== 'head' && {
          http: { status: 200, headers: [...JSON_HEAD.headers, ['mcp-session-id', `s${n}`] as const] }
        })
    }))
  const file = tapeOf(t, [
    ...session(1, asked(1, 'tools/list', {}, { tools: [] })),
    ...session(2, [
      ...asked(2, 'tools/call', { name: 'change' }, {}),
      { stream: 'get-9', dir: 'up', kind: 'open', http: { method: 'GET', path: '/mcp', headers: [] } },
      sseHead('get-9'),
      { ...down('get-9', tools('get')), kind: 'message' }
    ])
  ])
  for (const wire of WIRES)
    await t.test(wire, async t => {
      const { say, next } = await byHand(t, wire, file)
      await say(rpc(1, 'tools/call', { name: 'change' }))
      t.match(await next(), { id: 1 })
      t.match(await next(), { method: 'notifications/tools/list_changed' })
    })
})
