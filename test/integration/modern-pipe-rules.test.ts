/** What an HTTP server of 2026-07-28 owes where a pipe is behind: each refusal, byte by byte. */
import t, { type Test } from 'tap'
import { Message } from '../../src/index.ts'
import { rawPost, rawRequest } from '../helpers/raw-client.ts'
import { modern, modernHeaders, notification, POST_HEADERS, type Rpc, rpc, toolCall } from '../helpers/rpc.ts'
import { fixtureArgv } from '../helpers/stdio-peer.ts'
import { type PipeDoor, pipeDoor } from './pipe-door.ts'

const META = 'io.modelcontextprotocol/'

/** The puppet, said to be modern: what reaches it is in the log as `seen …`. */
function puppetDoor(t: Test): Promise<PipeDoor> {
  const [command, ...args] = fixtureArgv('puppet-stdio.ts')
  return pipeDoor(t, 'puppet-stdio.ts', { target: { command, args, era: 'modern' } })
}

type Headers = Record<string, string | undefined>

/** A message with the right headers, but for those given (undefined: left out). */
function post(url: string, message: Rpc, headers: Headers = {}) {
  const all = Object.entries({ ...modernHeaders(message), ...headers })
  return rawPost(
    url,
    message,
    all.flatMap(([name, value]) => (value === undefined ? [] : [name, value]))
  )
}

/** `status code` of an error that carries this id, in JSON. */
async function refusal(t: Test, answer: ReturnType<typeof rawPost>, id: unknown = 1): Promise<string> {
  const { status, headers, json } = await answer
  t.match(headers, { 'content-type': 'application/json' })
  const body = json() as { id?: unknown; error?: { code: number } }
  t.equal(body.id, id)
  return `${status} ${body.error?.code}`
}

t.test('a request without what its _meta must say: 400, -32602', async t => {
  const { url, log } = await puppetDoor(t)
  const good = modern(toolCall(1, 'x'))
  const meta = good.params?._meta as Record<string, unknown>
  const without = (name: string) => ({ ...meta, [META + name]: undefined })
  const wrong = [undefined, {}, 'text', without('protocolVersion'), without('clientCapabilities')]
  for (const _meta of [
    ...wrong,
    { ...meta, [`${META}protocolVersion`]: 7 },
    { ...meta, [`${META}clientCapabilities`]: [] }
  ])
    t.equal(await refusal(t, post(url, { ...good, params: { name: 'x', _meta } })), '400 -32602', JSON.stringify(_meta))
  t.equal(await refusal(t, post(url, { jsonrpc: '2.0', id: 1, method: 'tools/list' })), '400 -32602', 'no params')
  const answer = await post(url, { ...good, params: { name: 'x', _meta: without('clientCapabilities') } })
  t.match(answer.json(), { error: { message: /clientCapabilities/, data: { code: 'missing_meta' } } })
  const anonymous = rpc(1, 'do', { _meta: without('clientInfo') })
  t.equal((await post(url, anonymous)).status, 200, 'who asks may be left out')
  t.equal(log.seen.length, 1)
})

