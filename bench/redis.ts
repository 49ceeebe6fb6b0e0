/**
 * What the session store costs Redis: its processor time for each operation, by its own account, and for a change that several instances hear of.
 * Processor time hardly depends on what else the machine does; how many operations a second one Redis can do at most follows from it.
 *
 *   node bench/redis.ts [SESSIONS]
 */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Redis } from 'ioredis'
import { SILENT } from '../src/log.ts'
import { redisAddress } from '../src/session/redis/address.ts'
import { RedisBackend } from '../src/session/redis/backend.ts'
import { openRedis } from '../src/session/redis/client.ts'
import { RedisMembership } from '../src/session/redis/membership.ts'
import { Seal } from '../src/session/redis/seal.ts'
import { RedisSessionStore } from '../src/session/redis/store.ts'
import { startListening } from './peers/process.ts'

const AT_ONCE = 64
const LISTENERS = [0, 10, 50]
const INITIALIZE =
  '{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"sampling":{},"elicitation":{"form":{},"url":{}},"roots":{"listChanged":true}},"clientInfo":{"name":"an-editor-of-today","title":"An editor of today","version":"1.107.2"}}}'

const count = Number(process.argv[2] ?? 10_000)
const folder = mkdtempSync(path.join(tmpdir(), 'catflap-bench-redis-'))
const redis = await startListening(port => [
  'redis-server',
  '--port',
  String(port),
  '--bind',
  '127.0.0.1',
  '--save',
  '',
  '--dir',
  folder
])
const port = Number(new URL(redis.url).port)
const admin = new Redis(port, '127.0.0.1')
try {
  await measure()
} finally {
  admin.disconnect()
  await redis.stop()
  rmSync(folder, { recursive: true, force: true })
}

async function measure(): Promise<void> {
  const backend = new RedisBackend({
    client: openRedis(redisAddress(`redis://127.0.0.1:${port}`), { timeout: 30_000, connectTimeout: 10_000 }),
    label: 'redis',
    seal: new Seal([randomBytes(32)]),
    timeout: 30_000
  })
  const store = new RedisSessionStore({ backend, name: 'bench', maxSessions: 10 * count, cacheFor: 0, touchEvery: 0 })
  const ids = Array.from({ length: count }, () => randomBytes(24).toString('base64url'))
  const before = await used()
  await costs('create', ids, id => store.create(newSession(id)))
  process.stdout.write(`bytes a session: ${Math.round(((await used()) - before) / count)}\n`)
  await costs('count', ids.slice(0, 1_000), () => store.count())
  await costs('look for expired', ids.slice(0, 200), () => store.expired(100), 1)
  await costs('get', ids, id => store.get(id))
  await costs('touch', ids, id => store.touch(id))
  await costs('mark', ids, id => store.mark(id, 'asked 1 7'))
  await costs('marked', ids, id => store.marked(id, 'asked 1 7'))
  const membership = new RedisMembership({ backend, lease: 3_600_000, log: SILENT })
  await membership.start()
  await costs('lease renewal', ids, () => membership.confirm(), 1)
  await costs('find', ids, () => membership.find(membership.id, true))
  let version = 0
  for (const listeners of LISTENERS) {
    const hearers = Array.from({ length: listeners }, () => new Redis(port, '127.0.0.1'))
    for (const hearer of hearers) await hearer.subscribe('catflap:1:bench:changes')
    version++
    await costs(`update, heard by ${listeners + 1}`, ids, id =>
      store.update(id, version, { facts: { logLevel: 'info' } })
    )
    for (const hearer of hearers) hearer.disconnect()
  }
  await costs('delete', ids, id => store.delete(id))
  await membership.close()
  await store.close()
  backend.close()
}

async function costs(
  what: string,
  ids: readonly string[],
  use: (id: string) => unknown,
  atOnce = AT_ONCE
): Promise<void> {
  const [cpu, from] = [await processorTime(), performance.now()]
  const left = [...ids]
  const worker = async (): Promise<void> => {
    for (let id = left.pop(); id !== undefined; id = left.pop()) await use(id)
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  const seconds = (performance.now() - from) / 1_000
  const each = ((await processorTime()) - cpu) / ids.length
  const most = Math.round(1 / each).toLocaleString('en')
  const rate = Math.round(ids.length / seconds).toLocaleString('en')
  process.stdout.write(
    `${what.padEnd(22)} ${(each * 1e6).toFixed(1).padStart(7)} µs of Redis, ${most.padStart(8)}/s of a core; seen here ${rate}/s\n`
  )
}

/** Of Redis, in seconds. */
async function processorTime(): Promise<number> {
  const told = await admin.info('cpu')
  const of = (name: string): number => Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(told)![1])
  return of('used_cpu_user') + of('used_cpu_sys')
}

async function used(): Promise<number> {
  return Number(/^used_memory_dataset:(\d+)/m.exec(await admin.info('memory'))![1])
}

function newSession(id: string): Parameters<RedisSessionStore['create']>[0] {
  return {
    id,
    handle: 's-00000000',
    principal: 'anonymous',
    protocolVersion: '2025-11-25',
    legs: { everything: { upstreamId: randomBytes(24).toString('base64url'), initialize: INITIALIZE, epoch: 1 } },
    facts: { server: 'example-servers/everything 2.0.0', logLevel: 'warning' }
  }
}
