/** What the gate found, as text. */
import type { Loss } from './compare.ts'
import type { RevisionResult, Row } from './gate.ts'

/** Characters of the suite's own words; all of them are in what `--keep` keeps. */
const LONGEST = 240

export function tableOf(rows: readonly Row[]): string {
  const lines = rows.map(row => [
    row.revision,
    row.target,
    String(row.scenarios),
    String(row.successes),
    String(row.own),
    row.target === 'direct' ? '' : String(row.lost.length),
    row.excused.length > 0 ? String(row.excused.length) : '',
    row.seconds.toFixed(1)
  ])
  return columns([['revision', 'through', 'scenarios', 'checks', 'own', 'lost', 'expected', 'seconds'], ...lines])
}

/** Everything that keeps the gate shut, a sentence a line; empty if it is open. */
export function faultsOf({ rows, below }: RevisionResult): string[] {
  return [
    ...below.map(reason => `${rows[0]?.revision} directly: ${reason}`),
    ...rows.flatMap(row => [
      ...row.lost.map(loss => `${row.revision} through ${row.target}: ${sentence(loss)}`),
      ...row.stale.map(
        e => `${row.revision} through ${row.target}: not different, though expected to be: ${e.scenario} > ${e.id}`
      )
    ])
  ]
}

export function sentence({ check, direct, through, message }: Loss): string {
  const said = message === undefined ? '' : `: ${message.length > LONGEST ? `${message.slice(0, LONGEST)}…` : message}`
  return `${check}: ${direct} directly, now ${through}${said}`
}

function columns(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map(row => row[column]!.length)))
  const line = (row: readonly string[]) => row.map((cell, column) => cell.padEnd(widths[column]!)).join('  ')
  return rows.map(row => line(row).trimEnd()).join('\n')
}
