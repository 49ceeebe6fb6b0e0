/** Event streams through the door: delivered as they come, byte for byte, kept alive and resumable. */
import { readFile } from 'node:fs/promises'
import { gunzipSync, gzipSync } from 'node:zlib'
import t from 'tap'
import { faults } from '../fixtures/servers/faults.ts'
import { echo } from '../fixtures/servers/raw-http.ts'
import { openSse, rawPost, send } from '../helpers/raw-client.ts'
import { POST_HEADERS, rpc } from '../helpers/rpc.ts'
import { Inbox } from '../helpers/wait.ts'
import { type DoorOptions, rawDoor, watcher } from './http-door.ts'

const CALL = JSON.stringify(rpc(1, 'x'))

/** All bytes of an answer as they arrive. */
async function bytesOf(url: string, headers: Record<string, string> = {}) {
  const { req, head } = send(url, { body: CALL, headers: { ...POST_HEADERS, ...headers } })
  const res = await head
  const chunks = new Inbox<Buffer>('chunks')
  const ended = new Promise<'end' | 'aborted'>(resolve => {
    res.once('end', () => resolve('end'))
    res.once('close', () => resolve('aborted'))
  })
  res.on('error', () => {})
  res.on('data', chunk => chunks.push(chunk))
  const heard = () => Buffer.concat(chunks.items)
  const until = (text: string) => chunks.until(() => heard().includes(text))
  return { req, res, chunks, ended, heard, until }
}

t.test('the head and each event are delivered as they arrive', async t => {
  const { server, url } = await rawDoor(t, x => void x.sse())
  const stream = await openSse(url, { body: CALL })
  t.match(stream.headers, { 'content-type': 'text/event-stream' }, 'before anything was said')
  const x = await server.exchange()
  for (let i = 0; i < 3; i++) {
    await x.sendMessage({ jsonrpc: '2.0', method: 'n', params: { i } })
    t.match(await stream.nextMessage(), { params: { i } }, 'before the next is sent')
  }
  x.end(`data: {"jsonrpc":"2.0","id":1,"result":{}}\n\n`)
  t.equal(await stream.ended, 'end')
})

t.test('header bytes that are no ASCII pass with the head of a stream', async t => {
  const { url } = await rawDoor(t, async x => {
    const head = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Latin: caf\u00e9\r\nConnection: close\r\n\r\n'
    await x.raw(Buffer.from(head, 'latin1'))
    await x.closed
  })
  const stream = await openSse(url, { body: CALL })
  t.equal(stream.headers['x-latin'], 'caf\u00e9')
  stream.close()
})

t.test('events pass byte for byte: ids, names, retry, comments, line ends, torn UTF-8', async t => {
  const text =
    ': hello\r\n\r\nid: 1\nretry: 5\ndata:\n\n\ufeffevent: message\rid:2\rdata: {"a":\rdata:  "\u20ac\u{1d11e}"}\r\rx-unknown: y\n\ndata: no blank line at the end'
  const bytes = Buffer.from(text)
  const { url } = await rawDoor(t, async x => {
    x.sse()
    for (const byte of bytes) await x.write(Buffer.of(byte))
    x.end()
  })
  const { heard, ended } = await bytesOf(url)
  t.equal(await ended, 'end')
  t.equal(heard().toString(), text)
})

t.test('a stream with ids that ends without a response is no fault; Last-Event-ID passes', async t => {
  const { server, url } = await rawDoor(t)
  server.next(async x => {
    x.sse()
    await x.sendEvent({ id: 'a/1', retry: 10, data: '' })
    x.end()
  })
  const first = await openSse(url, { body: CALL })
  t.equal(await first.ended, 'end')
  t.same(
    first.events.items.map(e => e.raw),
    ['id: a/1\nretry: 10\ndata: ']
  )
  server.next(x => x.sse().end('id: a/2\ndata: {"jsonrpc":"2.0","id":1,"result":{}}\n\n'))
  const again = await openSse(url, { headers: { accept: 'text/event-stream', 'Last-Event-ID': 'a/1' } })
  t.match(await again.nextMessage(), { id: 1, result: {} })
  t.equal(server.exchanges.at(-1)!.headers['last-event-id'], 'a/1')
})

t.test('a stream with ids that breaks is not answered with an error: the client can take it up again', async t => {
  const { url } = await rawDoor(t, async x => {
    x.sse()
    await x.sendMessage({ jsonrpc: '2.0', method: 'n' }, 'a/1')
    x.reset()
  })
  const stream = await openSse(url, { body: CALL })
  await stream.ended
  t.same(
    stream.events.items.map(e => e.raw),
    ['id: a/1\ndata: {"jsonrpc":"2.0","method":"n"}']
  )
})

