/** JSON-RPC batches, which revision 2025-03-26 alone has, over every pairing of transports. */
import t, { type Test } from 'tap'
import { initialize, notification, rpc } from '../helpers/rpc.ts'
import { type Json, PAIRS, pair, type Wire } from './pairing-door.ts'
import type { Heard, PairServer } from './pairing-servers.ts'

const VERSION = '2025-03-26'
const result = (id: unknown, more: object = {}) => ({ jsonrpc: '2.0', id, result: more })
const idsOf = (answers: Json): unknown[] => [answers].flat().map((m: Json) => m.id)

/** Servers on Streamable HTTP get the batch as one; on a pipe each message comes by itself. */
const whole = (server: Wire): boolean => server === 'http'

/** Everything that was said in one batch, as the server has it. */
async function heardAll(server: PairServer, wire: Wire, count: number): Promise<{ asked: Heard[]; all: Json[] }> {
  const asked: Heard[] = []
  for (let i = 0; i < (whole(wire) ? 1 : count); i++) asked.push(await server.heard.next())
  return { asked, all: asked.flatMap(h => h.json) }
}

for (const [client, server] of PAIRS) {
  const name = `${client} > ${server}`

  t.test(`${name}: requests and notifications in one batch get one reply`, async t => {
    const p = await pair(t, client, server, { version: VERSION })
    const batch = [rpc(1, 'a'), notification('n'), rpc('1', 'b'), rpc(2, 'c')]
    const said = p.client.say(batch)
    const { asked, all } = await heardAll(p.server, server, 4)
    t.same(all, batch, 'nothing is lost or changed, and the order is kept')
    if (whole(server)) asked[0]!.answer([result(2), result('1'), result(1)])
    else for (const id of [2, '1', 1]) asked[0]!.answer(result(id, { id }))
    t.equal(await said, { http: 200, sse: 202, stdio: undefined }[client])
    await gathered(t, p.client.heard, client, server, [2, '1', 1])
    // Whoever is answered can go on.
    void p.client.say(rpc(3, 'after'))
    const after = await p.server.heard.next()
    after.answer(result(3))
    t.equal((await p.client.heard.until(m => m.id === 3)).id, 3)
  })

  t.test(`${name}: a batch without requests gets 202, or silence on a pipe`, async t => {
    const p = await pair(t, client, server, { version: VERSION })
    const said = p.client.say([notification('x'), notification('y')])
    const { all } = await heardAll(p.server, server, 2)
    t.same(
      all.map(m => m.method),
      ['x', 'y'],
      'in order'
    )
    t.equal(await said, client === 'stdio' ? undefined : 202)
    void p.client.say(rpc(1, 'after'))
    const after = await p.server.heard.next()
    after.answer(result(1))
    await p.client.heard.until(m => m.id === 1)
    t.same(p.client.heard.items.length, 1, 'nothing else was said')
  })

  t.test(`${name}: answers to the server's requests pass within a batch`, async t => {
    const p = await pair(t, client, server, { version: VERSION })
    void p.client.say(rpc('long', 'asks'))
    const long = await p.server.heard.next()
    long.tell(rpc('q', 'sampling/createMessage', { messages: [], maxTokens: 1 }))
    t.equal((await p.client.heard.until(m => m.method === 'sampling/createMessage')).id, 'q')
    void p.client.say([result('q', { yes: 1 }), rpc(1, 'beside'), notification('n')])
    const { asked, all } = await heardAll(p.server, server, 3)
    t.same(new Set(all.map(m => m.id ?? m.method)), new Set(['q', 1, 'n']))
    t.same(all.find(m => m.id === 'q').result, { yes: 1 })
    asked.find(h => [h.json].flat().some(m => m.id === 1))!.answer(whole(server) ? [result(1)] : result(1))
    long.answer(result('long'))
    await p.client.heard.until(m => idsOf(m).includes(1))
    await p.client.heard.until(m => m.id === 'long')
  })

  t.test(`${name}: a batch of answers alone gets 202, or silence`, async t => {
    const p = await pair(t, client, server, { version: VERSION })
    void p.client.say(rpc('long', 'asks'))
    const long = await p.server.heard.next()
    for (const id of ['q', 'r']) long.tell(rpc(id, 'roots/list'))
    await p.client.heard.until(m => m.id === 'r')
    const said = p.client.say([result('q'), result('r')])
    const { all } = await heardAll(p.server, server, 2)
    t.same(new Set(idsOf(all)), new Set(['q', 'r']))
    t.equal(await said, client === 'stdio' ? undefined : 202)
    long.answer(result('long'))
    await p.client.heard.until(m => m.id === 'long')
    t.equal(p.client.heard.items.length, 3)
  })

  t.test(`${name}: one id twice in a batch gets two answers`, async t => {
    const p = await pair(t, client, server, { version: VERSION })
    void p.client.say([rpc(1, 'a'), rpc(1, 'b')])
    const { asked, all } = await heardAll(p.server, server, 2)
    if (whole(server)) asked[0]!.answer([result(1, { n: 1 }), result(1, { n: 2 })])
    else {
      t.equal(new Set(idsOf(all)).size, 2, 'on a pipe they are told apart')
      asked.forEach((h, i) => {
        h.answer(result(h.json.id, { n: i + 1 }))
      })
    }
    const answers = await gathered(t, p.client.heard, client, server, [1, 1])
    t.same(
      answers.map(m => m.result.n),
      [1, 2]
    )
  })

  t.test(`${name}: an error within a batch is one of its answers`, async t => {
    const p = await pair(t, client, server, { version: VERSION })
    void p.client.say([rpc(1, 'a'), rpc(2, 'b')])
    const { asked } = await heardAll(p.server, server, 2)
    const error = { jsonrpc: '2.0', id: 1, error: { code: -32601, message: 'no a', data: { x: 1 } } }
    if (whole(server)) asked[0]!.answer([error, result(2)])
    else for (const m of [error, result(2)]) asked[0]!.answer(m)
    const answers = await gathered(t, p.client.heard, client, server, [1, 2])
    t.same(answers[0], error)
  })

  t.test(`${name}: what belongs to a batch comes before its reply`, async t => {
    const p = await pair(t, client, server, { version: VERSION })
    void p.client.say([rpc(1, 'a', { _meta: { progressToken: 't' } }), rpc(2, 'b')])
    const { asked } = await heardAll(p.server, server, 2)
    asked[0]!.tell(notification('notifications/progress', { progressToken: 't', progress: 1 }))
    if (whole(server)) asked[0]!.answer([result(1), result(2)])
    else for (const id of [1, 2]) asked[0]!.answer(result(id))
    t.same((await p.client.next()).params, { progressToken: 't', progress: 1 })
    const rest = [await p.client.next()].flat()
    t.equal(rest[0].id, 1)
  })

  t.test(`${name}: a batch is refused in every other revision, with one error, and goes no further`, async t => {
    for (const version of ['2024-11-05', '2025-06-18', '2025-11-25']) {
      await t.test(version, async t => {
        const p = await pair(t, client, server, { version })
        const said = p.client.say([rpc(1, 'a'), rpc(2, 'b')])
        const told = await p.client.next()
        t.match(told, { error: { code: -32600, message: new RegExp(`batch.*${version}`) } })
        t.notOk('id' in told)
        t.equal(await said, { http: 400, sse: 202, stdio: undefined }[client])
        void p.client.say(rpc(3, 'after'))
        const after = await p.server.heard.next()
        t.equal(after.json.method, 'after', 'nothing of it reached the server')
        after.answer(result(3))
        await p.client.heard.until(m => m.id === 3)
      })
    }
  })

  t.test(`${name}: initialize is refused within a batch`, async t => {
    const p = await pair(t, client, server)
    const said = p.client.say([initialize(0, VERSION), notification('notifications/initialized')])
    t.match(await p.client.next(), { error: { code: -32600, message: /initialize/ } })
    t.equal(await said, { http: 400, sse: 202, stdio: undefined }[client])
    t.same(p.server.heard.items, [])
  })
}

/** The reply to a batch: one array, but over Streamable HTTP as the server sends it. */
async function gathered(
  t: Test,
  heard: { items: Json[]; next(): Promise<Json> },
  client: Wire,
  server: Wire,
  ids: unknown[]
): Promise<Json[]> {
  const first = await heard.next()
  const answers = [first].flat()
  const one = Array.isArray(first)
  if (client !== 'http' || server === 'http') t.ok(one, 'one reply')
  while (answers.length < ids.length) answers.push(...[await heard.next()].flat())
  t.same(idsOf(answers), ids)
  return answers
}
