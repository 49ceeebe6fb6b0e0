/** Draining over real connections: who may finish, how streams end, what is told meanwhile. */
import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'
import t from 'tap'
import { Drain } from '../../src/proxy/drain.ts'
import { startHttpServer } from '../fixtures/servers/http-server.ts'
import { type RawHttpServer, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { openSse, rawPost, type SseStream, send } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, modern, modernHeaders, rpc, toolCall } from '../helpers/rpc.ts'
import { rawSession } from '../integration/http-door.ts'
import { events, openStage, type Stage } from './stage.ts'

const ANSWER = '{"jsonrpc":"2.0","id":1,"result":{}}'
const LISTEN = { accept: 'text/event-stream' }

async function rawStage(t: Test): Promise<{ server: RawHttpServer; stage: Stage }> {
  trackLeaks(t)
  const server = await startRawHttp()
  t.teardown(() => server.close())
  return { server, stage: await openStage(t, { one: { target: { url: server.url } } }) }
}

const listen = (id: number | string) => modern(rpc(id, 'subscriptions/listen', { notifications: {} }))

t.test(
  'a modern subscription gets its final result, and then its stream ends; the server sees its own closed',
  async t => {
    const { server, stage } = await rawStage(t)
    const streams: [string, SseStream][] = []
    for (const id of [7, 'seven', 9_007_199_254_740_993n]) {
      const message = JSON.stringify(listen('ID')).replace(
        '"ID"',
        typeof id === 'bigint' ? String(id) : JSON.stringify(id)
      )
      server.next(x => void x.sse())
      const stream = await openSse(stage.url('one'), { body: message, headers: modernHeaders(listen(1)) })
      t.teardown(() => stream.close())
      streams.push([String(typeof id === 'string' ? JSON.stringify(id) : id), stream])
    }
    t.equal(await stage.drain().run(), true)
    for (const [id, stream] of streams) {
      const { data } = await stream.next()
      t.equal(
        data,
        `{"jsonrpc":"2.0","id":${id},"result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":${id}}}}`
      )
      t.equal(await stream.ended, 'end')
    }
    await server.counters.until('aborted', 3)
  }
)

t.test('a stream that stands within an event has no room for a result, and just ends', async t => {
  const { server, stage } = await rawStage(t)
  server.next(async x => {
    x.sse()
    await x.write('data: {"jsonrpc":"2.0","method":"a"}\n\ndata: {"jsonrpc"')
  })
  const stream = await openSse(stage.url('one'), { body: listen(1), headers: modernHeaders(listen(1)) })
  t.match(await stream.nextMessage(), { method: 'a' })
  await server.exchange(1)
  await stage.drain().run()
  await stream.ended
  t.notOk(stream.events.items.some(e => e.data.includes('resultType')))
})

t.test('a legacy stream ends once its session has no call in flight, and not before', async t => {
  trackLeaks(t)
  const server = await startHttpServer()
  t.teardown(() => server.close())
  const stage = await openStage(t, { one: { target: { url: server.url } } })
  const busy = await rawSession(stage.url('one'))
  const idle = await rawSession(stage.url('one'))
  const open = (id: string) => openSse(stage.url('one'), { headers: { ...legacyHeaders(id), ...LISTEN } })
  const [ofBusy, ofIdle] = [await open(busy), await open(idle)]
  const slow = rawPost(stage.url('one'), toolCall(1, 'slow'), legacyHeaders(busy))
  await server.counters.until('slow.started')
  const drain = stage.drain()
  const drained = drain.run()
  t.equal(await ofIdle.ended, 'end')
  t.match(drain.progress, { phase: 'draining', calls: 1, streams: 1, cut: 0 })
  server.changed('tools')
  t.match(
    await ofBusy.nextMessage(),
    { method: 'notifications/tools/list_changed' },
    'the server may still say something'
  )
  server.state.gate.release()
  t.match((await slow).text, 'released')
  t.equal(await ofBusy.ended, 'end')
  t.equal(await drained, true)
  t.match(drain.progress, { phase: 'drained', calls: 0, streams: 0, cut: 0 })
})

