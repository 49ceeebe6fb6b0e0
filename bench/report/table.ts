/** Results as a table, for a terminal and for Markdown. */
import { type Curve, type Metric, median, type PeerResult, ratioTo, type ScenarioResult, valuesOf } from './results.ts'

/** First line: what the columns are. */
export function rowsOf(scenario: ScenarioResult): string[][] {
  const base = scenario.results.find(result => result.peer === scenario.base)
  const columns = scenario.curve ? curveColumns(scenario, scenario.curve) : scenario.metrics
  const [first, ...others] = columns
  const before = scenario.results.find(({ peer }) => peer.includes('@'))?.peer.replace(/^[^@]*/, '')
  const ratios = before === undefined ? [`× ${scenario.base}`] : [`× ${scenario.base}`, `× ${before}`]
  const head = ['peer', first!.label, 'min – max', ...ratios, ...others.map(metric => metric.label)]
  return [head, ...scenario.results.map(result => row(result, bases(result), first!, others))]

  function bases({ peer }: PeerResult): (PeerResult | undefined)[] {
    const twin = scenario.results.find(other => other.peer === `${peer}${before}`)
    return before === undefined ? [base] : [base, twin]
  }
}

/** Only the first metric; the others are in the raw data. */
function curveColumns({ metrics }: ScenarioResult, { points, unit }: Curve): Metric[] {
  const [metric] = metrics
  return points.map(point => ({
    ...metric!,
    key: `${metric!.key}@${point}`,
    label: `${metric!.label}, ${shown(point, unit)}`
  }))
}

function row(
  result: PeerResult,
  bases: readonly (PeerResult | undefined)[],
  first: Metric,
  others: readonly Metric[]
): string[] {
  const blank = [...bases, ...others].map(() => '')
  if (result.skipped !== undefined) return [result.peer, 'not measured', result.skipped, ...blank]
  if (result.failed !== undefined) return [result.peer, 'failed', oneLine(result.failed), ...blank]
  const values = valuesOf(result, first.key)
  if (values.length === 0) return [result.peer, 'no data', '', ...blank]
  const fixed = (value: number, { digits }: Metric): string => value.toFixed(digits)
  const spread = `${fixed(Math.min(...values), first)} – ${fixed(Math.max(...values), first)}`
  const ratios = bases.map(base => ratioTo(base, result, first.key)?.toFixed(2) ?? '–')
  const medians = others.map(metric => {
    const value = median(valuesOf(result, metric.key))
    return Number.isNaN(value) ? '–' : fixed(value, metric)
  })
  return [result.peer, fixed(median(values), first), spread, ...ratios, ...medians]
}

function oneLine(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim()
  return line.length > 200 ? `${line.slice(0, 200)}…` : line
}

const isReason = (row: readonly string[]): boolean => row[1] === 'failed' || row[1] === 'not measured'

/** Who has no numbers, and why; those with the same reason together. */
function reasonsOf(rows: readonly string[][]): { readonly peers: readonly string[]; readonly why: string }[] {
  const groups = Map.groupBy(rows.filter(isReason), row => `${row[1]}: ${row[2]}`)
  return [...groups].map(([why, group]) => ({ why, peers: group.map(row => row[0]!) }))
}

/** What makes numbers doubtful, by peer. */
function doubtsOf({ notes = [], results }: ScenarioResult): string[] {
  return notes.flatMap(({ key, above, says }) =>
    results.flatMap(result => {
      const values = valuesOf(result, key)
      const rounds = values.filter(value => value > above).length
      return rounds === 0 ? [] : [`${result.peer}: in ${rounds} of ${values.length} rounds, ${says}`]
    })
  )
}

/** For a terminal. */
export function textTable(scenario: ScenarioResult): string {
  const rows = rowsOf(scenario)
  const measured = rows.filter(row => !isReason(row))
  const widths = rows[0]!.map((_, i) => Math.max(...measured.map(row => row[i]!.length)))
  const line = (cells: string[]): string =>
    cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ')
  const reasons = reasonsOf(rows).map(({ peers, why }) => `${peers.join(', ')}: ${why}`)
  return [...measured.map(line), ...reasons, ...doubtsOf(scenario)].join('\n')
}

/** For a page. */
export function markdownTable(scenario: ScenarioResult): string {
  const rows = rowsOf(scenario)
  const [head, ...measured] = rows.filter(row => !isReason(row))
  const line = (cells: readonly string[]): string => `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`
  const table = [line(head!), `|${head!.map((_, i) => (i === 0 ? '---' : '---:')).join('|')}|`, ...measured.map(line)]
  const reasons = reasonsOf(rows).map(({ peers, why }) => `${peers.join(', ')}: ${why.replaceAll('<', '&lt;')}`)
  const below = [...reasons, ...doubtsOf(scenario)].map(text => `- ${text}`)
  return below.length === 0 ? table.join('\n') : `${table.join('\n')}\n\n${below.join('\n')}`
}

export function shown(value: number, unit: 'count' | 'bytes'): string {
  if (unit === 'count') return value.toLocaleString('en-US')
  if (value >= 1024 * 1024) return `${value / 1024 / 1024} MB`
  return value >= 1024 ? `${value / 1024} KB` : `${value} B`
}
