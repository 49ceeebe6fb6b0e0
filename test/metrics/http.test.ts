/** Real clients and servers over HTTP, with the door between them, and what its numbers say of them. */
import t from 'tap'
import { openSse, rawPost, rawRequest, send } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, modern, modernHeaders, notification, rpc, toolCall } from '../helpers/rpc.ts'
import { callTool, client, rawDoor, rawSession, sdkDoor, watcher } from '../integration/http-door.ts'
import { scrapeOf } from './scrape.ts'

const ON = { metrics: true } as const
const SERVER = 'mcp_server_operation_duration_seconds_count'
const CLIENT = 'mcp_client_operation_duration_seconds_count'
const SIDES = [SERVER, CLIENT]

t.test('operations are counted on both sides, with the labels of the conventions', async t => {
  const { door, url, server } = await sdkDoor(t, {}, ON)
  const c = await client(t, url)
  await c.client.listTools()
  for (let i = 0; i < 3; i++) await callTool(c, 'echo', { i })
  await c.client.getPrompt({ name: 'greet', arguments: { name: 'x' } })
  await c.client.readResource({ uri: 'fixture://item/10' })
  const scrape = scrapeOf(door)
  const common = { mcp_protocol_version: '2025-11-25', network_transport: 'tcp', network_protocol_name: 'http' }
  const address = { server_address: '127.0.0.1', server_port: new URL(server.url).port }
  for (const [name, more] of [
    [SERVER, {}],
    [CLIENT, address]
  ] as const) {
    const [call, ...others] = scrape.all(name, { mcp_method_name: 'tools/call' })
    t.same(others, [])
    t.same(call, {
      name,
      labels: {
        mcp_method_name: 'tools/call',
        gen_ai_operation_name: 'execute_tool',
        gen_ai_tool_name: 'echo',
        ...common,
        ...more
      },
      value: 3
    })
    t.equal(scrape.sum(name, { mcp_method_name: 'prompts/get', gen_ai_prompt_name: 'greet' }), 1)
    t.same(
      scrape.all(name, { mcp_method_name: 'resources/read' }).map(s => s.labels),
      [{ mcp_method_name: 'resources/read', ...common, ...more }],
      'no URI'
    )
    t.equal(scrape.sum(name, { mcp_method_name: 'initialize', mcp_protocol_version: '2025-11-25' }), 1)
    t.equal(scrape.sum(name, { mcp_method_name: 'notifications/initialized' }), 1)
  }
  t.equal(scrape.types.get('mcp_server_operation_duration_seconds'), 'histogram')
  const bounds = scrape.all('mcp_server_operation_duration_seconds_bucket', { gen_ai_tool_name: 'echo' })
  t.equal(
    bounds.map(s => s.labels.le).join(' '),
    '0.01 0.02 0.05 0.1 0.2 0.5 1 2 5 10 30 60 120 300 +Inf',
    'as the conventions advise'
  )
  t.equal(bounds.at(-1)?.value, 3)
})

t.test('a modern client: its revision, and no session', async t => {
  const { door, url } = await sdkDoor(t, { mode: 'modern' }, ON)
  const c = await client(t, url, { era: 'modern' })
  await callTool(c, 'echo')
  const scrape = scrapeOf(door)
  const labels = { gen_ai_tool_name: 'echo', mcp_protocol_version: '2026-07-28' }
  for (const name of SIDES) t.equal(scrape.sum(name, labels), 1)
  t.equal(scrape.sum('catflap_sessions'), 0)
})

t.test('errors of the server: by their code where it is known, of tools by what the conventions call them', async t => {
  const { door, url } = await sdkDoor(t, {}, ON)
  const c = await client(t, url)
  await callTool(c, 'fail')
  await t.rejects(callTool(c, 'throw', { code: -32602 }))
  await t.rejects(callTool(c, 'throw', { code: -31_234 }))
  await t.rejects(c.client.getPrompt({ name: 'broken' }))
  await t.rejects(c.client.readResource({ uri: 'nowhere://' }))
  const scrape = scrapeOf(door)
  for (const name of SIDES) {
    t.equal(scrape.sum(name, { gen_ai_tool_name: 'fail', error_type: 'tool_error' }), 1)
    const both = { error_type: '-32602', rpc_response_status_code: '-32602' }
    t.equal(scrape.sum(name, { gen_ai_tool_name: 'throw', ...both }), 1)
    t.equal(scrape.sum(name, { gen_ai_tool_name: 'throw', error_type: '_OTHER' }), 1)
    t.equal(scrape.sum(name, { gen_ai_prompt_name: 'broken', error_type: '_OTHER' }), 1)
    t.match(scrape.all(name, { mcp_method_name: 'resources/read' }), [{ labels: { error_type: /^-32/ }, value: 1 }])
  }
  t.equal(scrape.sum('catflap_errors_total'), 0, 'they are no faults of the way to the server')
})