t.test('a standard header that is missing, different, doubled or malformed: 400, -32020', async t => {
  const { url, log } = await puppetDoor(t)
  const get = modern(rpc(1, 'prompts/get', { name: 'grüß' }))
  const name = `=?base64?${Buffer.from('grüß').toString('base64')}?=`
  const send = (headers: Headers) => post(url, get, { 'mcp-name': name, ...headers })
  t.equal((await send({})).status, 200)
  const wrong: Headers[] = [
    { 'mcp-protocol-version': undefined },
    { 'mcp-protocol-version': '2026-07-29' },
    { 'mcp-protocol-version': '2025-11-25' },
    { 'mcp-method': undefined },
    { 'mcp-method': 'tools/call' },
    { 'mcp-method': 'PROMPTS/GET' },
    { 'mcp-name': undefined },
    { 'mcp-name': 'gruss' },
    { 'mcp-name': '=?base64?Z3LDvMOf' },
    { 'mcp-name': '=?base64?Z3LDvMOf=?=' },
    { 'mcp-name': '=?base64?!?=' },
    { 'Mcp-Method': 'tools/list' }
  ]
  for (const headers of wrong) t.equal(await refusal(t, send(headers)), '400 -32020', JSON.stringify(headers))
  const answer = await send({ 'mcp-method': 'tools/call' })
  t.match(answer.json(), { error: { message: /Mcp-Method/, data: { code: 'header_mismatch' } } })
  const read = modern(rpc(1, 'resources/read', { uri: 'file:///secret', name: 'file:///public' }))
  t.equal(await refusal(t, post(url, read, { 'mcp-name': 'file:///public' })), '400 -32020')
  t.equal(log.seen.length, 1, 'the server saw what was right')
})

t.test('initialize has no place in this revision', async t => {
  const { url } = await pipeDoor(t, 'stdio-server.ts', { args: ['--era', 'dual'] })
  const initialize = rpc(1, 'initialize', { protocolVersion: '2025-11-25', capabilities: {} })
  t.equal(await refusal(t, post(url, initialize)), '400 -32020')
  t.equal(await refusal(t, post(url, modern(initialize))), '404 -32601', 'a method of this revision it is not')
  t.equal((await post(url, modern(toolCall(1, 'echo')))).status, 200, 'the one child is of the era it was')
})

t.test('a revision that the server does not speak: 400, -32022, with those it does', async t => {
  const { url } = await pipeDoor(t, 'stdio-server.ts', { args: ['--era', 'modern'] })
  const later = modern(rpc(1, 'tools/list'), {}, { [`${META}protocolVersion`]: '2099-01-01' })
  const answer = await post(url, later, { 'mcp-protocol-version': '2099-01-01' })
  t.equal(answer.status, 400)
  t.match(answer.json(), { id: 1, error: { code: -32022, data: { requested: '2099-01-01' } } })
  t.ok((answer.json() as { error: { data: { supported: string[] } } }).error.data.supported.includes('2026-07-28'))
})

t.test('an unknown method: 404 with -32601; other errors of the server are answers: 200', async t => {
  const { url } = await pipeDoor(t, 'stdio-server.ts', { args: ['--era', 'modern'] })
  t.equal(await refusal(t, post(url, modern(rpc('id', 'no/such'))), 'id'), '404 -32601')
  t.equal(await refusal(t, post(url, modern(toolCall(1, 'throw', { code: -31_234 })))), '200 -31234')
})

t.test('errors of the server have the status that the revision gives them', async t => {
  const { url } = await puppetDoor(t)
  const failing = (code: number) => {
    const answer = JSON.stringify({ jsonrpc: '2.0', id: 1, error: { code, message: 'm', data: { big: 1 } } })
    return { answer, sent: post(url, modern(rpc(1, 'do', { answer }))) }
  }
  const statuses = {
    '-32601': 404,
    '-32020': 400,
    '-32021': 400,
    '-32022': 400,
    '-32602': 200,
    '-32000': 200,
    '7': 200
  }
  for (const [code, status] of Object.entries(statuses)) {
    const { answer, sent } = failing(Number(code))
    const { status: got, text, headers } = await sent
    t.equal(got, status, code)
    t.equal(text, answer, 'in its own words')
    t.match(headers, { 'content-type': 'application/json', 'content-length': String(answer.length) })
  }
})

t.test('an error behind a message on the same stream is an event, as the status was told', async t => {
  const { url } = await puppetDoor(t)
  const progress = { jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken: 'p', progress: 1 } }
  const answer = JSON.stringify({ jsonrpc: '2.0', id: 1, error: { code: -32601, message: 'm' } })
  const write = `${JSON.stringify(progress)}\n`
  const { status, text } = await post(url, modern(rpc(1, 'do', { write, answer }), {}, { progressToken: 'p' }))
  t.equal(status, 200)
  t.match(text, /^data: .*progress.*\n\n.*\ndata: .*-32601/m)
})

