/** catflap in its default configuration, and with what each scenario adds to it. */
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { type Built, stripped } from './build.ts'
import type { Peer, PeerKind, Target } from './peer.ts'
import { freePort, startListening } from './process.ts'

export interface CatflapOptions {
  /** The peer's name. */
  readonly name?: string
  readonly says?: string
  /** V8 CPU profiles are left there. */
  readonly profile?: string
}

export function catflap(built: Built, { name = 'catflap', says, profile }: CatflapOptions = {}): PeerKind {
  return {
    name,
    says: says ?? 'this tree, compiled as it is published, default configuration',
    fronts: ['http', 'stdio'],
    start: target => forward(built, target, [], profile)
  }
}

export function recording(built: Built): PeerKind {
  return {
    name: 'catflap-recording',
    says: 'the same with `--record FILE` (what is full makes traffic wait, nothing is dropped)',
    fronts: ['http', 'stdio'],
    start: async (target, folder) => {
      await mkdir(folder, { recursive: true })
      const tape = path.join(folder, 'bench.tape.jsonl')
      return { ...(await forward(built, target, ['--record', tape, '--record-overflow', 'block'])), tape }
    }
  }
}

export function withMetrics(built: Built): PeerKind {
  return {
    name: 'catflap-metrics',
    says: 'the same with `--metrics`, scraped once a second',
    fronts: ['http', 'stdio'],
    unable: async () => (built.metrics ? undefined : 'this catflap has no --metrics'),
    start: async target => {
      const port = await freePort()
      const peer = await forward(built, target, ['--metrics', `127.0.0.1:${port}`])
      return { ...peer, metrics: `http://127.0.0.1:${port}/metrics` }
    }
  }
}

/** From a program of one's own: `hooks` says how many interceptors it has, and which hooks these implement. */
export function asLibrary(built: Built, name: string, says: string, interceptors: number, hooks: string): PeerKind {
  return {
    name,
    says,
    fronts: ['http', 'stdio'],
    start: async target => {
      const program = await stripped('library', built.folder)
      const options = [String(interceptors), hooks, JSON.stringify(targetOptions(target))]
      return startListening(port => [process.execPath, program, built.library, String(port), ...options])
    }
  }
}

function targetOptions(target: Target): object {
  if ('url' in target) return target
  const [command, ...args] = target.command
  return { command, args }
}

function forward(built: Built, target: Target, options: readonly string[], profile?: string): Promise<Peer> {
  const profiler = profile === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', profile]
  const to = 'url' in target ? [target.url] : ['--', ...target.command]
  return startListening(port => [
    ...([process.execPath, ...profiler, built.command] as const),
    ...['forward', '--listen', `127.0.0.1:${port}`, ...options, ...to]
  ])
}
