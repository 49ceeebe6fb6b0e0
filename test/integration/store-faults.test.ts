/** A store that takes its time, fails, or throws; and clients that leave before their session is theirs. */
import t, { type Test } from 'tap'
import { MemorySessionStore, type SessionStore } from '../../src/index.ts'
import { SessionStoreUnavailableError } from '../../src/session/store.ts'
import { echo, startRawHttp } from '../fixtures/servers/raw-http.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost, send } from '../helpers/raw-client.ts'
import { initialize, POST_HEADERS, rpc } from '../helpers/rpc.ts'
import { Inbox } from '../helpers/wait.ts'
import { openDoor, rawDoor, watcher } from './http-door.ts'
import { LogInbox, pipeDoor, pipeSession } from './pipe-door.ts'

type Method = 'create' | 'get' | 'touch' | 'count'

/** A store in memory, one method of which does something else first. */
function storeWith(method: Method, first: () => void | Promise<void>): SessionStore {
  const store = new MemorySessionStore()
  return new Proxy(store, {
    get(_, name: keyof MemorySessionStore) {
      const original = (...args: unknown[]): unknown => (store[name] as (...a: unknown[]) => unknown)(...args)
      if (name !== method) return original
      return (...args: unknown[]): unknown => {
        const pending = first()
        return pending ? pending.then(() => original(...args)) : original(...args)
      }
    }
  })
}

/** A gate: whoever comes is noted, and waits until it opens. */
function gate(): { pass: () => Promise<void>; arrived: Inbox<string>; open: () => void } {
  const arrived = new Inbox<string>('arrivals')
  const { promise, resolve } = Promise.withResolvers<void>()
  const pass = (): Promise<void> => {
    arrived.push('here')
    return promise
  }
  return { pass, arrived, open: resolve }
}

for (const method of ['count', 'create'] as const) {
  t.test(`a client that leaves while the store is at its ${method} leaves neither session nor child`, async t => {
    const { pass, arrived, open } = gate()
    const watch = watcher()
    const store = storeWith(method, pass)
    const { url, door, log } = await pipeDoor(t, 'puppet-stdio.ts', { store, interceptors: [watch] })
    const { req } = send(url, { body: initialize(0), headers: POST_HEADERS })
    await arrived.next()
    req.destroy()
    await watch.ended.until(outcome => outcome.result === 'gone')
    open()
    if (method === 'create') await log.until(line => line.event === 'session-end')
    t.equal((await pipeSession(url)).id.length, 32, 'the next one gets a session')
    t.equal(log.of('session-start').length, method === 'create' ? 2 : 1)
    t.equal(door.stats.sessions, 1)
  })
}

/** A server whose answer to initialize breaks off after its head and some bytes. */
async function halfAnswer(t: Test, options: Parameters<typeof rawDoor>[2] = {}) {
  const watch = watcher()
  const opened = await rawDoor(t, echo, { ...options, interceptors: [watch] })
  opened.server.next(async x => {
    x.head(200, ['Content-Type', 'application/json', 'Content-Length', '100', 'Mcp-Session-Id', 'theirs'])
    await x.write('{')
  })
  return { ...opened, watch }
}

t.test('a client that leaves in the middle of the answer to initialize leaves no session', async t => {
  const { server, url, door, watch } = await halfAnswer(t)
  const { req, head } = send(url, { body: initialize(0), headers: POST_HEADERS })
  await new Promise(resolve => head.then(res => res.once('data', resolve)))
  t.equal(door.stats.sessions, 1)
  req.destroy()
  await watch.ended.until(outcome => outcome.result === 'gone')
  await server.counters.until('DELETE')
  t.equal(server.exchanges.at(-1)?.headers['mcp-session-id'], 'theirs')
  t.equal(door.stats.sessions, 0)
})

