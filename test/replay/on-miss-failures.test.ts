/** The real server of `onMiss` fails, or is left: what clients are told, what is counted, and what stands on the tape. */
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import t, { type Test } from 'tap'
import { validateTape } from '../../src/tape/validate.ts'
import { startHttpServer } from '../fixtures/servers/http-server.ts'
import type { RawExchange } from '../fixtures/servers/raw-exchange.ts'
import { echoWithHandshake, type RawHttpServer, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { initialize, notification, rpc, toolCall } from '../helpers/rpc.ts'
import { asked, byHand, httpTape } from './hand-stage.ts'
import { down, type FrameFacts } from './recording-door.ts'
import { callTool, replayClient, replayDoor } from './replay-stage.ts'

const handshake = echoWithHandshake('live')
const shortTape = (t: Test): string => httpTape(t, asked(1, 'tools/list', {}, { tools: [] }))

type Failure = (exchange: RawExchange) => void | Promise<void>

const FAILURES: Readonly<Record<string, Failure>> = {
  page: exchange => exchange.respond(500, 'text/html', '<html>oops'),
  busy: exchange => exchange.json(429, { error: 'slow down' }, ['Retry-After', '1']),
  reset: exchange => exchange.reset(),
  async half(exchange) {
    exchange.sse()
    await exchange.sendEvent({
      data: '{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}'
    })
    exchange.reset()
  },
  silent: exchange => void exchange.sse().end()
}

/** Fails as the name of the tool says while `broken`; then it answers with its arguments. */
async function startFailing(t: Test): Promise<{ server: RawHttpServer; mend(): void }> {
  let broken = true
  const server = await startRawHttp(exchange => {
    const message = exchange.text === '' ? {} : JSON.parse(exchange.text)
    const fail = broken && message.method === 'tools/call' ? FAILURES[message.params.name] : undefined
    if (fail) return fail(exchange)
    if (!broken || message.method !== 'tools/call') return handshake(exchange)
    // Whatever else is asked for is never answered.
  })
  t.teardown(() => server.close())
  return { server, mend: () => void (broken = false) }
}

t.test('what the server did not answer is not on the tape, and it is asked the next time', async t => {
  trackLeaks(t)
  const { server, mend } = await startFailing(t)
  const file = shortTape(t)
  const before = await readFile(file, 'utf8')
  const onMiss = { url: server.url, record: true }
  const first = await byHand(t, 'stdio', file, { onMiss })
  const names = Object.keys(FAILURES)
  for (const [id, name] of names.entries()) {
    await first.say(toolCall(id, name))
    t.match(await first.heard.until(message => message.id === id), { error: Object }, name)
  }
  // The client gives one up, and one is open when all ends.
  await first.say(toolCall('left', 'left'))
  const calls = (): number => server.exchanges.filter(({ text }) => text.includes('"tools/call"')).length
  while (calls() < names.length + 1) await server.exchange(server.exchanges.length + 1)
  await first.say(notification('notifications/cancelled', { requestId: 'left' }))
  await first.say(toolCall('open', 'open'))
  while (calls() < names.length + 2) await server.exchange(server.exchanges.length + 1)
  await first.door.close({ drainTimeout: 0 })
  t.match(first.door.replay, { misses: names.length, asked: names.length + 2 })
  const written = (await readFile(file, 'utf8')).slice(before.length)
  t.same(
    [...written.matchAll(/"method\\":\\"(tools\/call|[^"]*cancelled)\\"/g)].map(found => found[1]),
    ['tools/call', 'notifications/cancelled'],
    'but for the one that the client gave up'
  )
  t.notMatch(written, /"data\\?":1/)
  for await (const finding of validateTape(file)) t.fail(`the tape is valid: ${JSON.stringify(finding)}`)

  mend()
  const run = async (options: { onMiss?: typeof onMiss }) => {
    const { say, heard, door } = await byHand(t, 'stdio', file, options)
    await say(toolCall('left', 'left'))
    await say(notification('notifications/cancelled', { requestId: 'left' }))
    for (const [id, name] of [...names, 'open'].entries()) {
      await say(toolCall(id, name))
      t.match(await heard.until(message => message.id === id), { result: Object }, name)
    }
    await door.close()
    t.notOk(heard.items.some(({ id }) => id === 'left'))
    return door.replay!
  }
  t.match(await run({ onMiss }), { misses: 0, asked: names.length + 1 })
  t.match(await run({}), { misses: 0, hits: names.length + 3 })
})

t.test('what overlaps stands in its order, without the call that failed', async t => {
  trackLeaks(t)
  const held: RawExchange[] = []
  const server = await startRawHttp(exchange => {
    if (exchange.text.includes('"slow')) held.push(exchange)
    else void handshake(exchange)
  })
  t.teardown(() => server.close())
  const file = shortTape(t)
  const { say, heard, door } = await byHand(t, 'stdio', file, { onMiss: { url: server.url, record: true } })
  await say(toolCall(1, 'slow 1'))
  await say(toolCall(2, 'slow 2'))
  while (held.length < 2) await server.exchange(server.exchanges.length + 1)
  await say(toolCall(3, 'fast'))
  await heard.until(message => message.id === 3)
  const of = (name: string): RawExchange => held.find(({ text }) => text.includes(name))!
  of('slow 1').reset()
  await heard.until(message => message.id === 1)
  const slow = of('slow 2')
  slow.json(200, { jsonrpc: '2.0', id: JSON.parse(slow.text).id, result: {} })
  await heard.until(message => message.id === 2)
  await door.close()
  const lines = (await readFile(file, 'utf8')).trimEnd().split('\n').slice(1)
  const frames = lines.map(line => JSON.parse(line) as { t: number; dir: string; text?: string })
  const told = frames.filter(({ text }) => /"(?:slow \d|fast)"|"result":\{\}/.test(text ?? ''))
  t.same(
    told.map(({ dir, text }) => `${dir} ${/slow \d|fast/.exec(text!)?.[0] ?? 'answer'}`),
    ['up slow 2', 'up fast', 'down fast', 'down answer']
  )
  t.ok(frames.every(({ t: at }, i) => i === 0 || at >= frames[i - 1]!.t))
})

t.test("nothing is added until something was answered, and what was added is nobody's conversation", async t => {
  trackLeaks(t)
  const { server, mend } = await startFailing(t)
  const log = (data: string): FrameFacts =>
    down('get-1', { jsonrpc: '2.0', method: 'notifications/message', params: { level: 'info', data } })
  const file = httpTape(t, [
    { stream: 'get-1', dir: 'up', kind: 'open', http: { method: 'GET', path: '/mcp', headers: [] } },
    {
      stream: 'get-1',
      dir: 'down',
      kind: 'head',
      http: { status: 200, headers: [['Content-Type', 'text/event-stream']] }
    },
    log('welcome'),
    ...asked(1, 'tools/list', {}, { tools: [] })
  ])
  const before = await readFile(file, 'utf8')
  const onMiss = { url: server.url, record: true }
  const client = async (tool: string, options: { onMiss?: typeof onMiss }) => {
    const { say, heard, door } = await byHand(t, 'stdio', file, options)
    await say(toolCall(1, tool))
    t.match(
      await heard.until(({ id }) => id === 1),
      tool === 'page' && options.onMiss ? { error: Object } : { result: Object }
    )
    await say(rpc(2, 'tools/list'))
    await heard.until(({ id }) => id === 2)
    await door.close()
    return { door, told: heard.items.filter(({ method }) => method !== undefined).length }
  }
  await client('page', { onMiss })
  await client('page', { onMiss })
  t.equal(await readFile(file, 'utf8'), before)
  mend()
  await client('a', { onMiss })
  const again = await replayDoor(t, file)
  const told: number[] = []
  for (let i = 0; i < 3; i++) {
    const { c, end } = await replayClient(t, 'http', again)
    await callTool(c, 'a').catch(() => {})
    await c.client.ping()
    told.push(c.notifications.items.length)
    await end()
  }
  await again.close()
  t.same(told, [1, 1, 1])
  const { misses, details } = again.replay!
  t.same([misses, details.unused.map(({ method }) => method)], [0, ['tools/list']])
  for await (const finding of validateTape(file)) t.fail(`the tape is valid: ${JSON.stringify(finding)}`)
  t.match(await readFile(file, 'utf8'), /"own":true,?.*initialize/s)
})

t.test('a call that the client cancels is no miss, and is cancelled on the tape', async t => {
  trackLeaks(t)
  const held: RawExchange[] = []
  const server = await startRawHttp(exchange => {
    if (exchange.text.includes('"slow"')) return void held.push(exchange.sse())
    if (exchange.text.includes('cancelled')) for (const one of held) one.end()
    return handshake(exchange)
  })
  t.teardown(() => server.close())
  const file = shortTape(t)
  const cancel = async (options: { onMiss?: { url: string; record: boolean } }) => {
    const { say, heard, door } = await byHand(t, 'stdio', file, options)
    await say(toolCall('s', 'slow'))
    if (options.onMiss) while (held.length < 1) await server.exchange(server.exchanges.length + 1)
    await say(notification('notifications/cancelled', { requestId: 's' }))
    await say(toolCall(1, 'after'))
    await heard.until(({ id }) => id === 1)
    await door.close()
    return door.replay
  }
  t.match(await cancel({ onMiss: { url: server.url, record: true } }), { misses: 0, asked: 2 })
  t.match(await cancel({}), { misses: 0, unused: 1 }, 'all but the list')
})

t.test('a server that is down when a tape is begun leaves no trace on it', async t => {
  trackLeaks(t)
  const file = path.join(t.testdir(), 'new.tape.jsonl')
  const down = await replayDoor(t, file, { onMiss: { url: 'http://127.0.0.1:1/mcp', record: true } })
  t.match(JSON.parse((await rawPost(down.url!, initialize(1))).text), { id: 1, error: Object })
  await down.close()
  t.match(down.replay, { misses: 1 })
  t.equal((await readFile(file, 'utf8')).trimEnd().split('\n').length, 1)
  const server = await startRawHttp(handshake)
  t.teardown(() => server.close())
  const { say, door } = await byHand(t, 'http', file, { onMiss: { url: server.url, record: true } })
  t.match(JSON.parse((await say(toolCall(2, 'a'))).text), { id: 2, result: Object })
  await door.close()
  const again = await byHand(t, 'http', file)
  t.match(JSON.parse((await again.say(toolCall(2, 'a'))).text), { id: 2, result: Object })
})

t.test('who cannot be asked is a miss, and may be there the next time', async t => {
  trackLeaks(t)
  const server = await startRawHttp(exchange => exchange.reset())
  t.teardown(() => server.close())
  const { say, heard, door, log } = await byHand(t, 'stdio', shortTape(t), { onMiss: { url: server.url } })
  await say(toolCall(1, 'a'))
  t.match(await heard.next(), { id: 1, error: { data: { code: /^upstream_/ } } })
  t.match(await log.until(line => line.event === 'replay-miss'), { text: /the server of --on-miss failed: / })
  server.always(handshake)
  await say(toolCall(2, 'a'))
  t.match(await heard.next(), { id: 2, result: Object })
  await say(rpc(3, 'tools/list'))
  await heard.next()
  await door.close()
  const details = { misses: [{ method: 'tools/call', subject: 'a', text: /the server of --on-miss failed: / }] }
  t.match(door.replay, { requests: 4, hits: 2, asked: 2, misses: 1, details })
})

t.test('a tape is begun with a server of 2026-07-28', async t => {
  trackLeaks(t)
  const server = await startHttpServer({ mode: 'modern' })
  t.teardown(() => server.close())
  for (const wire of ['http', 'stdio'] as const) {
    const file = path.join(t.testdir(), 'new.tape.jsonl')
    const door = wire === 'http' ? await replayDoor(t, file, { onMiss: { url: server.url, record: true } }) : file
    const first = await replayClient(t, wire, door, { era: 'auto' }, ['--on-miss', `record:${server.url}`])
    t.equal(await callTool(first.c, 'add', { a: 1, b: 2 }), '3', wire)
    await first.end()
    if (typeof door !== 'string') await door.close()
    const again = await replayDoor(t, file)
    const second = await replayClient(t, 'http', again, { era: 'auto' })
    t.equal(await callTool(second.c, 'add', { a: 1, b: 2 }), '3', wire)
    await second.end()
    await again.close()
    t.match(again.replay, { misses: 0 })
  }
})
