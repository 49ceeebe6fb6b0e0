/** catflap as the HTTP client of a client on a pipe, in the modern era: headers from messages and tools, closed streams. */
import t from 'tap'
import { startHttpServer } from '../fixtures/servers/http-server.ts'
import type { RawExchange } from '../fixtures/servers/raw-exchange.ts'
import { type RawHttpServer, type Script, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { MODERN_VERSION, modern, notification, type Rpc, rpc } from '../helpers/rpc.ts'
import { answerTo, cancelled, modernCall, withServer } from './http-client-door.ts'

const silent = () => startRawHttp(() => {})
const text = (result: string): unknown => JSON.parse(result).result.content[0].text
const listTools = (id: string | number, params: Record<string, unknown> = {}): Rpc =>
  modern(rpc(id, 'tools/list', params))

t.test('a conversation with a real server', async t => {
  const { server, door } = await withServer(t, startHttpServer({ mode: 'modern' }))
  t.match(await door.ask(modern(rpc(0, 'server/discover'))), MODERN_VERSION)
  const listed = await door.ask(listTools(1))
  t.match(listed, '"region"')
  t.equal(text(await door.ask(modernCall(2, 'region', { region: 'Würzburg' }))), 'Würzburg')
  t.equal(text(await door.ask(modernCall(3, 'add', { a: 1, b: 2 }))), '3')
  t.match(await door.ask(modern(rpc(4, 'no/such/method'))), '-32601')
  t.match(await door.ask(modern(rpc(5, 'resources/read', { uri: 'fixture://static/note' }))), 'note, read 1')
  await door.leg.close()
  t.same(
    server.requests.map(r => r.method),
    ['POST', 'POST', 'POST', 'POST', 'POST', 'POST'],
    'no GET, no DELETE'
  )
  t.equal(door.leg.upstreamId, undefined)
  t.same(server.errors, [])
})

t.test('a real server refuses a call whose tool is not known yet: its list is fetched, and the call made', async t => {
  const { server, door } = await withServer(t, startHttpServer({ mode: 'modern' }))
  t.equal(text(await door.ask(modernCall(2, 'region', { region: 'eu' }))), 'eu')
  const methods = server.requests.map(r => r.headers['mcp-method'])
  t.same(methods, ['tools/call', 'tools/list', 'tools/call'])
  t.equal(server.requests[2]?.headers['mcp-param-region'], 'eu')
  t.equal(server.counters.count('tools/call region'), 1)
})

t.test('progress comes with its call, and a subscription goes on until the client cancels it', async t => {
  const { server, door } = await withServer(t, startHttpServer({ mode: 'modern' }))
  const call = door.say(
    modern(rpc(1, 'tools/call', { name: 'progress', arguments: { n: 1 } }), {}, { progressToken: 'p' })
  )
  t.match(await call.heard.next(), /^own .*"progress":1/)
  t.match(await call.heard.next(), /^last/)
  const listening = door.say(modern(rpc('l', 'subscriptions/listen', { notifications: { toolsListChanged: true } })))
  t.match(await listening.heard.next(), /^own .*acknowledged/)
  server.changed('tools')
  t.match(await listening.heard.next(), /^own .*list_changed/)
  t.equal(await door.say(cancelled('l')).heard.next(), 'end')
  t.match(await listening.heard.next(), /^error cancelled/)
  t.equal(server.requests.length, 2, 'no notification was sent')
})

t.test('cancellation closes the stream of the newest call of that id, and is not sent', async t => {
  const { server, door } = await withServer(t, silent())
  const [old, newer] = [door.say(modernCall(1, 'a')), door.say(modernCall(1, 'b'))]
  await server.exchange(2)
  const posted = server.exchanges.find(x => x.text.includes('"b"'))!
  t.equal(await door.say(cancelled(1)).heard.next(), 'end')
  t.match(await newer.heard.next(), /^error cancelled/)
  await posted.aborted
  t.equal(await door.say(cancelled('unknown')).heard.next(), 'end')
  old.handle.cancel('timeout')
  await Promise.all(server.exchanges.map(x => x.aborted))
  t.equal(server.exchanges.length, 2)
  t.same([old.heard.items, newer.heard.items.length], [[], 1])
})

t.test('headers mirror the message; those a client sent itself do not count', async t => {
  const { server, door } = await withServer(t, startRawHttp())
  const foreign = ['Mcp-Method', 'x', 'mcp-name', 'y', 'Mcp-Param-Z', 'z', 'Mcp-Session-Id', 's', 'X-Own', 'o']
  await door.say(modern(rpc(1, 'prompts/get', { name: 'grüß' })), foreign).heard.next()
  const [x] = server.exchanges
  t.equal(x!.headers['mcp-protocol-version'], MODERN_VERSION)
  t.equal(x!.headers['mcp-method'], 'prompts/get')
  t.equal(x!.headers['mcp-name'], `=?base64?${Buffer.from('grüß').toString('base64')}?=`)
  t.equal(x!.headers['x-own'], 'o')
  t.notOk(x!.headers['mcp-session-id'] ?? x!.headers['mcp-param-z'])
  t.equal(await door.say(notification('notifications/custom')).heard.next(), 'end')
  const note = server.exchanges[1]!
  t.equal(note.headers['mcp-protocol-version'], MODERN_VERSION, 'a notification is of the era the client speaks')
  t.equal(note.headers['mcp-method'], 'notifications/custom')
})

const tool = (name: string, header?: string, type = 'string'): string =>
  `{"name":"${name}", "inputSchema":{"type":"object","properties":{"p":{"type":"${type}"${header === undefined ? '' : `,"x-mcp-header":"${header}"`}}}}}`

const listOf = (id: string | number, tools: string, more = ''): string =>
  `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":{ "tools": ${tools} ${more}}}`

t.test('tools whose annotations are invalid are left out, with a note; every other byte stays', async t => {
  const { server, door } = await withServer(t, startRawHttp())
  const [a, b, bad] = [tool('a', 'A'), tool('b'), tool('bad', 'not a token')]
  const worse = tool('worse', 'N', 'number')
  const cases = [
    [`[${a} , ${b}]`, `[${a} , ${b}]`],
    [`[${bad} , ${a} ,${b}]`, `[${a} ,${b}]`],
    [`[ ${a} , ${bad}, ${b} ]`, `[ ${a}, ${b} ]`],
    [`[${a},${b}, ${bad}\n]`, `[${a},${b}\n]`],
    [`[${bad},${worse},${a}, ${bad} ,${worse},${b},${bad}]`, `[${a},${b}]`],
    [`[ ${bad} , ${worse} ]`, '[  ]'],
    [`[${bad}]`, '[]'],
    [`[null,${bad},1,{},${a}]`, `[null,1,{},${a}]`]
  ]
  for (const [given, left] of cases) {
    server.next(x => x.json(200, listOf(1, given!, ', "ttl": 1.0')))
    t.equal(await door.ask(listTools(1)), listOf(1, left!, ', "ttl": 1.0'))
  }
  const notes = door.log.items.filter(l => l.startsWith('note'))
  t.match(notes[0], /^note the tool 'bad' is left out of tools\/list: .*x-mcp-header/)
  t.ok(notes.some(l => l.includes("'worse'")))
  t.equal(door.log.items.filter(l => l.startsWith('changed down')).length, cases.length - 1)
})

t.test('however many they are, and whatever they are called, the log stays readable', async t => {
  const { server, door } = await withServer(t, startRawHttp())
  const bad = Array.from({ length: 50 }, (_, i) => tool(`${i}${'x'.repeat(500)}`, 'no token'))
  server.next(x => x.json(200, listOf(1, `[${bad.join()}]`)))
  t.equal(await door.ask(listTools(1)), listOf(1, '[]'))
  const notes = door.log.items.filter(l => l.startsWith('note'))
  t.equal(notes.length, 21)
  t.equal(notes.at(-1), 'note so are 30 more tools')
  t.ok(notes.every(l => l.length < 600))
})

t.test('every page is learnt', async t => {
  const { server, door } = await withServer(t, startRawHttp())
  server.next(
    x => x.json(200, listOf(1, `[${tool('a', 'A')}]`, ',"nextCursor":"2"')),
    x => x.json(200, listOf(2, `[${tool('b', 'B', 'integer')}]`))
  )
  await door.ask(listTools(1))
  await door.ask(listTools(2, { cursor: '2' }))
  await door.ask(modernCall(3, 'a', { p: ' padded' }))
  await door.ask(modernCall(4, 'b', { p: 42 }))
  await door.ask(modernCall(5, 'b', { p: null }))
  await door.ask(modernCall(6, 'unknown', { p: 1 }))
  const params = server.exchanges.slice(2).map(x => [x.headers['mcp-param-a'], x.headers['mcp-param-b']])
  t.same(params, [
    [`=?base64?${Buffer.from(' padded').toString('base64')}?=`, undefined],
    [undefined, '42'],
    [undefined, undefined],
    [undefined, undefined]
  ])
})

t.test('a legacy list is nothing to learn from', async t => {
  const { server, door } = await withServer(t, startRawHttp())
  const given = listOf(1, `[${tool('bad', 'not a token')}]`)
  server.next(x => x.json(200, given))
  t.equal(await door.ask(rpc(1, 'tools/list')), given)
  t.same(door.log.items, [])
})

const MISMATCH = '{"jsonrpc":"2.0","id":"c","error":{"code":-32020,"message":"Header mismatch"}}'

/** Refuses calls as long as `wanted` says so; lists `pages`, and answers everything with its own id. */
function strict(wanted: (x: RawExchange) => boolean, pages: readonly string[]): Script {
  return x => {
    const { id, method, params } = JSON.parse(x.text) as { id: string; method: string; params: { cursor?: string } }
    if (method === 'tools/list') {
      const n = Number(params.cursor ?? 0)
      const more = pages[n + 1] === undefined ? '' : `,"nextCursor":"${n + 1}"`
      x.json(200, listOf(id, pages[n]!, more))
    } else if (wanted(x)) x.json(200, answerTo(id))
    else x.json(400, MISMATCH)
  }
}

const listsOf = (server: RawHttpServer) => server.exchanges.filter(x => x.headers['mcp-method'] === 'tools/list')
const callsOf = (server: RawHttpServer) => server.exchanges.filter(x => x.headers['mcp-method'] === 'tools/call')

t.test('-32020: the list is fetched whole, on catflap’s own account, and the call sent once more', async t => {
  const pages = [`[${tool('other', 'O')}]`, `[${tool('x', 'New')}]`]
  const { server, door } = await withServer(t, startRawHttp(strict(x => x.headers['mcp-param-new'] === 'v', pages)))
  const call = modern(
    rpc('c', 'tools/call', { name: 'x', arguments: { p: 'v' } }),
    { roots: {} },
    { progressToken: 'p', 'a/b': 1 }
  )
  const { heard } = door.say(call, ['Authorization', 'Bearer c'])
  t.match(await heard.next(), /^last .*"id":"c","result"/)
  t.equal(await heard.next(), 'end')
  const lists = listsOf(server)
  const own = door.log.items.filter(l => l.startsWith('own ')).map(l => l.slice(4))
  t.same(
    own,
    lists.map(x => x.text),
    'which is told'
  )
  const { progressToken: _, ...meta } = call.params!._meta as Record<string, unknown>
  for (const [i, x] of lists.entries()) {
    const { id, params } = JSON.parse(x.text)
    t.type(id, 'string')
    t.same(params, { ...(i > 0 && { cursor: String(i) }), _meta: meta })
    t.equal(x.headers.authorization, 'Bearer c')
    t.equal(x.headers['mcp-protocol-version'], MODERN_VERSION)
  }
  t.equal(lists.length, 2)
  t.same(
    callsOf(server).map(x => x.text),
    [JSON.stringify(call), JSON.stringify(call)]
  )
})

t.test('-32020 again is relayed, and so is one that new headers could not mend', async t => {
  const never = () => false
  const { server, door } = await withServer(t, startRawHttp(strict(never, [`[${tool('x', 'New')}]`])))
  t.equal(await door.ask(modernCall('c', 'x', { p: 'v' })), MISMATCH)
  t.same([callsOf(server).length, listsOf(server).length], [2, 1])
  t.equal(await door.ask(modernCall('c', 'x', { p: 'v' })), MISMATCH)
  t.same([callsOf(server).length, listsOf(server).length], [3, 2], 'the same headers are not sent twice')
  t.equal(await door.ask(modernCall('c', 'gone')), MISMATCH)
  server.always(x => x.json(x.text.includes('tools/list') ? 500 : 400, MISMATCH))
  t.equal(await door.ask(modernCall('c', 'x', { p: 'w' })), MISMATCH, 'nor without a list')
  const before = server.exchanges.length
  server.always(x => x.json(404, MISMATCH))
  t.equal(await door.ask(modernCall('c', 'x', { p: 'v' })), MISMATCH)
  server.always(x => x.json(400, MISMATCH))
  t.equal(await door.ask(modern(rpc('c', 'prompts/get', { name: 'x' }))), MISMATCH)
  t.equal(await door.ask(rpc('c', 'tools/call', { name: 'x' })), MISMATCH)
  t.equal(server.exchanges.length, before + 3, 'only with a 400, for tools, and in the modern era')
})

t.test('a list without end is left after a hundred pages', async t => {
  const { server, door } = await withServer(
    t,
    startRawHttp(x => {
      const { id, method } = JSON.parse(x.text) as { id: string; method: string }
      if (method === 'tools/list') x.json(200, listOf(id, '[]', ',"nextCursor":"more"'))
      else x.json(400, MISMATCH)
    })
  )
  t.equal(await door.ask(modernCall('c', 'x')), MISMATCH)
  t.equal(listsOf(server).length, 100)
})

t.test('a call that is given up while the list is fetched ends both', async t => {
  const { server, door } = await withServer(t, silent())
  const { heard, handle } = door.say(modernCall('c', 'x'))
  ;(await server.exchange(1)).json(400, MISMATCH)
  const listing = await server.exchange(2)
  handle.cancel('client-gone')
  await listing.aborted
  t.same(heard.items, [])
  const other = door.say(modernCall('c', 'x'))
  ;(await server.exchange(3)).json(400, MISMATCH)
  const again = await server.exchange(4)
  await door.leg.close()
  await again.aborted
  t.match(await other.heard.next(), /^error session_not_found/)
})

t.test('when the tools have changed, what was known of them is forgotten', async t => {
  const { server, door } = await withServer(t, startRawHttp())
  server.next(
    x => x.json(200, listOf(1, `[${tool('x', 'Old')}]`)),
    async x => {
      x.sse()
      await x.sendMessage(notification('notifications/tools/list_changed'))
      x.end(`data: ${JSON.stringify(answerTo(2))}\n\n`)
    }
  )
  await door.ask(listTools(1))
  const listening = door.say(modern(rpc(2, 'subscriptions/listen', { notifications: { toolsListChanged: true } })))
  t.match(await listening.heard.next(), /^own .*list_changed/)
  await door.ask(modernCall(3, 'x', { p: 'v' }))
  t.notOk(callsOf(server)[0]?.headers['mcp-param-old'])
})

t.test(
  'a legacy server’s answer to a modern request passes as it is, and initialize begins the earlier era',
  async t => {
    const { server, door } = await withServer(t, startHttpServer())
    t.match(await door.ask(modern(rpc(0, 'server/discover'))), /"id":0,"error"/)
    await door.handshake()
    await server.counters.until('http GET')
    const initialized = server.requests.find(r => r.body.includes('notifications/initialized'))!
    t.equal(initialized.headers['mcp-protocol-version'], '2025-11-25')
    t.equal(initialized.headers['mcp-session-id'], door.leg.upstreamId)
  }
)
