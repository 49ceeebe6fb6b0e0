import type { CommandModule } from 'yargs'
import { printableJson } from '../printable.ts'
import { wantsColour } from '../tape/colour.ts'
import { LineOutput } from '../tape/line-output.ts'
import { TapeReader } from '../tape/reader.ts'
import { SoughtLines } from '../tape/sought-lines.ts'
import { Timeline } from '../tape/timeline.ts'
import { Progress } from './progress.ts'
import { inputOf, reporting, untilInterrupted, warnOfTornEnd } from './tape-command.ts'
import { type FilterArgs, filterOf, filterOptions } from './tape-filter.ts'

interface ShowArgs extends FilterArgs {
  file: string
  follow: boolean
}

export const showCommand: CommandModule<object, ShowArgs> = {
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
  // Lines of the tape itself show that it goes on.
  const progress = await Progress.of(inputOf(args.file), !process.stdout.isTTY && !args.follow)
  try {
    const tape = await TapeReader.open(inputOf(args.file), {
      follow: args.follow,
      signal: interrupt?.signal,
      onBytes: progress.add
    })
    const timeline = new Timeline({
      colour: wantsColour(process.stdout),
      filter: filterOf(args),
      width: process.stdout.columns ?? 160
    })
    if (args.json) out.write(printableJson(JSON.stringify(tape.header)))
    const lines = new SoughtLines(timeline.pairing, args.method)
    reading: for await (const batch of tape.parsed(line => lines.read(line))) {
      for (const { frame, seen } of batch) {
        const line = args.json
          ? timeline.passes(frame, seen)
            ? printableJson(JSON.stringify(frame))
            : undefined
          : timeline.line(frame, seen)
        if (line !== undefined) await out.write(line)
        if (out.closed) break reading
      }
    }
    await out.end()
    progress.end()
    if (!interrupt?.signal.aborted) warnOfTornEnd(tape)
  } catch (error) {
    await out.end()
    throw error
  } finally {
    progress.end()
    interrupt?.release()
  }
}
