/** Real clients of 2026-07-28 on HTTP and real servers on stdio, with the door between them. */
import t, { type Test } from 'tap'
import { FIXTURE_RESOURCE } from '../fixtures/servers/definition.ts'
import { openSse, rawPost, send } from '../helpers/raw-client.ts'
import { modern, modernHeaders, type Rpc, rpc, toolCall } from '../helpers/rpc.ts'
import { fixtureArgv } from '../helpers/stdio-peer.ts'
import { callTool, client } from './http-door.ts'
import { type PipeOptions, pipeDoor } from './pipe-door.ts'

const LOG_LEVEL = 'io.modelcontextprotocol/logLevel'

function modernDoor(t: Test, era: 'modern' | 'dual' = 'modern', options: PipeOptions = {}) {
  return pipeDoor(t, 'stdio-server.ts', { args: ['--era', era], ...options })
}

function post(url: string, message: Rpc) {
  return rawPost(url, message, modernHeaders(message))
}

function stream(url: string, message: Rpc) {
  return openSse(url, { body: message, headers: modernHeaders(message) })
}

for (const era of ['modern', 'dual'] as const)
  t.test(`a ${era} server: everything a client does works through the door`, async t => {
    const { url, door } = await modernDoor(t, era)
    const c = await client(t, url, { era: era === 'dual' ? 'auto' : 'modern' })
    t.equal(c.client.getNegotiatedProtocolVersion(), '2026-07-28')
    t.ok((await c.client.listTools()).tools.some(tool => tool.name === 'slow'))
    t.ok((await c.client.listPrompts()).prompts.some(prompt => prompt.name === 'greet'))
    t.match(await c.client.getPrompt({ name: 'greet', arguments: { name: 'Zoë' } }), { messages: [{ role: 'user' }] })
    t.match(await c.client.readResource({ uri: 'fixture://item/10' }), { contents: [{ text: '{"id":"10"}' }] })
    t.equal(await callTool(c, 'echo', { a: 1 }), '{"a":1}')
    t.equal((await callTool(c, 'big', { bytes: 300_000 })).length, 300_000)
    t.equal(await callTool(c, 'region', { region: 'Zürich' }), 'Zürich', 'Mcp-Param-* headers are judged')
    await t.rejects(callTool(c, 'throw', { code: -31_234, message: 'no' }), { code: -31_234, message: 'no' })
    const steps: number[] = []
    const onprogress = ({ progress }: { progress: number }) => void steps.push(progress)
    await c.client.callTool({ name: 'progress', arguments: { n: 3 } }, { onprogress })
    t.same(steps, [1, 2, 3])
    t.match(await callTool(c, 'sample'), '"sampled"', 'input_required and the retry that answers it')
    t.match(await callTool(c, 'elicit'), /"colour":"blue".*"requestState":"state of elicit"/)
    t.match(await callTool(c, 'roots'), 'file:///fixture')
    t.equal(door.stats.sessions, 0, 'no session is invented')
    t.notOk(c.http.items.some(fact => fact.responseHeaders?.has('mcp-session-id')))
  })

t.test('a legacy server: a client that knows both eras goes on with initialize by itself', async t => {
  const { url, door, log } = await pipeDoor(t, 'stdio-server.ts', { args: ['--era', 'legacy'] })
  const c = await client(t, url, { era: 'auto' })
  t.equal(c.client.getNegotiatedProtocolVersion(), '2025-11-25')
  t.equal(await callTool(c, 'echo', { a: 1 }), '{"a":1}')
  t.equal(door.stats.sessions, 1)
  await t.rejects(client(t, url, { era: 'modern' }))
  t.equal(log.of('child-exit').length, 0, 'the child that was asked is ended, not lost')
})

t.test("a legacy server's own error answers the discovery, with the client's id", async t => {
  const { url } = await pipeDoor(t, 'stdio-server.ts', { args: ['--era', 'legacy'] })
  for (const id of ['mine', 7]) {
    const answer = await post(url, modern(rpc(id, 'server/discover')))
    t.equal(answer.status, 400)
    t.match(answer.json(), { jsonrpc: '2.0', id, error: { code: Number, message: String } })
    t.equal((answer.json() as { error: { data?: { code?: string } } }).error.data?.code, undefined, 'not ours')
  }
  const other = await post(url, modern(toolCall(1, 'count')))
  t.equal(other.status, 400)
  t.match(other.json(), { id: 1, error: { code: -31050, data: { code: 'pairing_unsupported' } } })
})

