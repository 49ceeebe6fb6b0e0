/** HTTP clients and a stdio server: a session is a child. */
import t from 'tap'
import { watchProcess } from '../helpers/leaks.ts'
import { rawPost, rawRequest } from '../helpers/raw-client.ts'
import { initialize, legacyHeaders, modern, modernHeaders, notification, POST_HEADERS, rpc } from '../helpers/rpc.ts'
import { pipeDoor, pipeSession } from './pipe-door.ts'

t.test('initialize spawns one child per session, under an id of 192 bits that is never the same', async t => {
  const { url, log, door } = await pipeDoor(t, 'puppet-stdio.ts')
  const ids = [(await pipeSession(url)).id, (await pipeSession(url)).id]
  for (const id of ids) t.match(id, /^[\w-]{32}$/)
  t.not(ids[0], ids[1])
  t.equal(door.stats.sessions, 2)
  const pids = new Set(
    log
      .of('stderr')
      .map(l => /^pid (\d+)/.exec(l.text)?.[1])
      .filter(pid => pid !== undefined)
  )
  t.equal(pids.size, 2)
})

t.test('the answer to initialize is JSON, with the session id on it', async t => {
  const { url } = await pipeDoor(t, 'puppet-stdio.ts')
  const answer = await rawPost(url, initialize(0))
  t.equal(answer.status, 200)
  t.match(answer.headers['content-type'], 'application/json')
  t.type(answer.headers['mcp-session-id'], 'string')
  t.match(answer.json(), { id: 0, result: { serverInfo: { name: 'raw' } } })
})

t.test('who names no session, or an unknown one, or begins one within another, is refused', async t => {
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts')
  const s = await pipeSession(url)
  const cases: [string, number, string, Promise<Awaited<ReturnType<typeof rawPost>>>][] = [
    ['no id', 400, 'session_required', rawPost(url, rpc(1, 'do'), legacyHeaders())],
    [
      'no id, GET',
      400,
      'session_required',
      rawRequest(url, { method: 'GET', headers: { accept: 'text/event-stream' } })
    ],
    ['no id, DELETE', 400, 'session_required', rawRequest(url, { method: 'DELETE' })],
    ['unknown', 404, 'session_not_found', rawPost(url, rpc(1, 'do'), legacyHeaders('nobody'))],
    ['within', 400, 'initialize_in_session', s.post(initialize(1))],
    ['version', 400, 'unsupported_version', s.post(rpc(1, 'do'), { 'mcp-protocol-version': '2001-01-01' })],
    ['no version', 400, 'unsupported_version', s.post(rpc(1, 'do'), { 'mcp-protocol-version': 'latest' })]
  ]
  for (const [what, status, code, pending] of cases) {
    const answer = await pending
    t.equal(answer.status, status, what)
    t.match(answer.json(), { error: { data: { code } } }, what)
  }
  t.equal(log.seen.length, 1, 'the child has seen nothing but its own initialize')
})

t.test('what a Streamable HTTP server owes its clients: 406, 415, 405, 202', async t => {
  const { url } = await pipeDoor(t, 'puppet-stdio.ts')
  const s = await pipeSession(url)
  for (const accept of ['application/json', 'text/event-stream', 'text/html'])
    t.equal((await s.post(rpc(1, 'do'), { accept })).status, 406, accept)
  const get = (accept: string) => rawRequest(url, { method: 'GET', headers: { ...s.headers, accept } })
  t.equal((await get('application/json')).status, 406)
  t.equal((await s.post(rpc(1, 'do'), { accept: '*/*' })).status, 200)
  t.equal((await s.post('{}', { 'content-type': 'text/plain' })).status, 415)
  const put = await rawRequest(url, { method: 'PUT', headers: s.headers, body: '{}' })
  t.same([put.status, put.headers.allow], [405, 'GET, POST, DELETE'])
  for (const message of [notification('n'), { jsonrpc: '2.0', id: 99, result: {} }]) {
    const answer = await s.post(message)
    t.same([answer.status, answer.text], [202, ''])
  }
})

t.test('DELETE ends the session, its streams and its child; another session goes on', async t => {
  const { url, log, door } = await pipeDoor(t, 'puppet-stdio.ts')
  const [s, other] = [await pipeSession(url), await pipeSession(url)]
  const stream = await s.listen()
  const held = await s.stream(rpc(1, 'do', { write: `${JSON.stringify(notification('n'))}\n`, answer: false }))
  await held.next()
  t.equal((await rawRequest(url, { method: 'DELETE', headers: s.headers })).status, 200)
  t.match(await held.nextMessage(), { id: 1, error: { data: { code: 'session_not_found' } } })
  t.equal(await stream.ended, 'end')
  t.equal(log.of('child-exit').length, 0)
  t.equal((await s.post(rpc(2, 'do'))).status, 404)
  t.equal((await rawRequest(url, { method: 'DELETE', headers: s.headers })).status, 404)
  t.equal((await other.post(rpc(2, 'do'))).status, 200)
  t.equal(door.stats.sessions, 1)
})

for (const [what, settings] of [
  ['idle time', { sessionIdle: 1_200 }],
  ['age', { sessionMax: 1_200 }]
] as const) {
  t.test(`a session that reaches its ${what} ends with its child and its stream`, async t => {
    const { url, log, door } = await pipeDoor(t, 'puppet-stdio.ts', { settings })
    const s = await pipeSession(url)
    watchProcess(Number((await log.child(/^pid/)).slice(4)))
    if (what === 'age') t.equal(await (await s.listen()).ended, 'end', 'a stream keeps it in use, not young')
    await log.until(l => l.event === 'session-end')
    t.match(log.of('session-end'), [{ facts: { why: 'expired' } }])
    t.equal((await s.post(rpc(1, 'do'))).status, 404)
    t.equal(door.stats.sessions, 0)
  })
}

