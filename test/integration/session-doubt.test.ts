/** Not every 404 in a session means that the server has lost it. */
import { type IncomingMessage, request } from 'node:http'
import t from 'tap'
import { openSse, rawPost, rawRequest } from '../helpers/raw-client.ts'
import { legacyHeaders, notification, POST_HEADERS, rpc } from '../helpers/rpc.ts'
import { Inbox, waitFor } from '../helpers/wait.ts'
import { rawSession } from './http-door.ts'
import { answer, losingDoor, notFound } from './losing-server.ts'

const GET = { accept: 'text/event-stream' }

/** As Express says it. */
const NO_ROUTE = ['text/html', 'Cannot GET /mcp'] as const

for (const sessionLoss of ['reinitialize', 'propagate'] as const) {
  t.test(`${sessionLoss}: a server without GET keeps its session, and is asked once whether it knows it`, async t => {
    const { losing, door, url } = await losingDoor(t, { sessionLoss })
    const id = await rawSession(url)
    losing.onRequest = x => (x.method === 'GET' ? x.respond(404, ...NO_ROUTE) : answer(x))
    for (let n = 0; n < 3; n++) {
      const refused = await rawRequest(url, { method: 'GET', headers: { ...legacyHeaders(id), ...GET } })
      t.match(refused, { status: 404, text: NO_ROUTE[1] })
    }
    t.equal((await rawPost(url, rpc(1, 'count'), legacyHeaders(id))).status, 200)
    t.equal(losing.initializes.length, 1)
    t.equal(losing.of('ping').length, 1)
    t.match(losing.of('ping')[0]?.headers, { 'mcp-session-id': 'upstream-1', 'mcp-protocol-version': '2025-11-25' })
    t.equal(door.stats.sessions, 1)
  })

  t.test(`${sessionLoss}: a 404 with the request's own id is its answer`, async t => {
    const { losing, door, url } = await losingDoor(t, { sessionLoss })
    const id = await rawSession(url)
    losing.onRequest = x => {
      const { id } = JSON.parse(x.text) as { id: unknown }
      x.json(404, { jsonrpc: '2.0', id, error: { code: -32602, message: 'no such customer' } })
    }
    for (const own of [7, 'seven']) {
      const answered = await rawPost(url, rpc(own, 'tools/call', { name: 'a' }), legacyHeaders(id))
      t.equal(answered.status, 404)
      t.match(answered.json(), { id: own, error: { message: 'no such customer' } })
    }
    t.equal(losing.of('tools/call').length, 2)
    t.equal(losing.initializes.length, 1)
    t.equal(door.stats.sessions, 1)
  })
}

t.test('a 404 to a notification, or to an answer that comes too late, is asked about', async t => {
  const { losing, door, url } = await losingDoor(t)
  const id = await rawSession(url)
  losing.onRequest = x => (x.text.includes('"method":"ping"') ? answer(x) : x.respond(404, 'text/plain', 'unknown'))
  for (const message of [notification('notifications/custom'), { jsonrpc: '2.0', id: 77, result: {} }])
    t.match(await rawPost(url, message, legacyHeaders(id)), { status: 404, text: 'unknown' })
  t.equal(losing.of('notifications/custom').length, 1, 'sent once')
  t.equal(losing.of('ping').length, 2)
  t.equal(losing.initializes.length, 1)
  t.equal(door.stats.sessions, 1)
  losing.onRequest = undefined
  losing.lose()
  t.equal((await rawPost(url, notification('notifications/custom'), legacyHeaders(id))).status, 202)
  t.equal(losing.initializes.length, 2, 'here it was lost')
})

t.test('a long 404 to what has no answer is passed on as it comes, and ends with its client', async t => {
  const { losing, door, url } = await losingDoor(t)
  const id = await rawSession(url)
  const gate = Promise.withResolvers<void>()
  const left = new Inbox<string>('clients that left')
  losing.onRequest = x => {
    if (x.text.includes('"method":"ping"')) return void gate.promise.then(() => answer(x))
    void x.aborted.then(() => left.push(x.method))
    const type = x.method === 'GET' ? 'text/html' : 'application/json'
    void x.head(404, ['Content-Type', type]).write('x'.repeat(200_000))
  }
  for (const method of ['GET', 'POST'] as const) {
    const req = request(url, { method, headers: { ...POST_HEADERS, ...legacyHeaders(id), ...GET } })
    req.end(method === 'POST' ? JSON.stringify(notification('notifications/custom')) : undefined)
    const [res] = (await waitFor(req, 'response')) as [IncomingMessage]
    t.equal(res.statusCode, 404)
    let heard = 0
    for await (const chunk of res) {
      heard += (chunk as Buffer).length
      if (heard >= 200_000) break
    }
    t.equal(await left.next(), method)
  }
  gate.resolve()
  t.equal(door.stats.sessions, 1)
})

