/** Processes under load: each is started, waited for, measured and ended by its own id. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

export interface Peer {
  readonly url: string
  /** Processor time it has used so far, in ms; undefined where the platform does not say. */
  cpu(): number | undefined
  /** SIGTERM, and SIGKILL after 10 s. */
  stop(): Promise<void>
}

export interface StartOptions {
  /** Where it will listen, if that is known: it is asked until it answers. Otherwise it says so on stderr, as catflap does. */
  readonly url?: string
  readonly env?: Readonly<Record<string, string>>
  /** `children`: the work is done by its child processes (nginx). */
  readonly measure?: 'self' | 'children'
}

const START_TIMEOUT = 20_000
const STOP_TIMEOUT = 10_000

/** Fails with everything the process printed when it does not come up. */
export async function startProcess(argv: readonly [string, ...string[]], options: StartOptions = {}): Promise<Peer> {
  const [command, ...args] = argv
  const proc = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...options.env } })
  const ended = new Promise<string>(resolve => {
    proc.once('error', error => resolve(error.message))
    proc.once('close', (code, signal) => resolve(`it ended with ${code ?? signal}`))
  })
  let printed = ''
  const said = new Promise<string>(resolve => {
    proc.stderr?.setEncoding('utf8').on('data', (text: string) => {
      if (printed.length < 10_000) printed += text
      const line = /^\{"event":"listening".*\}$/m.exec(printed)
      if (line) resolve((JSON.parse(line[0]) as { url: string }).url)
    })
  })
  const stop = (): Promise<void> => end(proc, ended)
  const { signal, abort } = deadline(START_TIMEOUT)
  const up = options.url === undefined ? said : answers(options.url, signal)
  const late = new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  try {
    const url = await Promise.race([up, late, ended.then(why => Promise.reject(new Error(why)))])
    return { url, stop, cpu: () => cpuOf(proc.pid!, options.measure ?? 'self') }
  } catch (error) {
    await stop()
    throw new Error(`${argv.join(' ')} did not start\n${printed}`, { cause: error })
  } finally {
    abort()
  }
}

function deadline(ms: number): { signal: AbortSignal; abort: () => void } {
  const controller = new AbortController()
  const timer = setTimeout(() => controller.abort(new Error(`not up after ${ms} ms`)), ms)
  return {
    signal: controller.signal,
    abort: () => {
      clearTimeout(timer)
      controller.abort()
    }
  }
}

async function answers(url: string, signal: AbortSignal): Promise<string> {
  while (!signal.aborted) {
    const up = await fetch(url, { signal }).then(
      response => response.arrayBuffer(),
      () => undefined
    )
    if (up) return url
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  throw signal.reason
}

async function end(proc: ChildProcess, ended: Promise<unknown>): Promise<void> {
  proc.kill('SIGTERM')
  const timer = setTimeout(() => proc.kill('SIGKILL'), STOP_TIMEOUT)
  await ended
  clearTimeout(timer)
}

/** Where a program is, if it is. Debian keeps nginx in sbin, which is not on the PATH of users. */
export function programPath(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(path.delimiter), '/usr/sbin', '/usr/local/sbin']
  return folders.map(folder => path.join(folder, name)).find(file => existsSync(file))
}

export function missingPrograms(names: readonly string[]): string[] {
  return names.filter(name => programPath(name) === undefined)
}

const TICK_MS = 10 // Linux reports in 1/100 s whatever its own clock does (proc(5), USER_HZ)

function cpuOf(pid: number, of: 'self' | 'children'): number | undefined {
  if (process.platform !== 'linux') return undefined
  const pids = of === 'self' ? [pid] : childrenOf(pid)
  return pids.reduce((sum, p) => sum + ticksOf(p) * TICK_MS, 0)
}

function childrenOf(pid: number): number[] {
  const threads = readdirSync(`/proc/${pid}/task`)
  return threads.flatMap(thread =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number)
  )
}

function ticksOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The name of the program stands in brackets and may hold anything; utime and stime are fields 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return Number(fields[11]) + Number(fields[12])
}
