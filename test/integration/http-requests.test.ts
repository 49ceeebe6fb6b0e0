/** What catflap answers to requests that are wrong, before any server sees them. */
import { request } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { rawPost, rawRequest, talk } from '../helpers/raw-client.ts'
import { legacyHeaders, MODERN_VERSION, POST_HEADERS, rpc } from '../helpers/rpc.ts'
import { waitFor } from '../helpers/wait.ts'
import { rawDoor, rawSession, sdkDoor } from './http-door.ts'

const codeOf = (answer: { json(): unknown }) =>
  answer.json() as { id?: unknown; error: { code: number; data: { code: string } } }

t.test('an unknown session is 404 with a JSON-RPC error and the id of the request', async t => {
  const { server, url } = await rawDoor(t)
  const answer = await rawPost(url, '{"jsonrpc":"2.0","id":9007199254740993,"method":"ping"}', legacyHeaders('unknown'))
  t.equal(answer.status, 404)
  t.match(answer.text, /^\{"jsonrpc":"2\.0","id":9007199254740993,"error":\{"code":-31011,/)
  for (const method of ['GET', 'DELETE']) {
    const headers = { ...legacyHeaders('unknown'), accept: 'text/event-stream' }
    const other = await rawRequest(url, { method, headers })
    t.equal(other.status, 404, method)
    t.match(codeOf(other), { error: { data: { code: 'session_not_found' } } })
    t.notOk('id' in codeOf(other))
  }
  t.equal(server.exchanges.length, 0)
})

t.test('a session that was ended is 404', async t => {
  const { server, url } = await sdkDoor(t)
  const id = await rawSession(url)
  t.equal((await rawRequest(url, { method: 'DELETE', headers: legacyHeaders(id) })).status, 200)
  t.equal(server.counters.count('session.deleted'), 1)
  t.equal((await rawPost(url, rpc(1, 'ping'), legacyHeaders(id))).status, 404)
})

t.test('what is no JSON is -32700', async t => {
  const { server, url } = await rawDoor(t)
  for (const body of [
    '',
    '{',
    '{"a":01}',
    "{'jsonrpc':'2.0'}",
    '{"jsonrpc":"2.0","method":"x"} x',
    Buffer.from([0x22, 0xff, 0x22])
  ]) {
    const answer = await rawPost(url, body)
    t.match([answer.status, codeOf(answer).error.code], [400, -32_700], String(body))
    t.notOk('id' in codeOf(answer))
  }
  t.equal(server.exchanges.length, 0)
})

t.test('what is JSON and no JSON-RPC is -32600', async t => {
  const { server, url } = await rawDoor(t)
  const bodies = [
    '7',
    '"x"',
    '{}',
    '[]',
    '{"jsonrpc":"1.0","id":1,"method":"x"}',
    '{"jsonrpc":"2.0","id":1}',
    '{"jsonrpc":"2.0","id":null,"method":"x"}',
    '{"jsonrpc":"2.0","id":{},"method":"x"}',
    '{"jsonrpc":"2.0","id":1,"method":7}',
    '{"jsonrpc":"2.0","id":1,"method":"x","result":{}}'
  ]
  for (const body of bodies) {
    const answer = await rawPost(url, body, { 'mcp-protocol-version': '2025-03-26' })
    t.match([answer.status, codeOf(answer).error.code], [400, -32_600], body)
  }
  t.equal(server.exchanges.length, 0)
})

t.test('a batch is relayed in 2025-03-26 and refused in every other revision', async t => {
  const { server, url } = await rawDoor(t)
  const batch =
    '[{"jsonrpc":"2.0","id":1,"method":"a","params":{ }},\n {"jsonrpc":"2.0","method":"n"},{"jsonrpc":"2.0","id":"1","method":"b"}]'
  for (const headers of [{}, { 'mcp-protocol-version': '2025-03-26' }]) {
    const answer = await rawPost(url, batch, headers)
    t.equal(
      answer.text,
      '[{"jsonrpc":"2.0","id":1,"result":{"echo":{ }}},{"jsonrpc":"2.0","id":"1","result":{"echo":null}}]'
    )
    t.equal(server.exchanges.at(-1)!.text, batch)
  }
  for (const version of ['2024-11-05', '2025-06-18', '2025-11-25', MODERN_VERSION]) {
    const answer = await rawPost(url, batch, { 'mcp-protocol-version': version })
    t.match([answer.status, codeOf(answer).error.code], [400, -32_600], version)
  }
  t.equal(server.exchanges.length, 2)
})

t.test('a batch without a version header is refused in a session that negotiated another revision', async t => {
  const { url } = await sdkDoor(t)
  const id = await rawSession(url, '2025-11-25')
  const answer = await rawPost(url, '[{"jsonrpc":"2.0","id":1,"method":"ping"}]', { 'mcp-session-id': id })
  t.match([answer.status, codeOf(answer).error.code], [400, -32_600])
})

t.test('members that decide about routing and occur twice are refused, in whatever case', async t => {
  const { server, url } = await rawDoor(t)
  const bodies = [
    '{"jsonrpc":"2.0","jsonrpc":"2.0","id":1,"method":"x"}',
    '{"jsonrpc":"2.0","id":1,"id":2,"method":"x"}',
    '{"jsonrpc":"2.0","id":1,"method":"x","method":"y"}',
    '{"jsonrpc":"2.0","id":1,"method":"x","Method":"y"}',
    '{"jsonrpc":"2.0","id":1,"method":"x","m\\u0065thod":"y"}',
    '{"jsonrpc":"2.0","id":1,"ID":2,"method":"x"}',
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}',
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","Name":"b"}}',
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"},"params":{"name":"b"}}',
    '{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"a","URI":"b"}}'
  ]
  for (const body of bodies) {
    const answer = await rawPost(url, body)
    t.match([answer.status, codeOf(answer).error], [400, { code: -32_600, data: { code: 'ambiguous_request' } }], body)
  }
  t.equal(server.exchanges.length, 0)
  const harmless = '{"jsonrpc":"2.0","id":1,"method":"x","params":{"arguments":{"id":1,"id":2,"name":1,"name":2}}}'
  t.equal((await rawPost(url, harmless)).status, 200, 'in arguments they mean nothing to anybody on the way')
})

t.test('Content-Type, Content-Encoding, method, path', async t => {
  const { server, url } = await rawDoor(t)
  const ping = JSON.stringify(rpc(1, 'ping'))
  const types = ['text/plain', 'application/json-patch+json', undefined]
  for (const type of types) {
    const headers = { accept: POST_HEADERS.accept, ...(type && { 'content-type': type }) }
    t.match(await rawRequest(url, { body: ping, headers }), { status: 415 }, type ?? 'none')
  }
  t.equal((await rawPost(url, ping, { 'content-type': 'Application/JSON; charset=UTF-8' })).status, 200)
  t.equal((await rawPost(url, ping, { 'content-encoding': 'gzip' })).status, 415)
  t.equal((await rawPost(url, ping, { 'content-encoding': 'Identity' })).status, 200)
  for (const method of ['PUT', 'PATCH', 'OPTIONS', 'HEAD'])
    t.match(await rawRequest(url, { method }), { status: 405, headers: { allow: 'GET, POST, DELETE' } }, method)
  for (const path of ['/', '/mcp/', '/MCP', '/.well-known/oauth-protected-resource'])
    t.match(codeOf(await rawPost(new URL(path, url), ping)), { error: { data: { code: 'not_found' } } }, path)
  t.equal(server.exchanges.length, 2)
})

t.test('a body over the limit is 413, declared or not, and the client can read that', async t => {
  const { server, url } = await rawDoor(t, undefined, { settings: { maxBody: 1000 } })
  const fits = JSON.stringify(rpc(1, 'x', { s: 'x'.repeat(800) }))
  t.equal((await rawPost(url, fits)).status, 200)
  const declared = await rawPost(url, 'x'.repeat(3_000_000))
  t.match([declared.status, codeOf(declared).error.data.code], [413, 'body_too_large'])
  const patient = await talkAfterwards(url, 'x'.repeat(30_000_000))
  t.match(patient, /^HTTP\/1\.1 413 .*body_too_large/s, 'also one that reads only once it has sent everything')
  const chunked = await postChunked(url, 'x'.repeat(3_000_000))
  t.match([chunked.status, chunked.text], [413, /body_too_large/])
  t.equal(server.exchanges.length, 1)
})

t.test('headers over the limit are 431, bytes that are no HTTP are 400', async t => {
  const { url } = await rawDoor(t, undefined, { settings: { maxHeaderSize: 8192 } })
  const answer = await rawPost(url, rpc(1, 'ping'), { 'x-long': 'x'.repeat(9000) })
  t.match([answer.status, codeOf(answer).error.data.code], [431, 'headers_too_large'])
  t.match(await talk(url, 'EHLO mail.example\r\n\r\n'), /^HTTP\/1\.1 400 .*"bad_http"/s)
})

t.test('a client that does not send its whole request in time is 408', async t => {
  const { url, server } = await rawDoor(t, undefined, { settings: { clientTimeout: 100 } })
  const head = `POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{`
  t.match(await talk(url, head), /^HTTP\/1\.1 408 .*"request_timeout"/s)
  t.equal(server.exchanges.length, 0)
})

t.test('bytes behind a request do not get into the middle of its answer', async t => {
  const { server, url } = await rawDoor(t, exchange => void exchange.sse())
  const body = JSON.stringify(rpc(1, 'x'))
  const head = `POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  let heard = ''
  socket.on('data', chunk => void (heard += chunk))
  socket.on('error', () => {})
  const answered = waitFor(socket, 'data')
  socket.write(head + body)
  const exchange = await server.exchange()
  await answered
  const closed = waitFor(socket, 'close')
  socket.write('no HTTP at all\r\n\r\n')
  await closed
  t.match(heard, /^HTTP\/1\.1 200 /)
  t.notMatch(heard, /bad_http/)
  await exchange.aborted
})

/** Sends the whole body before it reads anything. */
function talkAfterwards(url: string, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    socket.on('error', reject)
    socket.pause()
    const head = `POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`
    socket.write(head + body, error => (error ? reject(error) : void text(socket).then(resolve, reject)))
  })
}

/** A body without a declared length. */
function postChunked(url: string, body: string): Promise<{ status: number | undefined; text: string }> {
  return new Promise((resolve, reject) => {
    const req = request(url, { method: 'POST', agent: false, headers: POST_HEADERS }, res => {
      text(res).then(heard => resolve({ status: res.statusCode, text: heard }), reject)
    })
    req.on('error', reject)
    req.write(body.slice(0, 10))
    req.end(body.slice(10))
  })
}

t.test('two different versions or session ids in one request are refused; the same one twice is not', async t => {
  const { server, url } = await rawDoor(t)
  const list = Object.entries(POST_HEADERS).flat()
  for (const [name, one, other] of [
    ['MCP-Protocol-Version', '2025-11-25', '2025-06-18'],
    ['mcp-session-id', 'a', 'b']
  ] as const) {
    const answer = await rawPost(url, rpc(1, 'ping'), [...list, name, one, name.toLowerCase(), other])
    t.equal(answer.status, 400)
    t.match(codeOf(answer), { id: 1, error: { code: -32600, data: { code: 'invalid_request' } } })
  }
  t.equal(server.exchanges.length, 0)
  const version = ['MCP-Protocol-Version', '2025-11-25']
  t.equal((await rawPost(url, rpc(1, 'ping'), [...list, ...version, ...version])).status, 200)
})
