import { gunzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { faults, huge, redirectTo } from './fixtures/servers/faults.ts'
import { echoAsSse, echoWithHandshake, type Script, startRawHttp } from './fixtures/servers/raw-http.ts'
import { connectHttp, connectStdio } from './helpers/clients.ts'
import { trackLeaks, watchProcess } from './helpers/leaks.ts'
import { openSse, rawPost, rawRequest, send } from './helpers/raw-client.ts'
import { rpc } from './helpers/rpc.ts'
import { fixtureArgv, spawnPeer } from './helpers/stdio-peer.ts'

const ODD =
  ' {\t"id" : 9007199254740993 , "params":{ "n":1.0e+2,"n":-0,"s":"\\u00e9\\/\u2028","deep":[[{"}":"]"}]] } ,"method":"x","jsonrpc":"2.0"}'
const ODD_ANSWER =
  '{"jsonrpc":"2.0","id":9007199254740993,"result":{"echo":{ "n":1.0e+2,"n":-0,"s":"\\u00e9\\/\u2028","deep":[[{"}":"]"}]] }}}'

async function raw(t: Test, script?: Script) {
  trackLeaks(t)
  const server = await startRawHttp(script)
  t.teardown(() => server.close())
  return server
}

function peer(t: Test, ...args: string[]) {
  trackLeaks(t)
  const child = spawnPeer(fixtureArgv('raw-stdio.ts', ...args))
  t.teardown(() => child.close())
  return child
}

t.test('raw HTTP takes what is no JSON for no request, and goes on', async t => {
  const server = await raw(t)
  for (const body of [
    'x',
    '',
    '{',
    '{"a"',
    '{"a',
    '{"a":"',
    '[',
    '[1',
    '["',
    '{}}',
    '[{]',
    '1',
    '"x"',
    'null',
    ' {"id":1,x}'
  ])
    t.equal((await rawPost(server.url, body)).status, 202, JSON.stringify(body))
  server.always(echoWithHandshake())
  t.equal((await rawPost(server.url, 'x')).status, 202)
  server.always(echoAsSse)
  t.equal((await rawPost(server.url, 'x')).status, 202)
  t.equal((await rawPost(server.url, ODD)).status, 200)
  t.same(server.errors, [])
})

t.test('raw HTTP gives id and params back as they were spelled, and keeps what it got', async t => {
  const server = await raw(t)
  const answer = await rawPost(server.url, ODD, { 'X-Odd': 'yes' })
  t.equal(answer.text, ODD_ANSWER)
  const exchange = await server.exchange()
  t.equal(exchange.text, ODD)
  t.same(exchange.values('x-odd'), ['yes'])
  t.ok(exchange.rawHeaders.includes('X-Odd'))
  t.equal((await rawPost(server.url, `[${ODD},{"jsonrpc":"2.0","method":"n"}]`)).text, `[${ODD_ANSWER}]`)
  t.equal((await rawPost(server.url, '{"jsonrpc":"2.0","method":"n"}')).status, 202)
  t.equal((await rawRequest(server.url, { method: 'GET' })).status, 405)
  server.always(echoAsSse)
  const stream = await openSse(server.url, { body: ODD })
  t.equal((await stream.next()).data, ODD_ANSWER)
  t.equal(await stream.ended, 'end')
  t.same(server.errors, [])
})

t.test('raw HTTP with a handshake serves a real client', async t => {
  const server = await raw(t, echoWithHandshake('a-session'))
  const c = await connectHttp(server.url)
  t.teardown(() => c.close())
  t.equal(c.transport.sessionId, 'a-session')
  await c.terminate()
})

t.test('faults: what a client sees of each', async t => {
  const server = await raw(t)
  const see = async (script: Script) => {
    server.next(script)
    return rawPost(server.url, rpc(1, 'x'), { 'x-n': '1' }).then(
      ({ status, text }) => `${status} ${text.slice(0, 30)}`,
      (error: NodeJS.ErrnoException) => error.code ?? error.message
    )
  }
  const expected: Partial<Record<keyof typeof faults, RegExp>> = {
    resetBeforeHead: /ECONNRESET/,
    cutBeforeHead: /ECONNRESET/,
    resetAfterHead: /ECONNRESET/,
    cutMidJson: /ECONNRESET/,
    cutMidLength: /ECONNRESET/,
    cutMidSse: /ECONNRESET/,
    resetMidSse: /ECONNRESET/,
    endSseEarly: /^200 data: /,
    notHttp: /HPE_/,
    html500: /^500 <html>/,
    html200: /^200 <html>/,
    notJson: /^200 this is/,
    notJsonRpc: /^200 {"hello/,
    jsonRpcOfOther: /^200 {"jsonrpc":"2.0","id":"nobody/,
    sseNotJson: /^200 data: this/,
    teapot: /^418 short/,
    tooMany: /^429/,
    unauthorized: /^401/,
    forbidden: /^403/,
    twoCookies: /^200 {}/
  }
  for (const [name, pattern] of Object.entries(expected)) t.match(await see(faults[name as 'hang']), pattern, name)
  t.equal(Object.keys(faults).length, Object.keys(expected).length + 3, 'all but the three that hang')
  t.same(server.errors, [])
})

t.test('faults: hanging, and a client that goes away is noticed', async t => {
  const server = await raw(t, faults.hang)
  const { req, head } = send(server.url, { body: rpc(1, 'x') })
  const exchange = await server.exchange()
  req.destroy()
  await exchange.aborted
  await t.rejects(head)
  server.next(faults.hangAfterHead, faults.hangInSse)
  const [body, stream] = [send(server.url), await openSse(server.url)]
  t.ok([(await body.head).statusCode, stream.status].every(status => status === 200))
  body.req.destroy()
  stream.close()
  await server.counters.until('aborted', 3)
})

t.test('raw HTTP: headers twice, gzip unasked, redirects, huge bodies, events on command', async t => {
  const server = await raw(t)
  server.next(faults.twoCookies)
  const { rawHeaders } = await rawPost(server.url, '{}')
  t.equal(rawHeaders.filter(name => name.toLowerCase() === 'x-twice').length, 2)
  server.next(exchange => exchange.gzip(200, '{"zipped":true}'))
  t.equal(gunzipSync((await rawPost(server.url, '{}')).body).toString(), '{"zipped":true}')
  server.next(redirectTo('/elsewhere', 308))
  t.match(await rawPost(server.url, '{}'), { status: 308, headers: { location: '/elsewhere' } })
  server.next(huge(3_000_000))
  t.equal((await rawPost(server.url, rpc('h', 'x'))).body.length, 3_000_000 + 47)

  server.next(exchange => void exchange.sse())
  const stream = await openSse(server.url, { body: rpc(1, 'x') })
  const exchange = server.exchanges.at(-1)!
  await exchange.sendEvent({ comment: 'hello' })
  t.same((await stream.next()).comments, ['hello'])
  await exchange.sendEvent({ id: '7', event: 'message', retry: 5, data: 'a\nb' })
  t.match(await stream.next(), { id: '7', event: 'message', retry: '5', data: 'a\nb' })
  await exchange.write('data: torn')
  exchange.cut()
  t.equal(await stream.ended, 'aborted')
})

t.test('raw stdio gives id and params back as they were spelled', async t => {
  const child = peer(t)
  child.send(`${ODD}\n`)
  t.equal(await child.stdout.next(), ODD_ANSWER)
  t.same(await child.close(), { code: 0, signal: null })
})

t.test('raw stdio: noise, torn UTF-8, CRLF, huge lines', async t => {
  const child = peer(t, '--noise', '1', '--split', '--crlf', '--pad', '10', '--pid')
  child.send(rpc('é', 'x', { s: '€𝄞' }))
  t.match(await child.stdout.next(), /^noise/)
  t.equal(await child.stdout.next(), '{"jsonrpc":"2.0","id":"é","result":{"echo":{"s":"€𝄞"}},"pad":"ééééé"}\r')
  t.equal(await child.untilStderr(/^pid/), `pid ${child.pid}`)
})

t.test('raw stdio: reverse order, floods, questions with equal ids', async t => {
  const child = peer(t, '--reverse', '2', '--flood', '2', '--ask', '2')
  child.send(rpc(1, 'x'))
  child.send(rpc(2, 'x'))
  const methods: unknown[] = []
  for (let i = 0; i < 10; i++) {
    const { id, method } = await child.nextMessage()
    methods.push(method === 'notifications/message' ? 'flood' : id)
  }
  t.same(methods, ['flood', 'flood', 7, 7, 2, 'flood', 'flood', 7, 7, 1])
  child.send({ jsonrpc: '2.0', id: 7, result: {} })
  t.match(await child.untilStderr(/^answer/), '"id":7')
})

t.test('raw stdio: dies in mid call, or in the middle of a line', async t => {
  const dies = peer(t, '--die-on', 'x', '--mute-on', 'y')
  dies.send(rpc(1, 'y'))
  dies.send(rpc(2, 'x'))
  t.same(await dies.exit, { code: 3, signal: null })
  t.same(dies.stderr.items, ['about to die', 'fatal: the fixture died as asked'])
  t.same(dies.stdout.items, [])
  const partial = peer(t, '--partial-on', 'x')
  partial.send(rpc(1, 'x'))
  await partial.exit
  t.match(partial.stdout.items.join(), /^\{"jsonrpc":"2\.0"[^}]*$/)
})

t.test('raw stdio: ignores SIGTERM and the end of stdin, has a grandchild', async t => {
  const child = peer(t, '--ignore-term', '--ignore-eof', '--grandchild')
  const grandchild = Number((await child.untilStderr(/^grandchild/)).split(' ')[1])
  watchProcess(grandchild)
  child.proc.kill('SIGTERM')
  await child.untilStderr(/^ignored SIGTERM/)
  child.proc.kill('SIGKILL')
  t.same(await child.exit, { code: null, signal: 'SIGKILL' })
  process.kill(grandchild, 'SIGKILL')
})

t.test('raw stdio with a handshake serves a real client', async t => {
  trackLeaks(t)
  const c = await connectStdio({ args: fixtureArgv('raw-stdio.ts', '--handshake', '--stderr', 'hello').slice(1) })
  t.teardown(() => c.close())
  t.match(c.client.getServerVersion(), { name: 'raw' })
  await c.stderr.until(line => line === 'hello')
})
