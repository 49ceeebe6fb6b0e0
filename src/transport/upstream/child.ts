import type { ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import type { Readable } from 'node:stream'
import spawn from 'cross-spawn'
import { LineWriter } from '../line-writer.ts'
import { LineSplitter, type OversizeLine } from '../lines.ts'
import { guardian } from './guardian.ts'
import { memoryWatch } from './memory-watch.ts'
import { groupGone, killTree, POSIX, signalGroup } from './process-group.ts'

export interface ChildOptions {
  readonly command: string
  readonly args: readonly string[]
  /** The child's whole environment; without it, that of this process. */
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly cwd?: string
  /** Bytes of a line on stdout, without its ending. */
  readonly maxLine: number
  /** Milliseconds from the end of its input to SIGTERM (default 2000), and from there to SIGKILL (default 3000). */
  readonly killGrace?: { readonly stdin?: number; readonly term?: number }
  /** How many of the last lines on stderr are kept (default 50), of at most 2 KiB each. */
  readonly stderrLines?: number
  /** Bytes of resident memory, with all that it starts; one that takes more is killed. Linux only. */
  readonly maxMemory?: number
}

export interface ExitInfo {
  readonly code: number | null
  readonly signal: string | null
  /** The last lines. */
  readonly stderr: readonly string[]
  /** It was killed since it took so many bytes of memory. */
  readonly memory?: number
}

/** After `exit` or `error`, of which exactly one comes, nothing else comes. */
export interface ChildEvents {
  line(line: Buffer): void
  oversize(info: OversizeLine): void
  /** A line, cut after 2 KiB. */
  stderr(line: string): void
  /** The child has exited, and what it had written has been delivered. */
  exit(info: ExitInfo): void
  /** It could not be started; never during the constructor. */
  error(reason: ChildStartError): void
  /** `write` may be used again. */
  drain(): void
}

/** The message names the command but no arguments, which may hold secrets; neither is the system's error kept, which has them. */
export class ChildStartError extends Error {
  readonly command: string
  /** `ENOENT`, `EACCES` … */
  readonly systemCode: string

  constructor(error: unknown, { command, cwd }: ChildOptions) {
    const systemCode = (error as { code?: string } | undefined)?.code ?? 'unknown error'
    super(`${startFailure(systemCode, command, cwd)} (${systemCode})`)
    this.name = 'ChildStartError'
    this.command = command
    this.systemCode = systemCode
  }
}

const STDERR_LINE = 2048
/** How long outputs may stay open after the exit: some process that inherited them can hold them for ever. */
const DRAIN_MS = 1000
/** How long to wait for what got SIGKILL. Only a process stuck in the kernel takes that long. */
const KILLED_MS = 5000

/**
 * One child process on stdio, in a process group of its own that ends with it. Whatever happens (its own exit, `close`,
 * `kill`, the end of this process) no member of the group outlives it; who left the group on purpose (`setsid`) does.
 */
export class Child {
  readonly pid: number | undefined
  readonly #options: ChildOptions
  readonly #events: ChildEvents
  readonly #process: ChildProcess | undefined
  #writer: LineWriter | undefined
  readonly #stderr: string[] = []
  /** The child itself has exited or never was. */
  readonly #exited = Promise.withResolvers<void>()
  /** The owner got `exit` or `error`. */
  readonly #told = Promise.withResolvers<void>()
  #status: { readonly code: number | null; readonly signal: string | null } | undefined
  #openOutputs = 0
  #drainTimer: NodeJS.Timeout | undefined
  #paused = false
  #isTold = false
  /** The group is gone: its number may belong to others by now. */
  #gone = false
  /** The owner waits for the end, not for output. */
  #abandoned = false
  #ending: Promise<void> | undefined
  #memory: number | undefined

  constructor(options: ChildOptions, events: ChildEvents) {
    this.#options = options
    this.#events = events
    try {
      guardian.prepare()
      this.#process = spawn(options.command, [...options.args], {
        cwd: options.cwd,
        env: options.env as NodeJS.ProcessEnv | undefined,
        stdio: ['pipe', 'pipe', 'pipe'],
        detached: POSIX,
        shell: false,
        windowsHide: true
      })
    } catch (error) {
      queueMicrotask(() => this.#failed(error))
      return
    }
    this.pid = this.#process.pid
    if (this.pid !== undefined) this.#watch(this.pid)
    this.#process.on('error', error => this.#failed(error))
    this.#process.on('exit', (code, signal) => this.#onExit(code, signal))
    this.#connect(this.#process)
  }

  /**
   * Writes the line and an LF. False means: wait for `drain` before the next one. Once the child's input has ended nothing is
   * written any more and the answer is false; `exit` follows then instead of `drain`.
   */
  write(line: Buffer): boolean {
    const stdin = this.#process?.stdin
    if (!stdin?.writable) return false
    this.#writer ??= new LineWriter(stdin)
    return this.#writer.write(line)
  }

  /** Lets the child wait with its output. Lines of the chunk that was already read still come. */
  pause(): void {
    this.#paused = true
    this.#process?.stdout?.pause()
    // Output that waits for a slow owner is not output that never ends.
    if (!this.#abandoned) clearTimeout(this.#drainTimer)
  }

  resume(): void {
    this.#paused = false
    this.#process?.stdout?.resume()
    this.#limitDraining()
  }

  endInput(): void {
    this.#process?.stdin?.end()
  }

  /** Ends its input, then sends SIGTERM, then SIGKILL to its group, with time between. Resolves when all are gone. */
  close(): Promise<void> {
    this.#abandoned = true
    this.#limitDraining()
    return this.#end()
  }

  /** SIGKILL to the group at once. Resolves when all are gone. */
  kill(): Promise<void> {
    if (!this.#gone && this.pid !== undefined) {
      if (POSIX) signalGroup(this.pid, 'SIGKILL')
      else void killTree(this.pid)
    }
    return this.close()
  }

  #watch(group: number): void {
    guardian.add(group)
    const { maxMemory } = this.#options
    if (maxMemory === undefined) return
    memoryWatch.add(group, maxMemory, bytes => {
      this.#memory = bytes
      void this.kill()
    })
  }

  #unwatch(group: number): void {
    guardian.remove(group)
    memoryWatch.remove(group)
  }

  #connect({ stdin, stdout, stderr }: ChildProcess): void {
    stdin?.on('drain', () => this.#events.drain())
    // EPIPE: it exits, or closed its input and cannot be talked to any more. Then it has the usual time to end by itself.
    stdin?.on('error', () => void this.#end())
    const events = this.#events
    const line = (line: Buffer): void => events.line(line)
    const oversize = (info: OversizeLine): void => events.oversize(info)
    this.#read(stdout, new LineSplitter(this.#options.maxLine, { line, oversize }))
    // At the exit node:child_process resumes what its user paused.
    stdout?.on('resume', () => {
      if (this.#paused) stdout.pause()
    })
    const tell = (line: Buffer): void => this.#onStderr(line.toString())
    const cut = ({ head }: OversizeLine): void => this.#onStderr(`${head.subarray(0, STDERR_LINE)}…`)
    this.#read(stderr, new LineSplitter(STDERR_LINE, { line: tell, oversize: cut }))
  }

  #read(output: Readable | null | undefined, splitter: LineSplitter): void {
    if (!output) return
    this.#openOutputs++
    output.on('data', (chunk: Buffer) => splitter.push(chunk))
    output.on('error', () => {})
    // Not at `end`, which a pipe that had to be destroyed never has.
    output.on('close', () => {
      splitter.end()
      this.#openOutputs--
      this.#tellExit()
    })
  }

  #onStderr(line: string): void {
    this.#stderr.push(line)
    if (this.#stderr.length > (this.#options.stderrLines ?? 50)) this.#stderr.shift()
    this.#events.stderr(line)
  }

  #failed(error: unknown): void {
    // On Windows a shell may have started and found no such command.
    if (this.#isTold || (POSIX && this.pid !== undefined)) return
    this.#isTold = this.#gone = true
    if (this.pid !== undefined) this.#unwatch(this.pid)
    this.#exited.resolve()
    this.#told.resolve()
    this.#events.error(new ChildStartError(error, this.#options))
  }

  #onExit(code: number | null, signal: string | null): void {
    this.#status = { code, signal }
    this.#exited.resolve()
    this.#limitDraining()
    this.#tellExit()
    // Whatever it started and left behind.
    void this.#end()
  }

  #tellExit(): void {
    if (!this.#status || this.#openOutputs > 0 || this.#isTold) return
    this.#isTold = true
    clearTimeout(this.#drainTimer)
    this.#told.resolve()
    const memory = this.#memory
    this.#events.exit({ ...this.#status, stderr: [...this.#stderr], ...(memory !== undefined && { memory }) })
  }

  #limitDraining(): void {
    if (!this.#status || this.#isTold || (this.#paused && !this.#abandoned)) return
    clearTimeout(this.#drainTimer)
    const destroy = (): void => {
      this.#process?.stdout?.destroy()
      this.#process?.stderr?.destroy()
    }
    // Paused and abandoned: nobody will read it.
    this.#drainTimer = setTimeout(destroy, this.#paused ? 0 : DRAIN_MS)
  }

  #end(): Promise<void> {
    this.#ending ??= this.#endGroup()
    return this.#ending
  }

  async #endGroup(): Promise<void> {
    const { stdin = 2000, term = 3000 } = this.#options.killGrace ?? {}
    this.endInput()
    await this.#exitWithin(stdin)
    if (this.pid === undefined) return
    if (POSIX) {
      let gone = await this.#goneWithin(0)
      for (const [signal, ms] of [
        ['SIGTERM', term],
        ['SIGKILL', KILLED_MS]
      ] as const) {
        if (gone) break
        signalGroup(this.pid, signal)
        gone = await this.#goneWithin(ms)
      }
      if (!gone) return
    } else if (!this.#status) {
      await killTree(this.pid)
      await this.#exitWithin(KILLED_MS)
    }
    this.#gone = true
    this.#unwatch(this.pid)
    if (this.#status) await this.#told.promise
  }

  async #goneWithin(ms: number): Promise<boolean> {
    const deadline = performance.now() + ms
    if (!(await this.#exitWithin(ms))) return false
    return groupGone(this.pid!, Math.max(0, deadline - performance.now()))
  }

  async #exitWithin(ms: number): Promise<boolean> {
    const timeout = Promise.withResolvers<boolean>()
    const timer = setTimeout(() => timeout.resolve(false), ms)
    try {
      return await Promise.race([this.#exited.promise.then(() => true), timeout.promise])
    } finally {
      clearTimeout(timer)
    }
  }
}

function startFailure(systemCode: string, command: string, cwd: string | undefined): string {
  // The system says ENOENT for either.
  if (systemCode === 'ENOENT' && cwd !== undefined && !existsSync(cwd)) return `no such working directory: ${cwd}`
  if (systemCode === 'ENOENT') return `command not found: ${command}`
  if (systemCode === 'EACCES') return `no permission to execute ${command}`
  return `cannot execute ${command}`
}
