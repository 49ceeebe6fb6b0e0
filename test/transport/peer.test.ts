/** Calls on sessions that another instance holds: what its caller is told, whatever becomes of the other one. */
import { createServer, type Server } from 'node:net'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { trackLeaks } from '../helpers/leaks.ts'
import { type StdioPeer, spawnPeer } from '../helpers/stdio-peer.ts'
import { ask, Heard, input, KEY, notice, OTHER_KEY, order, owner, peers, session, to } from '../proxy/peer-stage.ts'

const OWNER = fileURLToPath(new URL('../fixtures/children/peer-owner.ts', import.meta.url))

interface Apart {
  readonly process: StdioPeer
  readonly address: string
  readonly session: string
}

/** An owner in a process of its own. */
async function apart(t: Test): Promise<Apart> {
  const process_ = spawnPeer([process.execPath, '--no-warnings', OWNER])
  t.teardown(() => {
    process_.proc.kill('SIGCONT')
    return process_.close(5_000)
  })
  const line = await process_.stdout.until(text => text.startsWith('ready '), { timeoutMs: 60_000 })
  return { process: process_, ...(JSON.parse(line.slice(6)) as { address: string; session: string }) }
}

/** Takes connections, and does with them what the test wants. */
async function listener(t: Test, taken: Parameters<Server['on']>[1]): Promise<string> {
  const server = createServer(taken as () => void)
  server.on('connection', socket => {
    socket.on('error', () => {})
    t.teardown(() => void socket.destroy())
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => new Promise(resolve => server.close(resolve)))
  const { port } = server.address() as { port: number }
  return `127.0.0.1:${port}`
}

t.test('requests, notifications, streams and the end of a session, at their owner', async t => {
  trackLeaks(t)
  const there = await owner(t)
  const here = peers(t)
  const whom = to(await session(there.url))
  const request = ask(here, there.address, whom, { body: order(1, { some: 'thing' }) })
  t.equal((await request.head).status, 200)
  t.equal(await request.outcome(), 'end')
  t.strictSame(JSON.parse(request.text), { jsonrpc: '2.0', id: 1, result: { echo: { some: 'thing' } } })
  const told = ask(here, there.address, whom, { body: { jsonrpc: '2.0', method: 'notifications/initialized' } })
  t.equal((await told.head).status, 202)
  t.equal(await told.outcome(), 'end')
  const stream = ask(here, there.address, whom, {})
  t.equal((await stream.head).type, 'sse')
  const end = ask(here, there.address, whom, { kind: 'terminate' })
  t.equal((await end.head).status, 200)
  t.equal(await stream.outcome(), 'end', 'its stream ends with it, in order')
  const late = ask(here, there.address, whom, { body: order(2) })
  t.equal((await late.head).status, 404)
  await late.over
})

t.test('events come one by one, while the call goes on and a stream is open beside it', async t => {
  trackLeaks(t)
  const there = await owner(t)
  const here = peers(t)
  const whom = to(await session(there.url))
  const stream = ask(here, there.address, whom, {})
  await stream.head
  const call = ask(here, there.address, whom, { body: order(1, { write: notice('first'), answer: false }) })
  await call.until('note first')
  t.notOk(call.isOver)
  const progress = { jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken: 'tok', progress: 1 } }
  const params = { _meta: { progressToken: 'tok' }, write: `${JSON.stringify(progress)}\n`, answer: false }
  const slow = ask(here, there.address, whom, { body: order(2, params) })
  t.equal((await slow.head).type, 'sse')
  await slow.until('"progress":1')
  t.notOk(slow.isOver)
  const answer = JSON.stringify({ jsonrpc: '2.0', id: 2, result: { at: 'last' } })
  const third = ask(here, there.address, whom, { body: order(3, { write: `${notice('loose')}${answer}\n` }) })
  await stream.until('note loose')
  t.notOk(stream.isOver)
  t.equal(await third.outcome(), 'end')
  t.equal(await slow.outcome(), 'end')
  t.match(slow.text, /"at":"last"/)
  call.call?.cancel('client-gone')
  stream.call?.cancel('client-gone')
})

