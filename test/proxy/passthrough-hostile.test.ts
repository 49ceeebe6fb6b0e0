/** Requests that mean to be read differently by the two sides, byte by byte. */
import { createServer } from 'node:net'
import t, { type Test } from 'tap'
import { trackLeaks } from '../helpers/leaks.ts'
import { talk } from '../helpers/raw-client.ts'
import { waitFor } from '../helpers/wait.ts'
import { listen, type PassDoor, passDoor, rawPass } from './passthrough-door.ts'

const lines = (...all: string[]): string => `${all.join('\r\n')}\r\n\r\n`
const END = ['Host: front.test', 'Connection: close']

/** A target that answers each connection once, and keeps what it was sent. */
async function recorder(t: Test): Promise<PassDoor & { readonly sent: string[] }> {
  trackLeaks(t)
  const sent: string[] = []
  const port = await listen(
    t,
    createServer(socket => {
      const at = sent.push('') - 1
      socket.on('data', bytes => {
        sent[at] += bytes.toString('latin1')
        if (sent[at]!.includes('\r\n\r\n') && !sent[at]!.match(/chunked(?![\s\S]*0\r\n\r\n$)/i))
          socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok')
      })
    })
  )
  return { sent, ...(await passDoor(t, `http://127.0.0.1:${port}/mcp`)) }
}

t.test('a request that names another host goes to the target all the same, or nowhere', async t => {
  const { server, url, others } = await rawPass(t, x => x.respond(200, 'text/plain', 'x'))
  const ask = async (target: string): Promise<string> =>
    (await talk(url, lines(`GET ${target} HTTP/1.1`, ...END))).slice(0, 12)
  t.equal(await ask('http://evil.example/health'), 'HTTP/1.1 200')
  t.match(server.exchanges[0], { path: '/health', headers: { host: `127.0.0.1:${server.port}` } })
  for (const target of [
    '//evil.example/health',
    '///health',
    'http://evil.example//health',
    'http:/health',
    '@evil.example/health',
    '/health@evil.example',
    '/everything/../health',
    '/everything/%2e%2e/health',
    '/health%20HTTP/1.1%0d%0aHost:%20x',
    '*'
  ])
    t.match(await ask(target), /^HTTP\/1\.1 40[04]/, target)
  t.equal(server.exchanges.length, 1)
  t.ok(others.length > 5)
  // Node closes such a connection: nobody listens for tunnels.
  t.notMatch(await talk(url, lines('CONNECT evil.example:443 HTTP/1.1', 'Host: evil.example:443')), /200/)
  t.equal(server.exchanges.length, 1)
})

t.test('two ways to frame one body are refused', async t => {
  const { sent, url } = await recorder(t)
  const body = '0\r\n\r\nGET /admin HTTP/1.1\r\nHost: x\r\n\r\n'
  for (const framing of [
    ['Content-Length: 5', 'Transfer-Encoding: chunked'],
    ['Transfer-Encoding: chunked', 'Content-Length: 5'],
    ['Content-Length: 5', 'Content-Length: 6'],
    ['Content-Length: 5, 6'],
    ['Content-Length: +5'],
    ['Content-Length: 0x5'],
    ['Transfer-Encoding: gzip, chunked'],
    ['Transfer-Encoding: chunked, identity'],
    ['Transfer-Encoding: xchunked'],
    ['Transfer-Encoding : chunked'],
    ['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked, x']
  ]) {
    const answer = await talk(url, `${lines('POST /health HTTP/1.1', ...END, ...framing)}${body}`)
    // Where Node's own server meets the second request first, it says nothing.
    t.match(answer, /^(?:HTTP\/1\.1 400|$)/, framing.join(' + '))
    t.notMatch(answer, /200 OK/)
  }
  t.notMatch(sent.join('\n'), /admin/)
})

t.test('a folded header is refused, or one line at the target', async t => {
  const { sent, url } = await recorder(t)
  await talk(url, lines('GET /health HTTP/1.1', ...END, 'X-A: one', ' Transfer-Encoding: chunked', '\tX-B: two'))
  for (const head of sent) {
    t.notMatch(head, /\r\n[ \t]/)
    t.notMatch(head, /\r\nTransfer-Encoding/i)
  }
})

t.test('a bare carriage return or line feed never becomes a line of its own', async t => {
  const { sent, url } = await recorder(t)
  for (const value of ['a\rX-Evil: 1', 'a\nX-Evil: 1', 'a\u0000b', 'a\u000bb'])
    await talk(url, lines('GET /health HTTP/1.1', ...END, `X-A: ${value}`))
  for (const head of sent) t.notMatch(head, /^X-Evil/im)
})

t.test('chunks are read and written anew: extensions and trailers stay behind', async t => {
  const { sent, url } = await recorder(t)
  const body = '5;ext="a\\"b"\r\nhello\r\n0\r\nX-Trailer: GET /admin\r\n\r\n'
  const answer = await talk(
    url,
    `${lines('POST /health HTTP/1.1', ...END, 'Transfer-Encoding: chunked', 'Trailer: X-Trailer')}${body}`
  )
  t.match(answer, /^HTTP\/1\.1 200/)
  t.match(sent[0], /\r\n\r\n5\r\nhello\r\n0\r\n\r\n$/)
  t.notMatch(sent[0], /trailer|ext=/i)
})

t.test('each request has a connection of its own', async t => {
  const { server, url } = await rawPass(t, x => x.respond(200, 'text/plain', 'x'))
  await talk(url, lines('GET /health HTTP/1.1', 'Host: a') + lines('GET /health?2 HTTP/1.1', ...END))
  t.equal(server.exchanges.length, 2)
  t.equal(server.counters.snapshot().connection, 2)
  for (const x of server.exchanges) t.equal(x.headers.connection, 'close')
})

t.test('a target cannot write a second answer into the first', async t => {
  const { server, url } = await rawPass(t)
  const second = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil'
  server.always(x => void x.raw(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok${second}`))
  const answer = await talk(url, lines('GET /health HTTP/1.1', ...END))
  t.notMatch(answer, /evil/)
  server.always(x => void x.raw(`HTTP/1.1 302 Found\r\nLocation: /a%0d%0aX-Evil:%201\r\nContent-Length: 0\r\n\r\n`))
  t.notMatch(await talk(url, lines('GET /health HTTP/1.1', ...END)), /\r\nX-Evil/)
})

t.test('a client on HTTP/1.0 gets an answer that it can read', async t => {
  const { server, url } = await rawPass(t, async x => {
    x.head(200, ['Content-Type', 'text/plain'])
    await x.write('one ')
    x.end('two')
  })
  const answer = await talk(url, lines('GET /health HTTP/1.0', 'Host: a'))
  t.match(answer, /^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\none two$/)
  t.notMatch(answer, /chunked/i)
  t.match(server.exchanges[0]?.headers, { via: '1.0 catflap' })
})

t.test('a hundred requests that break off leave nothing', async t => {
  const { url, passthrough, port } = await recorder(t)
  const { connect } = await import('node:net')
  const all = Array.from({ length: 100 }, async (_, i) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    await waitFor(socket, 'connect')
    socket.write(`POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n${'x'.repeat(i % 100)}`)
    if (i % 2) socket.resetAndDestroy()
    else socket.end(() => socket.destroy())
    await new Promise(resolve => (socket.closed ? resolve(undefined) : socket.once('close', resolve)))
  })
  await Promise.all(all)
  await talk(url, lines('GET /health HTTP/1.1', ...END))
  t.equal(await passthrough.drained(5_000), true)
})
