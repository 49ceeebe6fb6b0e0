import type { Argv, CommandModule } from 'yargs'
import { excerpt, printable, printableJson } from '../printable.ts'
import { differenceText } from '../replay/json-diff.ts'
import { readRecording } from '../replay/read-recording.ts'
import type { Recording } from '../replay/recording.ts'
import { RulesError, readRules, rulesBeside } from '../replay/rules.ts'
import { type Diffed, diffRecordings, type TapeDifference } from '../replay/tape-diff.ts'
import { errnoOf, reasonOf, TapeError } from '../tape/format.ts'
import { LineOutput } from '../tape/line-output.ts'
import { Progress } from './progress.ts'
import { keepHeapSmall } from './small-heap.ts'

interface DiffArgs {
  a: string
  b: string
  rules?: string
  json: boolean
}

/** As with diff(1), 1 says that there are differences. */
const TROUBLE = 2

export const diffCommand: CommandModule<object, DiffArgs> = {
  command: 'diff <a> <b>',
  describe: 'compare two tapes, request by request: what the client sent, and what came of it',
  builder: args =>
    args
      .positional('a', { type: 'string', demandOption: true, describe: 'a tape, or a folder of tapes' })
      .positional('b', { type: 'string', demandOption: true, describe: 'another' })
      .option('rules', {
        type: 'string',
        requiresArg: true,
        describe: 'what does not count (docs/rules.md); default: the file beside the first tape'
      })
      .option('json', { type: 'boolean', default: false, describe: 'one JSON object a difference' })
      .example(
        '$0 tape diff old.tape.jsonl new.tape.jsonl',
        'exit code 0: the same; 1: different; 2: trouble'
      ) as Argv<DiffArgs>,
  handler: diff
}

async function diff(args: DiffArgs): Promise<void> {
  const open: Recording[] = []
  keepHeapSmall()
  try {
    const rules = args.rules === undefined ? await rulesBeside(args.a) : await readRules(args.rules)
    for (const file of [args.a, args.b]) open.push(await readWithProgress(file))
    const out = new LineOutput(process.stdout)
    for (const found of diffRecordings(open[0]!, open[1]!, rules)) {
      process.exitCode = 1
      for (const line of args.json ? [jsonOf(found)] : linesOf(found)) await out.write(line)
      if (out.closed) break
    }
    await out.end()
  } catch (error) {
    if (!(error instanceof TapeError || error instanceof RulesError) && errnoOf(error) === undefined) throw error
    process.stderr.write(`catflap: ${reasonOf(error).split('\n').map(printable).join('\n')}\n`)
    process.exitCode = TROUBLE
  } finally {
    for (const recording of open) recording.close()
  }
}

async function readWithProgress(file: string): Promise<Recording> {
  const progress = new Progress()
  try {
    return await readRecording([file], { onProgress: progress.reading })
  } finally {
    progress.end()
  }
}

const SIGNS = { 'only-a': '-', 'only-b': '+' } as const

function linesOf(found: TapeDifference): string[] {
  if (found.kind !== 'answer') return [`${SIGNS[found.kind]} ${titleOf(found.request)}  (${placeOf(found.request)})`]
  const head = `~ ${titleOf(found.a)}  (${placeOf(found.a)}, ${placeOf(found.b)})`
  return [head, ...found.differences.map(one => `    ${differenceText(one)}`)]
}

function jsonOf(found: TapeDifference): string {
  const request = found.kind === 'answer' ? found.a : found.request
  const { method } = request
  const subject = subjectOf(request)
  const about = { kind: found.kind, method, ...(subject !== undefined && { subject }) }
  if (found.kind !== 'answer') return printableJson(JSON.stringify({ ...about, line: request.place.line }))
  const lines = { a: found.a.place.line, b: found.b.place.line }
  return printableJson(JSON.stringify({ ...about, lines, differences: found.differences }))
}

function titleOf(request: Diffed): string {
  const { method } = request
  const subject = subjectOf(request)
  return printable(excerpt(subject === undefined ? method : `${method} ${subject}`, 200))
}

function subjectOf(request: Diffed): string | undefined {
  return 'subject' in request ? request.subject : undefined
}

function placeOf({ place }: Diffed): string {
  return printable(`${place.file}:${place.line}`)
}
