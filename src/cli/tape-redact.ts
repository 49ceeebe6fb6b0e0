import { stat } from 'node:fs/promises'
import type { Argv, CommandModule } from 'yargs'
import { printable } from '../printable.ts'
import { TapeError } from '../tape/format.ts'
import { parseFrame, TapeReader } from '../tape/reader.ts'
import { TapeSecrets } from '../tape/redact-tape.ts'
import { TapeOutput } from '../tape/tape-output.ts'
import { Progress } from './progress.ts'
import { counted, reporting, untilInterrupted, warnOfTornEnd } from './tape-command.ts'
import { type OutputArgs, outputOptions } from './tape-output-options.ts'
import { UsageError } from './usage.ts'

interface RedactArgs extends OutputArgs {
  file: string
  inPlace?: boolean
  redactJson: string[]
  redactHeader: string[]
  secretEnv: string[]
}

export const redactCommand: CommandModule<object, RedactArgs> = {
  command: 'redact <file>',
  describe: 'take secrets out of a tape that exists, wherever they stand on it',
  builder: args =>
    outputOptions(args.positional('file', { type: 'string', demandOption: true, describe: 'a tape' }))
      .option('in-place', {
        type: 'boolean',
        describe: 'replace the tape itself, at once when all is done'
      })
      .option('redact-json', {
        ...LIST,
        describe: 'a part of messages, like /params/arguments/password (* for any member); repeatable'
      })
      .option('redact-header', { ...LIST, describe: 'a header besides the built-in ones; repeatable' })
      .option('secret-env', {
        ...LIST,
        describe: 'an environment variable that holds a secret, which is taken out wherever it stands; repeatable'
      })
      .conflicts('in-place', 'out')
      .example(
        '$0 tape redact a.tape.jsonl -o b.tape.jsonl --redact-json /params/arguments/password',
        'before giving it away'
      ) as unknown as Argv<RedactArgs>,
  handler: args => reporting(() => redact(args))
}

const LIST = { type: 'string', array: true, nargs: 1, requiresArg: true, default: [] as string[] } as const

async function redact(args: RedactArgs): Promise<void> {
  const out = args.inPlace ? args.file : args.out
  if (out === undefined)
    throw new UsageError('--out is missing: name the tape to write, -o b.tape.jsonl, or say --in-place')
  const secrets = secretsOf(args)
  if ((await stat(args.file).catch(() => undefined))?.isFile() === false)
    throw new TapeError('tape_unreadable', `${args.file} is no ordinary file: a tape is read twice to redact it`)
  const interrupt = untilInterrupted()
  try {
    await learn(args.file, secrets, interrupt.signal)
    await write(args.file, out, args.inPlace === true || args.force, secrets, interrupt.signal)
  } finally {
    interrupt.release()
  }
  if (interrupt.signal.aborted) process.exitCode = 130
}

function secretsOf({ redactJson, redactHeader, secretEnv }: RedactArgs): TapeSecrets {
  try {
    return new TapeSecrets({ redactJson, redactHeaders: redactHeader, secrets: secretEnv.map(secretIn) })
  } catch (error) {
    if (!(error instanceof TapeError && error.code === 'tape_pointer')) throw error
    throw new UsageError(`--redact-json: ${error.message}`)
  }
}

function secretIn(name: string): string {
  const value = process.env[name]
  if (value === undefined || value === '') throw new UsageError(`--secret-env ${name}: the variable is not set`)
  if (value.length < 6)
    throw new UsageError(`--secret-env ${name}: its value has less than 6 characters, which would hit ordinary words`)
  return value
}

async function learn(file: string, secrets: TapeSecrets, signal: AbortSignal): Promise<void> {
  const progress = await Progress.of(file)
  try {
    const tape = await TapeReader.open(file, { signal, onBytes: progress.add })
    secrets.redaction.header(tape.header)
    for await (const frames of tape.batches()) for (const frame of frames) secrets.learn(frame)
  } finally {
    progress.end()
  }
}

async function write(
  file: string,
  to: string,
  force: boolean,
  secrets: TapeSecrets,
  signal: AbortSignal
): Promise<void> {
  const progress = await Progress.of(file)
  let tape: TapeReader | undefined
  let out: TapeOutput | undefined
  let changed = 0
  try {
    tape = await TapeReader.open(file, { signal, onBytes: progress.add })
    out = await TapeOutput.create(to, { force })
    out.add(JSON.stringify(secrets.redaction.header(tape.header)))
    const lines = tape.parsed(line => {
      const clean = secrets.redaction.frame(parseFrame(line))
      if (clean) changed++
      out!.add(clean ? JSON.stringify(clean) : line)
      return true
    })
    for await (const _ of lines) await out.room()
    if (signal.aborted) return
    await out.finish()
    out = undefined
    progress.end()
    process.stderr.write(`${printable(to)}: ${counted(changed, 'frame')} changed\n`)
    if (secrets.overflowed)
      process.stderr.write(
        'more than 1000 values were named by pointers: those beyond are taken out only where the pointers point\n'
      )
    warnOfTornEnd(tape)
  } finally {
    progress.end()
    await tape?.close()
    await out?.discard()
  }
}
