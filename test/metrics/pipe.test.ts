/** The same numbers where one side is a pipe: servers and clients on stdio, clients of HTTP+SSE. */
import t from 'tap'
import { rawPost } from '../helpers/raw-client.ts'
import { initialize, modern, modernHeaders, notification, rpc, toolCall } from '../helpers/rpc.ts'
import { fixtureArgv } from '../helpers/stdio-peer.ts'
import { callTool, client } from '../integration/http-door.ts'
import { pair } from '../integration/pairing-door.ts'
import { pipeDoor, pipeSession, stdioDoor } from '../integration/pipe-door.ts'
import { scrapeOf } from './scrape.ts'

const ON = { metrics: true } as const
const SERVER = 'mcp_server_operation_duration_seconds_count'
const CLIENT = 'mcp_client_operation_duration_seconds_count'
const PIPE = { network_transport: 'pipe' }
const HTTP = { network_transport: 'tcp', network_protocol_name: 'http' }

t.test('an HTTP client and a stdio server: HTTP on one side, a pipe on the other; a child a session', async t => {
  const { door, url } = await pipeDoor(t, 'stdio-server.ts', ON)
  const c = await client(t, url)
  await callTool(c, 'echo')
  await callTool(c, 'fail')
  const call = { mcp_method_name: 'tools/call', mcp_protocol_version: '2025-11-25' }
  const before = scrapeOf(door)
  t.equal(before.sum(SERVER, { ...call, ...HTTP, gen_ai_tool_name: 'echo' }), 1)
  const [onPipe] = before.all(CLIENT, { ...call, gen_ai_tool_name: 'echo' })
  t.same(onPipe?.labels, { ...call, ...PIPE, gen_ai_tool_name: 'echo', gen_ai_operation_name: 'execute_tool' })
  for (const name of [SERVER, CLIENT])
    t.equal(before.sum(name, { gen_ai_tool_name: 'fail', error_type: 'tool_error' }), 1)
  t.same([before.sum('catflap_children'), before.sum('catflap_child_starts_total')], [1, 1])
  t.same([before.sum('catflap_sessions'), before.sum('catflap_child_losses_total')], [1, 0])
  await c.terminate()
  await door.close()
  const after = scrapeOf(door)
  t.same([after.sum('catflap_children'), after.sum('catflap_child_losses_total')], [0, 0], 'it was ended, not lost')
  t.equal(after.sum('mcp_server_session_duration_seconds_count', HTTP), 1)
  t.equal(after.sum('mcp_client_session_duration_seconds_count', PIPE), 1)
})

t.test('a child that dies: its session ends with an error, its call too', async t => {
  const { door, url } = await pipeDoor(t, 'puppet-stdio.ts', ON)
  const s = await pipeSession(url)
  t.equal((await s.post(rpc(1, 'do', { answer: false, exit: 3 }))).status, 502)
  const scrape = scrapeOf(door)
  for (const name of [SERVER, CLIENT]) t.equal(scrape.sum(name, { error_type: 'child_exited' }), 1)
  t.equal(scrape.sum('catflap_errors_total', { error_type: 'child_exited' }), 1)
  t.same([scrape.sum('catflap_children'), scrape.sum('catflap_child_losses_total')], [0, 1])
  t.equal(scrape.sum('mcp_client_session_duration_seconds_count', { error_type: 'session_lost' }), 1)
})

t.test('a shared child that is lost is started again, and that is told', async t => {
  const [command, ...args] = fixtureArgv('puppet-stdio.ts')
  const { door, url } = await pipeDoor(t, 'puppet-stdio.ts', { ...ON, target: { command, args, era: 'modern' } })
  const post = (id: number, params: Record<string, unknown>) => {
    const message = modern(rpc(id, 'do', params))
    return rawPost(url, message, modernHeaders(message))
  }
  t.equal((await post(1, { answer: false, exit: 1 })).status, 502)
  t.equal((await post(2, {})).status, 200)
  const scrape = scrapeOf(door)
  t.equal(scrape.sum('catflap_children'), 1)
  t.equal(scrape.sum('catflap_child_starts_total'), 2)
  t.equal(scrape.sum('catflap_child_losses_total'), 1)
  t.equal(scrape.sum('catflap_child_restarts_total'), 1)
})

t.test('a client and a server on stdio', async t => {
  const { door, send, nextMessage } = await stdioDoor(t, 'stdio-server.ts', ON)
  send(initialize())
  await nextMessage()
  send(notification('notifications/initialized'), toolCall(1, 'echo', { a: 1 }))
  await nextMessage()
  send('no JSON\n')
  await nextMessage()
  const scrape = scrapeOf(door)
  for (const name of [SERVER, CLIENT]) {
    t.equal(scrape.sum(name, { ...PIPE, gen_ai_tool_name: 'echo', mcp_protocol_version: '2025-11-25' }), 1)
    t.equal(scrape.sum(name, { network_transport: 'tcp' }), 0)
  }
  t.equal(scrape.sum('catflap_refusals_total', { error_type: 'parse_error' }), 1)
  t.equal(scrape.sum('catflap_connections'), 0)
  t.equal(scrape.sum('catflap_sessions', { mcp_protocol_version: '2025-11-25' }), 1)
  const io = (direction: string) => scrape.sum('catflap_downstream_io_bytes_total', { network_io_direction: direction })
  const said = [initialize(), notification('notifications/initialized'), toolCall(1, 'echo', { a: 1 })]
  t.equal(io('receive'), said.reduce((sum, m) => sum + JSON.stringify(m).length + 1, 0) + 'no JSON\n'.length)
  t.ok(io('transmit') > 100)
})

t.test('an answer with something before it is a stream, on a pipe too', async t => {
  const { door, url } = await pipeDoor(t, 'puppet-stdio.ts', ON)
  const s = await pipeSession(url)
  const n = `${JSON.stringify(notification('n'))}\n`
  const stream = await s.stream(rpc(1, 'tools/call', { name: 'x', write: n + n }))
  t.equal(await stream.ended, 'end')
  await s.post(rpc(2, 'tools/call', { name: 'x' }))
  const count = 'catflap_stream_first_message_duration_seconds_count'
  t.same(
    scrapeOf(door)
      .all(count)
      .map(x => [x.labels, x.value]),
    [[{ mcp_method_name: 'tools/call' }, 1]]
  )
})

for (const wire of ['stdio', 'sse'] as const)
  t.test(`${wire} > http: a stream that is taken up again is told`, async t => {
    const p = await pair(t, wire, 'http', { version: '2025-11-25', ...ON })
    void p.client.say(rpc(1, 'tools/list'))
    const asked = await p.server.heard.next()
    const first = asked.http!.sse()
    await first.sendEvent({ id: 'e/0', retry: 15, data: '' })
    first.end()
    const back = await p.server.streams.until(x => x.headers['last-event-id'] !== undefined)
    await back.sendMessage({ jsonrpc: '2.0', id: 1, result: {} })
    t.match(await p.client.next(), { id: 1 })
    const scrape = scrapeOf(p.door)
    t.equal(scrape.sum('catflap_upstream_retries_total', { catflap_retry_reason: 'stream_resumed' }), 1)
    const down = wire === 'stdio' ? PIPE : HTTP
    t.equal(scrape.sum(SERVER, { mcp_method_name: 'tools/list', ...down }), 1)
    t.equal(scrape.sum(CLIENT, { mcp_method_name: 'tools/list', ...HTTP }), 1)
    if (wire === 'sse') t.equal(scrape.sum('catflap_streams', { catflap_stream_kind: 'listen' }), 1)
  })
