/** Servers that answer 400 where 404 belongs, once they have lost a session. */
import path from 'node:path'
import t from 'tap'
import type { TapeFrame } from '../../src/tape/format.ts'
import { TapeReader } from '../../src/tape/reader.ts'
import type { RawExchange } from '../fixtures/servers/raw-exchange.ts'
import { openSse, rawPost, rawRequest } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, notification, rpc } from '../helpers/rpc.ts'
import { rawSession } from './http-door.ts'
import { answer, losingDoor } from './losing-server.ts'

const GET = { accept: 'text/event-stream' }
const OWN = { error: { data: { code: 'session_not_found' } } }
const TEXT = '{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"},"id":null}'

/** As the examples of the SDK say it. */
const badRequest = (x: RawExchange): void => x.json(400, TEXT)

type Refusal = (x: RawExchange) => void

const idOf = (x: RawExchange): unknown => (JSON.parse(x.text) as { id?: unknown }).id

for (const [what, refuse] of [
  ['with null for an id', badRequest],
  ['without an id', x => x.json(400, TEXT.replace(',"id":null', ''))],
  [
    'of a server that has one session at a time',
    x => x.json(400, TEXT.replace(/Bad.*provided/, 'Server not initialized'))
  ],
  ['in words', x => x.respond(400, 'text/plain', 'Bad Request: No valid session ID provided')],
  ['gzipped', x => x.gzip(400, TEXT)],
  ['with a charset', x => x.respond(400, 'application/json; charset=utf-8', TEXT)],
  [
    'in two pieces, of unknown length',
    x => {
      x.head(400, ['Content-Type', 'application/json'])
      void x.write(TEXT.slice(0, 20)).then(() => x.end(TEXT.slice(20)))
    }
  ]
] as [string, Refusal][]) {
  t.test(`400 ${what}: the session is begun anew, and what got it is sent again once`, async t => {
    const { losing, door, url } = await losingDoor(t)
    const id = await rawSession(url)
    losing.notFound = refuse
    losing.lose()
    const calls = [1, 2, 3, 4].map(n => rawPost(url, rpc(n, 'count', { n }), legacyHeaders(id)))
    for (const [i, call] of (await Promise.all(calls)).entries())
      t.match([call.status, call.json()], [200, { id: i + 1, result: { echo: { n: i + 1 } } }])
    t.equal(losing.initializes.length, 2)
    t.equal(losing.accepted.filter(method => method === 'count').length, 4, 'each is carried out once')
    t.ok(losing.of('count').length <= 8, 'and sent twice at most')
    t.equal(door.stats.sessions, 1)
  })

  t.test(`propagate: 400 ${what}: the client gets 404, and begins anew`, async t => {
    const { losing, door, url } = await losingDoor(t, { sessionLoss: 'propagate' })
    const id = await rawSession(url)
    losing.notFound = refuse
    losing.lose()
    const refused = await rawPost(url, rpc(1, 'count'), legacyHeaders(id))
    t.match([refused.status, refused.json()], [404, { id: 1, ...OWN }])
    t.equal(losing.of('count').length, 1, 'nothing is sent twice')
    t.equal(losing.initializes.length, 1)
    t.equal(door.stats.sessions, 0)
    t.equal((await rawPost(url, rpc(2, 'count'), legacyHeaders(id))).status, 404)
    t.equal(losing.of('count').length, 1)
    t.equal(losing.server.exchanges.filter(x => x.method === 'DELETE').length, 0, 'there is nothing left to end')
  })
}

