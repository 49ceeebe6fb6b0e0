import type { Argv, CommandModule } from 'yargs'
import { Cut, parseMark, type TapeMark } from '../tape/cut.ts'
import { TapeError } from '../tape/format.ts'
import { parseFrame, TapeReader } from '../tape/reader.ts'
import { TapeOutput } from '../tape/tape-output.ts'
import { Progress } from './progress.ts'
import { counted, inputOf, reporting, untilInterrupted, warnOfTornEnd } from './tape-command.ts'
import { type OutputArgs, outputOptions } from './tape-output-options.ts'
import { UsageError } from './usage.ts'

interface CutArgs extends OutputArgs {
  file: string
  from?: string
  to?: string
  session?: string
  method?: string
}

const MARK_FORM =
  "'#120' (a frame's number), '90s', '1500ms', '2m' since the start, or a time like 2026-11-23T10:00:00Z"

export const cutCommand: CommandModule<object, CutArgs> = {
  command: 'cut <file>',
  describe: 'take a part of a tape: requests stay with their answers',
  builder: args =>
    outputOptions(args.positional('file', { type: 'string', demandOption: true, describe: "a tape, or '-'" }))
      .option('from', { type: 'string', requiresArg: true, describe: `requests from here on: ${MARK_FORM}` })
      .option('to', { type: 'string', requiresArg: true, describe: 'requests up to here, written like --from' })
      .option('session', { type: 'string', requiresArg: true, describe: 'only this session (its handle, as shown)' })
      .option('method', {
        type: 'string',
        requiresArg: true,
        describe:
          "only requests of this method, and what came of them; a glob; several behind commas: 'initialize,tools/*'"
      })
      .example(
        '$0 tape cut a.tape.jsonl --from 90s --to 2m -o part.tape.jsonl',
        'half a minute of it'
      ) as unknown as Argv<CutArgs>,
  handler: args => reporting(() => cut(args))
}

async function cut(args: CutArgs): Promise<void> {
  if (args.out === undefined) throw new UsageError('--out is missing: name the tape to write, -o part.tape.jsonl')
  for (const name of ['from', 'to'] as const) markOf(name, args[name], '2026-01-01T00:00:00Z')
  const file = inputOf(args.file)
  const interrupt = untilInterrupted()
  const progress = await Progress.of(file)
  let tape: TapeReader | undefined
  let out: TapeOutput | undefined
  try {
    tape = await TapeReader.open(file, { signal: interrupt.signal, onBytes: progress.add })
    out = await TapeOutput.create(args.out, { force: args.force })
    out.add(JSON.stringify(tape.header))
    const cutting = new Cut({
      from: markOf('from', args.from, tape.header.started),
      to: markOf('to', args.to, tape.header.started),
      session: args.session,
      methods: args.method?.split(',')
    })
    let kept = 0
    for await (const staying of tape.parsed(line => keptBy(cutting, line, out!))) {
      kept += staying.length
      await out.room()
    }
    if (interrupt.signal.aborted) return endEarly()
    if (kept === 0)
      throw new TapeError(
        'tape_nothing_kept',
        `nothing of ${tape.name} is kept, so nothing was written: ${adviceOn(args)}`
      )
    await out.finish()
    out = undefined
    progress.end()
    process.stderr.write(`${counted(kept, 'frame')}\n`)
    warnOfTornEnd(tape)
  } finally {
    progress.end()
    interrupt.release()
    await tape?.close()
    await out?.discard()
  }
}

function keptBy(cutting: Cut, line: Buffer, out: TapeOutput): true | undefined {
  if (!cutting.keeps(parseFrame(line))) return undefined
  out.add(line)
  return true
}

function adviceOn({ session }: CutArgs): string {
  const looks = "'catflap tape show' prints what there is"
  return session === undefined ? looks : `--session takes a session's handle; ${looks}`
}

function endEarly(): void {
  process.exitCode = 130
}

function markOf(name: string, text: string | undefined, started: string): TapeMark | undefined {
  if (text === undefined) return undefined
  const mark = parseMark(text, started)
  if (!mark) throw new UsageError(`--${name} '${text}': give ${MARK_FORM}`)
  return mark
}
