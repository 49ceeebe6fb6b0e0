import t, { type Test } from 'tap'
import { FIXTURE_RESOURCE, FIXTURE_TEMPLATE } from './fixtures/servers/definition.ts'
import { type HttpServerOptions, startHttpServer } from './fixtures/servers/http-server.ts'
import { connectHttp, connectStdio, HANDLERS, type HttpClientOptions, type TestClient } from './helpers/clients.ts'
import { trackLeaks } from './helpers/leaks.ts'
import { openSse, rawPost, rawRequest, send } from './helpers/raw-client.ts'
import { initialize, legacyHeaders, modern, modernHeaders, notification, rpc, toolCall } from './helpers/rpc.ts'
import { fixtureArgv } from './helpers/stdio-peer.ts'

interface Connected {
  readonly c: TestClient
  readonly era: 'legacy' | 'modern'
  /** Whether the server can speak on its own account. */
  readonly channel: boolean
}

async function http(t: Test, server: HttpServerOptions, client: HttpClientOptions = {}) {
  trackLeaks(t)
  const s = await startHttpServer(server)
  t.teardown(() => s.close())
  const c = await connectHttp(s.url, { handlers: HANDLERS, ...client })
  t.teardown(() => c.close())
  return { s, c }
}

const textOf = (result: unknown) => (result as { content: { text: string }[] }).content[0]?.text
const call = async (c: TestClient, name: string, args = {}) =>
  textOf(await c.client.callTool({ name, arguments: args }))

const servers: Record<string, (t: Test) => Promise<Connected>> = {
  'legacy HTTP, stateful': async t => ({ ...(await http(t, {})), era: 'legacy', channel: true }),
  'legacy HTTP, stateful, JSON answers': async t => ({
    ...(await http(t, { json: true })),
    era: 'legacy',
    channel: true
  }),
  'legacy HTTP, stateless': async t => ({ ...(await http(t, { mode: 'stateless' })), era: 'legacy', channel: false }),
  'modern HTTP': async t => ({
    ...(await http(t, { mode: 'modern' }, { era: 'modern' })),
    era: 'modern',
    channel: true
  }),
  'dual HTTP, modern client': async t => ({
    ...(await http(t, { mode: 'dual' }, { era: 'auto' })),
    era: 'modern',
    channel: true
  }),
  'dual HTTP, legacy client': async t => ({ ...(await http(t, { mode: 'dual' })), era: 'legacy', channel: true }),
  'legacy stdio': async t => ({ c: await stdio(t, 'legacy', 'legacy'), era: 'legacy', channel: true }),
  'modern stdio': async t => ({ c: await stdio(t, 'modern', 'modern'), era: 'modern', channel: true }),
  'dual stdio, modern client': async t => ({ c: await stdio(t, 'dual', 'auto'), era: 'modern', channel: true }),
  'dual stdio, legacy client': async t => ({ c: await stdio(t, 'dual', 'legacy'), era: 'legacy', channel: true })
}

async function stdio(t: Test, serverEra: string, era: 'legacy' | 'modern' | 'auto'): Promise<TestClient> {
  trackLeaks(t)
  const [, ...args] = fixtureArgv('stdio-server.ts', '--era', serverEra)
  const c = await connectStdio({ args, era, handlers: HANDLERS })
  t.teardown(() => c.close())
  return c
}

