/**
 * Servers of 2025-11-25 let clients poll: they end the stream of a call before its answer, and the client comes back with
 * Last-Event-ID after `retry` (basic/transports, "Sending Messages to the Server").
 */
import t from 'tap'
import type { RawExchange } from '../fixtures/servers/raw-exchange.ts'
import { echoWithHandshake } from '../fixtures/servers/raw-http.ts'
import { connectStdio, HANDLERS } from '../helpers/clients.ts'
import { openSse } from '../helpers/raw-client.ts'
import { legacyHeaders, notification, rpc } from '../helpers/rpc.ts'
import { callTool, rawDoor, rawSession, client as sdkClient, sdkDoor } from './http-door.ts'
import { type Pair, pair } from './pairing-door.ts'
import { SESSION } from './pairing-servers.ts'
import { catflapArgs } from './pipe-door.ts'
import { sseClient } from './sse-down-door.ts'

const result = (id: unknown, more: object = {}) => ({ jsonrpc: '2.0', id, result: more })
const VERSION = '2025-11-25'

t.test('http > http: events, ids, retry and early ends are relayed byte for byte', async t => {
  const { url, server } = await rawDoor(t, echoWithHandshake('s'))
  const id = await rawSession(url)
  const first = [
    'id: a/0\nretry: 1500\ndata:\n\n',
    'id:a/1\ndata: {"jsonrpc":"2.0","method":"n","params":{"x":1.0}}\n\n'
  ]
  server.next(x => {
    x.sse()
    for (const event of first) void x.write(event)
    x.end()
  })
  const post = await openSse(url, { body: rpc(1, 'x'), headers: legacyHeaders(id) })
  t.equal(await post.ended, 'end', 'no fault, and no error is put in')
  t.same(
    post.events.items.map(e => `${e.raw}\n\n`),
    first
  )
  const second = ['id: a/2\nretry: 1\ndata: {"jsonrpc":"2.0","id":1,"result":{}}\n\n']
  server.next(x => {
    x.sse()
    for (const event of second) void x.write(event)
    x.end()
  })
  const headers = { ...legacyHeaders(id), accept: 'text/event-stream', 'last-event-id': 'a/1' }
  const get = await openSse(url, { headers })
  t.equal(await get.ended, 'end')
  t.same(
    get.events.items.map(e => `${e.raw}\n\n`),
    second
  )
  const seen = server.exchanges.at(-1)!
  t.same([seen.method, seen.headers['last-event-id'], seen.headers['mcp-session-id']], ['GET', 'a/1', 's'])
  t.equal(server.counters.count('request'), 4, 'catflap does not come back in place of the client')
})

/** The next GET that takes up a stream; the one for the server's own messages has no id. */
function comingBack(p: Pair, n: number): Promise<RawExchange> {
  let found = 0
  return p.server.streams.until(x => x.headers['last-event-id'] !== undefined && ++found === n)
}

