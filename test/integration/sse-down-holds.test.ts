/** Clients on HTTP+SSE and hooks that take their time: order is kept, what waits is bounded, nobody else waits. */
import t from 'tap'
import type { Interceptor } from '../../src/index.ts'
import { rawRequest } from '../helpers/raw-client.ts'
import { notification, rpc } from '../helpers/rpc.ts'
import { pipeDoor } from './pipe-door.ts'
import { gate, on, sseReady, sseSession, sseUrl } from './sse-down-door.ts'

const line = (message: object): string => `${JSON.stringify(message)}\n`
const codeOf = (answer: { json(): unknown }) => (answer.json() as { error: { data: { code: string } } }).error.data.code
const GET = { method: 'GET', headers: { accept: 'text/event-stream' } }

t.test('what a hook holds on its way up keeps its place, and what follows waits behind it', async t => {
  const { arrived, pass, open } = gate()
  const slow = on('slow', 'up', message => pass().then(() => message))
  const { url, log, door } = await pipeDoor(t, 'puppet-stdio.ts', { interceptors: [slow] })
  const s = await sseReady(url)
  t.equal((await s.post(rpc(1, 'slow'))).status, 202, 'taken all the same')
  await arrived
  t.equal((await s.post(rpc(2, 'do'))).status, 202)
  t.equal((await s.post(notification('notifications/cancelled', { requestId: 1 }))).status, 202)
  const other = await sseReady(url)
  await other.post(rpc(1, 'do'))
  t.match(await other.next(), { id: 1 }, 'another client does not wait')
  t.notOk(log.seen.some(text => text.includes('"slow"')))
  open()
  t.match(await s.next(), { id: 1 })
  t.match(await s.next(), { id: 2 })
  await log.child(/seen.*cancelled/)
  const order = log.seen.flatMap(text => /"(slow|do|notifications\/cancelled)"/.exec(text)?.[1] ?? [])
  t.same(order, ['do', 'slow', 'do', 'notifications/cancelled'])
  t.equal(door.stats.sessions, 2)
  s.close()
  other.close()
})

t.test('many behind one that is held: 256 are taken, then POSTs wait for their 202', async t => {
  const { arrived, pass, open } = gate()
  const slow = on('slow', 'up', message => pass().then(() => message))
  const settings = { requestTimeout: 1_000 }
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts', { interceptors: [slow], settings })
  const s = await sseReady(url)
  await s.post(notification('slow'))
  await arrived
  for (let i = 0; i < 256; i++) t.equal((await s.post(notification('n', { i }))).status, 202)
  const one = await s.post(notification('n', { i: 'too many' }))
  t.same([one.status, codeOf(one)], [503, 'upstream_queue_full'])
  const last = s.post(rpc('last', 'do'))
  open()
  t.equal((await last).status, 202)
  t.match(await s.next(), { id: 'last' })
  await log.child(/seen.*"i":255/)
  const order = log.seen.flatMap(text => /"i":(\d+)/.exec(text)?.[1] ?? []).map(Number)
  t.same(
    order,
    Array.from({ length: 256 }, (_, i) => i)
  )
  s.close()
})

t.test('a client that leaves while a hook holds its request: it never reaches the server', async t => {
  const { arrived, pass, open } = gate()
  const asked: string[] = []
  const slow: Interceptor = {
    name: 'slow',
    async request(x) {
      asked.push(x.message?.method ?? x.kind)
      if (x.message?.method === 'slow') await pass()
      return undefined
    }
  }
  const { url, log, door } = await pipeDoor(t, 'puppet-stdio.ts', { interceptors: [slow] })
  const s = await sseReady(url)
  await log.child(/seen.*initialized/)
  await s.post(rpc(1, 'slow'))
  await s.post(rpc(2, 'behind'))
  await arrived
  s.close()
  await log.until(l => l.event === 'session-end')
  open()
  t.equal(door.stats.exchanges, 0)
  const other = await sseReady(url)
  await other.post(rpc(1, 'do'))
  await other.next()
  t.notOk(log.seen.some(text => /slow|behind/.test(text)))
  t.notOk(asked.includes('behind'), 'nobody is asked about what nobody waits for')
  other.close()
})

t.test('what a hook holds on its way down keeps its place', async t => {
  const { arrived, pass, open } = gate()
  const slow = on('answer 1', 'down', message => pass().then(() => message))
  const { url } = await pipeDoor(t, 'puppet-stdio.ts', { interceptors: [slow] })
  const s = await sseReady(url)
  await s.post(rpc(1, 'do'))
  await arrived
  await s.post(rpc(2, 'do', { write: line(notification('n')) }))
  open()
  t.match(await s.next(), { id: 1 })
  t.match(await s.next(), { method: 'n' })
  t.match(await s.next(), { id: 2 })
  s.close()
})

t.test('a server that speaks before its client has the stream is heard after the endpoint', async t => {
  const { arrived, pass, open } = gate()
  const slow: Interceptor = {
    name: 'slow',
    async request(x) {
      if (x.kind === 'listen') await pass()
      return undefined
    }
  }
  const script = `console.log('{"jsonrpc":"2.0","method":"early"}'); console.error('spoken'); process.stdin.resume()`
  const target = { command: process.execPath, args: ['-e', script] }
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts', { target, interceptors: [slow] })
  const opening = sseSession(url)
  await arrived
  await log.child(/^spoken/)
  // One more turn of the event loop than its words need.
  await rawRequest(new URL('/nowhere', url), { method: 'GET' })
  open()
  const s = await opening
  t.match(await s.next(), { method: 'early' })
  s.close()
})

t.test('a server that dies before its client has the stream: 502 with its last words', async t => {
  const { arrived, pass, open } = gate()
  const slow: Interceptor = {
    name: 'slow',
    async request(x) {
      if (x.kind === 'listen') await pass()
      return undefined
    }
  }
  const target = { command: process.execPath, args: ['-e', `console.error('no database'); process.exitCode = 4`] }
  const { url, log, door } = await pipeDoor(t, 'puppet-stdio.ts', { target, interceptors: [slow] })
  const opening = rawRequest(sseUrl(url), GET)
  await arrived
  const answer = await opening
  t.same([answer.status, codeOf(answer)], [502, 'child_exited'])
  t.match(answer.text, /code 4.*no database/)
  open()
  t.match(await log.until(l => l.event === 'session-end'), { facts: { why: 'lost' } })
  t.same([door.stats.sessions, door.stats.streams, door.stats.exchanges], [0, 0, 0])
})
