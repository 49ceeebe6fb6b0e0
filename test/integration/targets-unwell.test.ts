/** A server that answers nobody as it should, without ever refusing a connection: the other gets the calls. */
import { createServer } from 'node:net'
import t, { type Test } from 'tap'
import { type RawHttpServer, type Script, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { openSse } from '../helpers/raw-client.ts'
import { modern, modernHeaders, rpc } from '../helpers/rpc.ts'
import { type GroupDoor, groupDoor } from './group-door.ts'

const ANSWER = '{"jsonrpc":"2.0","id":0,"result":{}}'
const FOR_LONG = { ejection: 60_000 }

/** Answers after a moment, so that who fails at once looks less busy. */
const slowly: Script = x => new Promise(resolve => setTimeout(() => resolve(void x.json(200, ANSWER)), 20))

async function raw(t: Test, script?: Script): Promise<RawHttpServer> {
  const server = await startRawHttp(script)
  t.teardown(() => server.close())
  return server
}

/** What listens there is no HTTP server at all. */
async function noHttp(t: Test, port = 0): Promise<{ readonly url: string; readonly port: number; hits: number }> {
  const found = { url: '', port: 0, hits: 0 }
  const server = createServer(socket => {
    socket.on('error', () => {})
    socket.once('data', () => {
      found.hits++
      socket.end('SSH-2.0-OpenSSH_9.6\r\n\r\n')
    })
  })
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
  t.teardown(() => new Promise(resolve => server.close(resolve)))
  found.port = (server.address() as { port: number }).port
  found.url = `http://127.0.0.1:${found.port}/mcp`
  return found
}

async function nowhere(): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise(resolve => server.close(resolve))
  return port
}

/** So many calls from 20 clients at once; how many were not answered as they should. */
async function failures(door: GroupDoor, calls: number): Promise<number> {
  let failed = 0
  let made = 0
  const one = async (): Promise<void> => {
    while (made++ < calls) if ((await door.call(made)).status !== 200) failed++
  }
  await Promise.all(Array.from({ length: 20 }, one))
  return failed
}

t.test('who speaks no HTTP is left out after ten calls', async t => {
  trackLeaks(t)
  const [bad, well] = [await noHttp(t), await raw(t)]
  const door = await groupDoor(t, [bad.url, well.url], { health: FOR_LONG })
  let failed = 0
  for (let i = 0; i < 50; i++) if ((await door.call(i)).status !== 200) failed++
  t.equal(failed, 10)
  t.match(await door.health.next(), { state: 'ejected', label: bad.url, reason: /the last: what it says is no HTTP$/ })
})

for (const kind of ['garbage', '503'] as const)
  t.test(`least in flight: ${kind} at once does not draw the calls`, async t => {
    trackLeaks(t)
    const well = await raw(t, slowly)
    const bad =
      kind === '503' ? await raw(t, x => x.respond(503, 'text/plain', 'no healthy upstream')) : await noHttp(t)
    const door = await groupDoor(t, [bad.url, well.url], { balance: 'least-in-flight', health: FOR_LONG })
    const failed = await failures(door, 600)
    // What was under way before it was known, and what comes where others are asked first no more.
    t.ok(failed <= 40, `${failed} of 600`)
    // Who says nothing of how long is asked again after a while: once.
    const last = [(await door.call('last')).status, (await door.call('very last')).status]
    const refused = last.filter(status => status !== 200)
    t.ok(refused.length <= (kind === '503' ? 1 : 0), `${last}`)
  })

t.test('where all say that they are busy, all are asked', async t => {
  trackLeaks(t)
  const busy: Script = x => x.respond(503, 'text/plain', 'full', ['Retry-After', '30'])
  const servers = [await raw(t, busy), await raw(t, busy)]
  const door = await groupDoor(
    t,
    servers.map(s => s.url),
    { health: { ...FOR_LONG, failures: 1 } }
  )
  for (let i = 0; i < 40; i++) t.equal((await door.call(i)).status, 503)
  t.same(
    servers.map(s => s.counters.count('POST')),
    [20, 20]
  )
  t.match(door.target.health?.(), [{ state: 'up' }, { state: 'up' }])
})

t.test(
  'at the place of one that is left out somebody speaks no HTTP: a trial that fails is the last for a while',
  async t => {
    trackLeaks(t)
    const [port, well] = [await nowhere(), await raw(t)]
    const health = { failures: 1, ejection: 200 }
    const door = await groupDoor(t, [`http://127.0.0.1:${port}/mcp`, well.url], { health })
    for (let i = 0; i < 2; i++) t.equal((await door.call(i)).status, 200)
    await door.health.until(c => c.state === 'ejected')
    const bad = await noHttp(t, port)
    while (bad.hits === 0) await door.call('on trial')
    const before = bad.hits
    let failed = 0
    const startedAt = performance.now()
    for (let i = 0; i < 60; i++) if ((await door.call(i)).status !== 200) failed++
    // 400 ms after the first, then 800 …
    const trials = Math.ceil(Math.log2((performance.now() - startedAt) / 300 + 2))
    t.ok(failed <= trials, `${failed} of 60 fail, ${trials} may`)
    t.equal(bad.hits - before, failed)
  }
)

t.test('streams go where somebody is, also while the trial of another is due', async t => {
  trackLeaks(t)
  const well = await raw(t, x => {
    if (!x.text.includes('subscriptions/listen')) return void x.json(200, ANSWER)
    x.sse()
    return x.sendMessage({ jsonrpc: '2.0', method: 'notifications/subscriptions/acknowledged', params: {} })
  })
  // A trial is due as soon as the last one has failed.
  const health = { failures: 1, ejection: 1, maxEjection: 1 }
  const door = await groupDoor(t, [`http://127.0.0.1:${await nowhere()}/mcp`, well.url], { health })
  for (let i = 0; i < 2; i++) t.equal((await door.call(i)).status, 200)
  await door.health.until(c => c.state === 'ejected')
  const before = door.again.items.length
  const streams = await Promise.all(
    Array.from({ length: 40 }, (_, i) => {
      const body = modern(rpc(`s${i}`, 'subscriptions/listen', { notifications: { toolsListChanged: true } }))
      return openSse(door.url, { method: 'POST', body, headers: modernHeaders(body) })
    })
  )
  t.same(new Set(streams.map(s => s.status)), new Set([200]))
  t.equal(door.again.items.length, before, 'none was at the other first')
  for (const stream of streams) stream.close()
})
