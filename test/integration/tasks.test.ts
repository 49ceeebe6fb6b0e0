/** Tasks of 2025-11-25 (basic/utilities/tasks): an answer that only begins, and what comes long after it. */
import t from 'tap'
import { notification, rpc } from '../helpers/rpc.ts'
import { PAIRS, pair } from './pairing-door.ts'

const VERSION = '2025-11-25'
const result = (id: unknown, more: object) => ({ jsonrpc: '2.0', id, result: more })
const RELATED = 'io.modelcontextprotocol/related-task'
const task = (taskId: string, status = 'working') => ({
  taskId,
  status,
  createdAt: '2025-11-25T10:30:00Z',
  lastUpdatedAt: '2025-11-25T10:40:00Z',
  ttl: 60_000,
  pollInterval: 5_000
})
const call = (id: number | string, progressToken: number | string = 'token') =>
  rpc(id, 'tools/call', { name: 'long', arguments: {}, task: { ttl: 60_000 }, _meta: { progressToken } })
const progress = (progressToken: unknown, n: number) =>
  notification('notifications/progress', { progressToken, progress: n, message: `step ${n}` })

for (const [client, server] of PAIRS) {
  const name = `${client} > ${server}`

  t.test(`${name}: a task from its beginning to its result`, async t => {
    const p = await pair(t, client, server, { version: VERSION })
    void p.client.say(call(1))
    const begun = await p.server.heard.next()
    t.same(begun.json, call(1))
    begun.answer(result(1, { task: task('T') }))
    t.same(await p.client.next(), result(1, { task: task('T') }))

    await p.server.tell(progress('token', 1))
    t.same(await p.client.next(), progress('token', 1), 'progress comes under the token of the call, after its answer')
    const status = notification('notifications/tasks/status', task('T', 'input_required'))
    await p.server.tell(status)
    t.same(await p.client.next(), status)

    void p.client.say(rpc(2, 'tasks/get', { taskId: 'T' }))
    const get = await p.server.heard.next()
    t.same(get.json, rpc(2, 'tasks/get', { taskId: 'T' }))
    get.answer(result(2, task('T', 'input_required')))
    t.same(await p.client.next(), result(2, task('T', 'input_required')))

    // While the client waits for the result, the server asks on behalf of the task.
    void p.client.say(rpc(3, 'tasks/result', { taskId: 'T' }))
    const waits = await p.server.heard.next()
    const question = rpc('q', 'elicitation/create', {
      mode: 'form',
      message: '?',
      _meta: { [RELATED]: { taskId: 'T' } }
    })
    waits.tell(question)
    t.same(await p.client.next(), question)
    const answer = result('q', { action: 'accept', content: {}, _meta: { [RELATED]: { taskId: 'T' } } })
    void p.client.say(answer)
    t.same((await p.server.heard.next()).json, answer)
    await p.server.tell(progress('token', 2))
    t.same(await p.client.heard.until(m => m.params?.progress === 2), progress('token', 2))
    const done = result(3, { content: [], isError: false, _meta: { [RELATED]: { taskId: 'T' } } })
    waits.answer(done)
    t.same(await p.client.heard.until(m => m.id === 3 && m.result), done)
  })

  t.test(`${name}: tasks of one token are told apart`, async t => {
    const p = await pair(t, client, server, { version: VERSION })
    const tokens: unknown[] = []
    for (const id of [1, 2]) {
      void p.client.say(call(id, 7))
      const begun = await p.server.heard.next()
      tokens.push(begun.json.params._meta.progressToken)
      begun.answer(result(begun.json.id, { task: task(`T${id}`) }))
      t.same(await p.client.next(), result(id, { task: task(`T${id}`) }))
    }
    if (server !== 'http') t.not(tokens[0], tokens[1], 'the server hears of two tokens')
    for (const [n, token] of tokens.entries()) {
      await p.server.tell(progress(token, n))
      t.same(await p.client.next(), progress(7, n), 'the client of its own')
    }
  })

  t.test(`${name}: tasks/cancel and tasks/list pass, and a refusal of tasks`, async t => {
    const p = await pair(t, client, server, { version: VERSION })
    for (const [id, method] of ['tasks/cancel', 'tasks/list'].entries()) {
      void p.client.say(rpc(id, method, { taskId: 'T' }))
      const asked = await p.server.heard.next()
      t.same(asked.json, rpc(id, method, { taskId: 'T' }))
      const error = { jsonrpc: '2.0', id, error: { code: -32602, message: 'no such task', data: { taskId: 'T' } } }
      asked.answer(error)
      t.same(await p.client.next(), error)
    }
  })

  t.test(`${name}: the server may have the client run a task too`, async t => {
    const p = await pair(t, client, server, { version: VERSION })
    void p.client.say(rpc(1, 'tools/call', { name: 'x' }))
    const asked = await p.server.heard.next()
    const question = rpc('s', 'sampling/createMessage', { messages: [], maxTokens: 1, task: { ttl: 1 } })
    asked.tell(question)
    t.same(await p.client.next(), question)
    void p.client.say(result('s', { task: task('C') }))
    t.same((await p.server.heard.next()).json, result('s', { task: task('C') }))
    const status = notification('notifications/tasks/status', task('C', 'completed'))
    void p.client.say(status)
    t.same((await p.server.heard.next()).json, status)
    asked.answer(result(1, {}))
    await p.client.heard.until(m => m.id === 1)
  })
}

for (const [client, server] of PAIRS.filter(([c, s]) => c !== 'stdio' && s === 'stdio')) {
  t.test(`${client} > ${server}: two clients with equal tokens hear each their own`, async t => {
    const p = await pair(t, client, server, { version: VERSION })
    const other = await p.another()
    for (const [n, c] of [p.client, other].entries()) {
      void c.say(call(1))
      const begun = await p.server.heard.next()
      begun.answer(result(1, { task: task(`T${n}`) }))
      t.same(await c.next(), result(1, { task: task(`T${n}`) }))
      begun.tell(progress('token', n))
      t.same(await c.next(), progress('token', n))
    }
    t.same([p.client.heard.items.length, other.heard.items.length], [2, 2])
  })
}