for (const [name, start] of Object.entries(servers)) {
  t.test(`the fixture server: ${name}`, async t => {
    const { c, era, channel } = await start(t)
    t.equal(c.client.getNegotiatedProtocolVersion(), era === 'modern' ? '2026-07-28' : '2025-11-25')
    const { tools } = await c.client.listTools()
    t.ok(tools.some(tool => tool.name === 'slow'))

    t.equal(await call(c, 'echo', { a: [1, { b: null }] }), '{"a":[1,{"b":null}]}')
    t.equal(await call(c, 'add', { a: 1, b: 2 }), '3')
    t.equal((await call(c, 'big', { bytes: 100_000 }))?.length, 100_000)
    t.equal(await call(c, 'count'), '1')
    t.equal(await call(c, 'count'), '2')
    t.match(await c.client.callTool({ name: 'fail', arguments: {} }), { isError: true })
    const thrown = c.client.callTool({ name: 'throw', arguments: { code: -31_234, message: 'no' } })
    await t.rejects(thrown, { code: -31_234, message: 'no' })

    const { resources } = await c.client.listResources()
    t.ok(resources.some(({ uri }) => uri === FIXTURE_RESOURCE))
    const { resourceTemplates } = await c.client.listResourceTemplates()
    t.match(resourceTemplates, [{ uriTemplate: FIXTURE_TEMPLATE }])
    t.match(await c.client.readResource({ uri: 'fixture://item/10' }), { contents: [{ text: '{"id":"10"}' }] })
    const ref = { type: 'ref/resource', uri: FIXTURE_TEMPLATE } as const
    const { completion } = await c.client.complete({ ref, argument: { name: 'id', value: '10' } })
    t.same(completion.values, ['10', '100'])
    t.match(await c.client.getPrompt({ name: 'greet', arguments: { name: 'Ada' } }), { messages: [{ role: 'user' }] })
    await t.rejects(c.client.getPrompt({ name: 'broken' }), { code: -31_999 })

    if (!name.includes('JSON')) {
      // Not by onprogress: on stdio the SDK drops progress that arrives in one chunk with the response.
      await c.client.callTool({ name: 'progress', arguments: { n: 3 } }, { onprogress() {} })
      const progress = c.notifications.items.filter(n => n.method === 'notifications/progress')
      const seen = progress.map(n => n.params?.progress)
      t.same(seen, [1, 2, 3])
    }
    if (channel && !name.includes('JSON')) {
      t.match(await call(c, 'sample'), '"sampled"')
      t.match(await call(c, 'elicit'), '"colour":"blue"')
      t.match(await call(c, 'roots'), 'file:///fixture')
    }

    const gone = new AbortController()
    const slow = c.client.callTool({ name: 'slow', arguments: {} }, { signal: gone.signal })
    await call(c, 'until', { name: 'slow.started' })
    gone.abort('enough')
    await t.rejects(slow)
    if (name.includes('stateless')) return // there a cancellation names a request that no instance knows
    t.equal(await call(c, 'until', { name: 'slow.cancelled' }), '1', 'the cancellation arrived')

    if (era === 'modern') {
      const heard = await c.client.listen({ toolsListChanged: true, resourceSubscriptions: [FIXTURE_RESOURCE] })
      await call(c, 'touch', { uri: FIXTURE_RESOURCE })
      await c.until('notifications/resources/updated')
      await call(c, 'change', { what: 'tools' })
      await c.until('notifications/tools/list_changed')
      await heard.close()
      return
    }
    await c.client.subscribeResource({ uri: FIXTURE_RESOURCE })
    await call(c, 'touch', { uri: FIXTURE_RESOURCE })
    await c.until('notifications/resources/updated')
    await call(c, 'change', { what: 'tools' })
    await c.until('notifications/tools/list_changed')
    await c.client.setLoggingLevel('warning')
    if (name.includes('JSON')) return
    await call(c, 'log', { level: 'info' })
    await call(c, 'log', { level: 'error' })
    t.match(await c.until('notifications/message'), { params: { level: 'error' } }, 'the level is heeded')
  })
}

t.test('a session ends with DELETE, and when the server forgets it', async t => {
  const { s, c } = await http(t, {})
  t.equal(s.sessions.size, 1)
  await c.terminate()
  t.equal(s.sessions.size, 0)
  t.equal(s.counters.count('session.deleted'), 1)

  const opened = await rawPost(s.url, initialize())
  const id = String(opened.headers['mcp-session-id'])
  await s.endSession(id)
  t.equal((await rawPost(s.url, rpc(1, 'ping'), legacyHeaders(id))).status, 404)
  t.equal((await rawPost(s.url, rpc(1, 'ping'), legacyHeaders())).status, 400)
})

t.test('a session is announced to on its GET stream', async t => {
  trackLeaks(t)
  const s = await startHttpServer()
  t.teardown(() => s.close())
  const id = String((await rawPost(s.url, initialize())).headers['mcp-session-id'])
  await rawPost(s.url, notification('notifications/initialized'), legacyHeaders(id))
  const stream = await openSse(s.url, { headers: { ...legacyHeaders(id), accept: 'text/event-stream' } })
  s.changed('prompts')
  t.match(await stream.nextMessage(), { method: 'notifications/prompts/list_changed' })
  await s.endSession(id)
  t.equal(await stream.ended, 'end')
})

t.test('a stream that was closed for polling is resumed by its last event id', async t => {
  const { s, c } = await http(t, { eventStore: true, retryInterval: 1 })
  const polled = call(c, 'poll')
  await c.http.until(fact => fact.method === 'GET' && fact.headers.has('last-event-id'))
  s.state.gate.release()
  t.equal(await polled, 'released')
})

t.test('modern: a client that goes away cancels; what precedes a result makes it a stream', async t => {
  trackLeaks(t)
  const s = await startHttpServer({ mode: 'modern' })
  t.teardown(() => s.close())
  const slow = modern(toolCall(1, 'slow'))
  const { req } = send(s.url, { body: slow, headers: modernHeaders(slow) })
  await s.counters.until('slow.started')
  req.destroy()
  await s.counters.until('slow.cancelled')
  const progress = modern(toolCall(2, 'progress', { n: 1 }), {}, { progressToken: 'p' })
  const stream = await openSse(s.url, { body: progress, headers: modernHeaders(progress) })
  t.match(stream.headers['content-type'], 'text/event-stream')
  t.match(await stream.nextMessage(), { method: 'notifications/progress' })
  t.match(await stream.nextMessage(), { id: 2 })
  t.equal((await rawRequest(s.url, { method: 'GET', headers: { accept: 'text/event-stream' } })).status, 405)
  const listen = modern(rpc('sub', 'subscriptions/listen', { notifications: { toolsListChanged: true } }))
  const subscription = await openSse(s.url, { body: listen, headers: modernHeaders(listen) })
  t.match(await subscription.nextMessage(), { method: 'notifications/subscriptions/acknowledged' })
  s.changed('tools')
  t.match(await subscription.nextMessage(), { method: 'notifications/tools/list_changed' })
  await s.close()
  t.match(await subscription.nextMessage(), { id: 'sub', result: { resultType: 'complete' } })
  t.equal(await subscription.ended, 'end')
})