t.test('notifications, answers and batches are no other', async t => {
  const { losing, url } = await losingDoor(t)
  losing.info = { ...losing.info, protocolVersion: '2025-03-26' }
  const id = await rawSession(url, '2025-03-26')
  losing.notFound = badRequest
  const headers = { ...legacyHeaders(id), 'mcp-protocol-version': '2025-03-26' }
  losing.lose()
  t.equal((await rawPost(url, { jsonrpc: '2.0', id: 1, result: {} }, headers)).status, 202)
  losing.lose()
  t.equal((await rawPost(url, notification('notifications/roots/list_changed'), headers)).status, 202)
  t.equal(losing.of('notifications/roots/list_changed').length, 2)
  losing.lose()
  losing.onRequest = x => (x.text.startsWith('[') ? x.json(200, '[]') : answer(x))
  t.equal((await rawPost(url, [rpc(1, 'a'), rpc(2, 'b')], headers)).status, 200)
  t.equal(losing.of('batch').length, 2)
  t.equal(losing.initializes.length, 4)
})

t.test('where the session cannot be begun anew, and where the second answer is no other: 404', async t => {
  const { losing, door, url } = await losingDoor(t)
  losing.notFound = badRequest
  const first = await rawSession(url)
  losing.lose()
  losing.onInitialize = x => x.json(500, '{}')
  t.match((await rawPost(url, rpc(1, 'count'), legacyHeaders(first))).json(), { id: 1, ...OWN })
  t.equal(losing.of('count').length, 1)
  t.equal(door.stats.sessions, 0)
  losing.onInitialize = undefined
  const second = await rawSession(url)
  losing.lose()
  losing.onRequest = x => (x.text.includes('"count"') ? badRequest(x) : answer(x))
  const refused = await rawPost(url, rpc(2, 'count'), legacyHeaders(second))
  t.match([refused.status, refused.json()], [404, { id: 2, ...OWN }])
  t.equal(losing.of('count').length, 3, 'sent again, and not a third time')
  t.equal(door.stats.sessions, 0)
})

t.test('any other 400 passes as it came, and the session goes on', async t => {
  const { losing, door, url } = await losingDoor(t)
  const id = await rawSession(url)
  const long = JSON.stringify({ jsonrpc: '2.0', error: { code: -32_000, message: `session ${'x'.repeat(300_000)}` } })
  const others: [string, Refusal, string][] = [
    ['with its own id', x => x.json(400, TEXT.replace('null', '7'), ['X-Own', 'a']), TEXT.replace('null', '7')],
    ['in text', x => x.respond(400, 'text/plain', 'Bad session', ['X-Own', 'a']), 'Bad session'],
    ['in text that is JSON', x => x.respond(400, 'text/plain', TEXT, ['X-Own', 'a']), TEXT],
    [
      'about something else',
      x => x.json(400, TEXT.replace('-32000', '-32600'), ['X-Own', 'a']),
      TEXT.replace('-32000', '-32600')
    ],
    ['as an array', x => x.json(400, `[${TEXT}]`, ['X-Own', 'a']), `[${TEXT}]`],
    ['that is long', x => x.json(400, long, ['X-Own', 'a']), long],
    [
      'that is long, and does not say so',
      x => {
        x.head(400, ['Content-Type', 'application/json', 'X-Own', 'a'])
        void x.write(long.slice(0, 100_000)).then(() => x.end(long.slice(100_000)))
      },
      long
    ],
    ['on a stream', x => x.respond(400, 'text/event-stream', `data: ${TEXT}\n\n`, ['X-Own', 'a']), `data: ${TEXT}\n\n`],
    ['with nothing', x => x.json(400, '', ['X-Own', 'a']), '']
  ]
  for (const [what, refuse, text] of others) {
    losing.onRequest = refuse
    const refused = await rawPost(url, rpc(7, what), legacyHeaders(id))
    t.equal(refused.status, 400, what)
    t.equal(refused.headers['x-own'], 'a')
    t.ok(refused.text === text, `byte by byte: ${what}`)
    t.equal(losing.of(what).length, 1)
  }
  losing.onRequest = answer
  t.equal((await rawPost(url, rpc(8, 'count'), legacyHeaders(id))).status, 200)
  t.equal(losing.initializes.length, 1)
  t.equal(door.stats.sessions, 1)
})

