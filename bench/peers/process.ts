/** Processes under load: each is started, waited for, measured and ended by its own id. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { reasonOf, within } from '../owner.ts'
import { cpuOf, rssOf } from './usage.ts'

export type Argv = readonly [string, ...string[]]

/** Something that listens, seen from outside. */
export interface Running {
  readonly url: string
  /** Undefined where it is not one process, or not ours. */
  readonly pid?: number
  /** From being started to taking connections, in ms. */
  readonly startedIn: number
  /** Processor time so far, in ms; undefined where the platform does not say. */
  cpu(): number | undefined
  /** Resident memory, in bytes; undefined where the platform does not say. */
  rss(): number | undefined
  /** SIGTERM, and SIGKILL after 10 s; then whatever is left of what it started. */
  stop(): Promise<void>
}

/** What whoever runs the benchmark has set for Node is not what is to be measured. */
export function plainEnvironment(): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _, ...env } = process.env
  return env
}

const live = new Set<ChildProcess>()
// Whatever else goes wrong: nothing that was started outlives this process.
process.on('exit', () => {
  for (const child of live) kill(child)
})

/** A process that ends with this one at the latest. It leads a group of its own, so that what it starts can be ended with it. */
export function owned(child: ChildProcess): void {
  live.add(child)
  child.once('close', () => live.delete(child))
}

/** With all it has started, unless these are in groups of their own. */
export function kill({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL')
  } catch {
    // Nobody is left.
  }
}

const START_TIMEOUT = 20_000
const STOP_TIMEOUT = 10_000
const POLL_MS = 1
const ATTEMPTS = 3

/** Starts what `argvFor` says for a free port, and waits until that port takes connections. Fails with what was printed. */
export async function startListening(
  argvFor: (port: number) => Argv | Promise<Argv>,
  env: Readonly<Record<string, string>> = {}
): Promise<Running> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort()
    try {
      return await startOn(port, await argvFor(port), env)
    } catch (error) {
      // Somebody else may have taken the port in between.
      if (attempt === ATTEMPTS || !/EADDRINUSE|Address already in use/i.test(reasonOf(error))) throw error
    }
  }
}

async function startOn(port: number, argv: Argv, env: Readonly<Record<string, string>>): Promise<Running> {
  const startedAt = performance.now()
  const proc = spawn(argv[0], argv.slice(1), {
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
    env: { ...plainEnvironment(), ...env }
  })
  owned(proc)
  const ended = new Promise<string>(resolve => {
    proc.once('error', error => resolve(error.message))
    proc.once('close', (code, signal) => resolve(`it ended with ${code ?? signal}`))
  })
  let printed = ''
  proc.stderr.setEncoding('utf8').on('data', (text: string) => {
    if (printed.length < 10_000) printed += text
  })
  let stopping: Promise<void> | undefined
  const stop = (): Promise<void> => (stopping ??= end(proc, ended))
  const waiting = new AbortController()
  try {
    const died = ended.then(why => Promise.reject(new Error(why)))
    await within(START_TIMEOUT, `port ${port}`, Promise.race([accepting(port, waiting.signal), died]))
    const pid = proc.pid!
    return {
      url: `http://127.0.0.1:${port}/mcp`,
      pid,
      startedIn: performance.now() - startedAt,
      cpu: () => cpuOf(pid),
      rss: () => rssOf(pid),
      stop
    }
  } catch (error) {
    await stop()
    throw new Error(`${argv.join(' ')} did not start (${reasonOf(error)}) ${printed.trim()}`)
  } finally {
    waiting.abort()
  }
}

async function accepting(port: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted && !(await canConnect(port))) await pause(POLL_MS)
}

function canConnect(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1')
    const done = (yes: boolean): void => {
      socket.destroy()
      resolve(yes)
    }
    socket.once('connect', () => done(true)).once('error', () => done(false))
  })
}

async function end(proc: ChildProcess, ended: Promise<unknown>): Promise<void> {
  if (proc.pid === undefined) return
  proc.kill('SIGTERM')
  const timer = setTimeout(() => kill(proc), STOP_TIMEOUT)
  await ended
  clearTimeout(timer)
  kill(proc)
}

/** Below the ports that the system gives to clients, as these come and go by the thousand under load. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = 20_000 + Math.floor(Math.random() * 10_000)
    if (await isFree(port)) return port
  }
  throw new Error('no free port between 20000 and 29999')
}

function isFree(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

/** Where a program is, if it is. Debian keeps servers in sbin, which is not on the PATH of users. */
export function programPath(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(path.delimiter), '/usr/sbin', '/usr/local/sbin']
  return folders.map(folder => path.join(folder, name)).find(file => existsSync(file))
}

/** What takes no part because the machine does not have it; the message says what to do about that. */
export class NotInstalled extends Error {}

export function requiredProgram(name: string, inPackage = name): string {
  const file = programPath(name)
  if (file === undefined) throw new NotInstalled(`${name} is not installed; on Debian: apt-get install ${inPackage}`)
  return file
}

export function missingPrograms(names: readonly string[]): string[] {
  return names.filter(name => programPath(name) === undefined)
}