t.test('nothing new is accepted; during the grace before it, everything is', async t => {
  const { server, stage } = await rawStage(t)
  const drain = stage.drain({ grace: 60_000 })
  const drained = drain.run()
  t.equal(drain.progress.phase, 'grace')
  t.equal((await rawPost(stage.url('one'), rpc(1, 'ping'))).status, 200)
  server.next(x => void x.sse())
  const stream = await openSse(stage.url('one'), { headers: LISTEN })
  drain.hurry(5_000)
  t.equal(await drained, true)
  t.equal(await stream.ended, 'end')
  await t.rejects(rawPost(stage.url('one'), rpc(1, 'ping')), { code: 'ECONNREFUSED' })
})

t.test('a grace passes by itself, and never too early', async t => {
  trackLeaks(t)
  const { log } = events()
  for (let i = 0; i < 40; i++) {
    const grace = 4 + i / 10
    const startedAt = performance.now()
    const drain = new Drain({ cores: () => [], listeners: [], timeout: 0, grace, log })
    t.equal(await drain.run(), true)
    t.ok(performance.now() - startedAt >= grace, `${grace} ms`)
  }
})

t.test('what has not finished by the deadline is cut with an error, and counted', async t => {
  const { server, stage } = await rawStage(t)
  const { log, inbox } = events()
  server.next(() => {})
  const hanging = rawPost(stage.url('one'), rpc(1, 'ping'))
  await server.exchange(1)
  const ended: unknown[] = []
  const drain = stage.drain({ timeout: 1_300, log, onBegin: p => ended.push(p.phase), onEnd: p => ended.push(p.cut) })
  t.equal(await drain.run(), false)
  t.match(await hanging.then(a => [a.status, a.text]), [503, /"id":1,.*"shutting_down"/])
  t.equal(drain.progress.cut, 1)
  t.same(ended, ['grace', 1])
  t.match(await inbox.until(e => e.event === 'drain-progress'), { calls: 1, streams: 0 }, 'told each second')
  t.match(await inbox.until(e => e.event === 'drain'), { level: 'warn', text: /^1 requests were still in flight/ })
  await server.counters.until('aborted')
})

t.test('asked twice it drains once; in a hurry it ends sooner', async t => {
  const { server, stage } = await rawStage(t)
  server.next(() => {})
  const hanging = rawPost(stage.url('one'), rpc(1, 'ping'))
  await server.exchange(1)
  const drain = stage.drain({ timeout: 600_000 })
  const both = [drain.run(), drain.run()]
  t.equal(both[0], both[1])
  drain.hurry(0)
  t.equal(await both[0], false)
  t.equal((await hanging).status, 503)
})

t.test('answers to questions still pass while calls are finishing', async t => {
  const { server, stage } = await rawStage(t)
  const kept = send(stage.url('one'), { body: rpc(1, 'ping'), headers: legacyHeaders() })
  await kept.head
  server.next(() => {})
  const call = rawPost(stage.url('one'), rpc(1, 'ping'))
  const x = await server.exchange(2)
  const drained = stage.drain().run()
  t.equal(stage.cores.get('one')!.draining, true)
  x.json(200, ANSWER)
  t.equal((await call).status, 200)
  t.equal(await drained, true)
  kept.req.destroy()
})

t.test('a stream of HTTP+SSE ends with its session, calls in flight first', async t => {
  trackLeaks(t)
  const server = await startHttpServer()
  t.teardown(() => server.close())
  const stage = await openStage(t, { one: { target: { url: server.url } } })
  const base = stage.url('one').replace(/mcp$/, '')
  const stream = await openSse(`${base}sse`, { headers: LISTEN })
  const { data } = await stream.next()
  const post = (body: object) => rawPost(new URL(data, base), body)
  await post(initialize(0, '2024-11-05'))
  t.match(await stream.nextMessage(), { id: 0 })
  await post(toolCall(1, 'slow'))
  await server.counters.until('slow.started')
  const drained = stage.drain().run()
  server.state.gate.release()
  t.match(await stream.nextMessage(), { id: 1, result: {} })
  t.equal(await stream.ended, 'end')
  t.equal(await drained, true)
})