t.test('clients with equal ids at once: answers, progress and cancellation reach the right one', async t => {
  const { url, log } = await modernDoor(t)
  const message = (key: string) => modern(toolCall(1, 'slow', { key }))
  const [a, b] = [send(url, { body: message('a'), headers: modernHeaders(message('a')) }), post(url, message('b'))]
  await log.child(/slow\.started 2/)
  const progress = await Promise.all(
    [2, 3].map(async n => {
      const call = modern(toolCall(1, 'progress', { n }), {}, { progressToken: 'same' })
      const { events, ended } = await stream(url, call)
      t.equal(await ended, 'end')
      return events.items.map(event => JSON.parse(event.data) as { id?: number; params?: { progressToken: string } })
    })
  )
  for (const [i, messages] of progress.entries()) {
    t.equal(messages.length, i + 3, 'its steps and its answer')
    t.ok(messages.slice(0, -1).every(m => m.params?.progressToken === 'same'))
    t.equal(messages.at(-1)?.id, 1)
  }
  a.req.destroy()
  await log.child(/slow\.cancelled 1/)
  t.match((await post(url, modern(toolCall(2, 'release', { key: 'b' })))).text, '"1"')
  t.match((await b).json(), { id: 1, result: { content: [{ text: 'released' }] } })
})

t.test('SDK clients at once, each with ids from 0: each gets its own', async t => {
  const { url } = await modernDoor(t)
  const clients = await Promise.all(Array.from({ length: 5 }, () => client(t, url, { era: 'modern' })))
  await Promise.all(
    clients.map(async (c, n) => {
      const steps: number[] = []
      const onprogress = ({ progress }: { progress: number }) => void steps.push(progress)
      const [echo] = await Promise.all([
        callTool(c, 'echo', { n }),
        c.client.callTool({ name: 'progress', arguments: { n: n + 1 } }, { onprogress })
      ])
      t.equal(echo, JSON.stringify({ n }))
      t.equal(steps.length, n + 1)
    })
  )
})

t.test('closing the stream of a call cancels it in the child', async t => {
  const { url, log } = await modernDoor(t)
  const c = await client(t, url, { era: 'modern' })
  const gone = new AbortController()
  const slow = c.client.callTool({ name: 'slow', arguments: {} }, { signal: gone.signal })
  await log.child(/slow\.started 1/)
  gone.abort('enough')
  await t.rejects(slow)
  await log.child(/slow\.cancelled 1/)
})

t.test('subscriptions of two clients under one id, on one child', async t => {
  const { url, door, log } = await modernDoor(t, 'modern', { settings: { requestTimeout: 50 } })
  const listen = (id: string, notifications: object) => modern(rpc(id, 'subscriptions/listen', { notifications }))
  const tools = await stream(url, listen('sub', { toolsListChanged: true }))
  const prompts = await stream(url, listen('sub', { promptsListChanged: true }))
  for (const s of [tools, prompts]) {
    t.equal(s.headers['x-accel-buffering'], 'no')
    const acknowledged = { 'io.modelcontextprotocol/subscriptionId': 'sub' }
    t.match(await s.nextMessage(), {
      method: 'notifications/subscriptions/acknowledged',
      params: { _meta: acknowledged }
    })
  }
  await post(url, modern(toolCall(1, 'change', { what: 'prompts' })))
  await post(url, modern(toolCall(1, 'change', { what: 'tools' })))
  const meta = { params: { _meta: { 'io.modelcontextprotocol/subscriptionId': 'sub' } } }
  t.match(await tools.nextMessage(), { method: 'notifications/tools/list_changed', ...meta })
  t.match(await prompts.nextMessage(), { method: 'notifications/prompts/list_changed', ...meta })
  tools.close()
  await post(url, modern(toolCall(1, 'change', { what: 'prompts' })))
  t.match(await prompts.nextMessage(), { method: 'notifications/prompts/list_changed' })
  t.equal(prompts.events.items.length, 3, 'nothing of the other one')
  t.equal(door.stats.exchanges, 1)
  prompts.close()
  await log.child(/changed prompts 2/)
})

t.test('an SDK client subscribes, hears of changes, and leaves', async t => {
  const { url } = await modernDoor(t)
  const c = await client(t, url, { era: 'modern' })
  const heard = await c.client.listen({ toolsListChanged: true, resourceSubscriptions: [FIXTURE_RESOURCE] })
  await callTool(c, 'touch', { uri: FIXTURE_RESOURCE })
  await c.until('notifications/resources/updated')
  await callTool(c, 'change', { what: 'tools' })
  await c.until('notifications/tools/list_changed')
  await heard.close()
  t.equal(await callTool(c, 'count'), '1')
})