t.test('a response has nobody who waits for it: 400, -32600; so has a batch', async t => {
  const { url, log } = await puppetDoor(t)
  const headers = { ...POST_HEADERS, 'mcp-protocol-version': '2026-07-28' }
  for (const body of [{ jsonrpc: '2.0', id: 1, result: {} }, [modern(rpc(1, 'do'))]]) {
    const answer = await rawPost(url, body, headers)
    t.equal(answer.status, 400)
    t.match(answer.json(), { error: { code: -32600, data: { code: 'invalid_request' } } })
  }
  t.equal(log.seen.length, 0)
})

t.test(
  'a notification gets 202 and nothing else; a cancellation is not passed on, as ids are each client’s own',
  async t => {
    const { url, log } = await puppetDoor(t)
    const send = (message: Rpc, more: Headers = {}) => post(url, message, more)
    for (const message of [
      notification('notifications/cancelled', { requestId: 1 }),
      modern(notification('notifications/cancelled', { requestId: 1 })),
      notification('notifications/x', { a: 1 })
    ]) {
      const { status, text } = await send(message)
      t.same([status, text], [202, ''])
    }
    t.match(await log.nextSeen(0), 'notifications/x')
    t.equal(log.seen.length, 1)
    const wrong = await send(modern(notification('notifications/x')), { 'mcp-method': 'notifications/y' })
    t.equal(wrong.status, 400)
    t.match(wrong.json(), { error: { code: -32020 } })
  }
)

t.test('GET and DELETE are not allowed, and what names sessions or positions is ignored', async t => {
  const { url, door } = await puppetDoor(t)
  const extra = { 'mcp-session-id': 'left over', 'last-event-id': '7' }
  for (const method of ['GET', 'DELETE']) {
    const headers = { accept: 'text/event-stream', 'mcp-protocol-version': '2026-07-28', ...extra }
    t.match(await rawRequest(url, { method, headers }), { status: 405, headers: { allow: 'POST' } }, method)
  }
  const answer = await post(url, modern(rpc(1, 'do')), extra)
  t.equal(answer.status, 200)
  t.notOk('mcp-session-id' in answer.headers)
  t.equal(door.stats.sessions, 0)
})

t.test('Mcp-Param-* must say what the arguments say, by the list of the server itself', async t => {
  const { url, log } = await pipeDoor(t, 'stdio-server.ts', { args: ['--era', 'modern'] })
  const call = modern(toolCall(1, 'region', { region: 'Zürich' }))
  const said = (value: string | undefined) => post(url, call, { 'mcp-param-region': value })
  const base64 = `=?base64?${Buffer.from('Zürich').toString('base64')}?=`
  t.match((await said(base64)).json(), { result: { content: [{ text: 'Zürich' }] } })
  for (const wrong of [undefined, 'Zurich', '=?base64?WsO8cmljaA?=', 'Z\u00fcrich', base64.toUpperCase()])
    t.equal(await refusal(t, said(wrong)), '400 -32020', String(wrong))
  const twice = [...Object.entries(modernHeaders(call)).flat(), 'Mcp-Param-Region', base64, 'Mcp-Param-Region', 'x']
  t.equal(await refusal(t, rawPost(url, call, twice)), '400 -32020')
  const none = modern(toolCall(1, 'echo', { region: 1 }))
  t.equal((await post(url, none, { 'mcp-param-region': 'x' })).status, 200, 'other tools are not concerned')
  t.equal((await post(url, modern(toolCall(1, 'no such')))).status, 200, 'nor are those that the server does not list')
  t.equal(log.items.filter(l => l.text.startsWith('fixture tools/call region')).length, 1)
})

