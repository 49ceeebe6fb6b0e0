/** What breaks harms its own exchange only: a second session works on beside every fault. */
import { createServer } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { faults, huge } from '../fixtures/servers/faults.ts'
import { echo, echoWithHandshake, type Script } from '../fixtures/servers/raw-http.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { openSse, rawPost, send, talk } from '../helpers/raw-client.ts'
import { legacyHeaders, POST_HEADERS, rpc } from '../helpers/rpc.ts'
import { openDoor, rawDoor, rawSession, watcher } from './http-door.ts'

const CALL = JSON.stringify(rpc('mine', 'x'))

/** A door with two sessions; `check` says that both still work. */
async function twoSessions(t: Test) {
  const watch = watcher()
  const opened = await rawDoor(t, echoWithHandshake('theirs'), { interceptors: [watch] })
  const [mine, other] = [await rawSession(opened.url), await rawSession(opened.url)]
  const works = async (id: string): Promise<void> => {
    const { status, text } = await rawPost(opened.url, rpc(7, 'ping'), legacyHeaders(id))
    t.same([status, text], [200, '{"jsonrpc":"2.0","id":7,"result":{"echo":null}}'])
  }
  const check = async (): Promise<void> => {
    await works(mine)
    await works(other)
    t.equal(opened.door.stats.sessions, 2)
    t.equal(opened.door.stats.exchanges, 0)
  }
  return { ...opened, watch, mine, other, works: () => works(other), check }
}

t.test('a client that vanishes, at each stage', async t => {
  const { server, url, mine, watch, works, check } = await twoSessions(t)
  const body = { body: CALL, headers: legacyHeaders(mine) }
  const stages: Record<string, Script> = {
    'before the head': faults.hang,
    'after the head': faults.hangAfterHead,
    'during a JSON body': async x => {
      x.head(200, ['Content-Type', 'application/json', 'Content-Length', '1000'])
      await x.write('{"half":')
    },
    'during a stream': async x => {
      x.sse()
      await x.write('data: {"half":')
    }
  }
  let n = server.exchanges.length
  for (const [stage, script] of Object.entries(stages)) {
    server.next(script)
    const { req, head } = send(url, body)
    const x = await server.exchange(++n)
    await works()
    n++
    if (stage.startsWith('during')) await new Promise(resolve => head.then(res => res.once('data', resolve)))
    req.destroy()
    await x.aborted
    await watch.ended.until(outcome => outcome.result === 'gone')
    watch.ended.items.length = 0
    t.pass(`${stage}: the server knows`)
  }
  await check()
})

t.test('a client that vanishes while it sends', async t => {
  const { server, url, watch, check } = await twoSessions(t)
  const before = server.exchanges.length
  const { req } = send(url, { headers: { ...POST_HEADERS, 'content-length': 1000 }, body: '{"half":' })
  req.on('error', () => {})
  req.once('socket', socket => socket.once('connect', () => turn().then(() => req.destroy())))
  await watch.ended.until(outcome => outcome.result === 'gone')
  await check()
  t.equal(server.exchanges.length, before + 2, 'nothing of it reached the server')
})

t.test('a server that resets or cuts the connection is 502 with the id of the request and the target', async t => {
  const { server, url, mine, works, check } = await twoSessions(t)
  const early = ['resetBeforeHead', 'cutBeforeHead'] as const
  for (const fault of early) {
    server.next(faults[fault])
    const answer = await rawPost(url, CALL, legacyHeaders(mine))
    t.match(
      [answer.status, answer.json()],
      [502, { id: 'mine', error: { data: { code: 'upstream_reset', target: server.url } } }],
      fault
    )
    await works()
  }
  server.next(faults.notHttp)
  const garbage = await rawPost(url, CALL, legacyHeaders(mine))
  t.match([garbage.status, garbage.json()], [502, { id: 'mine', error: { data: { code: 'upstream_protocol' } } }])
  await check()
})

t.test('half a JSON answer never passes for a whole one', async t => {
  const { server, url, mine, works, check } = await twoSessions(t)
  for (const fault of ['resetAfterHead', 'cutMidJson', 'cutMidLength'] as const) {
    server.next(faults[fault])
    const answer = await rawPost(url, CALL, legacyHeaders(mine)).catch((error: NodeJS.ErrnoException) => error)
    t.ok(answer instanceof Error || answer.status === 502, fault)
    await works()
  }
  await check()
})