t.test('a packed one stays packed, and one that breaks off breaks off', async t => {
  const { losing, door, url } = await losingDoor(t)
  const id = await rawSession(url)
  losing.onRequest = x => x.gzip(400, TEXT.replace('null', String(idOf(x))))
  const packed = await rawPost(url, rpc(1, 'count'), legacyHeaders(id))
  t.match([packed.status, packed.headers['content-encoding']], [400, 'gzip'])
  losing.onRequest = x =>
    void x
      .head(400, ['Content-Type', 'application/json', 'Content-Length', String(TEXT.length)])
      .write(TEXT.slice(0, -1))
      .then(() => x.reset())
  await rawPost(url, rpc(2, 'count'), legacyHeaders(id)).catch(() => {})
  t.equal(losing.of('count').length, 2)
  t.equal(losing.initializes.length, 1)
  t.equal(door.stats.sessions, 1)
})

t.test('a 400 that is no JSON is not kept waiting', async t => {
  const { losing, url } = await losingDoor(t)
  const id = await rawSession(url)
  const rest = Promise.withResolvers<void>()
  losing.onRequest = x => {
    void x.head(400, ['Content-Type', 'text/plain']).write('beginning ')
    void rest.promise.then(() => x.end('end'))
  }
  const stream = await openSse(url, {
    method: 'POST',
    headers: legacyHeaders(id),
    body: JSON.stringify(rpc(1, 'count'))
  })
  t.equal(stream.status, 400, 'its head is there before its end')
  rest.resolve()
  stream.close()
})

t.test('initialize is the server’s to refuse: in a session, and without one', async t => {
  const { losing, door, url } = await losingDoor(t)
  const id = await rawSession(url)
  losing.onInitialize = badRequest
  for (const headers of [{}, legacyHeaders(id)]) {
    const refused = await rawPost(url, initialize(5), headers)
    t.match(refused, { status: 400, text: TEXT })
  }
  t.equal(losing.initializes.length, 3)
  t.equal(door.stats.sessions, 1)
})

t.test('without a session a 400 is a 400', async t => {
  const { losing, url } = await losingDoor(t)
  losing.notFound = badRequest
  t.match(await rawPost(url, rpc(1, 'count'), legacyHeaders()), { status: 400, text: TEXT })
  t.equal(losing.initializes.length, 0)
})

for (const sessionLoss of ['reinitialize', 'propagate'] as const) {
  t.test(`${sessionLoss}: a GET that gets 400 from a server without streams is asked about once`, async t => {
    const { losing, door, url } = await losingDoor(t, { sessionLoss })
    const id = await rawSession(url)
    for (const [type, text] of [
      ['application/json', TEXT],
      ['text/plain', 'Invalid or missing session ID'],
      ['text/plain', 'x'.repeat(200_000)]
    ] as const) {
      losing.onRequest = x => (x.method === 'GET' ? x.respond(400, type, text, ['X-Own', 'a']) : answer(x))
      const refused = await rawRequest(url, { method: 'GET', headers: { ...legacyHeaders(id), ...GET } })
      t.match(refused, { status: 400, headers: { 'x-own': 'a' } })
      t.ok(refused.text === text)
    }
    t.equal(losing.of('ping').length, 1)
    t.equal(losing.initializes.length, 1)
    t.equal(door.stats.sessions, 1)
  })
}

t.test('a long 400 to a GET does not wait for the answer to ping', async t => {
  const { losing, door, url } = await losingDoor(t)
  const id = await rawSession(url)
  const text = 'x'.repeat(500_000)
  const gate = Promise.withResolvers<void>()
  const asked = Promise.withResolvers<RawExchange>()
  let givenUp = false
  losing.onRequest = async x => {
    if (x.method === 'GET') return x.head(400, ['Content-Type', 'text/plain']).end(text)
    asked.resolve(x)
    void x.aborted.then(() => {
      givenUp = true
    })
    await gate.promise
    answer(x)
  }
  const refused = await rawRequest(url, { method: 'GET', headers: { ...legacyHeaders(id), ...GET } })
  t.ok(refused.status === 400 && refused.text === text)
  gate.resolve()
  const ping = await asked.promise
  await ping.closed.then(() => ping.closed)
  t.notOk(givenUp, 'it was there before the time for ping was over')
  t.equal(door.stats.sessions, 1)
})

