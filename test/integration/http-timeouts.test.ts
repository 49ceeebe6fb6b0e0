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
import { withTime } from '../helpers/wait.ts'
import { openDoor, rawDoor, rawSession } from './http-door.ts'

const progress = { jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken: 1, progress: 1 } }
const shakeHandsThen = (script: Script): Script => {
  const shake = echoWithHandshake('theirs')
  return x => (/"method":"(initialize|notifications\/)/.test(x.text) || x.method === 'DELETE' ? shake(x) : script(x))
}

/** What a server says while it works. */
interface Working {
  readonly script: Script
  /** It said nothing, or was not asked, for so long at a time, in ms, since `asked`. */
  longestPause(): number
  asked(): void
}

/** Progress every `every` ms until `until`, then the answer. */
function working(
  every: number,
  until: (elapsed: number) => boolean,
  note: (x: RawExchange) => Promise<void> = x => x.sendMessage(progress)
): Working {
  let saidAt = 0
  let longest = 0
  const said = (): void => {
    const now = performance.now()
    longest = Math.max(longest, now - saidAt)
    saidAt = now
  }
  const script: Script = async x => {
    const startedAt = performance.now()
    let open = true
    void x.closed.then(() => void (open = false))
    x.sse()
    while (open && !until(performance.now() - startedAt)) {
      await note(x)
      said()
      await pause(every)
    }
    if (open) x.end('data: {"jsonrpc":"2.0","id":1,"result":{}}\n\n')
  }
  const longestPause = (): number => Math.max(longest, performance.now() - saidAt)
  return { script, longestPause, asked: () => void (saidAt = performance.now()) }
}

t.test('a server that hangs is 504, with the id of the request and the name of the target', t =>
  withTime(60, async requestTimeout => {
    const { server, url } = await rawDoor(t, faults.hang, { settings: { requestTimeout } })
    const answer = await rawPost(url, '{"jsonrpc":"2.0","id":9007199254740993,"method":"x"}')
    t.equal(answer.status, 504)
    t.match(answer.text, '"id":9007199254740993,')
    t.match(answer.json(), { error: { code: -31_033, data: { code: 'upstream_timeout', target: server.url } } })
    t.match((answer.json() as { error: { message: string } }).error.message, server.url)
    if (server.exchanges.length === 0) return false
    await server.counters.until('aborted')
    server.next(faults.hangAfterHead)
    t.equal((await rawPost(url, rpc(1, 'x'))).status, 504, 'a head without a body is no answer either')
    return true
  })
)

t.test('in a legacy session the server is told that the call was cancelled', t =>
  withTime(60, async requestTimeout => {
    const { server, url } = await rawDoor(t, shakeHandsThen(faults.hang), { settings: { requestTimeout } })
    const id = await timelySession(url)
    if (id === undefined) return false
    const text = '{"jsonrpc":"2.0","id":1.50e1,"method":"x"}'
    t.equal((await rawPost(url, text, legacyHeaders(id))).status, 504)
    if (!server.exchanges.some(x => x.text === text)) return false
    await server.counters.until('POST', 4)
    const told = server.exchanges.at(-1)!
    t.match(told.text, /^\{"jsonrpc":"2\.0","method":"notifications\/cancelled","params":\{"requestId":1\.50e1,/)
    t.equal(told.headers['mcp-session-id'], 'theirs')
    t.equal(told.headers['mcp-protocol-version'], LEGACY_VERSION)
    return true
  })
)

t.test('initialize is never cancelled, and outside a session nothing is', t =>
  withTime(60, async requestTimeout => {
    const { server, url } = await rawDoor(t, faults.hang, { settings: { requestTimeout } })
    t.equal((await rawPost(url, initialize())).status, 504)
    const ping = modern(rpc(1, 'x'))
    t.equal((await rawPost(url, ping, modernHeaders(ping))).status, 504)
    if (server.exchanges.length < 2) return false
    await server.counters.until('aborted', 2)
    server.always(echo)
    await rawPost(url, rpc('last', 'x'))
    t.equal(server.exchanges.length, 3)
    return true
  })
)

t.test('progress restarts the timeout', t =>
  withTime(200, async requestTimeout => {
    const { script, asked, longestPause } = working(requestTimeout / 5, elapsed => elapsed > 2.5 * requestTimeout)
    const { url } = await rawDoor(t, script, { settings: { requestTimeout } })
    asked()
    const stream = await openSse(url, { body: rpc(1, 'x') })
    t.equal(await stream.ended, 'end')
    if (longestPause() > requestTimeout * 0.75) return false
    t.match(JSON.parse(stream.events.items.at(-1)!.data), { id: 1, result: {} })
    return true
  })
)

t.test('comments keep connections alive, not calls', t =>
  withTime(150, async requestTimeout => {
    const comment = (x: RawExchange): Promise<void> => x.sendEvent({ comment: 'ping' })
    const { script } = working(requestTimeout / 4, () => false, comment)
    const { server, url } = await rawDoor(t, script, { settings: { requestTimeout } })
    const stream = await openSse(url, { body: rpc(1, 'x') })
    t.equal(await stream.ended, 'end')
    if (stream.status === 504) return false
    t.match(JSON.parse(stream.events.items.at(-1)!.data), { id: 1, error: { data: { code: 'upstream_timeout' } } })
    await server.counters.until('aborted')
    return true
  })
)

t.test('whatever progress there is, a call ends at the hard maximum', t =>
  withTime(150, async requestTimeout => {
    const maxRequestTime = 2.5 * requestTimeout
    const { script, asked, longestPause } = working(requestTimeout / 4, () => false)
    const { server, url } = await rawDoor(t, shakeHandsThen(script), { settings: { requestTimeout, maxRequestTime } })
    const id = await timelySession(url)
    if (id === undefined) return false
    asked()
    const startedAt = performance.now()
    const stream = await openSse(url, { body: rpc(1, 'x'), headers: legacyHeaders(id) })
    t.equal(await stream.ended, 'end')
    if (stream.status === 504 || longestPause() > requestTimeout * 0.75) return false
    t.ok(performance.now() - startedAt > maxRequestTime - 25)
    t.match(JSON.parse(stream.events.items.at(-1)!.data), { id: 1, error: { data: { code: 'upstream_timeout' } } })
    await server.counters.until('aborted')
    await server.counters.until('POST', 4)
    t.match(server.exchanges.at(-1)!.text, 'notifications/cancelled')
    return true
  })
)

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

t.test('a call that timed out harms no other', t =>
  withTime(100, async requestTimeout => {
    const { server, door, url } = await rawDoor(t, faults.hang, { settings: { requestTimeout } })
    const lost = rawPost(url, rpc(1, 'x'))
    await Promise.race([lost, server.counters.until('POST')])
    if (server.exchanges.length === 0) return false
    server.always(echo)
    const other = await rawPost(url, rpc(1, 'y'))
    t.equal((await lost).status, 504)
    if (other.status === 504) return false
    t.match(other.json(), { id: 1, result: {} })
    t.equal(door.stats.exchanges, 0)
    t.equal((await rawRequest(url, { method: 'GET' })).status, 405)
    return true
  })
)

/** Undefined where the time of a request was over before that. */
async function timelySession(url: string): Promise<string | undefined> {
  return await rawSession(url).catch((error: Error) => {
    if (!error.message.startsWith('no session: 504')) throw error
    return undefined
  })
}
