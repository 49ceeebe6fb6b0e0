/** A client on stdio in front of a server over HTTP: order, backpressure, and what is on the tape. */
import path from 'node:path'
import t from 'tap'
import type { TapeFrame } from '../../src/tape/format.ts'
import { TapeReader } from '../../src/tape/reader.ts'
import { validateTape } from '../../src/tape/validate.ts'
import { startHttpServer } from '../fixtures/servers/http-server.ts'
import type { RawExchange } from '../fixtures/servers/raw-exchange.ts'
import { startRawHttp } from '../fixtures/servers/raw-http.ts'
import { handshakeOf, methodOf } from '../fixtures/servers/raw-json.ts'
import { connectStdio, HANDLERS } from '../helpers/clients.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { initialize, notification, rpc } from '../helpers/rpc.ts'
import { callTool } from './http-door.ts'
import { pair } from './pairing-door.ts'
import { catflapArgs, stdioDoor } from './pipe-door.ts'

const VERSION = '2025-11-25'
const result = (id: unknown, more: object = {}) => ({ jsonrpc: '2.0', id, result: more })

t.test('a request waits until the server has what was said before it, but not for its answer', async t => {
  trackLeaks(t)
  const waiting: RawExchange[] = []
  const order: string[] = []
  const server = await startRawHttp(x => {
    if (x.method !== 'POST') return void x.head(x.method === 'GET' ? 405 : 200).end()
    const method = methodOf(x.text) ?? 'an answer'
    order.push(method)
    if (method === 'initialize') return x.json(200, handshakeOf(x.text), ['Mcp-Session-Id', 's'])
    if (method === 'slow' || method === 'notifications/held') return void waiting.push(x)
    if (method.startsWith('notifications/')) return void x.head(202).end()
    x.json(200, result(JSON.parse(x.text).id))
  })
  t.teardown(() => server.close())
  const { send, nextMessage } = await stdioDoor(t, 'puppet-stdio.ts', { target: { url: server.url } })
  send(initialize(0))
  await nextMessage()
  send(notification('notifications/initialized'), rpc(1, 'slow'), rpc(2, 'quick'), notification('notifications/held'))
  send(rpc(3, 'behind'), notification('notifications/last'))
  t.match(await nextMessage(), { id: 2 }, 'no request waits for the answer to another')
  await server.counters.until('POST', 5)
  t.same(order.slice(0, 2), ['initialize', 'notifications/initialized'])
  // Many times to and fro: whatever had been sent would be there by now.
  const slow = waiting[0]!.sse()
  for (let n = 0; n < 50; n++) {
    await slow.sendMessage(notification('meanwhile', { n }))
    t.match(await nextMessage(), { params: { n } })
  }
  t.notOk(order.includes('behind'), 'the notification has not been accepted yet')
  waiting
    .find(x => methodOf(x.text) === 'notifications/held')!
    .head(202)
    .end()
  t.match(await nextMessage(), { id: 3 })
  await slow.sendMessage(result(1))
  slow.end()
  t.match(await nextMessage(), { id: 1 })
  await server.counters.until('POST', 7)
  t.same(order.slice(-3), ['notifications/held', 'behind', 'notifications/last'])
})

t.test('what the server says on one stream comes in its order', async t => {
  const p = await pair(t, 'stdio', 'http', { version: VERSION })
  void p.client.say(rpc(1, 'x'))
  const asked = await p.server.heard.next()
  for (let n = 0; n < 500; n++) asked.tell(n % 50 === 0 ? rpc(`q${n}`, 'ping') : notification('n', { n }))
  asked.answer(result(1))
  await p.client.heard.until(m => m.id === 1)
  const heard = p.client.heard.items.map(m => m.params?.n ?? m.id)
  t.same(heard, [...Array.from({ length: 500 }, (_, n) => (n % 50 === 0 ? `q${n}` : n)), 1])
})

t.test('a client that does not read holds back the server, and loses nothing', async t => {
  trackLeaks(t)
  const TOTAL = 4_000
  let sent = 0
  const pad = 'x'.repeat(16 * 1024)
  const server = await startRawHttp(async x => {
    if (x.method !== 'POST') return void x.head(x.method === 'GET' ? 405 : 200).end()
    x.sse()
    while (sent < TOTAL) {
      await x.sendMessage(notification('n', { n: sent, pad }))
      sent++
    }
    await x.sendMessage(result(1))
    x.end()
  })
  t.teardown(() => server.close())
  const { send, lines, output } = await stdioDoor(t, 'puppet-stdio.ts', { target: { url: server.url } })
  output.pause()
  send(rpc(1, 'x'))
  // Held back: nothing more goes out, however many turns pass.
  let [before, still] = [-1, 0]
  await new Promise<void>(resolve => {
    const look = (): void => {
      still = sent > 0 && sent === before ? still + 1 : 0
      before = sent
      if (still > 200) resolve()
      else setTimeout(look, 1)
    }
    look()
  })
  t.ok(sent < TOTAL, `${sent} of ${TOTAL} were sent`)
  t.ok(output.readableLength < 4_000_000)
  output.resume()
  await lines.until(line => line.includes('"id":1'), { timeoutMs: 30_000 })
  t.equal(lines.items.length, TOTAL + 1)
  t.same(
    lines.items.slice(0, TOTAL).map(line => JSON.parse(line).params.n),
    Array.from({ length: TOTAL }, (_, n) => n)
  )
})

async function framesOf(file: string): Promise<TapeFrame[]> {
  const frames: TapeFrame[] = []
  for await (const frame of await TapeReader.open(file)) frames.push(frame)
  return frames
}

t.test('the tape has the whole conversation on one stream, and is valid', async t => {
  trackLeaks(t)
  const server = await startHttpServer()
  t.teardown(() => server.close())
  const tape = path.join(t.testdir(), 'a.tape.jsonl')
  const args = [...catflapArgs(['--no-tail', '--record', tape], []).filter(arg => arg !== '--'), server.url]
  const c = await connectStdio({ args, handlers: HANDLERS })
  t.teardown(() => c.close())
  await c.client.callTool({ name: 'progress', arguments: { n: 2 } }, { onprogress: () => {} })
  await callTool(c, 'elicit')
  await server.counters.until('http GET')
  await callTool(c, 'sample', { via: 'session' })
  const id = [...server.sessions.keys()][0]!
  await c.close()
  const findings: unknown[] = []
  for await (const finding of validateTape(tape)) findings.push(finding)
  t.same(findings, [])
  const frames = await framesOf(tape)
  t.same(new Set(frames.filter(f => f.kind === 'message').map(f => f.stream)), new Set(['stdio']))
  t.equal(new Set(frames.map(f => f.session).filter(s => s !== undefined)).size, 1, 'one session')
  const said = frames.filter(f => f.side === 'client' && f.kind === 'message')
  const names = said.map(f => {
    const m = JSON.parse(f.text ?? '{}')
    return `${f.dir} ${m.method ?? 'answer'}`
  })
  t.same(names, [
    'up initialize',
    'down answer',
    'up notifications/initialized',
    'up tools/call',
    'down notifications/progress',
    'down notifications/progress',
    'down answer',
    'up tools/call',
    'down elicitation/create',
    'up answer',
    'down answer',
    'up tools/call',
    'down sampling/createMessage',
    'up answer',
    'down answer'
  ])
  t.notMatch(JSON.stringify(frames), id, "the server's session id is not on it")
})
