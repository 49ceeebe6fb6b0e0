/** What the server is asked once more is counted by its reason, whichever side the client and the server are on. */
import t, { type Test } from 'tap'
import { type Script, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { startSseServer } from '../fixtures/servers/sse-server.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { initialize, modern, rpc } from '../helpers/rpc.ts'
import { callTool, client, openDoor } from '../integration/http-door.ts'
import { stdioDoor } from '../integration/pipe-door.ts'
import { sseClient } from '../integration/sse-down-door.ts'
import { scrapeOf } from './scrape.ts'

const ON = { metrics: true } as const
const CLIENT = 'mcp_client_operation_duration_seconds_count'
type Door = Parameters<typeof scrapeOf>[0]

/** How often, by reason. */
const retries = (door: Door): Record<string, number> =>
  Object.fromEntries(
    scrapeOf(door)
      .all('catflap_upstream_retries_total')
      .map(s => [s.labels.catflap_retry_reason, s.value])
  )

async function olderServer(t: Test): Promise<string> {
  trackLeaks(t)
  const server = await startSseServer()
  t.teardown(() => server.close())
  return server.url
}

t.test('a server on HTTP+SSE: the first initialize is asked again, later ones go there at once', async t => {
  const door = await openDoor(t, await olderServer(t), ON)
  const one = await client(t, door.url)
  await callTool(one, 'echo')
  t.same(retries(door), { other_transport: 1 })
  t.equal(scrapeOf(door).sum(CLIENT, { mcp_method_name: 'initialize' }), 1, 'it is one operation all the same')
  await client(t, door.url)
  t.same(retries(door), { other_transport: 1 })
})

t.test('the same for clients on HTTP+SSE', async t => {
  const door = await openDoor(t, await olderServer(t), ON)
  await callTool(await sseClient(t, door.url), 'echo')
  t.same(retries(door), { other_transport: 1 })
})

t.test('the same for a client on stdio', async t => {
  const url = await olderServer(t)
  const { door, send, nextMessage } = await stdioDoor(t, 'raw-stdio.ts', { ...ON, target: { url } })
  send(initialize(0))
  t.match(await nextMessage(), { id: 0, result: {} })
  t.same(retries(door), { other_transport: 1 })
  t.equal(scrapeOf(door).sum(CLIENT, { mcp_method_name: 'initialize' }), 1)
})

const MISMATCH = '{"jsonrpc":"2.0","id":1,"error":{"code":-32020,"message":"Header mismatch"}}'
const TOOLS = [
  { name: 'x', inputSchema: { type: 'object', properties: { p: { type: 'string', 'x-mcp-header': 'New' } } } }
]

/** Refuses calls without a header that only its list of tools tells of. */
const strict: Script = x => {
  const { id, method } = JSON.parse(x.text) as { id: string | number; method: string }
  const answer = (result: object): void => x.json(200, JSON.stringify({ jsonrpc: '2.0', id, result }))
  if (method === 'tools/list') answer({ tools: TOOLS })
  else if (x.headers['mcp-param-new'] === 'v') answer({ content: [] })
  else x.json(400, MISMATCH)
}

t.test('a call whose headers the server wanted otherwise is made again, and counts as one', async t => {
  trackLeaks(t)
  const server = await startRawHttp(strict)
  t.teardown(() => server.close())
  const { door, send, nextMessage } = await stdioDoor(t, 'raw-stdio.ts', { ...ON, target: { url: server.url } })
  const ask = async (p: string): Promise<Record<string, unknown>> => {
    send(modern(rpc(1, 'tools/call', { name: 'x', arguments: { p } })))
    return await nextMessage()
  }
  t.match(await ask('v'), { id: 1, result: { content: [] } })
  t.same(retries(door), { tool_headers: 1 })
  t.equal(scrapeOf(door).sum(CLIENT, { gen_ai_tool_name: 'x' }), 1)
  t.match(await ask('v'), { result: {} })
  t.same(retries(door), { tool_headers: 1 }, 'its headers are known by now')
  t.match(await ask('w'), { error: { code: -32020 } })
  t.same(retries(door), { tool_headers: 1 }, 'the same headers are not sent twice')
})

/** A URL that nobody listens at. */
async function deadUrl(): Promise<string> {
  const server = await startRawHttp()
  await server.close()
  return server.url
}

t.test('a server that is not there: the same call is sent twice more', async t => {
  trackLeaks(t)
  const door = await openDoor(t, await deadUrl(), ON)
  t.equal((await rawPost(door.url, modern(rpc(1, 'tools/list')))).status, 502)
  t.same(retries(door), { not_sent: 2 })
  t.equal(scrapeOf(door).sum(CLIENT, { mcp_method_name: 'tools/list' }), 1, 'it is one operation all the same')
})

t.test('the same for a client on stdio', async t => {
  const url = await deadUrl()
  const { door, send, nextMessage } = await stdioDoor(t, 'raw-stdio.ts', { ...ON, target: { url } })
  send(modern(rpc(1, 'tools/list')))
  t.match(await nextMessage(), { id: 1, error: { data: { code: 'upstream_unreachable' } } })
  t.same(retries(door), { not_sent: 2 })
})