t.test('a large message passes whole, both ways', async t => {
  trackLeaks(t)
  const there = await owner(t)
  const text = 'x'.repeat(5 * 1024 * 1024)
  const call = ask(peers(t), there.address, to(await session(there.url)), { body: order(1, { text }) })
  t.equal(await call.outcome(), 'end')
  t.equal((JSON.parse(call.text) as { result: { echo: { text: string } } }).result.echo.text.length, text.length)
})

t.test('calls with the same ids, many at once, get each their own answer', async t => {
  trackLeaks(t)
  const there = await owner(t)
  const here = peers(t)
  const sessions = await Promise.all([session(there.url), session(there.url)])
  const calls = Array.from({ length: 200 }, (_, n) =>
    ask(here, there.address, to(sessions[n % 2]!), { body: order(n % 3, { n }) })
  )
  const outcomes = await Promise.all(calls.map(call => call.outcome()))
  t.strictSame(new Set(outcomes), new Set(['end']))
  // A silent answer may have become a stream.
  for (const [n, { text }] of calls.entries()) {
    const data = /^data: (.*)$/m.exec(text)?.[1] ?? text
    t.strictSame(JSON.parse(data), { jsonrpc: '2.0', id: n % 3, result: { echo: { n } } })
  }
})

t.test('a call that is cancelled is over for its owner', async t => {
  trackLeaks(t)
  const there = await owner(t)
  const whom = to(await session(there.url))
  const made = there.outcomes.items.length
  const here = peers(t)
  const call = ask(here, there.address, whom, { body: order('gone', { answer: false }) })
  await there.log.until(line => line.text.startsWith('seen ') && line.text.includes('"gone"'))
  call.call?.cancel('client-gone')
  while (there.outcomes.items.length === made) await new Promise(resolve => setImmediate(resolve))
  t.match(there.outcomes.items[made], { result: 'gone' })
  t.equal(there.core.inFlight.size, 0)
  t.notOk(call.isOver, 'and who cancelled hears nothing')
  const next = ask(here, there.address, whom, { body: order(2) })
  t.equal(await next.outcome(), 'end')
})

t.test('whoever reads slowly makes the owner wait, and holds no more than a little', async t => {
  trackLeaks(t)
  const there = await owner(t, { settings: { maxExchangeQueue: 1024 * 1024 } })
  const whom = to(await session(there.url))
  const made = there.outcomes.items.length
  const params = { write: notice('many', 256 * 1024), every: 2, times: 200 }
  const call = ask(peers(t), there.address, whom, { body: order(1, params) })
  await call.head
  call.call?.pause()
  while (there.outcomes.items.length === made) await new Promise(resolve => setImmediate(resolve))
  t.match(there.outcomes.items[made], { code: 'slow_client' }, 'it waited until its own bound')
  t.ok(call.bytes < 8 * 1024 * 1024, `${call.bytes} bytes`)
  call.call?.resume()
  // At an event's end the stream ends there, else it breaks.
  t.match(await call.outcome(), /^(end|owner_lost)$/)
})

