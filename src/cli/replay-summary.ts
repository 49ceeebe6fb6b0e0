import { scrubbedJson } from '../log.ts'
import { printable, printableJson } from '../printable.ts'
import { findingText, missText, type ReplayFinding, type ReplaySummary } from '../replay/report.ts'
import { lineWriter } from './line-writer.ts'

export interface SummaryHow {
  readonly format: 'text' | 'json'
  /** Recorded requests that nobody made are a failure too. */
  readonly strictUnused: boolean
  readonly scrub: (text: string) => string
}

/** The closing summary of a replay, and the exit code that follows from it. */
export function conclude(summary: ReplaySummary, { format, strictUnused, scrub }: SummaryHow): void {
  const { misses, divergences, unused } = summary
  if (misses > 0 || divergences > 0 || (strictUnused && unused > 0)) process.exitCode = 1
  const write = lineWriter(process.stderr)
  if (format === 'json') return write(`${printableJson(scrubbedJson({ event: 'replayed', ...summary }, scrub))}\n`)
  for (const line of summaryLines(summary)) write(`catflap: ${printable(scrub(line))}\n`)
}

/** Of each kind, so many are shown. */
const SHOWN = 10

function summaryLines(summary: ReplaySummary): string[] {
  const { requests, hits, asked, misses, divergences, unused, faults, details, seed } = summary
  const made = Object.entries(faults).map(([kind, count]) => `${count} ${kind}`)
  return [
    `replayed: ${count(requests, 'request')}, ${count(hits, 'hit')}, ${asked > 0 ? `${asked} asked of the server, ` : ''}${count(misses, 'miss', 'misses')}, ${count(divergences, 'divergence')}; ${count(unused, 'recorded request')} never made`,
    ...listed('miss', details.misses, misses, missText),
    ...listed('divergence', details.divergences, divergences),
    ...listed('unused', details.unused, unused),
    ...(seed === undefined ? [] : [`faults on purpose: ${made.join(', ') || 'none'} (--seed ${seed} makes them again)`])
  ]
}

function listed(
  word: string,
  findings: readonly ReplayFinding[],
  all: number,
  toText: (finding: ReplayFinding) => string = findingText
): string[] {
  const shown = findings.slice(0, SHOWN).map(finding => `  ${word}: ${toText(finding)}`)
  return all > shown.length ? [...shown, `  … and ${all - shown.length} more`] : shown
}

function count(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`
}