for (const [what, refuse] of [
  ['as JSON', badRequest],
  ['as text', x => (x.method === 'GET' ? x.respond(400, 'text/html', 'Invalid or missing session ID') : badRequest(x))]
] as [string, Refusal][]) {
  t.test(`where ping gets it too, the GET, refused ${what}, has the session begun anew`, async t => {
    const { losing, door, url } = await losingDoor(t)
    const id = await rawSession(url)
    losing.notFound = refuse
    losing.lose()
    const stream = await openSse(url, { headers: { ...legacyHeaders(id), ...GET } })
    t.equal(stream.status, 200)
    stream.close()
    t.equal(losing.initializes.length, 2)
    t.equal(losing.of('ping').length, 1)
    t.equal(door.stats.sessions, 1)
  })
}

t.test('propagate: where ping gets it too, the GET gets 404', async t => {
  const { losing, door, url } = await losingDoor(t, { sessionLoss: 'propagate' })
  const id = await rawSession(url)
  losing.notFound = badRequest
  losing.lose()
  const refused = await rawRequest(url, { method: 'GET', headers: { ...legacyHeaders(id), ...GET } })
  t.match([refused.status, refused.json()], [404, OWN])
  t.equal(door.stats.sessions, 0)
})

t.test('a GET whose Last-Event-ID the server does not like says nothing about the next', async t => {
  const { losing, url } = await losingDoor(t)
  const id = await rawSession(url)
  losing.onRequest = x => (x.method === 'GET' ? x.json(400, '{}') : answer(x))
  const get = (headers: Record<string, string>) =>
    rawRequest(url, { method: 'GET', headers: { ...legacyHeaders(id), ...GET, ...headers } })
  t.equal((await get({ 'last-event-id': 'a' })).status, 400)
  t.equal((await get({})).status, 400)
  t.equal((await get({})).status, 400)
  t.equal(losing.of('ping').length, 2)
})

t.test('DELETE of what the server does not know: it has ended', async t => {
  const { losing, door, url } = await losingDoor(t)
  const id = await rawSession(url)
  losing.notFound = badRequest
  losing.lose()
  const ended = await rawRequest(url, { method: 'DELETE', headers: legacyHeaders(id) })
  t.match([ended.status, ended.json()], [404, OWN])
  t.equal(losing.initializes.length, 1)
  t.equal(losing.server.exchanges.filter(x => x.method === 'DELETE').length, 1)
  t.equal(door.stats.sessions, 0)
})

for (const sessionLoss of ['reinitialize', 'propagate'] as const) {
  t.test(`${sessionLoss}: the tape has the 400 on the side of the server alone`, async t => {
    const tape = path.join(t.testdir(), 'a.tape.jsonl')
    const { losing, door, url } = await losingDoor(t, { sessionLoss, record: { path: tape } })
    const id = await rawSession(url)
    losing.notFound = badRequest
    losing.lose()
    const { status } = await rawPost(url, rpc(1, 'count'), legacyHeaders(id))
    t.equal(status, sessionLoss === 'propagate' ? 404 : 200)
    await door.close()
    const heads: string[] = []
    for await (const frame of (await TapeReader.open(tape)) as AsyncIterable<TapeFrame>)
      if (frame.dir === 'down' && (frame.http?.status ?? 0) >= 400) heads.push(`${frame.side} ${frame.http?.status}`)
    t.same(heads, ['server 400', ...(sessionLoss === 'propagate' ? ['client 404'] : [])])
  })
}
