/** Clients on HTTP+SSE and interceptors: every hook sees what it should, once, in order, and what it decides holds. */
import t from 'tap'
import { CatflapError, type Exchange, type Interceptor, Message, type Outcome } from '../../src/index.ts'
import { rawRequest } from '../helpers/raw-client.ts'
import { notification, rpc } from '../helpers/rpc.ts'
import { pipeDoor, question } from './pipe-door.ts'
import { on, sseReady, sseSession, sseUrl } from './sse-down-door.ts'

const held = { answer: false }
const line = (message: object): string => `${JSON.stringify(message)}\n`
const GET = { method: 'GET', headers: { accept: 'text/event-stream' } }
const parse = (value: object): Message => Message.parse(Buffer.from(JSON.stringify(value)))

t.test('each exchange passes every hook once: the stream, and one for each POST', async t => {
  const seen: string[] = []
  const ends = new Map<Exchange, Outcome[]>()
  const nameOf = (x: Exchange): string =>
    `${x.transport} ${x.kind} ${x.message?.method ?? x.message?.idText ?? ''}`.trim()
  const spy: Interceptor = {
    name: 'spy',
    admit(x) {
      seen.push(`admit ${x.client?.method}`)
      return undefined
    },
    request(x) {
      seen.push(`request ${nameOf(x)} ${x.session ? 'in session' : 'alone'}`)
      return undefined
    },
    end(x, outcome) {
      ends.set(x, [...(ends.get(x) ?? []), outcome])
    }
  }
  const { url, door } = await pipeDoor(t, 'puppet-stdio.ts', { interceptors: [spy] })
  const s = await sseReady(url)
  await s.post(rpc(1, 'do', { write: question(7) }))
  await s.next()
  await s.next()
  await s.post({ jsonrpc: '2.0', id: 7, result: {} })
  await s.post(rpc(2, 'do', held))
  await s.post('no message')
  await rawRequest(sseUrl(url), { method: 'PUT' })
  await door.close({ drainTimeout: 0 })
  t.same(seen, [
    'admit GET',
    'request sse listen in session',
    'admit POST',
    'request sse request initialize in session',
    'admit POST',
    'request sse notify notifications/initialized in session',
    'admit POST',
    'request sse request do in session',
    'admit POST',
    'request sse notify 7 in session',
    'admit POST',
    'request sse request do in session',
    'admit POST',
    'admit PUT'
  ])
  t.equal(ends.size, 8)
  for (const [x, outcomes] of ends) t.equal(outcomes.length, 1, nameOf(x))
  const results = [...ends].map(([x, [outcome]]) => `${x.message?.method ?? x.kind}: ${outcome?.result}`)
  t.same(
    results.sort(),
    [
      'do: answered',
      'do: failed',
      'initialize: answered',
      'listen: answered',
      'notifications/initialized: answered',
      'notify: answered',
      'request: refused',
      'listen: refused'
    ].sort()
  )
})

t.test('what an admit hook refuses on either path is refused before anything is started', async t => {
  let strict = true
  const strictly: Interceptor = {
    name: 'strictly',
    admit: x => (strict || x.client?.method === 'POST' ? new CatflapError('unauthorized', 'not you') : undefined)
  }
  const { url, log, door } = await pipeDoor(t, 'puppet-stdio.ts', { interceptors: [strictly] })
  t.equal((await rawRequest(sseUrl(url), GET)).status, 401)
  t.equal(log.of('session-start').length, 0)
  strict = false
  const s = await sseSession(url)
  t.equal((await s.post(rpc(1, 'do'))).status, 401)
  t.equal(door.stats.exchanges, 1)
  s.close()
})

for (const [how, answer, status] of [
  ['refuses', { error: new CatflapError('unauthorized', 'not today') }, 401],
  ['answers', { http: { status: 418, headers: ['X-Tea', 'yes'], body: Buffer.from('tea') } }, 418]
] as const) {
  t.test(`a request hook that ${how} the GET: no stream, and neither session nor child are left`, async t => {
    const refuse: Interceptor = { name: 'refuse', request: x => (x.kind === 'listen' ? answer : undefined) }
    const { url, log, door } = await pipeDoor(t, 'puppet-stdio.ts', { interceptors: [refuse] })
    const got = await rawRequest(sseUrl(url), GET)
    t.equal(got.status, status)
    t.not(got.headers['content-type'], 'text/event-stream')
    await log.until(l => l.event === 'session-end')
    t.same([door.stats.sessions, door.stats.streams, door.stats.exchanges], [0, 0, 0])
  })
}