t.test('a command that cannot start: 502 that names it, no session, and no argument told', async t => {
  const target = { command: '/no/such/command', args: ['--password', 'hunter2'] }
  const { url, door } = await pipeDoor(t, 'puppet-stdio.ts', { target })
  const answer = await rawPost(url, initialize('first'))
  t.equal(answer.status, 502)
  t.match(answer.json(), {
    id: 'first',
    error: { message: /\/no\/such\/command/, data: { code: 'child_start_failed', target: '/no/such/command' } }
  })
  t.notMatch(answer.text, 'hunter2')
  t.notOk(answer.headers['mcp-session-id'])
  t.equal(door.stats.sessions, 0)
})

t.test('a child that dies in mid call: 502 with its last words and the id of the request; then 404', async t => {
  const { url, door, log } = await pipeDoor(t, 'raw-stdio.ts', {
    args: ['--handshake', '--die-on', 'x', '--mute-on', 'y']
  })
  const s = await pipeSession(url)
  const stream = await s.listen()
  const [one, two] = await Promise.all([s.post(rpc('one', 'y')), s.post(rpc('two', 'x'))])
  for (const [id, answer] of [
    ['one', one],
    ['two', two]
  ] as const) {
    t.equal(answer.status, 502)
    t.match(answer.json(), {
      id,
      error: { message: /code 3.*about to die/, data: { code: 'child_exited', exitCode: 3 } }
    })
  }
  t.equal(await stream.ended, 'end')
  t.equal((await s.post(rpc(3, 'z'))).status, 404)
  t.equal(door.stats.sessions, 0)
  t.match(log.of('child-exit'), [{ level: 'warn' }])
})

t.test('initialize that fails, times out or is given up leaves neither session nor child', async t => {
  const { url, door, log } = await pipeDoor(t, 'raw-stdio.ts', {
    args: ['--mute', '--seen', '--pid'],
    settings: { requestTimeout: 400 }
  })
  const answer = await rawPost(url, initialize('slow'))
  t.equal(answer.status, 504)
  t.match(answer.json(), { id: 'slow', error: { data: { code: 'upstream_timeout' } } })
  t.notOk(answer.headers['mcp-session-id'])
  await log.until(l => l.event === 'session-end')
  t.equal(door.stats.sessions, 0)
  t.notOk(log.seen.some(line => line.includes('cancelled')))
})

t.test('one session too many gets 503 with Retry-After; when one ends there is room', async t => {
  const { url } = await pipeDoor(t, 'puppet-stdio.ts', { settings: { maxSessions: 1 } })
  const s = await pipeSession(url)
  const refused = await rawPost(url, initialize(0))
  t.same([refused.status, refused.headers['retry-after']], [503, '1'])
  t.match(refused.json(), { error: { data: { code: 'too_many_sessions' } } })
  await rawRequest(url, { method: 'DELETE', headers: s.headers })
  t.ok((await pipeSession(url)).id)
})

t.test(
  'a modern request over HTTP to a stdio server: a clear error, as a server of the legacy era would give one',
  async t => {
    const { url, log } = await pipeDoor(t, 'puppet-stdio.ts')
    const message = modern(rpc(1, 'server/discover'))
    const answer = await rawPost(url, message, modernHeaders(message))
    t.equal(answer.status, 400)
    t.match(answer.json(), { id: 1, error: { code: -31050, data: { code: 'pairing_unsupported' } } })
    t.equal((await rawPost(url, message, modernHeaders(message))).status, 400)
    t.equal(log.items.filter(l => l.text.startsWith('pid')).length, 1, 'one child was asked, once')
  }
)

t.test('50 clients at once with equal ids: each gets its own', async t => {
  const { url, door } = await pipeDoor(t, 'puppet-stdio.ts')
  const all = await Promise.all(
    Array.from({ length: 50 }, async (_, n) => {
      const s = await pipeSession(url)
      return Promise.all([1, 1, 2].map(id => s.post(rpc(id, 'do', { n, id }))))
    })
  )
  for (const [n, answers] of all.entries())
    t.match(
      answers.map(a => a.json()),
      [1, 1, 2].map(id => ({ id, result: { echo: { n, id } } }))
    )
  t.equal(door.stats.sessions, 50)
})

t.test('a batch of 2025-03-26 gets a stream with all its answers; other revisions refuse it', async t => {
  const { url } = await pipeDoor(t, 'puppet-stdio.ts')
  const s = await pipeSession(url, '2025-03-26')
  const stream = await s.stream([rpc(1, 'do'), notification('n'), rpc('1', 'do')])
  t.match(await stream.nextMessage(), { id: 1 })
  t.match(await stream.nextMessage(), { id: '1' })
  t.equal(await stream.ended, 'end')
  const one = await s.stream([rpc(3, 'do')])
  t.match(one.headers['content-type'], 'text/event-stream', 'also when it is a single one')
  t.match(await one.nextMessage(), { id: 3 })
  t.equal((await s.post([notification('n')])).status, 202)
  const refused = await (await pipeSession(url)).post([rpc(1, 'do')])
  t.same([refused.status, (refused.json() as { error: { code: number } }).error.code], [400, -32600])
  t.equal((await rawPost(url, [initialize(0, '2025-03-26')], POST_HEADERS)).status, 400)
})