t.test('errors are found in answers of any form', async t => {
  const { door, server, url } = await rawDoor(t, undefined, ON)
  const error = '{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}'
  const failed = '{"jsonrpc":"2.0","id":1,"result":{"isError": true,"content":[]}}'
  server.next(x => x.json(200, error))
  await rawPost(url, toolCall(1, 'whole'))
  server.next(async x => {
    x.head(200, ['Content-Type', 'application/json'])
    for (let i = 0; i < failed.length; i += 5) await x.write(failed.slice(i, i + 5))
    x.end()
  })
  await rawPost(url, toolCall(1, 'in pieces'))
  server.next(async x => {
    x.sse()
    await x.sendMessage({ jsonrpc: '2.0', method: 'notifications/progress', params: { error: '"error"' } })
    for (let i = 0; i < failed.length; i += 11) await x.write(`${i === 0 ? 'data: ' : ''}${failed.slice(i, i + 11)}`)
    await x.write('\n\n')
    x.end()
  })
  await rawPost(url, toolCall(1, 'on a stream'))
  server.next(x => x.json(200, '{"jsonrpc":"2.0","id":1,"result":{"text":"\\"isError\\": true, \\"error\\""}}'))
  await rawPost(url, toolCall(1, 'only says so'))
  server.next(x => x.respond(500, 'text/plain', 'broken'))
  await rawPost(url, toolCall(1, 'status'))
  server.next(x => x.json(400, error))
  await rawPost(url, toolCall(1, 'status and code'))
  server.next(x => x.json(200, `{"jsonrpc":"2.0","id":1,"result":"${'x'.repeat(100_000)}\\"error\\""}`))
  await rawPost(url, toolCall(1, 'too long to look at'))
  const errors = (name: string) =>
    Object.fromEntries(
      scrapeOf(door)
        .all(name)
        .map(s => [s.labels.gen_ai_tool_name, s.labels.error_type])
    )
  for (const name of SIDES)
    t.same(errors(name), {
      whole: '-32601',
      'in pieces': 'tool_error',
      'on a stream': 'tool_error',
      'only says so': undefined,
      status: '500',
      'status and code': '-32601',
      'too long to look at': undefined
    })
})

t.test('a server that fails, a client that leaves: what each side sees', async t => {
  const seen = watcher()
  const { door, server, url } = await rawDoor(t, undefined, { ...ON, interceptors: [seen] })
  server.next(x => x.reset())
  t.equal((await rawPost(url, rpc(1, 'tools/list'))).status, 502)
  server.next(() => {})
  const { req } = send(url, { body: rpc(2, 'ping'), headers: legacyHeaders() })
  await server.exchange(2)
  req.destroy()
  await seen.ended.until(outcome => outcome.result === 'gone')
  const scrape = scrapeOf(door)
  const reset = { mcp_method_name: 'tools/list', error_type: 'upstream_reset', rpc_response_status_code: '-31031' }
  for (const name of SIDES) {
    t.equal(scrape.sum(name, reset), 1)
    t.equal(scrape.sum(name, { mcp_method_name: 'ping', error_type: 'client_gone' }), 1)
  }
  t.equal(scrape.sum('catflap_errors_total', { error_type: 'upstream_reset' }), 1)
  const ended = (result: string) =>
    scrape.sum('catflap_exchanges_total', { catflap_exchange_kind: 'request', catflap_exchange_result: result })
  t.same([ended('failed'), ended('gone'), ended('answered')], [1, 1, 0])
  t.equal(scrape.sum('catflap_exchanges_active'), 0)
})

t.test('refusals are told by their reason, whoever refused', async t => {
  const { door, server, url } = await rawDoor(t, undefined, {
    ...ON,
    settings: { maxBody: 1000, maxConnections: 3, maxHeaderSize: 2000 }
  })
  await rawPost(url, rpc(1, 'ping'), { host: 'evil.example' })
  await rawPost(url, '{')
  await rawPost(url, rpc(1, 'x'.repeat(2000)))
  await rawPost(url, rpc(1, 'tools/list'), legacyHeaders('no-such-session'))
  await rawRequest(url, { method: 'PUT' })
  await rawPost(url, rpc(1, 'ping'), { 'x-long': 'x'.repeat(3000) })
  server.always(x => void x.sse())
  const streams = await Promise.all([1, 2, 3].map(() => openSse(url)))
  await rawPost(url, rpc(1, 'ping'))
  for (const stream of streams) stream.close()
  t.equal(server.counters.snapshot().POST, undefined)
  const refused = scrapeOf(door).all('catflap_refusals_total')
  t.same(Object.fromEntries(refused.map(s => [s.labels.error_type, s.value])), {
    forbidden_host: 1,
    parse_error: 1,
    body_too_large: 1,
    session_not_found: 1,
    method_not_allowed: 1,
    headers_too_large: 1,
    too_many_connections: 1
  })
  const scrape = scrapeOf(door)
  t.equal(scrape.sum(SERVER, { mcp_method_name: 'tools/list', error_type: 'session_not_found' }), 1)
  t.equal(scrape.sum(CLIENT), 0, 'nothing went to the server')
})

