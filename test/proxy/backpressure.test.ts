/** A client that reads slowly is waited for, and so is a hook: neither end of waiting ends the other. */
import { connect } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import type { Exchange } from '../../src/index.ts'
import { rpc } from '../helpers/rpc.ts'
import { Inbox } from '../helpers/wait.ts'
import { rawDoor } from '../integration/http-door.ts'
import { pipeDoor, pipeSession, stdioDoor } from '../integration/pipe-door.ts'

const EVENT = `data: {"jsonrpc":"2.0","method":"notifications/message","params":{"d":"${'x'.repeat(60_000)}"}}\n\n`
const EVENTS = 800

for (const late of [false, true]) {
  t.test(`what a slow client has not read does not pile up behind a${late ? 'n async' : ''} hook`, async t => {
    let most = 0
    const { server, url } = await rawDoor(t, undefined, {
      interceptors: [
        {
          name: 'measures',
          message(place, m) {
            most = Math.max(most, (place as Exchange).reply.queued)
            return late ? Promise.resolve(m) : m
          }
        }
      ]
    })
    server.next(async x => {
      x.sse()
      for (let i = 0; i < EVENTS; i++) await x.write(EVENT)
      x.end()
    })
    const body = JSON.stringify(rpc(1, 'x'))
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    socket.write(
      `POST /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
    )
    let read = 0
    for await (const chunk of socket) {
      read += (chunk as Buffer).length
      for (let i = 0; i < 10; i++) await turn()
    }
    t.ok(read > EVENTS * EVENT.length, 'all of it comes')
    t.ok(most < 4_000_000, `${most} bytes waited`)
  })
}

const line = (method: string, more: object = {}) => `${JSON.stringify({ jsonrpc: '2.0', method, ...more })}\n`

/** Holds messages of the method `hold` until the gate opens. */
function holder() {
  const gate = Promise.withResolvers<void>()
  const interceptor = {
    name: 'holder',
    message: <M extends { readonly method: string | undefined }>(_: unknown, m: M) =>
      m.method === 'hold' ? gate.promise.then(() => m) : m
  }
  return { open: () => gate.resolve(), interceptor }
}

t.test('a pipe whose client waits for a hook is read no further', async t => {
  const { open, interceptor } = holder()
  const { send, lines, log } = await stdioDoor(t, 'puppet-stdio.ts', { interceptors: [interceptor] })
  const noise = `${'n'.repeat(1_000)}\n`.repeat(10_000)
  send(rpc('first', 'do', { write: line('hold') + noise }))
  for (let id = 0; id < 20; id++) {
    send(rpc(id, 'do'))
    await log.child(new RegExp(`seen.*"id":${id},`))
  }
  t.ok(log.of('noise').length < 2_000, `${log.of('noise').length} of 10000 lines were read`)
  t.same(lines.items, [])
  open()
  await lines.until(l => l.includes('"id":19'))
  t.equal(log.of('noise').length, 10_000)
  t.match(lines.items[0], '"hold"')
  t.match(lines.items[1], '"first"')
})

t.test('behind a held message only so much waits for an exchange; its session goes on', async t => {
  const { open, interceptor } = holder()
  const ends = new Inbox<string | undefined>('ends')
  const { url } = await pipeDoor(t, 'puppet-stdio.ts', {
    interceptors: [interceptor, { name: 'ends', end: (_, o) => ends.push(o.code) }],
    settings: { maxExchangeQueue: 100_000, maxMailbox: 5 }
  })
  const s = await pipeSession(url)
  const write = line('hold') + line('big', { params: { d: 'x'.repeat(30_000) } }).repeat(10)
  const answer = await s.post(rpc(1, 'do', { write }))
  t.match(answer.json(), { id: 1, error: { data: { code: 'slow_client' } } })
  t.equal((await s.post(rpc(2, 'do'))).status, 200)
  open()
  t.equal(ends.items.filter(code => code === 'slow_client').length, 1)
})