/** A server whose tools change: each `tools/list` names another header; two pages. */
const CHANGING = `
  let lists = 0, text = ''
  process.stdin.on('end', () => process.exit())
  process.stdin.setEncoding('utf8').on('data', chunk => {
    const lines = (text + chunk).split('\\n')
    text = lines.pop()
    for (const line of lines) {
      const { id, method, params } = JSON.parse(line)
      process.stderr.write('seen ' + line + '\\n')
      const tool = (name, header) =>
        ({ name, inputSchema: { type: 'object', properties: { a: { type: 'integer', 'x-mcp-header': header } } } })
      const result = method !== 'tools/list' ? { ok: true }
        : params.cursor ? { tools: [tool('t', 'H' + ++lists), tool('bad', 'no header')] }
        : { tools: [tool('other', 'Other')], nextCursor: 'page 2' }
      process.stdout.write(JSON.stringify({ jsonrpc: '2.0', id, result }) + '\\n')
    }
  })`

t.test('before a refusal the list is asked for anew: tools change', async t => {
  const target = { command: process.execPath, args: ['-e', CHANGING], era: 'modern' } as const
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts', { target })
  const meta = { 'com.example/tenant': 'x', progressToken: 'p', [`${META}logLevel`]: undefined }
  const call = modern(toolCall(1, 't', { a: 42 }), {}, meta)
  const lists = () => log.seen.filter(l => l.includes('tools/list'))
  t.equal((await post(url, call, { 'mcp-param-h1': '42.0' })).status, 200, 'as numbers')
  t.equal(lists().length, 2, 'both pages')
  for (const list of lists()) {
    const { params } = JSON.parse(list) as { params: { _meta: Record<string, unknown> } }
    t.match(params._meta, { [`${META}clientInfo`]: { name: 'catflap' }, [`${META}protocolVersion`]: '2026-07-28' })
    t.equal(Object.keys(params._meta).length, 3, 'nothing of a client decides what the answer is')
  }
  t.equal((await post(url, call, { 'mcp-param-h1': '42' })).status, 200)
  t.equal(lists().length, 2, 'known from now on')
  t.equal((await post(url, call, { 'mcp-param-h2': '42' })).status, 200, 'the new list wants another header')
  t.equal(lists().length, 4)
  t.equal(await refusal(t, post(url, call, { 'mcp-param-h2': '43' })), '400 -32020')
  t.equal(lists().length, 6)
  t.equal((await post(url, modern(toolCall(1, 'bad', { a: 1 })))).status, 200, 'invalid annotations bind nobody')
  const list = modern(rpc(1, 'tools/list', { cursor: 'page 2' }))
  await post(url, list)
  t.equal((await post(url, call, { 'mcp-param-h4': '42' })).status, 200, 'what a client was told counts as well')
  t.equal(lists().length, 7)
})

t.test('an error that an interceptor changes keeps its status, and one that it drops is told', async t => {
  const [command, ...args] = fixtureArgv('puppet-stdio.ts')
  const answer = (code: number, message: string) => ({ jsonrpc: '2.0', id: 1, error: { code, message } })
  const { url } = await pipeDoor(t, 'puppet-stdio.ts', {
    target: { command, args, era: 'modern' },
    interceptors: [
      {
        name: 'rewriter',
        async message(_, m, direction) {
          if (direction === 'up' || !m.isError) return m
          const { error } = m.json as { error: { message: string } }
          return error.message === 'drop' ? undefined : Message.from(answer(-32601, 'a much longer text than before'))
        }
      }
    ]
  })
  const ask = (message: string) => post(url, modern(rpc(1, 'do', { answer: JSON.stringify(answer(-32601, message)) })))
  const changed = await ask('m')
  t.equal(changed.status, 404)
  t.match(changed.json(), answer(-32601, 'a much longer text than before'))
  t.match((await ask('drop')).json(), { id: 1, error: { data: { code: 'blocked' } } })
})