/** How long others have had the processor that this process was ready for, in ms; 0 where the system does not tell. */
function waitedForProcessor(): number {
  if (process.platform !== 'linux') return 0
  const [, waiting] = readFileSync('/proc/self/schedstat', 'utf8').split(' ')
  return Number(waiting) / 1e6
}

t.test('a thousand open streams, of both eras and on two routes, are drained within two seconds', async t => {
  trackLeaks(t)
  const server = await startRawHttp(x => void x.sse())
  t.teardown(() => server.close())
  const target = { url: server.url }
  const stage = await openStage(t, { one: { target }, two: { target } })
  const open = async (i: number): Promise<SseStream> => {
    const url = stage.url(i % 2 === 0 ? 'one' : 'two')
    if (i % 4 < 2) return await openSse(url, { headers: LISTEN })
    return await openSse(url, { body: listen(i), headers: modernHeaders(listen(i)) })
  }
  const all: SseStream[] = []
  for (let i = 0; i < 1000; i += 100)
    all.push(...(await Promise.all(Array.from({ length: 100 }, (_, k) => open(i + k)))))
  const drain = stage.drain()
  t.equal(drain.progress.streams, 1000)
  const startedAt = performance.now()
  const waited = waitedForProcessor()
  await drain.run()
  // Until all of it is with the kernel. A thousand clients that read it share this process, and are not what is measured.
  await stage.server.flushed(10_000)
  const took = performance.now() - startedAt - (waitedForProcessor() - waited)
  const ended = await Promise.all(all.map(stream => stream.ended))
  t.ok(took < 2_000, `${Math.round(took)} ms`)
  t.ok(ended.every(how => how === 'end'))
  t.equal(all.filter(s => s.events.items.some(e => e.data.includes('"resultType":"complete"'))).length, 500)
  await stage.close()
  t.equal(stage.server.connections, 0)
})

t.test('under load nothing is lost: what was begun is answered, once, and what comes later is refused', async t => {
  trackLeaks(t)
  let executed = 0
  const server = await startRawHttp(async x => {
    executed++
    await new Promise(resolve => setTimeout(resolve, executed % 20))
    x.json(200, ANSWER)
  })
  t.teardown(() => server.close())
  const stage = await openStage(t, { one: { target: { url: server.url } } })
  const agent = new Agent({ keepAlive: true, maxSockets: 40 })
  t.teardown(() => agent.destroy())
  const body = JSON.stringify(rpc(1, 'tools/call', { name: 'a' }))
  const ask = (): Promise<{ status: number; said: string }> =>
    new Promise((resolve, reject) => {
      const headers = { ...legacyHeaders(), 'content-length': body.length }
      const req = request(stage.url('one'), { method: 'POST', agent, headers }, res => {
        text(res).then(said => resolve({ status: res.statusCode!, said }), reject)
      })
      req.once('error', reject)
      req.end(body)
    })
  let answered = 0
  const refusals: string[] = []
  const client = async (): Promise<void> => {
    for (;;) {
      const { status, said } = await ask()
      if (status !== 200) return void refusals.push(said)
      answered++
    }
  }
  const clients = Array.from({ length: 40 }, client)
  await server.counters.until('request', 400)
  const drain = stage.drain()
  t.equal(await drain.run(), true)
  await Promise.all(clients)
  t.equal(executed, answered, 'each call that reached the server has its answer')
  t.ok(answered >= 400, `${answered} answers`)
  t.ok(refusals.every(said => said.includes('"shutting_down"')))
  t.equal(refusals.length, 40)
  t.equal(drain.progress.cut, 0)
})