t.test('a stream that breaks in the middle of an event looks broken; between events it ends with an error', async t => {
  const { server, url, mine, works, check } = await twoSessions(t)
  server.next(faults.cutMidSse)
  const torn = await openSse(url, { body: CALL, headers: legacyHeaders(mine) })
  t.match(await torn.nextMessage(), { method: 'notifications/progress' })
  t.equal(await torn.ended, 'aborted')
  await works()
  server.next(faults.resetMidSse)
  const between = await openSse(url, { body: CALL, headers: legacyHeaders(mine) })
  t.match(await between.nextMessage(), { method: 'notifications/progress' })
  t.match(await between.nextMessage(), { id: 'mine', error: { data: { code: 'upstream_reset' } } })
  t.equal(await between.ended, 'end')
  server.next(faults.endSseEarly)
  const early = await openSse(url, { body: CALL, headers: legacyHeaders(mine) })
  t.equal(await early.ended, 'end', 'an early end in order is the business of the client')
  t.equal(early.events.items.length, 1)
  await check()
})

t.test('a server that is down is 502, and the door works again once it is up', async t => {
  trackLeaks(t)
  const probe = createServer()
  await new Promise<void>(resolve => probe.listen(0, '127.0.0.1', resolve))
  const { port } = probe.address() as { port: number }
  await new Promise(resolve => probe.close(resolve))
  const { url } = await openDoor(t, `http://127.0.0.1:${port}/mcp`)
  const answer = await rawPost(url, CALL)
  t.match([answer.status, answer.json()], [502, { id: 'mine', error: { data: { code: 'upstream_unreachable' } } }])
  t.match(answer.text, `127.0.0.1:${port}`)
  const unknown = await openDoor(t, 'http://no-such-host.invalid/mcp')
  t.match((await rawPost(unknown.url, CALL)).json(), { error: { data: { code: 'upstream_unreachable' } } })
})

t.test('a head that cannot be passed on is 502', async t => {
  const { server, url, check } = await twoSessions(t)
  server.next(async x => {
    await x.raw('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Bad: a\u0001b\r\nContent-Length: 2\r\n\r\n{}')
  })
  const answer = await rawPost(url, CALL)
  t.match([answer.status, answer.json()], [502, { id: 'mine', error: { data: { code: 'upstream_protocol' } } }])
  await check()
})

t.test('a huge answer passes whole', async t => {
  const { server, url, mine, check } = await twoSessions(t)
  server.next(huge(40_000_000))
  const answer = await rawPost(url, CALL, legacyHeaders(mine))
  t.equal(answer.body.length, 40_000_000 + `{"jsonrpc":"2.0","id":"mine","result":{"huge":""}}`.length)
  await check()
})

for (const type of ['application/json', 'text/event-stream', 'application/octet-stream']) {
  t.test(`a client that does not read stops the server, not the door (${type})`, async t => {
    const { server, url, mine, works, watch, check } = await twoSessions(t)
    let written = 0
    let stalled: () => void = () => {}
    const stall = new Promise<void>(resolve => void (stalled = resolve))
    server.next(async x => {
      x.head(200, ['Content-Type', type])
      const chunk = type === 'text/event-stream' ? `data: ${'x'.repeat(65_527)}\n\n` : 'x'.repeat(65_536)
      for (;;) {
        const timer = setTimeout(stalled, 300)
        await x.write(chunk)
        clearTimeout(timer)
        written += chunk.length
      }
    })
    const { req, head } = send(url, { body: CALL, headers: legacyHeaders(mine) })
    const res = await head
    res.pause()
    await stall
    const atStall = written
    // Kernel buffers on four ends of two connections, and what one stream may hold: far from what was sent otherwise.
    t.ok(atStall < 24_000_000, `the server could write ${atStall} bytes`)
    t.ok(process.memoryUsage().arrayBuffers < 200_000_000)
    await works()
    res.once('data', () => {})
    await new Promise(resolve => {
      let read = 0
      res.on('data', chunk => (read += chunk.length) > atStall && resolve(undefined))
      res.resume()
    })
    t.ok(written > atStall, 'once the client reads again, it goes on')
    req.destroy()
    await watch.ended.until(outcome => outcome.result === 'gone')
    await check()
  })
}

t.test('garbage from a client harms nobody else', async t => {
  const { url, works, check } = await twoSessions(t)
  for (const bytes of [
    '\0\0\0\0',
    'GET\r\n\r\n',
    `POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n`
  ]) {
    t.match(await talk(url, bytes), /^HTTP\/1\.1 400 /)
    await works()
  }
  await check()
})

t.test('a server that closes idle connections costs no request', async t => {
  const { server, url } = await rawDoor(t, x => {
    echo(x)
    void x.closed.then(() => x.cut())
  })
  for (let i = 0; i < 20; i++) t.equal((await rawPost(url, CALL)).status, 200)
  t.equal(server.exchanges.length, 20)
})

t.test('a request that came whole is answered before the garbage behind it is refused', async t => {
  const { url } = await rawDoor(t)
  const head = `POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${CALL.length}`
  const heard = await talk(url, `${head}\r\n\r\n${CALL}${head}\r\n\r\n${CALL}garbage\r\n\r\n`)
  t.same(heard.match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 200', 'HTTP/1.1 200', 'HTTP/1.1 400'])
  t.match(heard, 'bad_http')
})
