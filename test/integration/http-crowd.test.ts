/** Many at once, all with equal ids: everybody gets their own answer. */
import { Agent, request } from 'node:http'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { connectHttp, HANDLERS } from '../helpers/clients.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { legacyHeaders, modern, modernHeaders, POST_HEADERS, rpc, toolCall } from '../helpers/rpc.ts'
import { waitFor } from '../helpers/wait.ts'
import { callTool, rawDoor, rawSession, sdkDoor } from './http-door.ts'

const N = 200

t.test('200 raw clients with equal ids, answered in reverse order', async t => {
  const held: (() => void)[] = []
  const { url, door } = await rawDoor(t, x => {
    const { who } = (JSON.parse(x.text) as { params: { who: number } }).params
    held.push(() => x.json(200, `{"jsonrpc":"2.0","id":1,"result":${who}}`))
    if (held.length === N) for (const answer of held.reverse()) answer()
  })
  const answers = await Promise.all(Array.from({ length: N }, (_, who) => rawPost(url, rpc(1, 'x', { who }))))
  t.same(
    answers.map(answer => (answer.json() as { result: number }).result),
    [...Array(N).keys()]
  )
  t.equal(door.stats.exchanges, 0)
})

t.test('equal ids at the same time from modern clients, on connections that are kept alive', async t => {
  const { server, url } = await sdkDoor(t, { mode: 'dual' })
  const agent = new Agent({ keepAlive: true, maxSockets: 8 })
  t.teardown(() => agent.destroy())
  const post = async (message: object, headers: object): Promise<string> => {
    const req = request(url, { method: 'POST', agent, headers: { ...POST_HEADERS, ...headers } })
    req.end(JSON.stringify(message))
    const [res] = (await waitFor(req, 'response')) as [NodeJS.ReadableStream]
    return text(res)
  }
  const asked = Array.from({ length: N }, (_, who) => modern(toolCall(1, 'echo', { who })))
  const answers = await Promise.all(asked.map(message => post(message, modernHeaders(message))))
  for (const [who, answer] of answers.entries()) t.match(answer, `{\\"who\\":${who}}`, { diagnostic: true })
  t.equal(server.requests.length, N)
})

t.test('equal ids at the same time within one legacy session', async t => {
  const { url } = await rawDoor(t, x => {
    if (x.text.includes('initialize'))
      return x.json(200, '{"jsonrpc":"2.0","id":0,"result":{}}', ['Mcp-Session-Id', 'theirs'])
    const { params } = JSON.parse(x.text) as { params?: { who: number } }
    if (params === undefined) x.head(202).end()
    else setImmediate(() => x.json(200, `{"jsonrpc":"2.0","id":1,"result":${params.who}}`))
  })
  const id = await rawSession(url)
  const calls = Array.from({ length: N }, (_, who) => rawPost(url, rpc(1, 'x', { who }), legacyHeaders(id)))
  const answers = await Promise.all(calls)
  t.same(
    answers.map(answer => (answer.json() as { result: number }).result),
    [...Array(N).keys()]
  )
})

for (const era of ['legacy', 'modern'] as const) {
  t.test(`200 ${era} clients of the SDK, whose ids all begin at 0`, async t => {
    const { server, door, url } = await sdkDoor(t, { mode: era === 'legacy' ? 'stateful' : 'modern' })
    const clients = await Promise.all(Array.from({ length: N }, () => connectHttp(url, { era, handlers: HANDLERS })))
    t.equal(door.stats.sessions, era === 'legacy' ? N : 0)
    const told = await Promise.all(clients.map((c, who) => callTool(c, 'echo', { who })))
    t.same(
      told,
      [...Array(N).keys()].map(who => `{"who":${who}}`)
    )
    const asked = await Promise.all(clients.slice(0, 50).map(c => callTool(c, 'elicit')))
    t.ok(asked.every(answer => answer.includes('"colour":"blue"')))
    if (era === 'legacy') {
      await Promise.all(clients.map(c => c.terminate()))
      t.equal(server.counters.count('session.deleted'), N)
      t.equal(door.stats.sessions, 0)
    }
    await Promise.all(clients.map(c => c.close()))
  })
}