t.test('a reader that pauses and goes on misses nothing', async t => {
  trackLeaks(t)
  const there = await owner(t)
  const whom = to(await session(there.url))
  const params = { write: notice('some', 64 * 1024), every: 1, times: 60 }
  const call = ask(peers(t), there.address, whom, { body: order(1, params) })
  for (let heard = 0; heard < 20; heard++) {
    await call.chunks.next()
    call.call?.pause()
    await new Promise(resolve => setImmediate(resolve))
    call.call?.resume()
  }
  t.equal(await call.outcome(), 'end')
  t.equal(call.text.match(/^data: \{"jsonrpc":"2.0","method"/gm)?.length, 60)
})

t.test('what a client writes there is not taken for what an instance says', async t => {
  trackLeaks(t)
  const seen: (readonly string[])[] = []
  const watch = {
    name: 'watch',
    request: (x: { client?: { headers: readonly string[] } | undefined }) => void seen.push(x.client?.headers ?? [])
  }
  const there = await owner(t, { interceptors: [watch as never] })
  const id = await session(there.url)
  const headers = [
    'catflap-principal',
    'root',
    'CATFLAP-Instance',
    'other',
    'Catflap-From',
    'me',
    'mcp-session-id',
    'x'
  ]
  const call = ask(peers(t), there.address, to(id, { remoteAddress: '192.0.2.7' }), {
    body: order(1),
    headers: [...headers, 'X-Own', 'kept'],
    query: '?a=b'
  })
  t.equal((await call.head).status, 200)
  await call.over
  const names = seen.at(-1)!.map(text => text.toLowerCase())
  t.strictSame(
    names.filter(name => name.startsWith('catflap-')),
    []
  )
  t.equal(names.filter(name => name === 'mcp-session-id').length, 1)
  t.ok(names.includes('x-own'))
  const odd = ask(peers(t), there.address, to(id, { remoteAddress: 'un\nknown' }), { body: order(2) })
  t.equal(await odd.outcome(), 'end', 'what proxies say of a client is no reason to fail')
})

t.test('nothing was sent: nobody listens, nobody answers, nobody with the key, no TLS', async t => {
  trackLeaks(t)
  const closed = await listener(t, () => {})
  const silent = await listener(t, () => {})
  const plain = await listener(
    t,
    socket => void (socket as never as { end(text: string): void }).end('HTTP/1.1 200 OK\r\n\r\n')
  )
  const gone = await listener(t, socket => void (socket as never as { destroy(): void }).destroy())
  const there = await owner(t)
  const foreign = peers(t, { key: OTHER_KEY })
  const here = peers(t)
  const hasty = peers(t, { connectTimeout: 200 })
  const whom = to('some')
  const unused = closed.replace(/\d+$/, '1')
  const cases = [
    [ask(here, unused, whom, { body: order(1) }), 'upstream_unreachable'],
    [ask(hasty, silent, whom, { body: order(1) }), 'upstream_connect_timeout'],
    [ask(here, plain, whom, { body: order(1) }), 'upstream_unreachable'],
    [ask(here, gone, whom, { body: order(1) }), 'upstream_unreachable'],
    [ask(foreign, there.address, whom, { body: order(1) }), 'upstream_unreachable'],
    [ask(here, 'a b', whom, { body: order(1) }), 'upstream_unreachable'],
    [ask(here, 'user:word@host:1', whom, { body: order(1) }), 'upstream_unreachable'],
    [ask(here, `${unused}/path`, whom, { body: order(1) }), 'upstream_unreachable']
  ] as const
  for (const [call, code] of cases) {
    const error = await call.over
    t.match(error, { code })
    const { message } = error as Error
    t.match(message, /another instance/)
    t.notMatch(message, new RegExp(`${KEY}|word`))
    t.equal((call.call as { sent?: boolean }).sent ?? false, false)
  }
  while (there.listener.strangers === 0) await new Promise(resolve => setImmediate(resolve))
  t.equal(there.core.inFlight.size, 0)
})

t.test('what the environment says of proxies is not for instances', async t => {
  trackLeaks(t)
  let asked = 0
  const proxy = await listener(t, () => void asked++)
  const there = await owner(t)
  const names = ['HTTPS_PROXY', 'https_proxy'] as const
  for (const name of names) process.env[name] = `http://${proxy}`
  t.teardown(() => {
    for (const name of names) delete process.env[name]
  })
  const call = ask(peers(t), there.address.replace('127.0.0.1', '0.0.0.0'), to(await session(there.url)), {
    body: order(1)
  })
  t.equal(await call.outcome(), 'end')
  t.equal(asked, 0)
})

t.test('an owner under another name by now does nothing, and says so', async t => {
  trackLeaks(t)
  const there = await owner(t)
  const id = await session(there.url)
  const before = there.log.seen.length
  const here = peers(t)
  const text = 'x'.repeat(1024 * 1024)
  const calls = [{ body: order(1) }, { body: order(2, { text }) }, {}, { kind: 'terminate' as const }].map(said =>
    ask(here, there.address, to(id, { instance: 'owner-0' }), said)
  )
  for (const call of calls) {
    t.equal(await call.outcome(), 'session_moved')
    t.equal(call.bytes, 0)
  }
  t.equal(there.log.seen.length, before)
  t.equal(await ask(here, there.address, to(id), { body: order(3) }).outcome(), 'end', 'the session goes on')
})

t.test('an owner that dies in the midst of an answer', async t => {
  trackLeaks(t)
  const there = await apart(t)
  const here = peers(t)
  const whom = to(there.session)
  const stream = ask(here, there.address, whom, {})
  await stream.head
  const silent = ask(here, there.address, whom, { body: order('silent', { answer: false }) })
  await there.process.stdout.until(line => line.includes('"silent"'))
  there.process.proc.kill('SIGKILL')
  for (const call of [stream, silent]) {
    const error = await call.over
    t.match(error, { code: 'owner_lost', data: { target: `another instance at ${there.address}` } })
  }
  await there.process.exit
  t.equal(await ask(here, there.address, whom, { body: order(2) }).outcome(), 'upstream_unreachable')
})

const noSignals = { skip: process.platform === 'win32' }
t.test('an owner that was stopped does not do what nobody waits for any more', noSignals, async t => {
  trackLeaks(t)
  const there = await apart(t)
  const here = peers(t)
  const whom = to(there.session)
  // On connections that are there already, what is asked is in the sockets of the other one at once.
  const first = Array.from({ length: 8 }, (_, n) => ask(here, there.address, whom, { body: order(n) }))
  for (const call of first) t.equal(await call.outcome(), 'end')
  there.process.proc.kill('SIGSTOP')
  const late = Array.from({ length: 8 }, (_, n) => ask(here, there.address, whom, { body: order(`late-${n}`) }))
  const isSent = ({ call }: Heard): boolean => (call as { sent?: boolean }).sent === true
  while (!late.some(isSent)) await new Promise(resolve => setImmediate(resolve))
  // Undici writes in this turn or the next; the kernel has it then. Others would need a new connection, which nobody makes now.
  for (let i = 0; i < 5; i++) await new Promise(resolve => setImmediate(resolve))
  for (const call of late) call.call?.cancel('client-gone')
  for (let i = 0; i < 5; i++) await new Promise(resolve => setImmediate(resolve))
  there.process.proc.kill('SIGCONT')
  t.equal(await ask(here, there.address, whom, { body: order('after') }).outcome(), 'end')
  await there.process.stdout.until(line => line.includes('"after"'))
  t.strictSame(
    there.process.stdout.items.filter(line => line.includes('late-')),
    []
  )
})

t.test('instances of which nothing is asked are forgotten', async t => {
  trackLeaks(t)
  const there = await owner(t)
  const here = peers(t, { idle: 200 })
  const whom = to(await session(there.url))
  const stream = ask(here, there.address, whom, {})
  await stream.head
  t.equal(await ask(here, there.address, whom, { body: order(1) }).outcome(), 'end')
  t.equal(here.size, 1)
  stream.call?.cancel('client-gone')
  while (here.size > 0) await new Promise(resolve => setTimeout(resolve, 20))
  t.equal(await ask(here, there.address, whom, { body: order(2) }).outcome(), 'end', 'and found again')
  await here.close()
  t.equal(await ask(here, there.address, whom, { body: order(3) }).outcome(), 'shutting_down')
})

t.test('who cancels before anything was said hears nothing', async t => {
  trackLeaks(t)
  const here = peers(t)
  const heard = new Heard()
  const call = here.leg('no address', to('some')).call(input({ body: order(1) }), heard)
  call.cancel('client-gone')
  await new Promise(resolve => setImmediate(resolve))
  t.notOk(heard.isOver)
})
