/** Real clients and real servers of 2026-07-28, with the door between them. */
import t from 'tap'
import { FIXTURE_RESOURCE } from '../fixtures/servers/definition.ts'
import { openSse, rawPost, rawRequest, send } from '../helpers/raw-client.ts'
import { modern, modernHeaders, rpc, toolCall } from '../helpers/rpc.ts'
import { callTool, client, sdkDoor } from './http-door.ts'

for (const mode of ['modern', 'dual'] as const) {
  for (const responseMode of ['auto', 'sse'] as const) {
    t.test(`a ${mode} server, answers '${responseMode}': everything a client does works through the door`, async t => {
      const { server, door, url } = await sdkDoor(t, { mode, responseMode })
      const c = await client(t, url, { era: mode === 'dual' ? 'auto' : 'modern' })
      t.equal(c.client.getNegotiatedProtocolVersion(), '2026-07-28')
      t.ok((await c.client.listTools()).tools.some(tool => tool.name === 'slow'))
      t.match(await c.client.readResource({ uri: 'fixture://item/10' }), { contents: [{ text: '{"id":"10"}' }] })
      t.equal(await callTool(c, 'echo', { a: 1 }), '{"a":1}')
      t.equal(await callTool(c, 'region', { region: 'Zürich' }), 'Zürich', 'Mcp-Param-* headers pass')
      await t.rejects(callTool(c, 'throw', { code: -31_234, message: 'no' }), { code: -31_234, message: 'no' })

      const steps: number[] = []
      const onprogress = ({ progress }: { progress: number }) => void steps.push(progress)
      await c.client.callTool({ name: 'progress', arguments: { n: 3 } }, { onprogress })
      t.same(steps, [1, 2, 3])
      t.match(await callTool(c, 'sample'), '"sampled"', 'input_required and the retry that answers it')
      t.match(await callTool(c, 'elicit'), /"colour":"blue".*"requestState":"state of elicit"/)
      t.match(await callTool(c, 'roots'), 'file:///fixture')
      t.same([server.counters.count('elicit.asked'), server.counters.count('elicit.answered')], [1, 1])

      t.equal(door.stats.sessions, 0, 'no session is invented')
      t.notOk(c.http.items.some(fact => fact.responseHeaders?.has('mcp-session-id')))
      t.notOk(server.requests.some(r => r.headers['mcp-session-id'] !== undefined))
    })
  }
}

t.test('subscriptions/listen: a stream that stays open, says what changes and ends when the client leaves', async t => {
  const { server, door, url } = await sdkDoor(t, { mode: 'modern' }, { settings: { requestTimeout: 50 } })
  const c = await client(t, url, { era: 'modern' })
  const heard = await c.client.listen({ toolsListChanged: true, resourceSubscriptions: [FIXTURE_RESOURCE] })
  await callTool(c, 'touch', { uri: FIXTURE_RESOURCE })
  await c.until('notifications/resources/updated')
  server.changed('tools')
  await c.until('notifications/tools/list_changed')
  t.equal(door.stats.exchanges, 1)
  await heard.close()
  t.equal(await callTool(c, 'count'), '1')
})

t.test('a client that closes its stream cancels the call at the server', async t => {
  const { server, url } = await sdkDoor(t, { mode: 'modern' })
  const c = await client(t, url, { era: 'modern' })
  const gone = new AbortController()
  const slow = c.client.callTool({ name: 'slow', arguments: {} }, { signal: gone.signal })
  await server.counters.until('slow.started')
  gone.abort('enough')
  await t.rejects(slow)
  await server.counters.until('slow.cancelled')
  t.notOk(
    server.requests.some(r => r.body.includes('notifications/cancelled')),
    'closing says it all'
  )

  const message = modern(toolCall(1, 'slow'))
  const { req } = send(url, { body: message, headers: modernHeaders(message) })
  await server.counters.until('slow.started', 2)
  req.destroy()
  await server.counters.until('slow.cancelled', 2)
})

t.test('what would name a session or a position is ignored; GET and DELETE are not allowed', async t => {
  const { server, door, url } = await sdkDoor(t, { mode: 'modern' })
  const ping = modern(toolCall(1, 'count'))
  const extra = { 'mcp-session-id': 'left over', 'last-event-id': '7' }
  t.match((await rawPost(url, ping, { ...modernHeaders(ping), ...extra })).json(), { id: 1, result: {} })
  const [seen] = server.requests
  t.same([seen!.headers['mcp-session-id'], seen!.headers['last-event-id']], [undefined, undefined])
  for (const method of ['GET', 'DELETE']) {
    const headers = { accept: 'text/event-stream', 'mcp-protocol-version': '2026-07-28', ...extra }
    const answer = await rawRequest(url, { method, headers })
    t.match(answer, { status: 405, headers: { allow: 'POST' } }, method)
    t.match(answer.json(), { jsonrpc: '2.0', error: { data: { code: 'method_not_allowed' } } })
  }
  t.equal(server.requests.length, 1, 'neither went on to the server')
  t.equal(door.stats.sessions, 0)
})

t.test("a legacy server's refusal of a modern request is relayed as it is", async t => {
  const { server, url } = await sdkDoor(t)
  const discover = modern(rpc(1, 'server/discover'))
  const direct = await rawPost(server.url, discover, modernHeaders(discover))
  const through = await rawPost(url, discover, modernHeaders(discover))
  t.same([through.status, through.text], [direct.status, direct.text])
  const c = await client(t, url, { era: 'auto' })
  t.equal(c.client.getNegotiatedProtocolVersion(), '2025-11-25', 'so that a client falls back')
})

t.test('a subscription is told to the client event by event', async t => {
  const { server, url } = await sdkDoor(t, { mode: 'modern' })
  const listen = modern(rpc('sub', 'subscriptions/listen', { notifications: { toolsListChanged: true } }))
  const stream = await openSse(url, { body: listen, headers: modernHeaders(listen) })
  t.match(await stream.nextMessage(), { method: 'notifications/subscriptions/acknowledged' })
  server.changed('tools')
  t.match(await stream.nextMessage(), { method: 'notifications/tools/list_changed' })
  stream.close()
})
