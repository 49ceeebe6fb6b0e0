/** A real server that is killed and started again under real clients. */
import path from 'node:path'
import t, { type Test } from 'tap'
import type { TapeFrame } from '../../src/tape/format.ts'
import { TapeReader } from '../../src/tape/reader.ts'
import { FIXTURE_RESOURCE } from '../fixtures/servers/definition.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { SERVERS, type StdioPeer, spawnPeer } from '../helpers/stdio-peer.ts'
import { callTool, client, type DoorOptions, openDoor } from './http-door.ts'

interface ServerProcess {
  readonly port: number
  /** Requests (`POST {…}`) that it has seen. */
  readonly seen: () => string[]
  readonly peer: StdioPeer
  kill9(): Promise<void>
}

async function startServer(t: Test, ...args: string[]): Promise<ServerProcess> {
  const peer = spawnPeer([process.execPath, '--no-warnings', `${SERVERS}http-process.ts`, ...args])
  t.teardown(() => peer.close())
  // All of the SDK is loaded first, which takes its time on a busy machine.
  const line = await peer.stdout.next({ timeoutMs: 60_000 })
  return {
    port: Number(line.split(' ')[1]),
    peer,
    seen: () => peer.stderr.items.filter(l => l.startsWith('request ')).map(l => l.slice(8)),
    async kill9() {
      peer.proc.kill('SIGKILL')
      await peer.exit
    }
  }
}

/** The same place, another process. */
const restart = async (t: Test, old: ServerProcess, ...args: string[]): Promise<ServerProcess> => {
  await old.kill9()
  return startServer(t, '--port', String(old.port), ...args)
}

const RECONNECT = {
  maxReconnectionDelay: 200,
  initialReconnectionDelay: 50,
  reconnectionDelayGrowFactor: 1,
  maxRetries: 1_000
}

async function restartable(t: Test, options?: DoorOptions) {
  trackLeaks(t)
  const server = await startServer(t)
  const door = await openDoor(t, `http://127.0.0.1:${server.port}/mcp`, options)
  return { server, door, connect: () => client(t, door.url, { reconnection: RECONNECT }) }
}

t.test('clients go on calling: one initialize each, every call carried out once, lists may have changed', async t => {
  const { server, door, connect } = await restartable(t)
  const [a, b] = [await connect(), await connect()]
  await a.listening()
  await a.client.setLoggingLevel('error')
  await a.client.subscribeResource({ uri: FIXTURE_RESOURCE })
  t.equal(await callTool(a, 'count'), '1')
  const next = await restart(t, server)
  const counts = await Promise.all([a, a, a, a, a, a, a, a, b, b, b, b].map(c => callTool(c, 'count')))
  t.same(
    counts.map(Number).toSorted((x, y) => x - y),
    counts.map((_, i) => i + 1)
  )
  await a.until('notifications/tools/list_changed')
  await a.until('notifications/prompts/list_changed')
  await a.until('notifications/resources/list_changed')
  t.equal(await callTool(a, 'touch', { uri: FIXTURE_RESOURCE }), `touched ${FIXTURE_RESOURCE}`)
  await a.until('notifications/resources/updated')
  await callTool(a, 'log', { level: 'info' })
  await callTool(a, 'log', { level: 'error' })
  await a.until('notifications/message')
  const logs = a.notifications.items.filter(n => n.method === 'notifications/message')
  t.same(
    logs.map(n => n.params?.level),
    ['error']
  )
  const said = (what: string): number => next.seen().filter(line => line.includes(what)).length
  t.equal(said('"initialize"'), 2)
  t.equal(said('"notifications/initialized"'), 2)
  t.equal(said('"logging/setLevel"'), 1)
  t.equal(door.stats.sessions, 2)
  for (const list of ['tools', 'prompts', 'resources'])
    t.equal(a.notifications.items.filter(n => n.method === `notifications/${list}/list_changed`).length, 1, list)
})

t.test('what was under way when the server died has failed, and is not sent again', async t => {
  const { server, connect } = await restartable(t)
  const c = await connect()
  const held = callTool(c, 'slow')
  await server.peer.untilStderr(/fixture slow.started/)
  const failed = t.rejects(held, /502|reset|broke/i)
  const next = await restart(t, server)
  await failed
  t.equal(await callTool(c, 'count'), '1')
  t.notOk(next.seen().some(line => line.includes('"slow"')))
})

for (const [what, args] of [
  ['is another version', ['--version', '2.0.0']],
  ['offers less', ['--no-logging']]
] as const) {
  t.test(`a server that ${what} after its restart: the client gets 404 and begins anew`, async t => {
    const { server, door, connect } = await restartable(t)
    const c = await connect()
    await restart(t, server, ...args)
    await t.rejects(callTool(c, 'count'), /404|not found/i)
    t.equal(door.stats.sessions, 0)
    t.equal(await callTool(await connect(), 'count'), '1')
  })
}

t.test('the tape shows it on the side of the server, and the client nothing but its answer', async t => {
  const tape = path.join(t.testdir(), 'a.tape.jsonl')
  const { server, door, connect } = await restartable(t, { record: { path: tape } })
  const c = await connect()
  await c.listening()
  await restart(t, server)
  await callTool(c, 'echo', { a: 1 })
  await c.close()
  await door.close()
  const frames: TapeFrame[] = []
  for await (const frame of await TapeReader.open(tape)) frames.push(frame)
  const lost = frames.findIndex(f => f.note === 'session-lost')
  const kept = frames.findIndex(f => f.note === 'session-reinitialized')
  t.ok(lost > 0 && kept > lost)
  const between = frames.slice(0, kept).filter(f => f.side === 'server')
  t.ok(
    between.some(f => f.kind === 'head' && f.http?.status === 404),
    'the 404'
  )
  t.ok(
    between.some(f => f.dir === 'up' && f.own && f.text?.includes('"initialize"')),
    'the initialize'
  )
  t.ok(between.some(f => f.dir === 'up' && f.text?.includes('notifications/initialized')))
  t.ok(
    frames.slice(kept).some(f => f.side === 'server' && f.kind === 'open' && f.http?.method === 'POST'),
    'once more'
  )
  t.notOk(frames.some(f => f.side === 'client' && f.http?.status === 404))
  t.equal(frames.filter(f => f.side === 'client' && f.dir === 'up' && f.text?.includes('"echo"')).length, 1)
})