for (const client of ['stdio', 'sse'] as const) {
  t.test(`${client} > http: several early ends, one answer`, async t => {
    const p = await pair(t, client, 'http', { version: VERSION })
    void p.client.say(rpc(1, 'x', { _meta: { progressToken: 't' } }))
    const asked = await p.server.heard.next()
    const post = asked.http!.sse()
    await post.sendEvent({ id: 'e/0', retry: 15, data: '' })
    post.end()
    const first = await comingBack(p, 1)
    t.same(
      [first.headers['last-event-id'], first.headers['mcp-session-id'], first.headers['mcp-protocol-version']],
      ['e/0', SESSION, VERSION]
    )
    await first.sendMessage(notification('notifications/progress', { progressToken: 't', progress: 1 }), 'e/1')
    first.end()
    const again = new Set([first])
    const second = await p.server.streams.until(x => x.headers['last-event-id'] === 'e/1' && !again.has(x))
    await second.sendMessage(rpc('q', 'elicitation/create', { message: '?' }), 'e/2')
    t.equal((await p.client.next()).method, 'notifications/progress')
    t.match(await p.client.next(), { id: 'q', method: 'elicitation/create' })
    second.end()
    // The client answers while no stream is open.
    void p.client.say(result('q', { action: 'decline' }))
    t.same((await p.server.heard.next()).json, result('q', { action: 'decline' }))
    const third = await p.server.streams.until(x => x.headers['last-event-id'] === 'e/2')
    await third.sendMessage(result(1, { done: true }), 'e/3')
    third.end()
    t.same(await p.client.next(), result(1, { done: true }))
    void p.client.say(rpc(2, 'after'))
    const after = await p.server.heard.next()
    after.answer(result(2))
    t.same(await p.client.next(), result(2))
    t.equal(p.client.heard.items.length, 4, 'the client saw one seamless answer')
    t.equal(p.server.heard.items.length, 3, 'and the server the call once')
    t.notOk(p.log.of('server').length, 'which is nothing to warn of')
  })

  t.test(`${client} > http: catflap waits as long as the server asks`, async t => {
    const p = await pair(t, client, 'http', { version: VERSION })
    void p.client.say(rpc(1, 'x'))
    const asked = await p.server.heard.next()
    const post = asked.http!.sse()
    await post.sendEvent({ id: '0', retry: 1_200, data: '' })
    const ended = performance.now()
    post.end()
    const back = await comingBack(p, 1)
    t.ok(performance.now() - ended >= 1_190)
    await back.sendMessage(result(1), '1')
    back.end()
    t.same(await p.client.next(), result(1))
  })

  t.test(`${client} > http: two calls that poll do not take each other's place`, async t => {
    const p = await pair(t, client, 'http', { version: VERSION })
    for (const id of ['a', 'b']) void p.client.say(rpc(id, 'x'))
    for (let i = 0; i < 2; i++) {
      const asked = await p.server.heard.next()
      const post = asked.http!.sse()
      await post.sendEvent({ id: `${asked.json.id}/0`, retry: 10, data: '' })
      post.end()
    }
    for (const id of ['b', 'a']) {
      const back = await p.server.streams.until(x => x.headers['last-event-id'] === `${id}/0`)
      await back.sendMessage(result(id), `${id}/1`)
      back.end()
      t.same(await p.client.next(), result(id))
    }
  })

  t.test(`${client} > http: a call that is cancelled while it polls is polled no more`, async t => {
    const p = await pair(t, client, 'http', { version: VERSION, settings: { cancelGrace: 10 } })
    void p.client.say(rpc(1, 'x'))
    const asked = await p.server.heard.next()
    const post = asked.http!.sse()
    await post.sendEvent({ id: '0', retry: 60_000, data: '' })
    post.end()
    await post.closed
    void p.client.say(notification('notifications/cancelled', { requestId: 1 }))
    t.equal((await p.server.heard.next()).json.method, 'notifications/cancelled')
    void p.client.say(rpc(2, 'after'))
    const after = await p.server.heard.next()
    after.answer(result(2))
    t.same(await p.client.next(), result(2))
    // The door closes at once although a timer was set for a minute; what is left would show as a leak.
  })

  t.test(`${client} > http: a stream that the server has forgotten fails its call, and nothing else`, async t => {
    const p = await pair(t, client, 'http', { version: VERSION })
    void p.client.say(rpc(1, 'x'))
    const asked = await p.server.heard.next()
    const post = asked.http!.sse()
    await post.sendEvent({ id: '0', retry: 10, data: '' })
    // That for its own messages is another.
    await p.server.streams.until(() => true)
    p.server.http!.next(x => x.respond(400, 'text/plain', 'no such event'))
    post.end()
    t.match(await p.client.next(), { id: 1, error: { data: { code: 'upstream_reset' } } })
    void p.client.say(rpc(2, 'after'))
    const after = await p.server.heard.next()
    after.answer(result(2))
    t.same(await p.client.next(), result(2))
  })
}

t.test('a server of the official SDK that ends its streams early: every client gets its answer', async t => {
  const { url, server } = await sdkDoor(t, { eventStore: true, retryInterval: 20 })
  const stdioArgs = [...catflapArgs([], []).filter(arg => arg !== '--'), server.url]
  const stdio = await connectStdio({ args: stdioArgs, handlers: HANDLERS })
  t.teardown(() => stdio.close())
  const clients = [await sdkClient(t, url), await sseClient(t, url), stdio]
  for (const [n, c] of clients.entries()) {
    const polling = c.client.callTool({ name: 'poll', arguments: { key: 'k' } })
    // It has come back when the server hears of its last event.
    await server.counters.until('slow.started', n + 1)
    await callTool(c, 'release', { key: 'k' })
    t.match(await polling, { content: [{ text: 'released' }] })
    t.same(c.errors, [])
  }
  t.same(server.errors, [])
})
