/** Several doors that share one Redis, in front of a command or a server over HTTP; everything torn down and counted. */
import type { Test } from 'tap'
import { createForward, type Forward, type ForwardOptions } from '../../src/index.ts'
import { type RedisServer, startRedis } from '../fixtures/servers/redis.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { fixtureArgv, type StdioFixture } from '../helpers/stdio-peer.ts'
import { LogInbox } from './pipe-door.ts'

export interface Instance {
  readonly door: Forward
  readonly url: string
  readonly log: LogInbox
}

export interface ClusterDoors {
  readonly redis: RedisServer
  readonly instances: readonly Instance[]
  /** One more. */
  open(): Promise<Instance>
}

const CLUSTER_KEY = 'a key that all instances of these tests have'
export const LEASE = 2_000

export function commandOf(file: StdioFixture, ...args: string[]): ForwardOptions['target'] {
  const [command, ...rest] = fixtureArgv(file, ...args)
  return { command, args: rest }
}

export async function clusterDoors(
  t: Test,
  target: ForwardOptions['target'],
  { instances: wanted = 2, ...options }: Partial<ForwardOptions> & { readonly instances?: number } = {}
): Promise<ClusterDoors> {
  trackLeaks(t)
  const redis = await startRedis()
  t.teardown(() => redis.stop())
  const instances: Instance[] = []
  const open = async (): Promise<Instance> => {
    const log = new LogInbox(`lines of the log of instance ${instances.length}`)
    const door = await createForward({
      target,
      log,
      sharedStore: { url: redis.url, keys: [Buffer.alloc(32, 7)], lease: LEASE },
      cluster: { listen: {}, keys: [CLUSTER_KEY] },
      ...options,
      settings: { killAfter: 500, ...options.settings }
    })
    t.teardown(() => closed(door))
    const instance = { door, url: door.url!, log }
    instances.push(instance)
    return instance
  }
  for (let n = 0; n < wanted; n++) await open()
  return { redis, instances, open }
}

async function closed(door: Forward): Promise<void> {
  await door.close({ drainTimeout: 0 })
  const { sessions, exchanges, streams, connections } = door.stats
  if (sessions + exchanges + streams + connections > 0) throw new Error(`left: ${JSON.stringify(door.stats)}`)
}
