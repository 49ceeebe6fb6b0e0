/** Several doors that share one Redis, in front of a command or a server over HTTP; everything torn down and counted. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Test } from 'tap'
import {
  type ClusterOptions,
  createForward,
  type Forward,
  type ForwardOptions,
  type Interceptor,
  type Message,
  type SharedStoreOptions
} from '../../src/index.ts'
import { freePort, type RedisServer, startRedis } from '../fixtures/servers/redis.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { type RawResponse, rawRequest } from '../helpers/raw-client.ts'
import { legacyHeaders } from '../helpers/rpc.ts'
import { fixtureArgv, type StdioFixture } from '../helpers/stdio-peer.ts'
import { startWire, type Wire } from '../helpers/tcp-wire.ts'
import { Inbox } from '../helpers/wait.ts'
import { LogInbox } from './pipe-door.ts'

export interface Instance {
  readonly door: Forward
  readonly url: string
  readonly log: LogInbox
}

export interface ClusterDoors {
  readonly redis: RedisServer
  readonly instances: readonly Instance[]
  /** One more; `own`: what is different there. */
  open(own?: Partial<ForwardOptions>): Promise<Instance>
}

export const CLUSTER_KEY = 'a key that all instances of these tests have'
export const LEASE = 2_000

export function commandOf(file: StdioFixture, ...args: string[]): ForwardOptions['target'] {
  const [command, ...rest] = fixtureArgv(file, ...args)
  return { command, args: rest }
}

export function storeAt(port: number): SharedStoreOptions {
  return { url: `redis://127.0.0.1:${port}`, keys: [Buffer.alloc(32, 7)], lease: LEASE }
}

export async function wireTo(t: Test, port: number): Promise<Wire> {
  const wire = await startWire(port)
  t.teardown(() => wire.close())
  return wire
}

/** For an instance that others reach through a wire alone. */
export async function wiredCluster(t: Test): Promise<{ readonly wire: Wire; readonly cluster: ClusterOptions }> {
  const port = await freePort()
  const wire = await wireTo(t, port)
  return { wire, cluster: { listen: { port }, address: `127.0.0.1:${wire.port}`, keys: [CLUSTER_KEY] } }
}

/** A command that says `starting` on stderr, and that starts no sooner than `goOn` says; at first it starts at once. */
export async function slowCommand(t: Test, file: StdioFixture) {
  const folder = await mkdtemp(path.join(tmpdir(), 'catflap-slow-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const sign = path.join(folder, 'wait')
  const script = 'echo starting >&2; while [ -e "$0" ]; do sleep 0.05; done; exec "$@"'
  const target: ForwardOptions['target'] = { command: 'sh', args: ['-c', script, sign, ...fixtureArgv(file)] }
  return { target, hold: () => writeFile(sign, ''), goOn: () => rm(sign) }
}

/** A hook that keeps the next message of a client after `shut`, until `open`. */
export function gate() {
  const held = new Inbox<Message>('messages that the hook keeps')
  let opened: Promise<void> | undefined
  let open = (): void => {}
  const hook: Interceptor = {
    name: 'gate',
    async message(_place, message, direction) {
      const until = direction === 'up' ? opened : undefined
      if (until) {
        opened = undefined
        held.push(message)
        await until
      }
      return message
    }
  }
  const shut = (): void => {
    opened = new Promise(resolve => (open = resolve))
  }
  return { hook, held, shut, open: () => open() }
}

/** A POST that may take its time. */
export function ask({ url }: Instance, id: string, body: object): Promise<RawResponse> {
  return rawRequest(url, { headers: legacyHeaders(id), body, timeoutMs: 40_000 })
}

export function starts({ log }: Instance): number {
  return log.of('stderr').filter(line => line.text.startsWith('starting')).length
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
  const open = async (own: Partial<ForwardOptions> = {}): Promise<Instance> => {
    const log = new LogInbox(`lines of the log of instance ${instances.length}`)
    const door = await createForward({
      target,
      log,
      sharedStore: storeAt(redis.port),
      cluster: { listen: {}, keys: [CLUSTER_KEY] },
      ...options,
      ...own,
      settings: { killAfter: 500, ...options.settings, ...own.settings }
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