t.test('a silent stream gets comments, but never inside an event', async t => {
  const { server, url } = await rawDoor(t, x => void x.sse(), { settings: { keepAlive: 20 } })
  const [silent, torn] = [await openSse(url, { body: CALL }), await bytesOf(url)]
  const other = server.exchanges[1]!
  await other.write('data: {"jsonrpc":')
  await torn.until('jsonrpc')
  const before = torn.heard().toString()
  for (let i = 0; i < 3; i++) t.same((await silent.next()).comments, ['keep-alive'])
  t.equal(torn.heard().toString(), before)
  await other.write('"2.0","method":"n"}\n\n')
  await torn.until('}\n\n: keep-alive\n\n')
  t.match(torn.heard().toString(), 'data: {"jsonrpc":"2.0","method":"n"}\n\n')
  silent.close()
  torn.req.destroy()
})

t.test('comments are written to a GET stream too, and before the first event', async t => {
  const { url } = await rawDoor(t, x => void x.sse(), { settings: { keepAlive: 20 } })
  const stream = await openSse(url)
  t.same((await stream.next()).comments, ['keep-alive'])
  stream.close()
})

t.test('no comment gets into a compressed stream, nor does an error', async t => {
  const { server, url } = await rawDoor(t, x => void x.sse(['Content-Encoding', 'gzip']), {
    settings: { keepAlive: 20 }
  })
  const zipped = await bytesOf(url)
  const x = await server.exchange()
  const plain = 'data: {"jsonrpc":"2.0","method":"n"}\n\n'
  const bytes = gzipSync(plain)
  const silent = await openSse(url, { body: CALL, headers: POST_HEADERS })
  server.next(y => void y.sse())
  const witness = await openSse(url, { body: CALL })
  for (let i = 0; i < 2; i++) await witness.next()
  // Bytes that look like the end of an event to whoever reads them as text.
  await x.write(bytes.subarray(0, 12))
  await x.write(Buffer.from('\n\n'))
  for (let i = 0; i < 2; i++) await witness.next()
  t.same(zipped.heard().subarray(-2), Buffer.from('\n\n'))
  x.reset()
  t.equal(await zipped.ended, 'aborted')
  t.same(zipped.heard(), Buffer.concat([bytes.subarray(0, 12), Buffer.from('\n\n')]))
  t.equal(silent.events.items.length, 0)
  silent.close()
  witness.close()
})

interface TapeFrame {
  readonly side: string
  readonly dir: string
  readonly kind: string
  readonly text?: string
  readonly truncated?: { readonly length: number }
}

async function tapeOf(file: string): Promise<TapeFrame[]> {
  const lines = (await readFile(file, 'utf8')).trim().split('\n')
  return lines.slice(1).map(line => JSON.parse(line) as TapeFrame)
}

t.test('compressed answers are relayed as they are and recorded decoded', async t => {
  const file = `${t.testdir()}/a.tape.jsonl`
  const { server, door, url } = await rawDoor(t, undefined, { record: { path: file } })
  const body = '{"jsonrpc":"2.0","id":1,"result":{"zipped":"json"}}'
  server.next(x => x.gzip(200, body))
  t.same((await rawPost(url, CALL)).body, gzipSync(body))
  const event = '{"jsonrpc":"2.0","id":1,"result":{"zipped":"event"}}'
  server.next(x => x.gzip(200, `data: ${event}\n\n`, 'text/event-stream'))
  t.equal(gunzipSync((await rawPost(url, CALL)).body).toString(), `data: ${event}\n\n`)
  await door.close()
  const texts = (await tapeOf(file)).map(frame => frame.text)
  t.ok(texts.includes(body))
  t.ok(texts.includes(event))
})

t.test('a decompression bomb is relayed, and meets its bound in whoever decodes it', async t => {
  const bomb = gzipSync(`{"jsonrpc":"2.0","id":1,"result":"${'0'.repeat(64_000_000)}"}`)
  const file = `${t.testdir()}/b.tape.jsonl`
  const options: DoorOptions = { record: { path: file }, settings: { maxMessage: 1_000_000 } }
  const { server, door, url } = await rawDoor(t, undefined, options)
  server.next(x => x.respond(200, 'application/json', bomb, ['Content-Encoding', 'gzip']))
  t.equal((await rawPost(url, CALL)).body.length, bomb.length)
  await door.close()
  const truncated = (await tapeOf(file)).find(frame => frame.truncated)
  t.equal(truncated?.truncated?.length, 64_000_036)
  t.ok(JSON.stringify(truncated).length < 200_000)

  const hooked = await rawDoor(t, undefined, {
    ...options,
    record: undefined,
    interceptors: [{ name: 'reads', message: (_, m) => m }]
  })
  hooked.server.next(x => x.respond(200, 'application/json', bomb, ['Content-Encoding', 'gzip']))
  const answer = await rawPost(hooked.url, CALL)
  t.match([answer.status, answer.json()], [502, { id: 1, error: { data: { code: 'message_too_large' } } }])
})

t.test('a stream that the client leaves is closed at the server', async t => {
  const watch = watcher()
  const { server, url } = await rawDoor(t, faults.hangInSse, { interceptors: [watch] })
  const get = await openSse(url)
  get.close()
  await server.counters.until('aborted', 1)
  const post = await openSse(url, { body: CALL })
  post.close()
  await server.counters.until('aborted', 2)
  await watch.ended.until(outcome => outcome.result === 'gone')
  server.always(echo)
  t.equal((await rawPost(url, CALL)).status, 200)
})