t.test('a request hook that refuses, answers or fails a POST is heard on the stream', async t => {
  const answers: Interceptor = {
    name: 'answers',
    request(x) {
      const id = x.message?.idText
      if (x.message?.method === 'refused') return { error: new CatflapError('blocked', 'not today') }
      if (x.message?.method === 'answered')
        return { message: parse({ jsonrpc: '2.0', id: Number(id), result: 'mine' }) }
      if (x.message?.method === 'with status') return { http: { status: 418, headers: [], body: Buffer.from('tea') } }
      if (x.message?.method === 'thrown') throw new Error('secret reason')
      if (x.message?.method === 'rejected') return Promise.reject(new Error('secret reason'))
      return undefined
    }
  }
  const { url, log, door } = await pipeDoor(t, 'puppet-stdio.ts', { interceptors: [answers] })
  const s = await sseReady(url)
  const cases: [string, object][] = [
    ['refused', { error: { message: 'not today', data: { code: 'blocked' } } }],
    ['answered', { result: 'mine' }],
    ['with status', { error: { message: 'Answered with HTTP status 418.', data: { code: 'blocked' } } }],
    ['thrown', { error: { data: { code: 'internal' } } }],
    ['rejected', { error: { data: { code: 'internal' } } }]
  ]
  for (const [i, [method, expected]] of cases.entries()) {
    t.equal((await s.post(rpc(i, method))).status, 202, method)
    const got = await s.next()
    t.match(got, { id: i, ...expected }, method)
    t.notMatch(JSON.stringify(got), 'secret')
    await s.post(notification(method))
  }
  await s.post(rpc('after', 'do'))
  t.match(await s.next(), { id: 'after', result: {} }, 'notifications are refused in silence')
  t.notOk(log.seen.some(text => /refused|answered|with status|thrown|rejected/.test(text)))
  t.equal(door.stats.exchanges, 1)
  s.close()
})

t.test('a batch that a hook answers gets its one reply', async t => {
  const answers: Interceptor = {
    name: 'answers',
    request: x => (x.batch ? { message: parse({ jsonrpc: '2.0', id: 1, result: 'mine' }) } : undefined)
  }
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts', { interceptors: [answers] })
  const s = await sseReady(url, '2025-03-26')
  await s.post([rpc(1, 'batched')])
  t.match(JSON.parse((await s.stream.next()).data), [{ id: 1, result: 'mine' }])
  t.notOk(log.seen.some(text => text.includes('batched')))
  s.close()
})

t.test('messages are changed and dropped in both directions', async t => {
  const interceptors = [
    on('up', 'up', () => parse(rpc(1, 'changed'))),
    on('answer 1', 'down', () => parse({ jsonrpc: '2.0', id: 1, result: 'changed' })),
    on('drop', 'up', () => undefined),
    on('answer 3', 'down', () => undefined),
    on('dropped', 'down', () => undefined),
    on('told', 'down', () => parse(notification('told', { changed: true }))),
    on('sampling/createMessage', 'down', () => undefined)
  ]
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts', { interceptors })
  const s = await sseReady(url)
  await s.post(rpc(1, 'up'))
  t.match(await s.next(), { id: 1, result: 'changed' })
  t.match(await log.child(/seen.*"id":1,/), '"changed"')
  await s.post(rpc(2, 'drop'))
  t.match(await s.next(), { id: 2, error: { data: { code: 'blocked' } } })
  await s.post(notification('drop'))
  await s.post(rpc(3, 'do'))
  t.match(await s.next(), { id: 3, error: { data: { code: 'blocked' } } })
  const write = [notification('dropped'), notification('told'), notification('as it was')].map(line).join('')
  await s.post(rpc(4, 'do', { write: write + question(7) }))
  t.match(await s.next(), { method: 'told', params: { changed: true } })
  t.match(await s.next(), { method: 'as it was' })
  t.match(await s.next(), { id: 4, result: {} })
  t.match(await log.child(/seen.*"id":7/), '"blocked"', 'the server is told that its question reached nobody')
  t.notOk(log.seen.some(text => text.includes('"drop"')))
  s.close()
})