t.test('sessions: while they last by their revision, afterwards how long they lasted', async t => {
  const { door, url } = await sdkDoor(t, {}, ON)
  const c = await client(t, url)
  const old = await rawSession(url, '2025-06-18')
  const held = scrapeOf(door).all('catflap_sessions')
  t.same(Object.fromEntries(held.map(s => [s.labels.mcp_protocol_version, s.value])), {
    '2025-06-18': 1,
    '2025-11-25': 1
  })
  await c.terminate()
  await rawRequest(url, { method: 'DELETE', headers: legacyHeaders(old, '2025-06-18') })
  const scrape = scrapeOf(door)
  t.equal(scrape.sum('catflap_sessions'), 0)
  for (const side of ['server', 'client']) {
    for (const version of ['2025-06-18', '2025-11-25'])
      t.equal(scrape.sum(`mcp_${side}_session_duration_seconds_count`, { mcp_protocol_version: version }), 1)
    const lasted = scrape.sum(`mcp_${side}_session_duration_seconds_sum`)
    t.ok(lasted > 0 && lasted < 60, `${lasted} s`)
  }
  const operations = (what: string) => scrape.sum('catflap_store_operations_total', { catflap_store_operation: what })
  t.equal(operations('create'), 2)
  t.equal(operations('delete'), 2)
  t.ok(operations('get') >= 4 && operations('touch') >= 4)
  t.equal(scrape.all('catflap_store_operation_duration_seconds_count').length, 0, 'this store answers at once')
})

t.test('a session that the server has lost ends with an error', async t => {
  const { door, server, url } = await rawDoor(t, undefined, ON)
  server.next(x =>
    x.respond(
      200,
      'application/json',
      '{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"x","version":"1"}}}',
      ['Mcp-Session-Id', 'theirs']
    )
  )
  const id = String((await rawPost(url, initialize())).headers['mcp-session-id'])
  server.next(x => x.json(404, '{"jsonrpc":"2.0","error":{"code":-32001,"message":"gone"}}'))
  await rawPost(url, rpc(1, 'tools/list'), legacyHeaders(id))
  for (const side of ['server', 'client'])
    t.equal(scrapeOf(door).sum(`mcp_${side}_session_duration_seconds_count`, { error_type: 'session_lost' }), 1)
  t.notMatch(door.exportMetrics(), new RegExp(`theirs|${id}`), 'ids of sessions are no labels')
})

t.test('streams: how many are open, and how long the first message took', async t => {
  const { door, server, url } = await rawDoor(t, undefined, ON)
  server.next(x => void x.sse())
  const listening = await openSse(url)
  server.next(x => void x.sse())
  const answer = await openSse(url, { body: rpc(1, 'tools/call', { name: 'a' }), headers: legacyHeaders() })
  const before = scrapeOf(door)
  t.equal(before.sum('catflap_streams', { catflap_stream_kind: 'listen' }), 1)
  t.equal(before.sum('catflap_streams', { catflap_stream_kind: 'answer' }), 1)
  t.equal(before.sum('catflap_connections'), 2)
  t.equal(before.sum('catflap_exchanges_active'), 2)
  const count = 'catflap_stream_first_message_duration_seconds_count'
  t.equal(before.sum(count), 0)
  const x = server.exchanges[1]!
  await x.sendMessage({ jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken: 1, progress: 1 } })
  await answer.nextMessage()
  await x.sendMessage({ jsonrpc: '2.0', id: 1, result: {} })
  x.end()
  t.equal(await answer.ended, 'end')
  const after = scrapeOf(door)
  t.same(
    after.all(count).map(s => [s.labels, s.value]),
    [[{ mcp_method_name: 'tools/call' }, 1]],
    'once an answer'
  )
  t.equal(after.sum('catflap_streams', { catflap_stream_kind: 'answer' }), 0)
  listening.close()
})

