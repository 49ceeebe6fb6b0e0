import type { Argv, CommandModule } from 'yargs'
import { printable, printableJson } from '../printable.ts'
import { wantsColour } from '../tape/colour.ts'
import type { TapeFrame } from '../tape/format.ts'
import { LineOutput } from '../tape/line-output.ts'
import type { TapeReader } from '../tape/reader.ts'
import type { LiveProcess } from '../tape/runtime-folder.ts'
import { Timeline } from '../tape/timeline.ts'
import { attach, runningProcesses } from '../tape/watch.ts'
import { reporting, targetText, untilInterrupted } from './tape-command.ts'
import { type FilterArgs, filterOf, filterOptions } from './tape-filter.ts'
import { UsageError } from './usage.ts'

interface TailArgs extends FilterArgs {
  once?: boolean
  pid?: number
}

export const tailCommand: CommandModule<object, TailArgs> = {
  command: 'tail',
  describe: 'watch live what passes through every running catflap of yours',
  builder: args =>
    filterOptions(
      args
        .option('once', {
          type: 'boolean',
          describe: 'only those that run now; ends with the last of them'
        })
        .option('pid', {
          type: 'string',
          coerce: asPid,
          requiresArg: true,
          describe: 'only the catflap with this process id; ends with it'
        })
        .conflicts('once', 'pid')
    )
      .example('$0 tail', 'everything, until Ctrl-C')
      .example("$0 tail --method 'tools/*' --direction up", 'which tools are called')
      .example('$0 tail --json > x.tape.jsonl', 'a tape of what happens from now on') as Argv<TailArgs>,
  handler: args => reporting(() => tail(args))
}

async function tail(args: TailArgs): Promise<void> {
  const interrupt = untilInterrupted()
  const out = new LineOutput(process.stdout)
  const show = args.json ? new JsonTail(args, out) : new TimelineTail(args, out)
  const watching = new Set<Promise<void>>()
  const follow = async (found: LiveProcess) => {
    const reader = await attach(found, interrupt.signal)
    if (!reader) return
    process.stderr.write(
      `watching catflap ${found.pid}: ${targetText(found.target)}${found.url ? ` at ${printable(found.url)}` : ''}\n`
    )
    await show.follow(found, reader, interrupt.stop)
    if (!interrupt.signal.aborted) process.stderr.write(`catflap ${found.pid} has ended\n`)
  }
  try {
    // Said first, so that nobody wonders at the silence.
    if (!(await isAnyRunning(args.pid))) nobody(args)
    const once = args.once === true || args.pid !== undefined
    for await (const found of runningProcesses({ signal: interrupt.signal, once })) {
      if (args.pid !== undefined && found.pid !== args.pid) continue
      const done = follow(found)
        .catch(error => complain(found, error))
        .finally(() => watching.delete(done))
      watching.add(done)
    }
    await Promise.all(watching)
    await out.end()
  } finally {
    interrupt.release()
  }
}

async function isAnyRunning(pid: number | undefined): Promise<boolean> {
  for await (const found of runningProcesses({ once: true })) if (pid === undefined || found.pid === pid) return true
  return false
}

function nobody(args: TailArgs): void {
  if (args.pid !== undefined || args.once) {
    process.stderr.write(
      args.pid === undefined
        ? 'catflap: no catflap is running\n'
        : `catflap: no catflap with pid ${args.pid} is running\n`
    )
    process.exitCode = 1
  } else process.stderr.write('no catflap is running; waiting for one (Ctrl-C ends)\n')
}

function complain(found: LiveProcess, error: unknown): void {
  process.stderr.write(
    `catflap: cannot watch catflap ${found.pid}: ${printable(error instanceof Error ? error.message : String(error))}\n`
  )
}

class TimelineTail {
  readonly #args: TailArgs
  readonly #out: LineOutput
  #count = 0
  /** Processes are told apart only where there are several. */
  #several = false

  constructor(args: TailArgs, out: LineOutput) {
    this.#args = args
    this.#out = out
  }

  async follow(found: LiveProcess, reader: TapeReader, stop: () => void): Promise<void> {
    this.#several = ++this.#count > 1 || this.#several
    const timeline = new Timeline({
      colour: wantsColour(process.stdout),
      filter: filterOf(this.#args),
      clock: reader.header,
      width: process.stdout.columns ?? 160
    })
    for await (const frame of reader) {
      const line = timeline.line(frame)
      if (line !== undefined) await this.#out.write(this.#several ? `[${found.pid}] ${line}` : line)
      if (this.#out.closed) return stop()
    }
  }
}

/** One tape of all: the first process's header, one sequence, one clock; sessions of further processes get their pid before. */
class JsonTail {
  readonly #args: TailArgs
  readonly #out: LineOutput
  #start: number | undefined
  #first: number | undefined
  #n = 0

  constructor(args: TailArgs, out: LineOutput) {
    this.#args = args
    this.#out = out
  }

  async follow(found: LiveProcess, reader: TapeReader, stop: () => void): Promise<void> {
    const timeline = new Timeline({ filter: filterOf(this.#args) })
    const started = Date.parse(reader.header.started)
    if (this.#start === undefined) {
      this.#start = started
      this.#first = found.pid
      this.#out.write(printableJson(JSON.stringify(reader.header)))
    }
    const offset = Math.max(0, started - this.#start)
    for await (const frame of reader) {
      if (timeline.passes(frame))
        await this.#out.write(printableJson(JSON.stringify(this.#own(frame, found.pid, offset))))
      if (this.#out.closed) return stop()
    }
  }

  #own(frame: TapeFrame, pid: number, offset: number): TapeFrame {
    const own = { ...frame, n: ++this.#n, t: Math.round((frame.t + offset) * 1000) / 1000 }
    if (pid === this.#first) return own
    return { ...own, process: pid, ...(frame.session !== undefined && { session: `${pid}:${frame.session}` }) }
  }
}

function asPid(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (!/^[1-9]\d{0,9}$/.test(text)) throw new UsageError(`--pid ${text} is no process id; give a number`)
  return Number(text)
}
