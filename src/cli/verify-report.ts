import { writeFile } from 'node:fs/promises'
import { printableJson } from '../printable.ts'
import { wantsColour } from '../tape/colour.ts'
import { reasonOf, TapeError } from '../tape/format.ts'
import { LineOutput } from '../tape/line-output.ts'
import { junitOf } from '../verify/junit-report.ts'
import type { VerifyReport } from '../verify/report.ts'
import { reportLines } from '../verify/text-report.ts'
import type { Reporter } from './verify-args.ts'

/** Writes a report in each of these forms. */
export async function writeReports(report: VerifyReport, reporters: readonly Reporter[]): Promise<void> {
  for (const { name, file } of reporters) {
    const colour = file === undefined && wantsColour(process.stdout)
    const lines = {
      text: () => reportLines(report, { colour }),
      json: () => [jsonOf(report)],
      junit: () => junitOf(report)
    }
    await (file === undefined ? toOutput(lines[name]()) : toFile(file, lines[name]()))
  }
}

function jsonOf(report: VerifyReport): string {
  const lines = JSON.stringify(report, null, 2).split('\n')
  return lines.map(printableJson).join('\n')
}

async function toOutput(lines: readonly string[]): Promise<void> {
  const out = new LineOutput(process.stdout)
  for (const line of lines) await out.write(line)
  await out.end()
}

async function toFile(file: string, lines: readonly string[]): Promise<void> {
  try {
    await writeFile(file, `${lines.join('\n')}\n`)
  } catch (error) {
    throw new TapeError('tape_unwritable', `the report ${file} cannot be written: ${reasonOf(error)}`)
  }
}
