/** `catflap tape show` over a large tape: a process that reads, and ends. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Built } from './build.ts'
import { type PeerKind, urlOf } from './peer.ts'
import { owned, plainEnvironment } from './process.ts'

/** How often its memory is looked at, in ms: what the system remembers of it grows only. */
const LOOK = 20

/** The target is the URL of a tape. */
export function showing(
  built: Built,
  profiler: readonly string[],
  name: string,
  says: string,
  method: string
): PeerKind {
  return {
    name,
    says: `\`catflap tape show --method ${method}\`, ${says}, into a pipe that counts lines`,
    fronts: ['http'],
    only: [],
    start: async target => {
      const file = fileURLToPath(urlOf(target))
      const startedAt = performance.now()
      const child = spawn(process.execPath, [...profiler, built.command, 'tape', 'show', '--method', method, file], {
        stdio: ['ignore', 'pipe', 'inherit'],
        detached: true,
        env: plainEnvironment()
      })
      owned(child)
      let lines = 0
      child.stdout.on('data', (bytes: Buffer) => {
        for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) lines++
      })
      const ended = once(child, 'close')
      const watched = new AbortController()
      const peak = peakOf(child.pid!, watched.signal)
      const [code] = await ended
      const startedIn = performance.now() - startedAt
      watched.abort()
      if (code !== 0) throw new Error(`tape show ended with ${code}`)
      const rss = await peak
      return { url: '', startedIn, lines, cpu: () => undefined, rss: () => rss, stop: async () => {} }
    }
  }
}

/** The most memory that it ever had, in bytes; undefined where the platform does not say. */
async function peakOf(pid: number, signal: AbortSignal): Promise<number | undefined> {
  let peak: number | undefined
  while (!signal.aborted) {
    peak = highWaterOf(pid) ?? peak
    await pause(LOOK, undefined, { signal }).catch(() => {})
  }
  return peak
}

function highWaterOf(pid: number): number | undefined {
  try {
    const kb = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    return kb === undefined ? undefined : Number(kb) * 1024
  } catch {
    // It has ended, or this is no Linux.
    return undefined
  }
}
