import type { Argv, CommandModule } from 'yargs'
import { printable, printableJson } from '../printable.ts'
import { wantsColour } from '../tape/colour.ts'
import type { FrameFilter } from '../tape/filter.ts'
import { errnoOf, reasonOf, TapeError, type TapeTarget } from '../tape/format.ts'
import { LineOutput } from '../tape/line-output.ts'
import { listTapes, type TapeListing } from '../tape/listing.ts'
import { TapeReader } from '../tape/reader.ts'
import { defaultTapeFolder } from '../tape/tape-folder.ts'
import { bytes, duration, Timeline } from '../tape/timeline.ts'
import { validateTape } from '../tape/validate.ts'

export interface FilterArgs {
  session?: string
  method?: string
  direction?: 'up' | 'down'
  side?: 'client' | 'server'
  grep?: RegExp
  json: boolean
}

/** Options that `tape show` and `tail` share. */
export function filterOptions<T>(args: Argv<T>): Argv<T & FilterArgs> {
  return args
    .option('session', { type: 'string', requiresArg: true, describe: 'only this session (its handle, as shown)' })
    .option('method', {
      type: 'string',
      requiresArg: true,
      describe: "only messages of this method and their answers; a glob: 'tools/*', 'notifications/**'"
    })
    .option('direction', {
      choices: ['up', 'down'] as const,
      requiresArg: true,
      describe: 'only towards the server (up) or the client (down)'
    })
    .option('side', {
      choices: ['client', 'server'] as const,
      requiresArg: true,
      describe: 'only what passed between the client and catflap, or between catflap and the server'
    })
    .option('grep', {
      type: 'string',
      requiresArg: true,
      coerce: asRegExp,
      describe: 'only frames whose text matches this regular expression'
    })
    .option('json', { type: 'boolean', default: false, describe: 'as JSON lines, in the format of a tape' }) as Argv<
    T & FilterArgs
  >
}

function asRegExp(source: string | readonly string[] | undefined): RegExp | undefined {
  if (source === undefined) return undefined
  if (typeof source !== 'string') throw new Error('--grep is given more than once; give it once')
  try {
    return new RegExp(source, 'u')
  } catch (error) {
    throw new Error(`--grep '${source}' is no regular expression: ${reasonOf(error)}`)
  }
}

export function filterOf(args: FilterArgs): FrameFilter {
  return { session: args.session, method: args.method, direction: args.direction, side: args.side, grep: args.grep }
}

/** Runs a command whose failures are one line on stderr and exit code 1. */
export async function reporting(run: () => Promise<void>): Promise<void> {
  try {
    await run()
  } catch (error) {
    if (!(error instanceof TapeError) && errnoOf(error) === undefined) throw error
    process.stderr.write(`catflap: ${printable(reasonOf(error))}\n`)
    process.exitCode = 1
  }
}

/** Aborts at Ctrl-C; `release` gives the signal back. */
export function untilInterrupted(): {
  readonly signal: AbortSignal
  readonly stop: () => void
  readonly release: () => void
} {
  const controller = new AbortController()
  const stop = () => controller.abort()
  process.once('SIGINT', stop)
  process.once('SIGTERM', stop)
  const release = () => {
    process.off('SIGINT', stop)
    process.off('SIGTERM', stop)
  }
  return { signal: controller.signal, stop, release }
}

export function targetText(target: TapeTarget): string {
  return printable(target.url ?? target.argv?.join(' ') ?? target.kind)
}

/** yargs makes an empty string of a lone `-`; an empty argument (an unset shell variable) must not wait for input all the same. */
function inputOf(file: string): string {
  return file === '' && process.argv.includes('-') ? '-' : file
}

interface LsArgs {
  dir?: string
  json: boolean
}

const lsCommand: CommandModule<object, LsArgs> = {
  command: 'ls [dir]',
  describe: 'list the tapes of a folder',
  builder: args =>
    args
      .positional('dir', { type: 'string', describe: `default: ${defaultTapeFolder()}` })
      .option('json', { type: 'boolean', default: false, describe: 'one JSON object a tape' })
      .example('$0 tape ls ./tapes', 'the tapes in ./tapes, oldest first') as Argv<LsArgs>,
  handler: args => reporting(() => list(args.dir, args.json))
}

async function list(dir: string | undefined, json: boolean): Promise<void> {
  const folder = dir ?? defaultTapeFolder()
  const out = new LineOutput(process.stdout)
  let count = 0
  try {
    for await (const tape of listTapes(folder)) {
      if (out.closed) break
      count++
      await out.write(json ? printableJson(JSON.stringify(tape)) : listLine(tape))
    }
  } catch (error) {
    // The default folder comes into being with the first tape.
    if (dir !== undefined || errnoOf((error as Error).cause) !== 'ENOENT') throw error
  }
  await out.end()
  if (count === 0) process.stderr.write(`no tapes in ${folder}; catflap forward --record makes them\n`)
}

