import type { Argv, CommandModule } from 'yargs'
import { excerpt, printable, printableJson } from '../printable.ts'
import { LineOutput } from '../tape/line-output.ts'
import { TapeReader } from '../tape/reader.ts'
import { type StatsOrder, type StatsRow, TapeStats } from '../tape/stats.ts'
import { bytes, duration } from '../tape/timeline.ts'
import { Progress } from './progress.ts'
import { inputOf, reporting, warnOfTornEnd } from './tape-command.ts'

interface StatsArgs {
  files: string[]
  sort: StatsOrder
  json: boolean
}

export const statsCommand: CommandModule<object, StatsArgs> = {
  command: 'stats <files..>',
  describe: 'count what was asked, how long answers took, and how many failed',
  builder: args =>
    args
      .positional('files', { type: 'string', array: true, demandOption: true, describe: "tapes, or '-'" })
      .option('sort', {
        choices: ['count', 'time', 'errors', 'bytes'] as const,
        default: 'count' as const,
        requiresArg: true,
        describe: 'what comes first'
      })
      .option('json', { type: 'boolean', default: false, describe: 'one JSON object a method and tool' })
      .example('$0 tape stats a.tape.jsonl --sort time', 'where the time went') as unknown as Argv<StatsArgs>,
  handler: args => reporting(() => stats(args))
}

async function stats({ files, sort, json }: StatsArgs): Promise<void> {
  const counted = new TapeStats()
  for (const file of files) {
    const progress = await Progress.of(inputOf(file))
    try {
      const tape = await TapeReader.open(inputOf(file), { onBytes: progress.add })
      counted.next()
      for await (const batch of tape.batches()) for (const frame of batch) counted.add(frame)
      warnOfTornEnd(tape)
    } finally {
      progress.end()
    }
  }
  const rows = counted.rows(sort)
  const out = new LineOutput(process.stdout)
  for (const line of json ? rows.map(row => printableJson(JSON.stringify(row))) : table(rows, sort))
    await out.write(line)
  await out.end()
}

const BAR = 16
const COLUMNS = ['count', 'errors', 'isError', 'p50', 'p95', 'p99', 'up', 'down'] as const

function table(rows: readonly StatsRow[], sort: StatsOrder): string[] {
  const names = rows.map(nameOf)
  const width = Math.min(60, Math.max(8, ...names.map(name => name.length)))
  const most = Math.max(1, ...rows.map(row => weightOf(row, sort)))
  const head = `${''.padEnd(BAR)} ${'method'.padEnd(width)} ${COLUMNS.map(name => name.padStart(9)).join(' ')}`
  return [
    head,
    ...rows.map((row, i) => {
      const bar = '█'.repeat(Math.ceil((weightOf(row, sort) / most) * BAR)).padEnd(BAR)
      return `${bar} ${excerpt(names[i]!, width).padEnd(width)} ${cells(row)
        .map(cell => cell.padStart(9))
        .join(' ')}`
    })
  ]
}

/** `tools/call echo`; what the server asks for stands behind an arrow. */
function nameOf({ from, method, subject }: StatsRow): string {
  return printable(`${from === 'server' ? '← ' : ''}${method}${subject === undefined ? '' : ` ${subject}`}`)
}

function weightOf(row: StatsRow, sort: StatsOrder): number {
  if (sort === 'time') return row.time
  if (sort === 'errors') return row.errors + row.toolErrors
  return sort === 'bytes' ? row.up + row.down : row.count
}

function cells({ count, errors, toolErrors, p50, p95, p99, up, down }: StatsRow): string[] {
  const times = [p50, p95, p99].map(ms => (ms === undefined ? '-' : duration(ms)))
  return [String(count), String(errors), String(toolErrors), ...times, bytes(up), bytes(down)]
}
