/** catflap as a library, with its sessions in a Redis of its own: alone, and with a second instance beside it. */
import { mkdir } from 'node:fs/promises'
import { Redis } from 'ioredis'
import { type Built, stripped } from './build.ts'
import type { Peer, PeerKind, Target } from './peer.ts'
import { type Argv, missingPrograms, type Running, requiredProgram, startListening } from './process.ts'

/** Of those whose owner is killed, in ms. */
const LEASE = 2_000

export function shared(built: Built, profiler: (name: string) => readonly string[]): PeerKind[] {
  const missing = async (): Promise<string | undefined> =>
    missingPrograms(['redis-server']).length > 0 ? 'not installed; on Debian: apt-get install redis-server' : undefined
  return [
    {
      name: 'library-redis',
      says: 'catflap as a library, its sessions in Redis, sealed, with the ways to other instances open',
      fronts: ['http', 'stdio'],
      only: [],
      unable: missing,
      start: (target, folder) => start(built, profiler('library-redis'), { target, folder, instances: 1 })
    },
    {
      name: 'library-redis-two',
      says: 'two of these with one Redis',
      fronts: ['http', 'stdio'],
      only: [],
      unable: missing,
      start: (target, folder) => start(built, profiler('library-redis-two'), { target, folder, instances: 2 })
    }
  ]
}

interface How {
  readonly target: Target
  readonly folder: string
  readonly instances: number
}

/** The first is the peer; the others stand beside it. */
async function start(built: Built, profiler: readonly string[], { target, folder, instances }: How): Promise<Peer> {
  await mkdir(folder, { recursive: true })
  const program = await stripped('shared', built.folder)
  const running: Running[] = []
  const stop = async (): Promise<void> => {
    for (const one of running.toReversed()) await one.stop()
  }
  try {
    const redis = await startListening(port => redisArgv(port, folder))
    running.push(redis)
    const { port: redisPort } = new URL(redis.url)
    const options = [`redis://127.0.0.1:${redisPort}`, String(LEASE), JSON.stringify(targetOptions(target))]
    for (let i = 0; i < instances; i++) {
      const argv = (port: number): Argv => [
        process.execPath,
        ...profiler,
        program,
        built.library,
        String(port),
        ...options
      ]
      running.push(await startListening(argv))
    }
    const [, own, ...others] = running
    return { ...own!, stop, shared: sharedWith(others, Number(redisPort)) }
  } catch (error) {
    await stop()
    throw error
  }
}

function redisArgv(port: number, folder: string): Argv {
  const settings = { port, bind: '127.0.0.1', dir: folder, save: '', appendonly: 'no' }
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)])
  return [requiredProgram('redis-server'), ...args]
}

function targetOptions(target: Target): object {
  if ('url' in target) return target
  const [command, ...args] = target.command
  return { command, args }
}

function sharedWith(others: readonly Running[], port: number): Peer['shared'] {
  const used = (): Promise<number> => told(port, 'memory', /^used_memory_dataset:(\d+)/m)
  // A script counts as one, and so does each command in it.
  const commands = (): Promise<number> => told(port, 'commandstats', /^cmdstat_evalsha:calls=(\d+)/m)
  return { others, lease: LEASE, used, commands }
}

/** By its own account. */
async function told(port: number, section: string, what: RegExp): Promise<number> {
  const client = new Redis(port, '127.0.0.1')
  try {
    return Number(what.exec(await client.info(section))?.[1] ?? 0)
  } finally {
    client.disconnect()
  }
}
