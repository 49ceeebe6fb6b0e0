/** Headers that mirror arguments, in front of a server whose list of tools cannot be had, or changes. */
import t, { type Test } from 'tap'
import { rawPost } from '../helpers/raw-client.ts'
import { modern, modernHeaders, notification, rpc, toolCall } from '../helpers/rpc.ts'
import { pipeDoor } from './pipe-door.ts'

/** What `tools/list` gets: `good`, `error`, `big`. A call of tool `t` says what comes from then on, and can have the list changed. */
const CODE = `
  let mode = 'good', header = 'H1', text = ''
  const out = m => process.stdout.write(JSON.stringify({ jsonrpc: '2.0', ...m }) + '\\n')
  const subscribers = []
  process.stdin.on('end', () => process.exit())
  process.stdin.setEncoding('utf8').on('data', chunk => {
    const lines = (text + chunk).split('\\n')
    text = lines.pop()
    for (const line of lines) {
      const { id, method, params } = JSON.parse(line)
      process.stderr.write('seen ' + line + '\\n')
      if (id === undefined) continue
      if (method === 'tools/list' && mode === 'error') { out({ id, error: { code: -32603, message: 'no' } }); continue }
      const properties = { a: { type: 'string', 'x-mcp-header': header } }
      const tools = [{ name: 't', inputSchema: { type: 'object', properties }, pad: mode === 'big' ? 'x'.repeat(70000) : '' }]
      if (method === 'tools/list') { out({ id, result: { tools } }); continue }
      const args = params?.arguments ?? {}
      if (method === 'mode') mode = params.mode
      if (method === 'change') {
        header = params.header
        for (const s of subscribers) out({ method: 'notifications/tools/list_changed',
          params: { _meta: { 'io.modelcontextprotocol/subscriptionId': s } } })
        if (subscribers.length === 0) out({ method: 'notifications/tools/list_changed' })
      }
      if (method === 'exit') process.exit(1)
      if (method === 'subscriptions/listen') subscribers.push(id)
      else out({ id, result: { args } })
    }
  })`

async function changing(t: Test) {
  const target = { command: process.execPath, args: ['-e', CODE], era: 'modern' } as const
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts', { target, settings: { maxMessage: 60_000 } })
  const say = (method: string, params: Record<string, unknown> = {}) => {
    const message = modern(rpc(1, method, params))
    return rawPost(url, message, modernHeaders(message))
  }
  /** The status of a call of `t` with `a` in its arguments and these headers. */
  const call = async (headers: Record<string, string> = {}, meta: Record<string, unknown> = {}) => {
    const message = modern(toolCall(1, 't', { a: 'x' }), {}, meta)
    return (await rawPost(url, message, { ...modernHeaders(message), ...headers })).status
  }
  const lists = () => log.seen.filter(l => l.includes('"tools/list"')).length
  return { url, log, say, call, lists }
}

for (const mode of ['error', 'big'])
  t.test(`a list that is answered with ${mode}: what is known of the tools stays, what is unknown passes`, async t => {
    const { say, call, lists } = await changing(t)
    t.equal(await call({ 'mcp-param-h1': 'x' }), 200)
    t.equal(lists(), 1)
    await say('mode', { mode })
    t.equal(await call({ 'mcp-param-h1': 'y' }), 400)
    t.equal(lists(), 2, 'it was asked before the refusal')
    t.equal(await call({}), 400)
    t.equal(await call({ 'mcp-param-h1': 'x' }), 200)
    const other = modern(toolCall(1, 'unlisted'))
    t.equal(await call({ 'mcp-param-h1': 'y' }, { 'io.modelcontextprotocol/clientInfo': 7 }), 400)
    t.equal(lists(), 2, 'but not again at once')
    t.equal((await say('tools/call', other.params)).status, 200)
  })

t.test('a server that never listed its tools serves calls all the same', async t => {
  const { say, call, lists } = await changing(t)
  await say('mode', { mode: 'error' })
  for (let i = 0; i < 3; i++) t.equal(await call({}), 200)
  t.equal(lists(), 1)
})

t.test(
  'a process that ends takes no knowledge with it: the next one is asked, and until it answers the old list counts',
  async t => {
    const { log, say, call, lists } = await changing(t)
    t.equal(await call({ 'mcp-param-h1': 'x' }), 200)
    await say('exit')
    await log.until(line => line.event === 'child-exit')
    await say('mode', { mode: 'error' })
    t.equal(await call({ 'mcp-param-h1': 'y' }), 400)
    t.equal(lists(), 2)
  }
)

t.test('tools that the server says have changed are judged by the new list, known ones as well', async t => {
  const { say, call, lists } = await changing(t)
  t.equal(await call({ 'mcp-param-h1': 'x' }), 200)
  await say('change', { header: 'H2' })
  t.equal(await call({ 'mcp-param-h1': 'x' }), 400, 'right by the old list, not by the new one')
  t.equal(await call({ 'mcp-param-h2': 'x' }), 200)
  t.equal(lists(), 2)
  t.equal((await say('tools/list')).status, 200)
  t.equal(await call({ 'mcp-param-h2': 'x' }), 200)
  t.equal(lists(), 3, 'only the one of the client')
})

t.test('arguments that occur twice are refused: the header could mirror the other ones', async t => {
  const { url, log } = await changing(t)
  const message = modern(toolCall(1, 't', { a: 'x' }))
  for (const first of ['"arguments":{"a":"y"},', '"Arguments":{"a":"y"},', '"argum\\u0065nts":{"a":"y"},']) {
    const body = JSON.stringify(message).replace('"arguments"', `${first}"arguments"`)
    const answer = await rawPost(url, body, { ...modernHeaders(message), 'mcp-param-h1': 'x' })
    t.equal(answer.status, 400)
    t.match(answer.json(), { error: { code: -32600, data: { code: 'ambiguous_request' } } })
  }
  t.equal(log.seen.length, 0)
  const note = notification('notifications/x', { arguments: 1, Arguments: 2 })
  t.equal((await rawPost(url, modern(note), modernHeaders(note))).status, 202, 'elsewhere they are not routed by')
})
