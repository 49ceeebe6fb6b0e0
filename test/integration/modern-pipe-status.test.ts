/** Statuses and limits of 2026-07-28 in front of a pipe, when hooks take their time and clients say odd things. */
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { Interceptor } from '../../src/index.ts'
import { openSse, rawPost, rawRequest, send } from '../helpers/raw-client.ts'
import { modern, modernHeaders, notification, POST_HEADERS, type Rpc, rpc, toolCall } from '../helpers/rpc.ts'
import { fixtureArgv } from '../helpers/stdio-peer.ts'
import { Inbox } from '../helpers/wait.ts'
import { type PipeDoor, type PipeOptions, pipeDoor } from './pipe-door.ts'

function puppetDoor(t: Test, options: PipeOptions = {}): Promise<PipeDoor> {
  const [command, ...args] = fixtureArgv('puppet-stdio.ts')
  return pipeDoor(t, 'puppet-stdio.ts', { target: { command, args, era: 'modern' }, ...options })
}

function post(url: string, message: Rpc, headers: Record<string, string> = {}) {
  return rawPost(url, message, { ...modernHeaders(message), ...headers })
}

/** Hooks that hold an error for longer than an answer may be silent. */
const HOLDING: Record<string, Interceptor> = {
  head: { name: 'slow head', head: async () => await sleep(1_500) },
  message: {
    name: 'slow message',
    message: async (_, m, direction) => {
      if (direction === 'down' && m.isError) await sleep(1_500)
      return m
    }
  }
}

for (const [hook, interceptor] of Object.entries(HOLDING))
  t.test(`a status stays what it is while a ${hook} hook holds it for longer than silence may last`, async t => {
    const { url } = await puppetDoor(t, { settings: { streamAfter: 1_000 }, interceptors: [interceptor] })
    await post(url, modern(rpc(0, 'do')))
    const answer = JSON.stringify({ jsonrpc: '2.0', id: 1, error: { code: -32601, message: 'no' } })
    const got = await post(url, modern(rpc(1, 'do', { answer })))
    t.equal(got.status, 404)
    t.match(got.headers, { 'content-type': 'application/json' })
    t.equal(got.text, answer)
  })

t.test('an answer whose head comes when the stream has begun is an event of it', async t => {
  const opener: Interceptor = {
    name: 'opener',
    async head(x) {
      x.reply.openStream?.()
      await sleep(1)
    }
  }
  const { url } = await puppetDoor(t, { interceptors: [opener] })
  const answer = JSON.stringify({ jsonrpc: '2.0', id: 1, error: { code: -32601, message: 'no' } })
  const message = modern(rpc(1, 'do', { answer }))
  const stream = await openSse(url, { body: message, headers: modernHeaders(message) })
  t.equal(stream.status, 200)
  t.same(await stream.nextMessage(), JSON.parse(answer))
  t.equal(await stream.ended, 'end')
})

t.test('subscriptions are streams: they have their number, and keep no call from its place', async t => {
  const { url, door } = await puppetDoor(t, { settings: { maxExchanges: 1, maxStreams: 2, streamAfter: 100 } })
  const listen = () => {
    const message = modern(rpc('s', 'subscriptions/listen', { answer: false, notifications: {} }))
    return openSse(url, { body: message, headers: modernHeaders(message) })
  }
  // A stream opens with what is said on it, or after a while of silence.
  const streams = await Promise.all([listen(), listen()])
  t.same(
    streams.map(s => s.status),
    [200, 200]
  )
  t.equal(door.stats.streams, 2)
  const refused = await post(url, modern(rpc(1, 'subscriptions/listen', {})))
  t.equal(refused.status, 503)
  t.match(refused.json(), { id: 1, error: { data: { code: 'too_many_streams' } } })
  t.equal((await post(url, modern(rpc(1, 'do')))).status, 200)
  for (const s of streams) s.close()
  await Promise.all(streams.map(s => s.ended))
  const again = await listen()
  t.equal(again.status, 200, 'and they give their places back')
  again.close()
})

t.test(
  'what waits for a server that does not read is counted by address, whatever name a client gives itself',
  async t => {
    const passed = new Inbox<unknown>('requests that were handed over')
    const { url, door } = await pipeDoor(t, 'puppet-stdio.ts', {
      target: { command: process.execPath, args: ['-e', 'setInterval(() => {}, 1 << 30)'], era: 'modern' },
      settings: { maxExchangeQueue: 10_000 },
      interceptors: [{ name: 'watch', request: x => void passed.push(x.message?.idText) }]
    })
    const said = (id: number, name: string, bytes: number) =>
      modern(
        rpc(id, 'do', { pad: 'x'.repeat(bytes) }),
        {},
        { 'io.modelcontextprotocol/clientInfo': { name, version: '0' } }
      )
    const waiting = [said(1, 'filler', 500_000), said(2, 'a', 6_000)].map(message => async () => {
      const sent = send(url, { body: message, headers: modernHeaders(message) })
      await passed.next()
      return sent
    })
    const sent = [await waiting[0]!(), await waiting[1]!()]
    const refused = await post(url, said(3, 'b', 6_000))
    t.equal(refused.status, 503)
    t.match(refused.json(), { id: 3, error: { data: { code: 'upstream_queue_full' } } })
    t.equal(door.stats.exchanges, 2)
    for (const { req } of sent) req.destroy()
  }
)

t.test('a revision that is said twice, differently: 400, -32020', async t => {
  const { url, log } = await puppetDoor(t)
  const message = modern(toolCall(1, 'x'))
  const headers = [...Object.entries(modernHeaders(message)).flat(), 'MCP-Protocol-Version', '2025-11-25']
  const answer = await rawPost(url, message, headers)
  t.equal(answer.status, 400)
  t.match(answer.json(), { id: 1, error: { code: -32020 } })
  t.equal(log.seen.length, 0)
})

t.test('spaces that are no blanks of HTTP are part of a value, and make it another one', async t => {
  const { url, log } = await puppetDoor(t)
  const message = modern(rpc(1, 'do'))
  const odd: Record<string, string>[] = [{ 'mcp-method': '\u00a0do' }, { 'mcp-protocol-version': '2026-07-28\u00a0' }]
  for (const headers of odd) {
    const answer = await post(url, message, headers)
    t.equal(answer.status, 400)
    t.match(answer.json(), { id: 1, error: { code: -32020 } })
  }
  t.equal(log.seen.length, 0)
})

t.test('a server that is said to be modern: who names no revision is told so in its terms', async t => {
  const { url, door, log } = await puppetDoor(t)
  const request = await rawPost(url, rpc(1, 'tools/list'), POST_HEADERS)
  t.equal(request.status, 400)
  t.match(request.json(), { id: 1, error: { code: -32020, message: /MCP-Protocol-Version/ } })
  const note = await rawPost(url, notification('notifications/x'), POST_HEADERS)
  t.equal(note.status, 400)
  t.match(note.json(), { error: { code: -32020 } })
  const earlier = { ...POST_HEADERS, 'mcp-protocol-version': '2025-11-25', 'mcp-session-id': 'x' }
  t.match((await rawPost(url, rpc(1, 'tools/list'), earlier)).json(), {
    id: 1,
    error: { code: -32022, data: { supported: ['2026-07-28'], requested: '2025-11-25' } }
  })
  for (const method of ['GET', 'DELETE']) {
    const headers = { accept: 'text/event-stream' }
    t.match(await rawRequest(url, { method, headers }), { status: 405, headers: { allow: 'POST' } }, method)
  }
  t.equal(door.stats.sessions, 0)
  t.equal(log.seen.length, 0)
})
