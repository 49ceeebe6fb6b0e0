/** What clients choose must not grow what is kept and scraped. */
import t from 'tap'
import { MAX_SERIES } from '../../src/metrics/cells.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { legacyHeaders, rpc, toolCall } from '../helpers/rpc.ts'
import { rawDoor } from '../integration/http-door.ts'
import { type StdioDoor, stdioDoor } from '../integration/pipe-door.ts'
import { Scrape, scrapeOf } from './scrape.ts'

const SERVER = 'mcp_server_operation_duration_seconds_count'
const TIMES = 10_000

/** Says all of it without waiting, and returns when all is answered. */
async function flood(door: StdioDoor, messages: readonly object[]): Promise<void> {
  door.send(...messages)
  await door.lines.until(() => door.lines.items.length >= messages.length, { timeoutMs: 60_000 })
}

t.test('10,000 random tools, prompts and methods: a hundred labels each, and the rest is other', async t => {
  const door = await stdioDoor(t, 'raw-stdio.ts', { metrics: true })
  const random = (i: number) => `x${Math.random().toString(36).slice(2)}-${i}`
  for (const [make, label] of [
    [(i: number) => toolCall(i, random(i)), 'gen_ai_tool_name'],
    [(i: number) => rpc(i, 'prompts/get', { name: random(i) }), 'gen_ai_prompt_name'],
    [(i: number) => rpc(i, random(i)), 'mcp_method_name']
  ] as const) {
    door.lines.items.length = 0
    await flood(
      door,
      Array.from({ length: TIMES }, (_, i) => make(i))
    )
    const named = scrapeOf(door.door)
      .all(SERVER)
      .filter(s => s.labels[label]?.startsWith('x'))
    t.equal(named.length, 100, label)
    t.ok(named.every(s => s.value === 1))
    t.equal(scrapeOf(door.door).sum(SERVER, { [label]: 'other' }), TIMES - 100)
  }
  const size = door.door.exportMetrics().length
  door.lines.items.length = 0
  await flood(
    door,
    Array.from({ length: TIMES }, (_, i) => toolCall(i, random(i)))
  )
  t.ok(door.door.exportMetrics().length < size + 1000, 'nothing grows any more but the digits')
})

t.test('names that the server refuses do not take the place of those that work', async t => {
  const { door, server, url } = await rawDoor(t, undefined, { metrics: { maxNames: 20 } })
  const call = async (name: string, answer: object): Promise<void> => {
    server.next(x => x.json(200, JSON.stringify({ jsonrpc: '2.0', id: 1, ...answer })))
    await rawPost(url, toolCall(1, name))
  }
  for (let i = 0; i < 50; i++) await call(`bad-${i}`, { error: { code: -32602, message: 'no such tool' } })
  for (let i = 0; i < 15; i++) await call(`good-${i}`, { result: {} })
  const names = scrapeOf(door)
    .all(SERVER)
    .map(s => s.labels.gen_ai_tool_name)
  t.equal(names.filter(name => name?.startsWith('bad')).length, 5)
  t.equal(names.filter(name => name?.startsWith('good')).length, 15)
})

t.test('revisions, codes, URIs, ids and headers are no labels but for those we know', async t => {
  const { door, server, url } = await rawDoor(t, undefined, { metrics: true })
  const secret = 'sEcReT'
  for (let i = 0; i < 50; i++) {
    const code = -20_000 - i
    server.next(x => x.json(200, `{"jsonrpc":"2.0","id":"${secret}","error":{"code":${code},"message":"${secret}"}}`))
    await rawPost(url, rpc(secret, 'resources/read', { uri: `file:///${secret}/${i}` }), {
      ...legacyHeaders(undefined, `${2000 + i}-01-01`),
      origin: 'http://localhost',
      'x-secret': secret
    })
    server.next(x => x.respond(599 - i, 'text/plain', secret))
    await rawPost(url, rpc(1, 'tools/call', { uri: `file:///${secret}/${i}`, arguments: { a: secret } }))
    await rawPost(url, rpc(1, 'tools/list'), legacyHeaders(`${secret}-${i}`))
  }
  const scrape = scrapeOf(door)
  t.notMatch(door.exportMetrics(), secret)
  t.same(
    scrape.all(SERVER, { mcp_method_name: 'resources/read' }).map(s => s.labels),
    [
      {
        mcp_method_name: 'resources/read',
        mcp_protocol_version: 'other',
        network_transport: 'tcp',
        network_protocol_name: 'http',
        error_type: '_OTHER'
      }
    ]
  )
  t.ok(scrape.all(SERVER, { mcp_method_name: 'tools/call' }).every(s => s.labels.gen_ai_tool_name === 'other'))
})

t.test('all labels multiplied stay below the limit of one instrument', async t => {
  const { door, server, url } = await rawDoor(t, undefined, { metrics: { maxNames: 1000 } })
  const versions = ['2024-11-05', '2025-03-26', '2025-06-18', '2025-11-25', '3000']
  server.always(x => x.json(200, '{"jsonrpc":"2.0","id":1,"result":{}}'))
  const calls = Array.from({ length: 500 }, (_, i) => i).flatMap(i => versions.map(v => [`tool-${i}`, v] as const))
  for (let i = 0; i < calls.length; i += 50)
    await Promise.all(
      calls.slice(i, i + 50).map(([name, v]) => rawPost(url, toolCall(1, name), legacyHeaders(undefined, v)))
    )
  const scrape = scrapeOf(door)
  t.equal(scrape.all(SERVER).length, MAX_SERIES)
  t.equal(scrape.sum(SERVER, { otel_metric_overflow: 'true' }), calls.length - MAX_SERIES + 1)
  t.equal(scrape.sum(SERVER), calls.length, 'nothing is lost but the labels')
})

t.test('what stands in a name cannot end its label or its line', async t => {
  const { door, url } = await rawDoor(t, undefined, { metrics: true })
  const name = 'a"} 1\\ # {b="'
  await rawPost(url, toolCall(1, name))
  await rawPost(url, toolCall(2, 'evil\nmetric 7'))
  const scrape = new Scrape(door.exportMetrics())
  t.equal(scrape.sum(SERVER, { gen_ai_tool_name: name }), 1)
  t.equal(scrape.sum(SERVER, { gen_ai_tool_name: 'other' }), 1)
  t.equal(scrape.all('metric').length, 0)
})
