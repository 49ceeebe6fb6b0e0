/** A route is replaced while children of it live: these and the new ones count together. */
import t, { type Test } from 'tap'
import type { CommandRoute } from '../../src/proxy/reverse-options.ts'
import { startRawHttp } from '../fixtures/servers/raw-http.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost, rawRequest } from '../helpers/raw-client.ts'
import { initialize, modern, modernHeaders, rpc } from '../helpers/rpc.ts'
import { within } from '../helpers/wait.ts'
import { type PipeSession, pipeSession } from './pipe-door.ts'
import { ANYWHERE, openReverse, to } from './reverse-door.ts'

/** Speaks both eras, dies when it is told to, and takes its time to end. */
const SERVER = `
  const lines = require('node:readline').createInterface({ input: process.stdin })
  lines.on('line', line => {
    const { id, method } = JSON.parse(line)
    if (id === undefined || method === 'hold') return
    if (method === 'die') process.exit(3)
    const serverInfo = { name: 'x', version: '1' }
    const old = { protocolVersion: '2025-11-25', capabilities: {}, serverInfo }
    const supportedVersions = ['2026-07-28']
    const found = { resultType: 'complete', supportedVersions, capabilities: {}, serverInfo }
    const result = method === 'initialize' ? old : method === 'server/discover' ? found : { resultType: 'complete' }
    console.log(JSON.stringify({ jsonrpc: '2.0', id, result }))
  })
  lines.on('close', () => setTimeout(() => {}, Number(process.env.LINGER ?? 0)))`

type Limits = Pick<CommandRoute, 'maxChildren' | 'env'> & { readonly sessionLoss?: 'reinitialize' }

function route({ sessionLoss, ...more }: Limits = {}) {
  const argv = { command: process.execPath, args: ['-e', SERVER], inheritEnv: ['TEST_OF_CATFLAP_MARK'] }
  return { targets: { ...argv, ...more }, sessionLoss, settings: { killAfter: 6_000, requestTimeout: 20_000 } }
}

/** A route `a`, whose options change. */
async function front(t: Test, limits: Limits) {
  trackLeaks(t)
  const proxy = await openReverse(t, { a: route(limits) })
  const url = proxy.urlOf('a')
  const generations = [...proxy.routes]
  const reload = async (routes: Parameters<typeof openReverse>[1]) => {
    const done = await proxy.reload({ listeners: ANYWHERE, routes })
    for (const place of proxy.routes) if (!generations.includes(place)) generations.push(place)
    return done
  }
  const alive = (): number =>
    generations.reduce((n, place) => n + (place.route.core.target.stats?.().children?.alive ?? 0), 0)
  const refused = async (text: string): Promise<void> => {
    const answer = await rawPost(url, initialize())
    t.match(answer.json(), { error: { data: { code: 'too_many_children' } } }, text)
  }
  const ask = async (n: number, meta: Record<string, unknown> = {}): Promise<number> => {
    const message = modern(rpc(n, 'tools/list'), {}, meta)
    return (await rawPost(url, message, modernHeaders(message))).status
  }
  const end = (session: PipeSession) => rawRequest(url, { method: 'DELETE', headers: session.headers })
  return { proxy, url, reload, alive, refused, ask, end }
}

const status = async (session: PipeSession, n = 1): Promise<number> => (await session.post(rpc(n, 'ping'))).status
const LOGS = { 'io.modelcontextprotocol/logLevel': 'debug' }

/** Everything has been idle for long, as far as is known. */
function later(t: Test, ms = 61_000): void {
  const now = performance.now.bind(performance)
  t.intercept(performance, 'now', { value: () => now() + ms })
}

t.test('children of before and of now are not more than the route allows', async t => {
  const { url, reload, alive, refused, end } = await front(t, { maxChildren: 2 })
  const [a, b] = [await pipeSession(url), await pipeSession(url)]
  t.same((await reload({ a: route({ maxChildren: 2, env: { CHANGED: '1' } }) })).changed, ['a'])
  await refused('both are of before')
  t.same([await status(a), await status(b)], [200, 200])
  await end(a)
  const c = await pipeSession(url)
  await refused('one of each')
  // And once more.
  await reload({ a: route({ maxChildren: 2, env: { CHANGED: '2' } }) })
  await refused('two generations of before')
  await end(b)
  await end(c)
  await Promise.all([pipeSession(url), pipeSession(url)])
  await refused('both are of now')
  t.equal(alive(), 2)
})

t.test('who waits for room has it as soon as a child of before is gone', async t => {
  const { url, reload, alive, end } = await front(t, { maxChildren: 1, env: { LINGER: '500' } })
  const old = await pipeSession(url)
  await reload({ a: route({ maxChildren: 1 }) })
  await end(old)
  t.equal(alive(), 1, 'it takes its time')
  t.ok((await within(pipeSession(url))).id)
  t.equal(alive(), 1)
})

t.test('idle sessions of before make room first, however long others have been idle', async t => {
  const { url, reload, refused } = await front(t, { maxChildren: 2 })
  const old = await pipeSession(url)
  await reload({ a: route({ maxChildren: 2, env: { CHANGED: '1' } }) })
  const now = await pipeSession(url)
  t.equal(await status(old), 200)
  await refused('neither has been idle for long')
  later(t)
  t.ok((await pipeSession(url)).id)
  t.equal(await status(old), 404)
  t.equal(await status(now), 200)
})

