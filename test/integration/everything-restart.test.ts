/** The reference server, which answers 400 with an id of before: it is killed and started again under real clients. */
import { createServer } from 'node:net'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { connectSse, connectStdio } from '../helpers/clients.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { rawPost } from '../helpers/raw-client.ts'
import { legacyHeaders, rpc } from '../helpers/rpc.ts'
import { type StdioPeer, spawnPeer } from '../helpers/stdio-peer.ts'
import { callTool, client, type DoorOptions, openDoor } from './http-door.ts'
import { catflapArgs } from './pipe-door.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const EVERYTHING = path.join(ROOT, 'node_modules/@modelcontextprotocol/server-everything/dist/index.js')
/** All of the SDK is loaded first, which takes its time on a busy machine. */
const START = { timeoutMs: 60_000 }
const RECONNECT = {
  maxReconnectionDelay: 200,
  initialReconnectionDelay: 50,
  reconnectionDelayGrowFactor: 1,
  maxRetries: 1_000
}
const LOST = { message: /no longer knows the session/ }

interface Everything {
  readonly port: number
  readonly peer: StdioPeer
}

/** It does not say which port it was given, so that it has to be told one. */
async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => probe.once('listening', resolve))
  const { port } = probe.address() as { port: number }
  await new Promise(resolve => probe.close(resolve))
  return port
}

async function startAt(t: Test, port: number): Promise<Everything> {
  const peer = spawnPeer([process.execPath, EVERYTHING, 'streamableHttp'], { env: { PORT: String(port) } })
  t.teardown(() => peer.close(0))
  await peer.untilStderr(/listening on port/, START)
  return { port, peer }
}

async function start(t: Test): Promise<Everything> {
  for (let tries = 5; ; tries--) {
    try {
      return await startAt(t, await freePort())
    } catch (error) {
      // Somebody else may have got the port meanwhile.
      if (tries === 0) throw error
    }
  }
}

async function restart(t: Test, { peer, port }: Everything): Promise<Everything> {
  peer.proc.kill('SIGKILL')
  await peer.exit
  return startAt(t, port)
}

const urlOf = ({ port }: Everything): string => `http://127.0.0.1:${port}/mcp`

async function restartable(t: Test, options?: DoorOptions) {
  trackLeaks(t)
  const server = await start(t)
  return { server, door: await openDoor(t, urlOf(server), options) }
}

t.test('it says it with 400', async t => {
  trackLeaks(t)
  const server = await start(t)
  const refused = await rawPost(urlOf(server), rpc(1, 'ping'), legacyHeaders('of-before'))
  t.match([refused.status, refused.json()], [400, { error: { code: -32_000, message: /session/ } }])
})

t.test('clients go on calling, and notice nothing', async t => {
  const { server, door } = await restartable(t)
  // Without roots: the server would ask for them, and be dead by the time of the answer.
  const connect = () => client(t, door.url, { reconnection: RECONNECT, handlers: {} })
  const clients = [await connect(), await connect()]
  for (const c of clients) await c.listening()
  const ids = clients.map(c => c.transport.sessionId)
  const before = clients.map(c => c.http.items.length)
  let running = server
  for (const round of [1, 2]) {
    running = await restart(t, running)
    const calls = clients.flatMap(c => [1, 2, 3].map(n => callTool(c, 'echo', { message: `${round}.${n}` })))
    t.same(
      await Promise.all(calls),
      clients.flatMap(() => [1, 2, 3].map(n => `Echo: ${round}.${n}`))
    )
  }
  for (const [i, c] of clients.entries()) {
    const posts = c.http.items.slice(before[i]).filter(fact => fact.method === 'POST')
    t.ok(posts.every(fact => fact.status === 200 || fact.status === 202))
    t.equal(posts.filter(fact => fact.body?.includes('"initialize"')).length, 0)
    await c.http.until(fact => fact.method === 'GET' && c.http.items.indexOf(fact) >= before[i]! && fact.status === 200)
  }
  t.same(
    clients.map(c => c.transport.sessionId),
    ids
  )
  t.equal(door.stats.sessions, 2)
})

t.test('propagate: the client gets 404, and a new one is served', async t => {
  const { server, door } = await restartable(t, { sessionLoss: 'propagate' })
  const c = await client(t, door.url, { reconnection: RECONNECT })
  await restart(t, server)
  await t.rejects(callTool(c, 'echo', { message: 'a' }), /404|not found|session/i)
  t.equal(c.http.items.findLast(fact => fact.method === 'POST')?.status, 404)
  t.equal(door.stats.sessions, 0)
  t.equal(await callTool(await client(t, door.url), 'echo', { message: 'b' }), 'Echo: b')
})

t.test('a client on stdio is told to start anew', async t => {
  trackLeaks(t)
  const server = await start(t)
  const args = [...catflapArgs(['--no-tail'], []).filter(arg => arg !== '--'), urlOf(server)]
  const c = await connectStdio({ args })
  t.teardown(() => c.close())
  t.equal(await callTool(c, 'echo', { message: 'a' }), 'Echo: a')
  await restart(t, server)
  await t.rejects(callTool(c, 'echo', { message: 'b' }), LOST)
})

t.test('so is one on HTTP+SSE', async t => {
  const { server, door } = await restartable(t)
  const c = await connectSse(door.url.replace(/mcp$/, 'sse'))
  t.teardown(() => c.close())
  t.equal(await callTool(c, 'echo', { message: 'a' }), 'Echo: a')
  await restart(t, server)
  await t.rejects(callTool(c, 'echo', { message: 'b' }), LOST)
})
