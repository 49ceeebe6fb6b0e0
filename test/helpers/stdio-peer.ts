/** A child process spoken to by lines, without an MCP client. */
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { watchProcess } from './leaks.ts'
import { Inbox, type WaitOptions, within } from './wait.ts'

export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface PeerOptions {
  /** Added to this process's own environment. */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
}

export interface StdioPeer {
  readonly proc: ChildProcessWithoutNullStreams
  readonly pid: number
  /** Lines of stdout and stderr, without their LF, in order. */
  readonly stdout: Inbox<string>
  readonly stderr: Inbox<string>
  /** Writes text as it is; an object goes as one line of JSON. */
  send(message: string | object): void
  /** The next line of stdout, parsed. */
  nextMessage(options?: WaitOptions): Promise<Record<string, unknown>>
  /** The first stderr line that matches. */
  untilStderr(pattern: RegExp, options?: WaitOptions): Promise<string>
  /** How the process ended (its pipes closed too). */
  readonly exit: Promise<Exit>
  /** Ends stdin, then SIGTERM, then SIGKILL, each after `graceMs` (default 2000). */
  close(graceMs?: number): Promise<Exit>
}

export const SERVERS = fileURLToPath(new URL('../fixtures/servers/', import.meta.url))

export type StdioFixture = 'raw-stdio.ts' | 'stdio-server.ts' | 'puppet-stdio.ts' | 'keeping-stdio.ts'

/** The argv of a TypeScript fixture in test/fixtures/servers. */
export function fixtureArgv(file: StdioFixture, ...args: string[]): [string, ...string[]] {
  return [process.execPath, '--no-warnings', `${SERVERS}${file}`, ...args]
}

export function spawnPeer([command, ...args]: readonly [string, ...string[]], options: PeerOptions = {}): StdioPeer {
  const proc = spawn(command, args, { cwd: options.cwd, env: { ...process.env, ...options.env } })
  const stdout = new Inbox<string>(`lines on stdout of ${args.join(' ')}`)
  const stderr = new Inbox<string>(`lines on stderr of ${args.join(' ')}`)
  readLines(proc.stdout, stdout)
  readLines(proc.stderr, stderr)
  proc.stdin.on('error', () => {}) // EPIPE: the exit tells more
  const exit = new Promise<Exit>((resolve, reject) => {
    proc.once('error', error => {
      stdout.end(error.message)
      stderr.end(error.message)
      reject(error)
    })
    proc.once('close', (code, signal) => {
      stdout.end(`exit ${code ?? signal}`)
      stderr.end(`exit ${code ?? signal}`)
      resolve({ code, signal })
    })
  })
  exit.catch(() => {})
  if (proc.pid !== undefined) watchProcess(proc.pid)
  return {
    proc,
    pid: proc.pid ?? -1,
    stdout,
    stderr,
    send: message => void proc.stdin.write(typeof message === 'string' ? message : `${JSON.stringify(message)}\n`),
    nextMessage: async wait => JSON.parse(await stdout.next(wait)) as Record<string, unknown>,
    untilStderr: (pattern, wait) => stderr.until(line => pattern.test(line), wait),
    exit,
    async close(graceMs = 2_000) {
      proc.stdin.end()
      for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
        const ended = await within(exit, { timeoutMs: graceMs }).catch(() => undefined)
        if (ended !== undefined) return ended
        proc.kill(signal)
      }
      return exit
    }
  }
}

/** Splits at LF only: node:readline splits at U+2028 too, which JSON text may hold. */
export function readLines(stream: NodeJS.ReadableStream, lines: Inbox<string>): void {
  let pending = ''
  stream.setEncoding('utf8')
  stream.on('data', (chunk: string) => {
    const parts = (pending + chunk).split('\n')
    pending = parts.pop() ?? ''
    for (const part of parts) lines.push(part)
  })
  stream.once('end', () => pending !== '' && lines.push(pending))
}
