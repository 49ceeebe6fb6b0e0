import { printable } from '../printable.ts'
import { readRecording } from '../replay/read-recording.ts'
import { RulesError, readRules, rulesBeside } from '../replay/rules.ts'
import { TapeError } from '../tape/format.ts'
import { VerifyRefusal } from '../verify/options.ts'
import type { Report } from '../verify/report.ts'
import { verify as check } from '../verify/verify.ts'
import { untilInterrupted } from './tape-command.ts'
import { verifyCallOf } from './verify-args.ts'
import type { VerifyArgs } from './verify-options.ts'
import { writeReports } from './verify-report.ts'

const EXIT: Readonly<Record<Report['outcome'], number>> = { same: 0, different: 1, refused: 2, unreachable: 3 }

/** `catflap verify`: its options are in verify-options.ts. */
export async function verify(args: VerifyArgs): Promise<void> {
  const call = verifyCallOf(args)
  try {
    const rules = args.rules === undefined ? await rulesBeside(call.tapes[0]!) : await readRules(args.rules)
    const interrupt = untilInterrupted()
    const recording = await readRecording(call.tapes, { signal: interrupt.signal })
    try {
      const report = await check(recording, { ...call.options, rules, signal: interrupt.signal })
      await writeReports(report, call.reporters)
      process.exitCode = interrupt.signal.aborted ? 130 : EXIT[report.outcome]
    } finally {
      recording.close()
      interrupt.release()
    }
  } catch (error) {
    if (!isExplained(error)) throw error
    for (const line of (error as Error).message.split('\n')) process.stderr.write(`catflap: ${printable(line)}\n`)
    process.exitCode = 2
  }
}

function isExplained(error: unknown): boolean {
  return error instanceof VerifyRefusal || error instanceof TapeError || error instanceof RulesError
}
