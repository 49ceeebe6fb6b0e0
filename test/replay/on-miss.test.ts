/** What is not on the tape: an error that says what is closest, or the answer of the real server. */
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import t from 'tap'
import { readRecording } from '../../src/replay/recording.ts'
import { validateTape } from '../../src/tape/validate.ts'
import { startHttpServer } from '../fixtures/servers/http-server.ts'
import { echoWithHandshake, startRawHttp } from '../fixtures/servers/raw-http.ts'
import type { TestClient } from '../helpers/clients.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { toolCall } from '../helpers/rpc.ts'
import { byHand } from './hand-stage.ts'
import { callTool, recorded, replayClient, replayDoor, type Wire } from './replay-stage.ts'

const AS = { legacy: { era: 'legacy' }, modern: { era: 'auto' } } as const

const short = async (c: TestClient): Promise<string> => await callTool(c, 'add', { a: 1, b: 2 })

/** What the tape does not have: an answer, one with progress before it, and (legacy) one for which the client is asked. */
async function more(c: TestClient): Promise<unknown[]> {
  const told: unknown[] = [await callTool(c, 'add', { a: 20, b: 22 })]
  const { content } = await c.client.callTool({ name: 'progress', arguments: { n: 2 } }, { onprogress() {} })
  told.push(content, c.notifications.items.filter(n => n.method === 'notifications/progress').length)
  told.push(await callTool(c, 'sample', { message: 'more' }))
  return told
}

t.test('a miss is an error that names the closest request and shows the difference', async t => {
  trackLeaks(t)
  const { file } = await recorded(t, { client: 'http', server: 'http' }, short)
  const door = await replayDoor(t, file)
  const { c, end } = await replayClient(t, 'http', door)
  t.equal(await short(c), '3')
  const missed = await callTool(c, 'add', { a: 1, b: 3 }).catch(error => error)
  t.match(missed, {
    code: -31_060,
    message: /^Not on the tape: .*a\.tape\.jsonl:\d+.*params\.arguments\.b: 2 → 3/,
    data: { code: 'replay_miss', closest: /^a\.tape\.jsonl:\d+$/, difference: ['params.arguments.b: 2 → 3'] }
  })
  t.notOk(missed.message.includes(path.dirname(file)), 'clients are told no folders')
  await t.rejects(c.client.listTools(), { code: -31_060 })
  await t.resolves(c.client.ping(), 'a ping is no miss')
  await end()
  await door.close()
  t.match(door.replay, {
    misses: 2,
    hits: 2,
    details: { misses: [{ method: 'tools/call', subject: 'add', file, line: Number }, { method: 'tools/list' }] }
  })
})

for (const era of ['legacy', 'modern'] as const)
  for (const wire of era === 'legacy' ? (['http', 'stdio', 'sse'] as const) : (['http'] as const))
    t.test(`${era}, ${wire}: the real server is asked, and what it said is found the next time`, async t => {
      trackLeaks(t)
      const mode = era === 'legacy' ? 'stateful' : 'modern'
      const server = await startHttpServer({ mode })
      t.teardown(() => server.close())
      const { file } = await recorded(t, { client: 'http', server: 'http', era, as: AS[era] }, short)
      const before = await readFile(file, 'utf8')
      const first = await play(t, wire, file, ['--on-miss', `record:${server.url}`], {
        onMiss: { url: server.url, record: true }
      })
      t.equal(first[0], '42')
      t.ok((await readFile(file, 'utf8')).startsWith(before), 'the tape was added to')
      for await (const finding of validateTape(file)) t.fail(`the tape is valid: ${JSON.stringify(finding)}`)
      const again = await play(t, wire, file, [], {})
      t.same(again, first, 'without a server')
    })

async function play(
  t: Parameters<typeof recorded>[0],
  wire: Wire,
  file: string,
  args: readonly string[],
  options: Parameters<typeof replayDoor>[2]
): Promise<unknown[]> {
  const door = wire === 'stdio' ? file : await replayDoor(t, file, options)
  const modern = (await eraOf(file)) === 'modern'
  const { c, end } = await replayClient(t, wire, door, modern ? AS.modern : AS.legacy, args)
  t.equal(await short(c), '3')
  const told = await more(c)
  await end()
  if (typeof door === 'string') return told
  await door.close()
  const { misses, divergences, asked } = door.replay!
  t.same({ misses, divergences }, { misses: 0, divergences: 0 })
  t.equal(asked > 0, options?.onMiss !== undefined)
  return told
}