t.test('a client that leaves while the store creates the session of its server leaves none', async t => {
  const { pass, arrived, open } = gate()
  const { server, url, door, watch } = await halfAnswer(t, { store: storeWith('create', pass) })
  const { req } = send(url, { body: initialize(0), headers: POST_HEADERS })
  await arrived.next()
  req.destroy()
  await watch.ended.until(outcome => outcome.result === 'gone')
  open()
  await server.counters.until('DELETE')
  t.equal(door.stats.sessions, 0)
})

t.test('what a child says before its session exists is not lost', async t => {
  const { pass, arrived, open } = gate()
  const early = JSON.stringify({ jsonrpc: '2.0', method: 'notifications/early' })
  const script = `process.stdout.write(${JSON.stringify(`${early}\n`)});process.stderr.write('said\\n');process.stdin.on('data', d => {
    const { id } = JSON.parse(d); if (id !== undefined) console.log(JSON.stringify({ jsonrpc: '2.0', id, result: { protocolVersion: '2025-11-25' } })) })`
  const target = { command: process.execPath, args: ['-e', script] }
  const { url, log } = await pipeDoor(t, 'puppet-stdio.ts', { store: storeWith('create', pass), target })
  const answer = rawPost(url, initialize(0))
  await arrived.next()
  await log.child(/said/)
  open()
  t.match((await answer).text, /notifications\/early[\s\S]*protocolVersion/)
})

t.test('a store whose touch throws harms no exchange, and leaves none in flight', async t => {
  let down = false
  const store = storeWith('touch', () => {
    if (down) throw new Error('SQLITE_BUSY')
  })
  const { url, door, log } = await pipeDoor(t, 'puppet-stdio.ts', { store })
  const s = await pipeSession(url)
  down = true
  t.equal((await s.post(rpc(1, 'do', {}))).status, 200)
  t.equal(door.stats.exchanges, 0)
  t.match(log.of('store-failed')[0], { level: 'error', text: /SQLITE_BUSY/ })
})

t.test('what a failing store says is for the log, never for clients', async t => {
  trackLeaks(t)
  const server = await startRawHttp(echo)
  t.teardown(() => server.close())
  const log = new LogInbox('lines of the log')
  const store = storeWith('get', () => Promise.reject(new Error('redis://user:pw-canary@host is down')))
  const { url } = await openDoor(t, server.url, { store, log })
  const answer = await rawPost(url, rpc(1, 'ping'), { 'mcp-session-id': 'x' })
  t.equal(answer.status, 500)
  t.match(answer.json(), { id: 1, error: { code: -31099, data: { code: 'internal' } } })
  t.notMatch(answer.text, /redis|canary/)
  t.match(log.of('internal')[0]?.facts, { cause: /pw-canary/ })
})

for (const method of ['get', 'count', 'create'] as const) {
  t.test(
    `a store that does not do its work at its ${method}: clients are to try again soon, and no line is written for each`,
    async t => {
      trackLeaks(t)
      const server = await startRawHttp(echo)
      t.teardown(() => server.close())
      const log = new LogInbox('lines of the log')
      const down = new SessionStoreUnavailableError('redis://canary', new Error('no answer for 3000 ms'))
      server.always(x =>
        x.json(200, '{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25"}}', ['Mcp-Session-Id', 'a'])
      )
      const { url } = await openDoor(t, server.url, { store: storeWith(method, () => Promise.reject(down)), log })
      const answer =
        method === 'get'
          ? await rawPost(url, rpc(1, 'ping'), { 'mcp-session-id': 'x' })
          : await rawPost(url, initialize(0))
      t.equal(answer.status, 503)
      t.equal(answer.headers['retry-after'], '1')
      t.match(answer.json(), { error: { code: -31015, data: { code: 'store_unavailable' } } })
      t.notMatch(answer.text, /canary/)
      t.same(log.of('internal'), [])
      t.same(
        log.of('store-failed').filter(line => line.level === 'error'),
        []
      )
    }
  )
}
