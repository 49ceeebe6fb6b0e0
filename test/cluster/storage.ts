/** The Redis of a stage, with what can become of it. */
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { type RedisServer, startRedis } from '../fixtures/servers/redis.ts'
import { type SentinelGroup, startSentinels } from '../fixtures/servers/redis-groups.ts'
import { PREFIX } from './settings.ts'

export interface Storage {
  readonly url: string
  pause(): Promise<void>
  resume(): void
  /** With sentinels: the master is stopped until another one has taken its place, and then goes on. */
  failover?(): Promise<void>
  /** How many there are. */
  sessions(): Promise<number>
  /** All that is there. */
  keys(): Promise<string[]>
  close(): Promise<void>
}

const PATIENCE = 20_000

export async function openStorage(kind: 'redis' | 'sentinel'): Promise<Storage> {
  return kind === 'redis' ? single(await startRedis()) : replicated(await startSentinels())
}

function single(server: RedisServer): Storage {
  const keys = (): Promise<string[]> => keysAt(server)
  return {
    url: server.url,
    pause: async () => server.pause(),
    resume: () => server.resume(),
    keys,
    sessions: async () => sessionsAmong(await keys()),
    close: () => server.stop()
  }
}

function replicated(group: SentinelGroup): Storage {
  const [sentinel] = group.servers.slice(2)
  const master = async (): Promise<RedisServer> => {
    const port = await masterPort(sentinel!)
    return group.master.port === port ? group.master : group.replica
  }
  let paused: RedisServer | undefined
  const resume = (): void => {
    paused?.resume()
    paused = undefined
  }
  const pause = async (): Promise<void> => {
    paused = await master()
    paused.pause()
  }
  const keys = async (): Promise<string[]> => keysAt(await master())
  return {
    url: group.url,
    pause,
    resume,
    failover: async () => {
      await pause()
      const deadline = performance.now() + PATIENCE
      while ((await masterPort(sentinel!)) === paused?.port && performance.now() < deadline) await delay(50)
      resume()
    },
    keys,
    sessions: async () => sessionsAmong(await keys()),
    close: () => group.stop()
  }
}

function sessionsAmong(keys: readonly string[]): number {
  return keys.filter(key => key.includes(':s:')).length
}

function keysAt({ port }: RedisServer): Promise<string[]> {
  return asked(port, client => client.keys(`${PREFIX}*`))
}

function masterPort({ port }: RedisServer): Promise<number> {
  return asked(port, async client => {
    const [, found] = (await client.call('SENTINEL', 'get-master-addr-by-name', 'main')) as string[]
    return Number(found)
  })
}

async function asked<T>(port: number, ask: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(port, '127.0.0.1')
  try {
    return await ask(client)
  } finally {
    client.disconnect()
  }
}