function listLine(tape: TapeListing): string {
  const file = printable(tape.file)
  if (!tape.header) return `${file}  ${printable(tape.problem ?? 'not a tape')}`
  const facts = [
    tape.header.started.slice(0, 19).replace('T', ' '),
    tape.duration === undefined ? '-' : duration(tape.duration),
    tape.frames === undefined ? '-' : `${tape.frames} frames`,
    bytes(tape.size)
  ]
  const [started, lasted, frames, size] = facts as [string, string, string, string]
  return `${printable(started)}  ${lasted.padStart(9)}  ${frames.padStart(13)}  ${size.padStart(9)}  ${file}  ${targetText(tape.header.target)}`
}

interface ShowArgs extends FilterArgs {
  file: string
  follow: boolean
}

const showCommand: CommandModule<object, ShowArgs> = {
  command: 'show <file>',
  describe: "print a tape, a line a frame ('-' reads standard input)",
  builder: args =>
    filterOptions(
      args.positional('file', { type: 'string', demandOption: true, describe: "a tape, or '-'" }).option('follow', {
        type: 'boolean',
        default: false,
        alias: 'f',
        describe: 'go on as the tape grows, until Ctrl-C'
      })
    )
      .example("$0 tape show a.tape.jsonl --method 'tools/*'", 'tool calls and their answers')
      .example('$0 tape show a.tape.jsonl --session s1 --json > s1.tape.jsonl', "one session's tape"),
  handler: args => reporting(() => show(args))
}

async function show(args: ShowArgs): Promise<void> {
  const interrupt = args.follow ? untilInterrupted() : undefined
  const out = new LineOutput(process.stdout)
  try {
    const tape = await TapeReader.open(inputOf(args.file), { follow: args.follow, signal: interrupt?.signal })
    const timeline = new Timeline({
      colour: wantsColour(process.stdout),
      filter: filterOf(args),
      width: process.stdout.columns ?? 160
    })
    if (args.json) out.write(printableJson(JSON.stringify(tape.header)))
    reading: for await (const batch of tape.batches()) {
      for (const frame of batch) {
        const line = args.json
          ? timeline.passes(frame)
            ? printableJson(JSON.stringify(frame))
            : undefined
          : timeline.line(frame)
        if (line !== undefined) await out.write(line)
        if (out.closed) break reading
      }
    }
    await out.end()
    if (tape.torn && !interrupt?.signal.aborted)
      process.stderr.write(
        `${printable(tape.name)}:${tape.torn.line}: torn last line (${tape.torn.bytes} bytes) left out\n`
      )
  } catch (error) {
    await out.end()
    throw error
  } finally {
    interrupt?.release()
  }
}

interface ValidateArgs {
  file: string
}

const MAX_FINDINGS = 100

const validateCommand: CommandModule<object, ValidateArgs> = {
  command: 'validate <file>',
  describe: 'check a tape against the format (docs/tape-format.md)',
  builder: args =>
    args
      .positional('file', { type: 'string', demandOption: true, describe: "a tape, or '-'" })
      .example('$0 tape validate a.tape.jsonl && echo fine', 'exit code 0: valid; 1: not, with the lines'),
  handler: args => reporting(() => validate(inputOf(args.file)))
}

async function validate(file: string): Promise<void> {
  const out = new LineOutput(process.stdout)
  const findings = file === '-' ? validateTape('standard input', process.stdin) : validateTape(file)
  let errors = 0
  let shown = 0
  let step = await findings.next()
  for (; !step.done; step = await findings.next()) {
    const { line, severity, text } = step.value
    if (severity === 'error') errors++
    if (++shown <= MAX_FINDINGS)
      await out.write(`${printable(file)}:${line}: ${severity === 'error' ? '' : 'warning: '}${printable(text)}`)
  }
  if (shown > MAX_FINDINGS) await out.write(`… and ${shown - MAX_FINDINGS} more`)
  if (errors === 0) await out.write(`${printable(file)}: valid, ${step.value} frames`)
  else process.exitCode = 1
  await out.end()
}

export const tapeCommand: CommandModule = {
  command: 'tape',
  describe: 'list, show and check recorded tapes',
  builder: args =>
    args
      .command(lsCommand)
      .command(showCommand)
      .command(validateCommand)
      .demandCommand(1, 'Name what to do: ls, show or validate.'),
  handler: () => {}
}
