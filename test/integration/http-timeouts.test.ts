/** How long catflap waits, for what, and what a timeout means on both sides. */
import { createServer } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import t from 'tap'
import { faults } from '../fixtures/servers/faults.ts'
import type { RawExchange } from '../fixtures/servers/raw-exchange.ts'
import { echo, echoWithHandshake, type Script } from '../fixtures/servers/raw-http.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { openSse, rawPost, rawRequest } from '../helpers/raw-client.ts'
import { initialize, LEGACY_VERSION, legacyHeaders, modern, modernHeaders, rpc } from '../helpers/rpc.ts'
import { openDoor, rawDoor, rawSession } from './http-door.ts'

const progress = { jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken: 1, progress: 1 } }
const shakeHandsThen = (script: Script): Script => {
  const shake = echoWithHandshake('theirs')
  return x => (/"method":"(initialize|notifications\/)/.test(x.text) || x.method === 'DELETE' ? shake(x) : script(x))
}

/** Progress every 40 ms until `until`, then the answer. */
const working =
  (
    until: (elapsed: number) => boolean,
    note: (x: RawExchange) => Promise<void> = x => x.sendMessage(progress)
  ): Script =>
  async x => {
    const startedAt = performance.now()
    let open = true
    void x.closed.then(() => void (open = false))
    x.sse()
    while (open && !until(performance.now() - startedAt)) {
      await note(x)
      await pause(40)
    }
    if (open) x.end('data: {"jsonrpc":"2.0","id":1,"result":{}}\n\n')
  }

t.test('a server that hangs is 504, with the id of the request and the name of the target', async t => {
  const { server, url } = await rawDoor(t, faults.hang, { settings: { requestTimeout: 60 } })
  const answer = await rawPost(url, '{"jsonrpc":"2.0","id":9007199254740993,"method":"x"}')
  t.equal(answer.status, 504)
  t.match(answer.text, '"id":9007199254740993,')
  t.match(answer.json(), { error: { code: -31_033, data: { code: 'upstream_timeout', target: server.url } } })
  t.match((answer.json() as { error: { message: string } }).error.message, server.url)
  await server.counters.until('aborted')
  server.next(faults.hangAfterHead)
  t.equal((await rawPost(url, rpc(1, 'x'))).status, 504, 'a head without a body is no answer either')
})

t.test('in a legacy session the server is told that the call was cancelled', async t => {
  const { server, url } = await rawDoor(t, shakeHandsThen(faults.hang), { settings: { requestTimeout: 60 } })
  const id = await rawSession(url)
  const text = '{"jsonrpc":"2.0","id":1.50e1,"method":"x"}'
  t.equal((await rawPost(url, text, legacyHeaders(id))).status, 504)
  await server.counters.until('POST', 4)
  const told = server.exchanges.at(-1)!
  t.match(told.text, /^\{"jsonrpc":"2\.0","method":"notifications\/cancelled","params":\{"requestId":1\.50e1,/)
  t.equal(told.headers['mcp-session-id'], 'theirs')
  t.equal(told.headers['mcp-protocol-version'], LEGACY_VERSION)
})

t.test('initialize is never cancelled, and outside a session nothing is', async t => {
  const { server, url } = await rawDoor(t, faults.hang, { settings: { requestTimeout: 60 } })
  t.equal((await rawPost(url, initialize())).status, 504)
  const ping = modern(rpc(1, 'x'))
  t.equal((await rawPost(url, ping, modernHeaders(ping))).status, 504)
  await server.counters.until('aborted', 2)
  server.always(echo)
  await rawPost(url, rpc('last', 'x'))
  t.equal(server.exchanges.length, 3)
})

t.test('progress restarts the timeout', async t => {
  const { url } = await rawDoor(
    t,
    working(elapsed => elapsed > 500),
    { settings: { requestTimeout: 200 } }
  )
  const stream = await openSse(url, { body: rpc(1, 'x') })
  t.equal(await stream.ended, 'end')
  t.match(JSON.parse(stream.events.items.at(-1)!.data), { id: 1, result: {} })
})

t.test('comments keep connections alive, not calls', async t => {
  const forever = working(
    () => false,
    x => x.sendEvent({ comment: 'ping' })
  )
  const { server, url } = await rawDoor(t, forever, { settings: { requestTimeout: 150 } })
  const stream = await openSse(url, { body: rpc(1, 'x') })
  t.equal(await stream.ended, 'end')
  t.match(JSON.parse(stream.events.items.at(-1)!.data), { id: 1, error: { data: { code: 'upstream_timeout' } } })
  await server.counters.until('aborted')
})

t.test('whatever progress there is, a call ends at the hard maximum', async t => {
  const script = shakeHandsThen(working(() => false))
  const { server, url } = await rawDoor(t, script, { settings: { requestTimeout: 150, maxRequestTime: 400 } })
  const id = await rawSession(url)
  const startedAt = performance.now()
  const stream = await openSse(url, { body: rpc(1, 'x'), headers: legacyHeaders(id) })
  t.equal(await stream.ended, 'end')
  t.ok(performance.now() - startedAt > 350)
  t.match(JSON.parse(stream.events.items.at(-1)!.data), { id: 1, error: { data: { code: 'upstream_timeout' } } })
  await server.counters.until('aborted')
  await server.counters.until('POST', 4)
  t.match(server.exchanges.at(-1)!.text, 'notifications/cancelled')
})

for (const requestTimeout of [0, 60_000]) {
  t.test(`the hard maximum holds where the timeout is ${requestTimeout === 0 ? 'off' : 'longer'}`, async t => {
    const { url } = await rawDoor(t, faults.hang, { settings: { requestTimeout, maxRequestTime: 60 } })
    t.equal((await rawPost(url, rpc(1, 'x'))).status, 504)
  })
}

t.test('streams that are meant to stay open are exempt', async t => {
  const open = new Map<string, RawExchange>()
  const script: Script = x => {
    if (x.method === 'POST' && !x.text.includes('subscriptions/listen')) return
    open.set(x.method, x.sse())
  }
  const { url } = await rawDoor(t, script, { settings: { requestTimeout: 50, maxRequestTime: 80 } })
  const listen = modern(rpc(1, 'subscriptions/listen'))
  const streams = [await openSse(url), await openSse(url, { body: listen, headers: modernHeaders(listen) })]
  for (let i = 0; i < 3; i++) t.equal((await rawPost(url, rpc(i, 'x'))).status, 504)
  await open.get('GET')!.sendMessage(progress)
  await open.get('POST')!.sendMessage(progress)
  for (const stream of streams) {
    t.match(await stream.nextMessage(), { method: 'notifications/progress' })
    stream.close()
  }
})

t.test('no connection in time is 504', async t => {
  trackLeaks(t)
  const server = createServer(socket => void socket.on('error', () => {}).resume()) // accepts and never shakes hands
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as { port: number }
  const { url } = await openDoor(t, `https://127.0.0.1:${port}/mcp`, { settings: { connectTimeout: 100 } })
  const answer = await rawPost(url, rpc(1, 'x'))
  t.match([answer.status, answer.json()], [504, { id: 1, error: { data: { code: 'upstream_connect_timeout' } } }])
})

t.test('a timeout for the status line alone is an option', async t => {
  const { url } = await rawDoor(t, faults.hang, { settings: { headersTimeout: 100 } })
  const answer = await rawPost(url, rpc(1, 'x'))
  t.match([answer.status, answer.json()], [504, { id: 1, error: { data: { code: 'upstream_timeout' } } }])
})

t.test('a call that timed out harms no other', async t => {
  const { server, door, url } = await rawDoor(t, faults.hang, { settings: { requestTimeout: 100 } })
  const lost = rawPost(url, rpc(1, 'x'))
  await server.exchange(1)
  server.always(echo)
  t.match((await rawPost(url, rpc(1, 'y'))).json(), { id: 1, result: {} })
  t.equal((await lost).status, 504)
  t.equal(door.stats.exchanges, 0)
  t.equal((await rawRequest(url, { method: 'GET' })).status, 405)
})