t.test('a child killed in the middle of a call: 502 with the reason, and the next request works', async t => {
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts', { target: puppet() })
  const order = (id: number, params: object) => modern(rpc(id, 'do', { ...params }))
  const [pid, waiting] = await Promise.all([log.child(/^pid /), post(url, order(1, { answer: false })), killed()])
  async function killed(): Promise<void> {
    await log.nextSeen(0)
    process.kill(Number((await log.child(/^pid /)).slice(4)), 'SIGKILL')
  }
  t.equal(waiting.status, 502)
  t.match(waiting.json(), { id: 1, error: { data: { code: 'child_exited', signal: 'SIGKILL' } } })
  t.match((await post(url, order(1, {}))).json(), { id: 1, result: {} })
  t.not(
    log
      .of('stderr')
      .filter(l => l.text.startsWith('pid'))
      .at(-1)?.text,
    pid
  )
  t.equal(log.of('child-exit').length, 1)
})

t.test('a client that does not read harms nobody else', async t => {
  const { url } = await modernDoor(t, 'modern', { settings: { maxExchangeQueue: 100_000 } })
  const big = modern(toolCall(1, 'big', { bytes: 20_000_000 }), {}, { progressToken: 1 })
  const slow = send(url, { body: big, headers: modernHeaders(big) })
  const head = await slow.head
  head.pause()
  for (let id = 0; id < 20; id++) t.match((await post(url, modern(toolCall(1, 'echo', { id })))).json(), { id: 1 })
  slow.req.destroy()
})

t.test('one whose stream is full is failed alone', async t => {
  const settings = { maxExchangeQueue: 100_000 }
  const { url } = await pipeDoor(t, 'puppet-stdio.ts', { target: puppet(), settings })
  const params = { progressToken: 'p', progress: 1, message: 'x'.repeat(1_000_000) }
  const progress = `${JSON.stringify({ jsonrpc: '2.0', method: 'notifications/progress', params })}\n`
  const order = modern(rpc(1, 'do', { write: progress.repeat(12), answer: false }), {}, { progressToken: 'p' })
  const slow = await stream(url, order)
  t.equal(slow.status, 200)
  slow.pause()
  t.match((await post(url, modern(rpc(1, 'do')))).json(), { id: 1, result: {} })
  slow.resume()
  await slow.ended
  const last = slow.events.items.at(-1)
  t.match(JSON.parse(last?.data ?? ''), { id: 1, error: { data: { code: 'slow_client' } } })
})

t.test('logs reach only who asked for them', async t => {
  const { url, log } = await modernDoor(t)
  const logging = (id: number, meta?: Record<string, unknown>) => modern(toolCall(id, 'log', { n: 2 }), {}, meta)
  const [asked, silent] = await Promise.all([stream(url, logging(1, { [LOG_LEVEL]: 'info' })), post(url, logging(1))])
  t.match(silent.headers, { 'content-type': 'application/json' })
  t.match(silent.json(), { id: 1, result: { content: [{ text: 'logged 2' }] } })
  for (const data of ['line 1', 'line 2']) t.match(await asked.nextMessage(), { params: { data } })
  t.match(await asked.nextMessage(), { id: 1, result: { content: [{ text: 'logged 2' }] } })
  t.equal(await asked.ended, 'end')
  t.equal(log.items.filter(l => l.text === 'fixture tools/call log 1').length, 2, 'two processes')
})

t.test('one child serves all: a stateless client has no process of its own', async t => {
  const { url } = await modernDoor(t)
  for (let i = 1; i <= 3; i++)
    t.match((await post(url, modern(toolCall(i, 'count')))).json(), { result: { content: [{ text: String(i) }] } })
})

t.test('silence becomes a stream, on which the answer comes', async t => {
  const { url, log } = await modernDoor(t, 'modern', { settings: { streamAfter: 50 } })
  const s = await stream(url, modern(toolCall(1, 'slow', { key: 'k' })))
  t.equal(s.status, 200)
  t.equal(s.headers['x-accel-buffering'], 'no')
  t.match(s.headers['content-type'], 'text/event-stream')
  await log.child(/slow\.started 1/)
  await post(url, modern(toolCall(1, 'release', { key: 'k' })))
  t.match(await s.nextMessage(), { id: 1, result: {} })
  t.equal(await s.ended, 'end')
})

t.test('a command that is not there: an error that says so, each time', async t => {
  const target = { command: '/nonexistent/command' }
  const { url } = await pipeDoor(t, 'puppet-stdio.ts', { target })
  for (let i = 0; i < 2; i++) {
    const answer = await post(url, modern(rpc(1, 'tools/list')))
    t.equal(answer.status, 502)
    t.match(answer.json(), { id: 1, error: { data: { code: 'child_start_failed' } } })
  }
})

/** The puppet, said to be modern: it answers what it is told to. */
function puppet() {
  const [command, ...args] = fixtureArgv('puppet-stdio.ts')
  return { command, args, era: 'modern' } as const
}
