import type { Argv, CommandModule } from 'yargs'
import { printable, printableJson } from '../printable.ts'
import { errnoOf } from '../tape/format.ts'
import { LineOutput } from '../tape/line-output.ts'
import { listTapes, type TapeListing } from '../tape/listing.ts'
import { defaultTapeFolder } from '../tape/tape-folder.ts'
import { bytes, duration } from '../tape/timeline.ts'
import { counted, reporting, targetText } from './tape-command.ts'

interface LsArgs {
  dir?: string
  json: boolean
}

export const lsCommand: CommandModule<object, LsArgs> = {
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
    tape.frames === undefined ? '-' : counted(tape.frames, 'frame'),
    bytes(tape.size)
  ]
  const [started, lasted, frames, size] = facts as [string, string, string, string]
  return `${printable(started)}  ${lasted.padStart(9)}  ${frames.padStart(13)}  ${size.padStart(9)}  ${file}  ${targetText(tape.header.target)}`
}
