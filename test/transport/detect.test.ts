/** What a refused `initialize` means: another transport, another era, or just a refusal. */
import { gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import type { CatflapError } from '../../src/errors.ts'
import { Message } from '../../src/protocol/message.ts'
import { isModernError, probing } from '../../src/transport/upstream/detect.ts'
import { serverProbes } from '../../src/transport/upstream/detect-probes.ts'
import { HttpUpstream } from '../../src/transport/upstream/http.ts'
import type { CallReceiver } from '../../src/transport/upstream.ts'
import { VERSION } from '../../src/version.ts'
import { startHttpServer } from '../fixtures/servers/http-server.ts'
import type { RawExchange } from '../fixtures/servers/raw-exchange.ts'
import { type Script, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { type RawSseOptions, startRawSse } from '../fixtures/servers/raw-sse.ts'
import { startSseServer } from '../fixtures/servers/sse-server.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { initialize, POST_HEADERS, type Rpc, rpc } from '../helpers/rpc.ts'
import { Inbox, within } from '../helpers/wait.ts'

const HEADERS = Object.entries({ ...POST_HEADERS, authorization: 'Bearer x', 'mcp-session-id': 'no' }).flat()

interface AskOptions {
  readonly message?: Rpc
  readonly connectTimeout?: number
  /** A receiver that knows nothing of other transports. */
  readonly plain?: boolean
}

/** Sends an `initialize` there, and tells what its receiver hears. */
function ask(t: Test, url: string, { message = initialize(), connectTimeout = 10_000, plain }: AskOptions = {}) {
  const upstream = new HttpUpstream(new URL(url), {
    headers: [],
    connections: 20,
    maxPending: 100,
    connectTimeout: 10_000,
    headersTimeout: 0,
    keepAliveTimeout: 1_000,
    closeTimeout: 1_000
  })
  t.teardown(() => upstream.close())
  const heard = new Inbox<string>('what the receiver hears')
  const errors: CatflapError[] = []
  const own: Message[] = []
  const chunks: Buffer[] = []
  const receiver: CallReceiver = {
    onHead: head => heard.push(`head ${head.status} ${head.headers.join()}`),
    onData: chunk => chunks.push(chunk),
    onMessage() {},
    onEnd: () => heard.push('end'),
    onError(error) {
      errors.push(error)
      heard.push(`error ${error.code} ${error.message}`)
    },
    ...(!plain && { onOtherTransport: () => heard.push('other transport') })
  }
  const parsed = Message.from(message)
  const input = {
    kind: 'request',
    era: 'legacy',
    message: parsed,
    batch: undefined,
    body: parsed.bytes,
    query: '?tenant=7',
    headers: HEADERS
  } as const
  const found = () => heard.push('found')
  const probes = serverProbes(upstream, input, { connectTimeout, found, own: m => own.push(m) })
  const handle = probing(upstream.sessionless, input, receiver, probes)
  return { heard, handle, errors, own, body: () => Buffer.concat(chunks) }
}

async function rawSse(t: Test, options: RawSseOptions = {}) {
  trackLeaks(t)
  const server = await startRawSse(options)
  t.teardown(() => server.close())
  return server
}

async function rawHttp(t: Test, script: Script) {
  trackLeaks(t)
  const server = await startRawHttp(script)
  t.teardown(() => server.close())
  return server
}

const rpcError = (code: number, data?: object) => ({
  jsonrpc: '2.0',
  id: 0,
  error: { code, message: 'no', ...(data && { data }) }
})

t.test('errors that only modern servers give', async t => {
  const is = (body: unknown, status = 400) => isModernError(Buffer.from(JSON.stringify(body)), status)
  for (const code of [-32020, -32021, -32022]) t.ok(is(rpcError(code)))
  t.ok(is(rpcError(-32601), 404))
  t.ok(is({ ...rpcError(-32022), id: null }), 'whose id could not be read')
  t.notOk(is(rpcError(-32601)))
  t.notOk(is(rpcError(-32600)))
  for (const body of [{}, { error: { code: -32022 } }, 'text', rpc(1, 'x'), []]) t.notOk(is(body))
  t.notOk(isModernError(Buffer.from('<html>'), 404))
  t.notOk(isModernError(Buffer.alloc(0), 400))
})

t.test('a server of the official SDK on HTTP+SSE is found', async t => {
  for (const refusal of [404, 405] as const) {
    trackLeaks(t)
    const server = await startSseServer({ refusal })
    t.teardown(() => server.close())
    const { heard } = ask(t, server.url)
    t.equal(await heard.next(), 'found')
    t.equal(await heard.next(), 'other transport')
    await server.counters.until('session.closed')
    t.same(heard.items.length, 2)
    t.same(
      server.requests.map(r => `${r.method} ${r.url}`),
      ['POST /sse?tenant=7', 'GET /sse?tenant=7']
    )
  }
})

t.test('the stream is asked for with the credentials of the client, and may begin with comments', async t => {
  const server = await rawSse(t, {
    refuse: x => x.respond(400, 'text/html', 'x'.repeat(200_000)),
    async open(x) {
      x.sse()
      await x.write(': hello\n\nretry: 100\n\n')
      await x.sendEvent({ event: 'endpoint', data: '/messages' })
    }
  })
  const { heard } = ask(t, server.url)
  t.equal(await heard.next(), 'found')
  const stream = await server.streams.next()
  t.match(stream.headers, { authorization: 'Bearer x', accept: 'text/event-stream' })
  t.notOk(stream.headers['mcp-session-id'])
  await stream.aborted
})

t.test('a refusal that means nothing else is relayed as it came', async t => {
  const opens: Script[] = [
    x => x.respond(405, 'text/plain', ''),
    x => x.respond(404, 'text/event-stream', 'event: endpoint\ndata: /m\n\n'),
    x => x.json(200, '{}'),
    x => x.reset(),
    x => x.sse().sendEvent({ data: '{"jsonrpc":"2.0","method":"first"}' }),
    x => x.sse().sendEvent({ event: 'endpoint', data: 'x'.repeat(40_000) }),
    x => x.sse().end()
  ]
  for (const open of opens) {
    const body = JSON.stringify(rpcError(-32000))
    const server = await rawSse(t, { open, refuse: x => x.json(400, body, ['X-Kept', 'yes']) })
    const asked = ask(t, server.url)
    t.match(await asked.heard.next(), /^head 400 .*X-Kept,yes/)
    t.equal(await asked.heard.next(), 'end')
    t.equal(asked.body().toString(), body)
    t.equal(server.http.counters.count('GET'), 1)
  }
})

t.test('a server that opens no stream in time has none', async t => {
  for (const open of [() => {}, (x: RawExchange) => void x.sse()]) {
    const server = await rawSse(t, { open })
    const { heard, body } = ask(t, server.url, { connectTimeout: 200 })
    t.match(await heard.next(), 'head 404')
    t.equal(await heard.next(), 'end')
    t.equal(body().toString(), 'Cannot POST')
  }
})

t.test('a long refusal is held up to a bound, and relayed whole', async t => {
  const body = Buffer.alloc(3_000_000, 'long')
  const server = await rawSse(t, {
    open: x => x.respond(405, 'text/plain', ''),
    refuse: x => x.respond(404, 'text/plain', body)
  })
  const plain = ask(t, server.url)
  t.match(await plain.heard.next(), 'head 404')
  t.equal(await plain.heard.next(), 'end')
  t.ok(plain.body().equals(body))

  const paused = ask(t, server.url)
  paused.handle.pause()
  t.match(await paused.heard.next(), 'head 404', 'a pause does not keep the probe from coming to an end')
  t.ok(paused.body().length < body.length)
  paused.handle.resume()
  t.equal(await paused.heard.next(), 'end')
  t.ok(paused.body().equals(body))
})

t.test('a refusal that breaks off is relayed so far', async t => {
  const server = await rawSse(t, {
    open: x => x.respond(405, 'text/plain', ''),
    async refuse(x) {
      x.head(404, ['Content-Length', '100'])
      await x.write('begun')
      x.cut()
    }
  })
  const { heard, body } = ask(t, server.url)
  t.match(await heard.next(), 'head 404')
  t.match(await heard.next(), 'error upstream_reset')
  t.equal(body().toString(), 'begun')
})

t.test('what is no refusal of the transport is not looked into', async t => {
  for (const status of [200, 401, 403, 406, 500]) {
    const server = await rawSse(t, { refuse: x => x.respond(status, 'text/plain', 'text') })
    const { heard } = ask(t, server.url)
    t.match(await heard.next(), `head ${status}`)
    t.equal(await heard.next(), 'end')
    t.equal(server.http.counters.count('GET'), 0)
  }
  const server = await rawSse(t)
  const { heard } = ask(t, server.url, { message: rpc(1, 'tools/list') })
  t.match(await heard.next(), 'head 404')
  t.equal(server.http.counters.count('GET'), 0)
  t.match(await ask(t, 'http://127.0.0.1:1/sse').heard.next(), 'error upstream_unreachable')
})

t.test('who knows of no other transport gets the refusal', async t => {
  const server = await rawSse(t)
  const { heard } = ask(t, server.url, { plain: true })
  t.match(await heard.next(), 'head 404')
  t.equal(await heard.next(), 'end')
})

t.test('a client that leaves ends the probe', async t => {
  const server = await rawSse(t, { open: x => void x.sse() })
  const { heard, handle } = ask(t, server.url)
  const stream = await server.streams.next()
  handle.cancel('client-gone')
  await within(stream.aborted, { timeoutMs: 4_000 })
  t.same(heard.items, [])

  const discovered = new Inbox<RawExchange>('discoveries')
  const modern = await rawHttp(t, x => {
    if (x.text.includes('server/discover')) discovered.push(x)
    else x.json(400, rpcError(-32020))
  })
  const asked = ask(t, modern.url)
  const discovery = await discovered.next()
  asked.handle.cancel('timeout')
  await within(discovery.aborted, { timeoutMs: 4_000 })
  t.same(asked.heard.items, [])
})

t.test('a modern server that does not name its revisions is asked for them', async t => {
  const answers: Script[] = [
    x => x.json(200, { jsonrpc: '2.0', id: 'catflap-discover', result: { supportedVersions: ['2027-01-01', 7] } }),
    x => x.sse().sendMessage({ jsonrpc: '2.0', id: 'catflap-discover', result: { supportedVersions: ['2027-01-01'] } }),
    x => x.json(400, rpcError(-32022, { supported: ['2027-01-01'], requested: '2026-07-28' })),
    x =>
      x.gzip(
        200,
        JSON.stringify({ jsonrpc: '2.0', id: 'catflap-discover', result: { supportedVersions: ['2027-01-01'] } })
      )
  ]
  const refusals: Script[] = [
    x => x.json(400, rpcError(-32020)),
    x => x.json(400, rpcError(-32022, { supported: [] })),
    x => x.json(404, rpcError(-32601)),
    x => x.respond(400, 'application/json', gzipSync(JSON.stringify(rpcError(-32020))), ['Content-Encoding', 'gzip'])
  ]
  for (const [i, answer] of answers.entries()) {
    const server = await rawHttp(t, x => (x.text.includes('server/discover') ? answer(x) : refusals[i]!(x)))
    const { heard, errors, own } = ask(t, server.url)
    t.match(await heard.next(), /^error unsupported_modern_version .*2025-11-25.*2027-01-01/)
    t.same(errors[0]?.data, { supported: ['2027-01-01'], requested: '2025-11-25' })
    t.equal(JSON.parse(errors[0]?.toJsonRpc('0').toString() ?? '').error.code, -32022)
    const discovery = await server.exchange(2)
    t.match(discovery.headers, {
      authorization: 'Bearer x',
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': 'server/discover',
      accept: 'application/json, text/event-stream',
      'content-type': 'application/json'
    })
    t.notOk(discovery.headers['mcp-session-id'])
    t.same(JSON.parse(discovery.text).params._meta, {
      'io.modelcontextprotocol/protocolVersion': '2026-07-28',
      'io.modelcontextprotocol/clientInfo': { name: 'catflap', version: VERSION },
      'io.modelcontextprotocol/clientCapabilities': {}
    })
    t.same(
      own.map(m => m.method),
      ['server/discover']
    )
    t.equal(server.counters.count('GET'), 0)
  }
})

t.test('a modern server that names its revisions, or will not tell, is relayed as it is', async t => {
  const named = JSON.stringify(rpcError(-32022, { supported: ['2026-07-28'], requested: '2025-11-25' }))
  const silent = JSON.stringify(rpcError(-32020))
  const cases: [string, Script, number][] = [
    [named, x => x.reset(), 1],
    [silent, x => x.json(400, silent), 2],
    [silent, x => x.json(200, { jsonrpc: '2.0', id: 'catflap-discover', result: { supportedVersions: 'all' } }), 2],
    [silent, x => x.reset(), 2],
    [silent, () => {}, 2]
  ]
  for (const [refusal, discovery, requests] of cases) {
    const server = await rawHttp(t, x => (x.text.includes('server/discover') ? discovery(x) : x.json(400, refusal)))
    const { heard, body } = ask(t, server.url)
    t.match(await heard.next(), 'head 400')
    t.equal(await heard.next(), 'end')
    t.equal(body().toString(), refusal)
    t.equal(server.counters.count('request'), requests)
  }
})

t.test('a client of the handshake learns what a modern server of the official SDK speaks', async t => {
  trackLeaks(t)
  const server = await startHttpServer({ mode: 'modern' })
  t.teardown(() => server.close())
  const { heard, body } = ask(t, server.url)
  const first = await heard.next()
  await heard.until(l => l === 'end' || l.startsWith('error'))
  t.match(first + body().toString(), '2026-07-28')
})
