/** Real clients and real servers of the legacy era, with the door between them. */
import t from 'tap'
import { FIXTURE_RESOURCE, FIXTURE_TEMPLATE } from '../fixtures/servers/definition.ts'
import { callTool, client, sdkDoor } from './http-door.ts'

for (const version of ['2025-03-26', '2025-06-18', '2025-11-25']) {
  for (const json of [false, true]) {
    t.test(`${version}, ${json ? 'JSON' : 'SSE'} answers: everything a client does works through the door`, async t => {
      const { server, door, url } = await sdkDoor(t, { json })
      const c = await client(t, url, { version })
      t.equal(c.client.getNegotiatedProtocolVersion(), version)
      t.match(c.client.getServerVersion(), { name: 'catflap-fixture' })
      t.equal(door.stats.sessions, 1)

      t.ok((await c.client.listTools()).tools.some(tool => tool.name === 'slow'))
      t.ok((await c.client.listPrompts()).prompts.some(prompt => prompt.name === 'greet'))
      t.ok((await c.client.listResources()).resources.some(({ uri }) => uri === FIXTURE_RESOURCE))
      t.match(await c.client.readResource({ uri: 'fixture://item/10' }), { contents: [{ text: '{"id":"10"}' }] })
      const ref = { type: 'ref/resource', uri: FIXTURE_TEMPLATE } as const
      t.match(await c.client.complete({ ref, argument: { name: 'id', value: '10' } }), {
        completion: { values: ['10', '100'] }
      })
      t.equal(await callTool(c, 'echo', { a: [1, { b: null }] }), '{"a":[1,{"b":null}]}')
      t.equal((await callTool(c, 'big', { bytes: 300_000 })).length, 300_000)
      await t.rejects(callTool(c, 'throw', { code: -31_234, message: 'no' }), { code: -31_234, message: 'no' })

      await c.listening()
      await c.client.subscribeResource({ uri: FIXTURE_RESOURCE })
      await callTool(c, 'touch', { uri: FIXTURE_RESOURCE })
      await c.until('notifications/resources/updated')
      server.changed('tools')
      await c.until('notifications/tools/list_changed')
      t.match(await callTool(c, 'sample', { via: 'session' }), '"sampled"', 'a question on the GET stream')

      await c.terminate()
      t.equal(server.counters.count('session.deleted'), 1)
      t.equal(door.stats.sessions, 0)
    })
  }
}

t.test('a call carries progress, logs and questions of the server, and the answers to them', async t => {
  const { server, url } = await sdkDoor(t)
  const c = await client(t, url)
  const steps: number[] = []
  await c.client.callTool(
    { name: 'progress', arguments: { n: 3 } },
    { onprogress: ({ progress }) => void steps.push(progress) }
  )
  t.same(steps, [1, 2, 3])
  await c.client.setLoggingLevel('warning')
  await callTool(c, 'log', { level: 'info' })
  await callTool(c, 'log', { level: 'error' })
  t.match(await c.until('notifications/message'), { params: { level: 'error' } })
  t.match(await callTool(c, 'sample'), '"sampled"')
  t.match(await callTool(c, 'elicit'), '"colour":"blue"')
  t.match(await callTool(c, 'roots'), 'file:///fixture')
  t.equal(server.counters.count('elicit.answered'), 1)
})

t.test('a cancellation arrives at the server as the notification that the client sent', async t => {
  const { server, url } = await sdkDoor(t)
  const c = await client(t, url)
  const gone = new AbortController()
  const slow = c.client.callTool({ name: 'slow', arguments: {} }, { signal: gone.signal })
  await server.counters.until('slow.started')
  gone.abort('enough')
  await t.rejects(slow)
  await server.counters.until('slow.cancelled')
  const cancelled = server.requests.filter(r => r.body.includes('notifications/cancelled'))
  t.equal(cancelled.length, 1)
  t.equal(await callTool(c, 'count'), '1', 'the session works on')
})

t.test("the client never sees the server's session id, the server never ours", async t => {
  const { server, url } = await sdkDoor(t)
  const c = await client(t, url)
  await c.listening()
  await callTool(c, 'count')
  const ours = c.transport.sessionId!
  const [theirs] = [...server.sessions.keys()]
  t.ok(ours)
  t.not(ours, theirs)
  await c.terminate()
  for (const fact of c.http.items) {
    const given = fact.responseHeaders?.get('mcp-session-id')
    if (given) t.equal(given, ours, `${fact.method} is answered with the id that the client knows`)
    t.notOk([...(fact.responseHeaders?.values() ?? [])].some(value => value.includes(theirs!)))
  }
  const [first, ...later] = server.requests
  t.equal(first!.headers['mcp-session-id'], undefined)
  t.ok(later.length >= 4)
  for (const request of later) {
    t.equal(request.headers['mcp-session-id'], theirs, request.method)
    t.notOk(request.rawHeaders.some(value => value.includes(ours)))
  }
})

t.test('the clients of a stateless server get no session id, and no session is kept for them', async t => {
  const { door, url } = await sdkDoor(t, { mode: 'stateless' })
  const c = await client(t, url)
  t.equal(c.transport.sessionId, undefined)
  t.equal(await callTool(c, 'echo', { a: 1 }), '{"a":1}')
  t.equal(door.stats.sessions, 0)
  t.equal((await c.listening()).status, 405, "the server's own answer to GET")
})

t.test('a stream that the server closed for polling is resumed by its last event id', async t => {
  const { server, url } = await sdkDoor(t, { eventStore: true, retryInterval: 1 })
  const c = await client(t, url)
  const polled = callTool(c, 'poll')
  const resumed = await c.http.until(fact => fact.method === 'GET' && fact.headers.has('last-event-id'))
  server.state.gate.release()
  t.equal(await polled, 'released')
  const seen = server.requests.find(r => r.headers['last-event-id'] !== undefined)
  t.equal(seen?.headers['last-event-id'], resumed.headers.get('last-event-id'))
  t.ok(server.eventStore!.events.some(event => event.id === seen?.headers['last-event-id']))
})

t.test('a session that the server has forgotten is gone for the client too, where that is wanted', async t => {
  const { server, door, url } = await sdkDoor(t, {}, { sessionLoss: 'propagate' })
  const c = await client(t, url)
  await server.endSession([...server.sessions.keys()][0]!)
  await t.rejects(callTool(c, 'count'), /404|not found/i)
  t.equal(door.stats.sessions, 0)
})

t.test('two clients of one server have a session each', async t => {
  const { server, door, url } = await sdkDoor(t)
  const [a, b] = [await client(t, url), await client(t, url)]
  t.equal(door.stats.sessions, 2)
  await a.client.subscribeResource({ uri: FIXTURE_RESOURCE })
  await a.listening()
  await b.listening()
  server.updated(FIXTURE_RESOURCE)
  await a.until('notifications/resources/updated')
  await a.terminate()
  t.equal(await callTool(b, 'count'), '1')
  t.notOk(b.notifications.items.some(n => n.method === 'notifications/resources/updated'))
})
