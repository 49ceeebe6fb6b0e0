/** CONNECT over HTTP/1.1, for which Node lets go of the connection: it is refused, and what came before it is not forgotten. */
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { startRawHttp } from '../fixtures/servers/raw-http.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawRequest, talk } from '../helpers/raw-client.ts'
import { waitFor, within } from '../helpers/wait.ts'
import { openReverse } from '../integration/reverse-door.ts'
import { conversations, json, serve, WIRES } from './wires.ts'

const CLEAR = WIRES[0]!
const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`
const CONNECT = 'CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n'

async function wrote(t: Test, port: number, bytes: string) {
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => void socket.destroy())
  socket.on('error', () => {})
  await waitFor(socket, 'connect')
  socket.write(bytes)
  return socket
}

for (const http2 of [true, false]) {
  const behind = http2 ? ' (behind a look at its first bytes)' : ''
  t.test(`it is told so${behind}`, async t => {
    trackLeaks(t)
    const { server, port } = await serve(t, CLEAR, () => t.fail('no tunnel'), { http2 })
    const heard = await talk(`http://127.0.0.1:${port}`, CONNECT)
    t.match(heard, /^HTTP\/1\.1 400 .*CONNECT is not served/s)
    t.equal(server.refusals.bad_http, 1)
  })

  t.test(`what was asked before is answered before${behind}`, async t => {
    trackLeaks(t)
    const { handler, all } = conversations()
    const { port, server } = await serve(t, CLEAR, handler, { http2 })
    const heard = talk(`http://127.0.0.1:${port}`, get('/1') + get('/2') + CONNECT)
    const [first, second] = [await all.next(), await all.next()]
    second.reply.answer(json(200, '"second"'))
    first.reply.answer(json(200, '"first"'))
    t.match(await within(heard), /"first".*"second".*HTTP\/1\.1 400 .*CONNECT/s)
    t.equal(server.open.size, 0)
  })

  t.test(`a client that leaves is gone for all that it asked${behind}`, async t => {
    trackLeaks(t)
    const { handler, all } = conversations()
    const { port, server } = await serve(t, CLEAR, handler, { http2 })
    const socket = await wrote(t, port, get('/1') + get('/2') + get('/3') + CONNECT)
    const seen = [await all.next(), await all.next(), await all.next()]
    // Those behind the first are given, and wait for it.
    seen[1]!.reply.answer(json(200, '{}'))
    socket.end()
    for (const { events } of seen) t.equal(await events.until(what => what === 'gone'), 'gone')
    t.equal(server.open.size, 0)
  })
}

t.test('pages behind one another, and CONNECT behind these, leave room for others', async t => {
  trackLeaks(t)
  const server = await startRawHttp(x => {
    if (x.path.includes('quick')) x.respond(200, 'text/plain', 'quick')
  })
  t.teardown(() => server.close())
  const route = { targets: [{ url: server.url }], passthrough: ['/a/pages/*'] }
  const proxy = await openReverse(t, { a: { ...route, settings: { maxUpstreamConnections: 3 } } })
  const port = Number(new URL(proxy.origins[0]!).port)
  const page = (name: string) => `GET /a/pages/${name} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`
  for (let n = 1; n <= 4; n++) {
    const socket = await wrote(t, port, page('slow') + page('quick') + CONNECT)
    await server.exchange(2 * n)
    socket.destroy()
    while (proxy.stats.connections > 0) await new Promise(resolve => setImmediate(resolve))
  }
  const answer = await rawRequest(`${proxy.origins[0]}/a/pages/quick`, { method: 'GET' })
  t.same([answer.status, answer.text], [200, 'quick'])
})
