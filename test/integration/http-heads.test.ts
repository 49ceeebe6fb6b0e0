/** Heads that cannot go out as they came, and what a refusal does to its connection. */
import { createServer } from 'node:net'
import t from 'tap'
import { trackLeaks } from '../helpers/leaks.ts'
import { openSse, rawPost, talk } from '../helpers/raw-client.ts'
import { rpc } from '../helpers/rpc.ts'
import { openDoor, rawDoor } from './http-door.ts'

const ANSWER = '{"jsonrpc":"2.0","id":1,"result":{}}'

for (const reason of ['O\u0001K', 'D\u00e9j\u00e0', 'D\u0100', '']) {
  t.test(`a reason phrase costs no answer: ${JSON.stringify(reason)}`, async t => {
    trackLeaks(t)
    const head = `HTTP/1.1 200 ${reason}\r\nContent-Type: application/json\r\nContent-Length: ${ANSWER.length}\r\n\r\n`
    const server = createServer(socket => socket.on('data', () => socket.write(head + ANSWER)))
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    t.teardown(() => new Promise(resolve => server.close(resolve)))
    const { port } = server.address() as { port: number }
    const door = await openDoor(t, `http://127.0.0.1:${port}/mcp`)
    const answer = await rawPost(door.url, rpc(1, 'x'))
    t.match([answer.status, answer.text], reason === 'O\u0001K' ? [Number, String] : [200, ANSWER])
    t.equal(door.stats.exchanges, 0)
  })
}

t.test("a stream whose length was told is not cut by what is catflap's own", async t => {
  const { server, url } = await rawDoor(t, undefined, { settings: { keepAlive: 20 } })
  const event = `data: ${ANSWER}\n\n`
  server.next(async x => {
    x.head(200, ['Content-Type', 'text/event-stream', 'Content-Length', String(event.length)])
    await commented
    x.end(event)
  })
  let heard = (): void => {}
  const commented = new Promise<void>(resolve => {
    heard = resolve
  })
  const stream = await openSse(url, { body: rpc(1, 'x') })
  t.match((await stream.events.until(e => e.comments.length > 0)).raw, /^:/)
  heard()
  t.match(await stream.nextMessage(), { id: 1 })
  t.equal(await stream.ended, 'end')
})

t.test('a refusal ends no connection on which nothing else was to come', async t => {
  const { url } = await rawDoor(t)
  const host = `Host: ${new URL(url).host}`
  const get = `GET /nothing HTTP/1.1\r\n${host}\r\n`
  const options = `OPTIONS /mcp HTTP/1.1\r\n${host}\r\nContent-Length: 0\r\n`
  const heard = await talk(url, `${get}\r\n${options}\r\n${get}Connection: close\r\n\r\n`)
  t.same(heard.match(/HTTP\/1.1 \d+/g), ['HTTP/1.1 404', 'HTTP/1.1 405', 'HTTP/1.1 404'])
})