t.test('bytes, connections to the server, and what waits for one', async t => {
  const { door, server, url } = await rawDoor(t, undefined, { ...ON, settings: { maxUpstreamConnections: 1 } })
  server.next(() => {})
  const first = send(url, { body: rpc(1, 'ping'), headers: legacyHeaders() })
  await server.exchange(1)
  const second = rawPost(url, rpc(2, 'ping'))
  for (let i = 0; scrapeOf(door).sum('catflap_upstream_queue') === 0 && i < 2000; i++)
    await new Promise(resolve => setImmediate(resolve))
  const busy = scrapeOf(door)
  t.equal(busy.sum('catflap_upstream_queue'), 1)
  t.equal(busy.sum('catflap_upstream_requests', { catflap_pool: 'calls', catflap_request_state: 'running' }), 1)
  t.equal(busy.sum('catflap_upstream_connections', { catflap_pool: 'calls', catflap_connection_state: 'free' }), 0)
  server.exchanges[0]!.json(200, '{"jsonrpc":"2.0","id":1,"result":{}}')
  await first.head
  const { text } = await second
  const body = JSON.stringify(rpc(1, 'ping')).length
  const scrape = scrapeOf(door)
  t.equal(scrape.sum('catflap_upstream_io_bytes_total', { network_io_direction: 'transmit' }), 2 * body)
  t.equal(
    scrape.sum('catflap_upstream_io_bytes_total', { network_io_direction: 'receive' }),
    '{"jsonrpc":"2.0","id":1,"result":{}}'.length + text.length
  )
  t.ok(scrape.sum('catflap_downstream_io_bytes_total', { network_io_direction: 'receive' }) > 2 * body)
  t.ok(scrape.sum('catflap_downstream_io_bytes_total', { network_io_direction: 'transmit' }) > text.length)
  first.req.destroy()
})

t.test('a batch: each of its messages is an operation', async t => {
  const { door, url } = await rawDoor(t, undefined, ON)
  const batch = [rpc(1, 'tools/list'), rpc(2, 'ping'), notification('notifications/initialized')]
  t.equal((await rawPost(url, JSON.stringify(batch), { 'mcp-protocol-version': '2025-03-26' })).status, 200)
  const scrape = scrapeOf(door)
  for (const name of SIDES)
    t.same(
      scrape.all(name).map(s => [s.labels.mcp_method_name, s.labels.mcp_protocol_version, s.value]),
      ['tools/list', 'ping', 'notifications/initialized'].map(method => [method, '2025-03-26', 1])
    )
})

t.test('an interceptor that answers, and one that refuses', async t => {
  const { door, url } = await rawDoor(t, undefined, {
    ...ON,
    interceptors: [
      {
        name: 'answers',
        request: x =>
          x.message?.method === 'ping' ? { http: { status: 503, headers: [], body: undefined } } : undefined
      }
    ]
  })
  await rawPost(url, rpc(1, 'ping'))
  const call = modern(rpc(2, 'tools/list'))
  await rawPost(url, call, modernHeaders(call))
  const scrape = scrapeOf(door)
  t.equal(scrape.sum(SERVER, { mcp_method_name: 'ping', error_type: '503' }), 1)
  t.same(
    scrape.all(CLIENT).map(s => s.labels.mcp_method_name),
    ['tools/list']
  )
})

t.test('a store that takes time is timed, and its failures are told', async t => {
  const { MemorySessionStore } = await import('../../src/index.ts')
  const inner = new MemorySessionStore({ maxSessions: 10, idleTtl: 60_000, maxTtl: 60_000 })
  let broken = false
  const slow = new Proxy(inner, {
    get: (target, name) => {
      const method = Reflect.get(target, name) as (...args: unknown[]) => unknown
      if (name === 'close') return method.bind(target)
      return async (...args: unknown[]) => {
        if (broken && name === 'get') throw new Error('postgres://user:password@db')
        return await method.apply(target, args)
      }
    }
  })
  const { door, url } = await sdkDoor(t, {}, { ...ON, store: slow })
  const id = await rawSession(url)
  broken = true
  t.equal((await rawPost(url, rpc(1, 'ping'), legacyHeaders(id))).status, 500)
  broken = false
  const scrape = scrapeOf(door)
  const get = { catflap_store_operation: 'get' }
  t.equal(scrape.sum('catflap_store_operations_total', { ...get, error_type: '_OTHER' }), 1)
  t.ok(scrape.sum('catflap_store_operation_duration_seconds_count', get) >= 1)
  t.equal(scrape.sum('catflap_errors_total') + scrape.sum('catflap_refusals_total', { error_type: 'internal' }), 1)
  t.notMatch(door.exportMetrics(), 'password')
})