t.test('so is a result, a long one, one that is packed, one that breaks off, and one on a stream', async t => {
  const { losing, door, url } = await losingDoor(t)
  const id = await rawSession(url)
  const text = (n: number, more = '') => JSON.stringify({ jsonrpc: '2.0', id: n, result: { more } })
  losing.onRequest = x => {
    const { id: n } = JSON.parse(x.text) as { id: number }
    if (n === 1) x.json(404, text(n))
    else if (n === 2) x.json(404, text(n, 'x'.repeat(200_000)))
    else if (n === 3) x.gzip(404, text(n))
    else if (n === 4)
      void x
        .head(404, ['Content-Type', 'application/json'])
        .write('{"jsonrpc"')
        .then(() => x.reset())
    else x.respond(404, 'text/event-stream', `data: ${text(n)}\n\n`)
  }
  const ask = (n: number) => rawPost(url, rpc(n, 'count'), legacyHeaders(id))
  t.match((await ask(1)).json(), { id: 1, result: {} })
  t.equal((await ask(2)).text.length, text(2, 'x'.repeat(200_000)).length)
  t.equal((await ask(3)).status, 404)
  await ask(4).catch(() => {})
  t.match((await ask(5)).text, /"id":5/)
  t.equal(losing.of('count').length, 5)
  t.equal(losing.initializes.length, 1)
  t.equal(door.stats.sessions, 1)
})

t.test('a batch of which one request was answered is not sent again', async t => {
  const { losing, url } = await losingDoor(t)
  losing.info = { ...losing.info, protocolVersion: '2025-03-26' }
  const id = await rawSession(url, '2025-03-26')
  losing.onRequest = x => x.json(404, [{ jsonrpc: '2.0', id: 2, error: { code: 1, message: 'no' } }])
  const headers = { ...legacyHeaders(id), 'mcp-protocol-version': '2025-03-26' }
  const answered = await rawPost(url, [rpc(1, 'a'), rpc(2, 'b')], headers)
  t.match(answered, { status: 404, text: /"no"/ })
  t.equal(losing.of('batch').length, 1)
  t.equal(losing.initializes.length, 1)
})

t.test('a GET in a session that is lost has it begun anew, once for all who ask', async t => {
  const { losing, door, url } = await losingDoor(t)
  const id = await rawSession(url)
  losing.lose()
  const open = () => openSse(url, { headers: { ...legacyHeaders(id), ...GET } })
  for (const stream of await Promise.all([open(), open()])) {
    t.equal(stream.status, 200)
    stream.close()
  }
  t.equal(losing.initializes.length, 2)
  t.ok(losing.of('ping').length <= 1)
  t.equal(door.stats.sessions, 1)
})

t.test('propagate: a GET in a session that is lost ends it', async t => {
  const { losing, door, url } = await losingDoor(t, { sessionLoss: 'propagate' })
  const id = await rawSession(url)
  losing.lose()
  t.equal((await rawRequest(url, { method: 'GET', headers: { ...legacyHeaders(id), ...GET } })).status, 404)
  t.equal(losing.of('ping').length, 1)
  t.equal(door.stats.sessions, 0)
})

t.test('a second 404 does not end a session that others have made anew meanwhile', async t => {
  const { losing, door, url } = await losingDoor(t)
  const id = await rawSession(url)
  losing.lose()
  const gate = Promise.withResolvers<void>()
  const resent = Promise.withResolvers<void>()
  losing.onRequest = async x => {
    if (!x.text.includes('"slow"')) return answer(x)
    resent.resolve()
    await gate.promise
    notFound(x)
  }
  const slow = rawPost(url, rpc(1, 'slow'), legacyHeaders(id))
  await resent.promise
  losing.lose()
  t.equal((await rawPost(url, rpc(2, 'count'), legacyHeaders(id))).status, 200)
  gate.resolve()
  t.equal((await slow).status, 404)
  t.equal(door.stats.sessions, 1)
  t.equal((await rawPost(url, rpc(3, 'count'), legacyHeaders(id))).status, 200)
  t.equal(losing.initializes.length, 3)
})

t.test('no session that is lost is told to end', async t => {
  const { losing, url } = await losingDoor(t)
  const id = await rawSession(url)
  losing.lose()
  t.equal((await rawPost(url, rpc(1, 'count'), legacyHeaders(id))).status, 200)
  t.equal(losing.server.exchanges.filter(x => x.method === 'DELETE').length, 0)
})
