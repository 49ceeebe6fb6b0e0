import { existsSync } from 'node:fs'
import { printable } from '../printable.ts'
import { readRecording } from '../replay/read-recording.ts'
import type { Recording } from '../replay/recording.ts'
import { DEFAULT_RULES, type Rules, RulesError, readRules, rulesBeside, rulesFileOf } from '../replay/rules.ts'
import { writeRules } from '../replay/rules-writer.ts'
import { TapeError } from '../tape/format.ts'
import { LineOutput } from '../tape/line-output.ts'
import { dryRun } from '../verify/dry-run.ts'
import { learn } from '../verify/learn.ts'
import { type VerifyOptions, VerifyRefusal } from '../verify/options.ts'
import type { VerifyReport } from '../verify/report.ts'
import { secretsOf } from '../verify/secrets.ts'
import { updateTapes } from '../verify/update.ts'
import { type Verified, verifyOnce } from '../verify/verify.ts'
import { Progress } from './progress.ts'
import { untilInterrupted } from './tape-command.ts'
import { type VerifyCall, verifyCallOf } from './verify-args.ts'
import type { VerifyArgs } from './verify-options.ts'
import { writeReports } from './verify-report.ts'

const EXIT: Readonly<Record<VerifyReport['outcome'], number>> = {
  same: 0,
  different: 1,
  refused: 2,
  unreachable: 3,
  interrupted: 130
}

/** `catflap verify`: its options are in verify-options.ts. */
export async function verify(args: VerifyArgs): Promise<void> {
  const call = verifyCallOf(args)
  try {
    await run(args, call)
  } catch (error) {
    if (!isExplained(error)) throw error
    for (const line of (error as Error).message.split('\n')) say(line)
    process.exitCode = 2
  }
}

async function run(args: VerifyArgs, call: VerifyCall): Promise<void> {
  const rulesFile = args.rules ?? rulesFileOf(call.tapes[0]!)
  const rules = args.rules === undefined ? await rulesBeside(call.tapes[0]!) : await rulesForLearning(args)
  const interrupt = untilInterrupted()
  const bar = new Progress()
  const recording = await readRecording(call.tapes, { signal: interrupt.signal, onProgress: bar.reading })
  const options = { ...call.options, rules, signal: interrupt.signal, onProgress: bar.sending }
  let first: Verified | undefined
  try {
    if (args['dry-run']) return await showDryRun(recording, options)
    first = await verifyOnce(recording, options, args.learn || args.update)
    const report =
      args.learn && !interrupt.signal.aborted
        ? await learnFrom(first, { recording, options, rules, rulesFile })
        : first.report()
    bar.end()
    await writeReports(report, call.reporters)
    process.exitCode = EXIT[report.outcome]
    if (args.update && report.outcome !== 'unreachable' && !interrupt.signal.aborted)
      await update(recording, first, options)
    if (interrupt.signal.aborted) process.exitCode = EXIT.interrupted
  } finally {
    bar.end()
    first?.answers.close()
    recording.close()
    interrupt.release()
  }
}

/** A file that --learn is to write need not be there yet. */
async function rulesForLearning({ rules, learn }: VerifyArgs): Promise<Rules> {
  return learn && !existsSync(rules!) ? DEFAULT_RULES : await readRules(rules!)
}

async function showDryRun(recording: Recording, options: VerifyOptions): Promise<void> {
  const out = new LineOutput(process.stdout)
  const { lines, isEmpty } = dryRun(recording, options)
  for (const line of lines) await out.write(line)
  await out.end()
  if (isEmpty) process.exitCode = EXIT.refused
}

interface Learning {
  readonly recording: Recording
  readonly options: VerifyOptions
  readonly rules: Rules
  readonly rulesFile: string
}

/** The second run; what differs from the first goes into the file of rules. Returns the report by all rules. */
async function learnFrom(first: Verified, { recording, options, rules, rulesFile }: Learning): Promise<VerifyReport> {
  const report = first.report()
  if (report.outcome === 'unreachable' || report.outcome === 'refused') return report
  const second = await verifyOnce(recording, options, true)
  try {
    // What half a run did not see is no reason to forget, nor to learn.
    return options.signal?.aborted
      ? report
      : await learnBetween(first, second, { recording, options, rules, rulesFile })
  } finally {
    second.answers.close()
  }
}

async function learnBetween(first: Verified, second: Verified, how: Learning): Promise<VerifyReport> {
  const { options, rules, rulesFile } = how
  const learned = learn(first, second, rules, secretsOf(options))
  const file = printable(rulesFile)
  for (const text of learned.flaky) say(`the server is flaky, which no rule hides: ${text}`)
  const told = (report: VerifyReport): VerifyReport =>
    learned.flaky.length > 0 && report.outcome === 'same' ? { ...report, outcome: 'different' } : report
  if (learned.count === 0) {
    if (learned.flaky.length === 0)
      say(`nothing changes by itself; ${existsSync(rulesFile) ? `${file} stays as it is` : 'no rules are written'}`)
    return told(second.report())
  }
  await writeRules(rulesFile, learned.rules, { commentOf: learned.exampleOf })
  say(
    `${learned.count} ${learned.count === 1 ? 'place changes by itself' : 'places change by themselves'}: see ${file}`
  )
  return told(second.report(await readRules(rulesFile)))
}

async function update(recording: Recording, verified: Verified, options: VerifyOptions): Promise<void> {
  const { changed, left } = await updateTapes(recording, verified, options)
  for (const text of left) say(text)
  say(
    changed === 0
      ? 'the tape says all that already'
      : `${changed} ${changed === 1 ? 'message is' : 'messages are'} written anew`
  )
  process.exitCode = left.length > 0 ? 1 : 0
}

function say(text: string): void {
  process.stderr.write(`catflap: ${printable(text)}\n`)
}

function isExplained(error: unknown): boolean {
  return error instanceof VerifyRefusal || error instanceof TapeError || error instanceof RulesError
}
