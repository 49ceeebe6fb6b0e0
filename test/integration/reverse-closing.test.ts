/** How long closing takes: as long as somebody waits for an answer or reads one, and no longer. */
import t from 'tap'
import { SILENT } from '../../src/log.ts'
import { echo, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { send } from '../helpers/raw-client.ts'
import { POST_HEADERS, rpc } from '../helpers/rpc.ts'
import { within } from '../helpers/wait.ts'
import { END_HEADERS, END_STREAM, fields, frame, rawClient, TYPE, u32 } from '../transport/raw-http2.ts'
import { openReverse, to } from './reverse-door.ts'

t.test('a stream of events that is no MCP does not hold a drain up', async t => {
  trackLeaks(t)
  const server = await startRawHttp(x => void x.sse())
  t.teardown(() => server.close())
  const routes = { a: to(server, { passthrough: ['/a/events'] }) }
  const proxy = await openReverse(t, routes, { drainTimeout: 60_000 })
  const res = await send(`${proxy.origins[0]}/a/events`, { method: 'GET' }).head
  res.on('error', () => {})
  const gone = new Promise(resolve => res.once('close', resolve))
  await within(proxy.close())
  await within(gone)
})

t.test('the time before a drain is not taken from those who read their answers after it', async t => {
  trackLeaks(t)
  const server = await startRawHttp(echo)
  t.teardown(() => server.close())
  let drained = 0
  const info = (event: string) => {
    if (event === 'drain-ended') drained = performance.now()
  }
  const times = { drainGrace: 1_500, drainTimeout: 1_500 }
  const proxy = await openReverse(t, { a: to(server) }, { ...times, log: { ...SILENT, info } })
  const port = Number(new URL(proxy.origins[0]!).port)
  // There is no room for the answer, ever.
  const raw = await rawClient(t, { tls: false }, port, Buffer.concat([Buffer.of(0, 4), u32(0)]))
  const head = Object.entries({ ':method': 'POST', ':scheme': 'http', ':path': '/a/mcp', ':authority': 'localhost' })
  raw.write(frame(TYPE.headers, END_HEADERS, 1, fields(...head, ...Object.entries(POST_HEADERS))))
  raw.write(frame(TYPE.data, END_STREAM, 1, Buffer.from(JSON.stringify(rpc(1, 'x')))))
  await raw.frames.until(f => f.type === TYPE.headers)
  while (proxy.stats.exchanges > 0) await new Promise(resolve => setImmediate(resolve))
  await proxy.close()
  const patience = performance.now() - drained
  t.ok(patience > 1_000, `${patience} ms`)
})