t.test('a session of before that is in use stays', async t => {
  const { url, reload, refused } = await front(t, { maxChildren: 1 })
  const old = await pipeSession(url)
  const stream = await old.listen()
  await reload({ a: route({ maxChildren: 1, env: { CHANGED: '1' } }) })
  later(t)
  await refused('it has a stream')
  t.equal(await status(old), 200)
  stream.close()
})

t.test('a process of before that nobody uses makes room before any session does', async t => {
  const { url, reload, ask, alive } = await front(t, { maxChildren: 3 })
  t.equal(await ask(1), 200)
  const old = await pipeSession(url)
  await reload({ a: route({ maxChildren: 3, env: { CHANGED: '1' } }) })
  const now = await pipeSession(url)
  later(t)
  const more = await pipeSession(url)
  for (const session of [old, now, more]) t.equal(await status(session), 200)
  t.equal(alive(), 3)
})

t.test('requests of the modern era have the room that sessions of before can do without', async t => {
  const { url, reload, ask, alive, proxy } = await front(t, { maxChildren: 2 })
  await pipeSession(url)
  await pipeSession(url)
  await reload({ a: route({ maxChildren: 2, env: { CHANGED: '1' } }) })
  t.equal(await ask(1), 503)
  later(t)
  t.equal(await ask(2), 200)
  t.equal(proxy.stats.sessions, 1)
  t.equal(await ask(3, LOGS), 200)
  t.equal(proxy.stats.sessions, 0)
  t.ok(alive() <= 2)
})

t.test('a limit below what lives ends nothing in use, and lets nobody in before enough are gone', async t => {
  const { url, reload, refused, end, alive } = await front(t, { maxChildren: 3 })
  const [a, b, c] = [await pipeSession(url), await pipeSession(url), await pipeSession(url)]
  await reload({ a: route({ maxChildren: 2 }) })
  for (const session of [a, b, c]) t.equal(await status(session), 200)
  await end(a)
  while (alive() > 2) await new Promise(resolve => setImmediate(resolve))
  await refused('two are left')
  await end(b)
  t.ok((await pipeSession(url)).id)
  t.equal(await status(c), 200)
  await refused('again two')
})

t.test('where that needs more than one to go, as many idle ones go', async t => {
  const { url, reload, proxy, ask, alive } = await front(t, { maxChildren: 4 })
  for (let n = 0; n < 4; n++) await pipeSession(url)
  await reload({ a: route({ maxChildren: 2 }) })
  later(t)
  t.ok((await within(pipeSession(url))).id)
  t.equal(proxy.stats.sessions, 2)
  t.equal(alive(), 2)
  t.equal(await ask(1), 200)
  t.ok(alive() <= 2)
})

t.test('a higher limit is there at once, also for who waits already', async t => {
  const { url, reload, alive, end } = await front(t, { maxChildren: 1, env: { LINGER: '5000' } })
  const old = await pipeSession(url)
  await end(old)
  const both = [pipeSession(url), pipeSession(url)]
  await t.rejects(Promise.race(both), /too_many_children/, 'only one can wait for the one that ends')
  await reload({ a: route({ maxChildren: 2 }) })
  t.equal((await Promise.allSettled(both)).filter(one => one.status === 'fulfilled').length, 1)
  t.equal(alive(), 2, 'beside the one that is ending')
})

t.test('a command that becomes a URL and a command again: its children of before count', async t => {
  const { url, reload, refused, end } = await front(t, { maxChildren: 1 })
  const server = await startRawHttp()
  t.teardown(() => server.close())
  const old = await pipeSession(url)
  await reload({ a: to(server) })
  t.equal(await status(old), 200)
  await reload({ a: route({ maxChildren: 1 }) })
  await refused('it lives')
  await end(old)
  t.ok((await pipeSession(url)).id)
})

t.test('so they do for a route that was removed and is there again', async t => {
  const { url, reload, refused, end } = await front(t, { maxChildren: 1 })
  const old = await pipeSession(url)
  await reload({ b: route({ maxChildren: 1 }) })
  t.ok((await pipeSession(url.replace('/a/', '/b/'))).id, 'another route has its own')
  await reload({ a: route({ maxChildren: 1 }), b: route({ maxChildren: 1 }) })
  await refused('it lives')
  await end(old)
  t.ok((await pipeSession(url)).id)
})

t.test('a session of before begins anew within the limit of now', async t => {
  const { url, reload, end } = await front(t, { maxChildren: 2, sessionLoss: 'reinitialize' })
  const [old, other] = [await pipeSession(url), await pipeSession(url)]
  await reload({ a: route({ maxChildren: 1, sessionLoss: 'reinitialize' }) })
  await old.post(rpc(1, 'die'))
  t.match((await old.post(rpc(2, 'ping'))).json(), { id: 2, error: { data: { code: 'too_many_children' } } })
  await end(other)
  t.equal(await status(old, 3), 200)
})

t.test('options that come to nothing change no limit', async t => {
  const { url, reload, proxy, alive } = await front(t, { maxChildren: 2 })
  const other = await startRawHttp()
  t.teardown(() => other.close())
  const taken = { host: '127.0.0.1', port: Number(new URL(other.url).port) }
  const options = { listeners: [...ANYWHERE, taken], routes: { a: route({ maxChildren: 1 }) } }
  await t.rejects(proxy.reload(options), /EADDRINUSE/)
  await pipeSession(url)
  t.ok((await pipeSession(url)).id)
  t.same((await reload({ a: route({ maxChildren: 2 }) })).kept, ['a'])
  t.equal(alive(), 2)
})