async function eraOf(file: string): Promise<string> {
  const recording = await readRecording([file])
  recording.close()
  return recording.modern ? 'modern' : 'legacy'
}

for (const era of ['legacy', 'modern'] as const)
  t.test(`${era}: what a client gives up is given up on the tape`, async t => {
    trackLeaks(t)
    const server = await startHttpServer({ mode: era === 'legacy' ? 'stateful' : 'modern' })
    t.teardown(() => server.close())
    const file = path.join(t.testdir(), 'new.tape.jsonl')
    for (const options of [{ onMiss: { url: server.url, record: true } }, {}]) {
      const door = await replayDoor(t, file, options)
      const { c, end } = await replayClient(t, 'http', door, AS[era])
      const giveUp = new AbortController()
      const slow = c.client.callTool({ name: 'slow', arguments: { key: 'never' } }, { signal: giveUp.signal })
      const failed = t.rejects(slow)
      if ('onMiss' in options) await server.state.tally.until('slow.started')
      t.equal(await short(c), '3')
      giveUp.abort()
      await failed
      if ('onMiss' in options) await server.state.tally.until('slow.cancelled')
      await end()
      await door.close()
      t.match(door.replay, { misses: 0 })
    }
    t.match(await readFile(file, 'utf8'), era === 'legacy' ? /notifications\/cancelled/ : /"note":"disconnect"/)
    for await (const finding of validateTape(file)) t.fail(`the tape is valid: ${JSON.stringify(finding)}`)
  })

t.test('a tape that does not exist is begun with what the server says', async t => {
  trackLeaks(t)
  const server = await startHttpServer({ mode: 'stateful' })
  t.teardown(() => server.close())
  const file = path.join(t.testdir(), 'new.tape.jsonl')
  const first = await replayDoor(t, file, { onMiss: { url: server.url, record: true } })
  const one = await replayClient(t, 'http', first)
  t.equal(await short(one.c), '3')
  await one.end()
  await first.close()
  await server.close()
  const second = await replayDoor(t, file)
  const two = await replayClient(t, 'http', second)
  t.equal(await short(two.c), '3')
  await two.end()
  await second.close()
  t.match(second.replay, { misses: 0, unused: 0 })
})

t.test('each client that begins a tape has a conversation of its own there', async t => {
  trackLeaks(t)
  const server = await startHttpServer({ mode: 'stateful' })
  t.teardown(() => server.close())
  const file = path.join(t.testdir(), 'new.tape.jsonl')
  const run = async (options: Parameters<typeof replayDoor>[2]): Promise<string[]> => {
    const door = await replayDoor(t, file, options)
    const told: string[] = []
    for (let i = 0; i < 3; i++) {
      const { c, end } = await replayClient(t, 'http', door)
      told.push(await callTool(c, 'count'))
      await end()
    }
    await door.close()
    t.match(door.replay, { misses: 0 })
    return told
  }
  const first = await run({ onMiss: { url: server.url, record: true } })
  t.equal(new Set(first).size, 3)
  t.same(await run({}), first)
})

t.test('what is long is added too', async t => {
  trackLeaks(t)
  const long = 'x'.repeat(9 * 1024 * 1024)
  const handshake = echoWithHandshake('live')
  const server = await startRawHttp(exchange =>
    exchange.text.includes('tools/call')
      ? void exchange.json(200, { jsonrpc: '2.0', id: JSON.parse(exchange.text).id, result: { long } })
      : handshake(exchange)
  )
  t.teardown(() => server.close())
  const file = path.join(t.testdir(), 'new.tape.jsonl')
  for (const options of [{ onMiss: { url: server.url, record: true } }, {}]) {
    const { say, door } = await byHand(t, 'http', file, options)
    t.equal(JSON.parse((await say(toolCall(1, 'a'))).text).result.long.length, long.length)
    await door.close()
  }
})

t.test('a server that cannot be reached is an error of its own', async t => {
  trackLeaks(t)
  const { file } = await recorded(t, { client: 'http', server: 'http' }, short)
  const door = await replayDoor(t, file, { onMiss: { url: 'http://127.0.0.1:1/mcp' } })
  const { c, end } = await replayClient(t, 'http', door)
  t.equal(await short(c), '3')
  await t.rejects(callTool(c, 'add', { a: 5, b: 5 }), /127\.0\.0\.1:1/)
  await end()
})
