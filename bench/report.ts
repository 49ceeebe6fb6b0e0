/** Rounds to medians, and medians to a table. */

export interface Round {
  readonly rate: number
  readonly p50: number
  readonly p99: number
  /** Processor time of the peer for one request, in µs; undefined where the platform does not say. */
  readonly cpu: number | undefined
}

export interface Result {
  readonly peer: string
  readonly rounds: readonly Round[]
  /** Why the peer was left out from some round on. */
  readonly failed?: string
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** One line a peer; the ratios are those of medians, to the peer called `base`. */
export function table(results: readonly Result[], base: string): string {
  const reference = results.find(r => r.peer === base)
  const rateOfBase = reference && reference.rounds.length > 0 ? median(reference.rounds.map(r => r.rate)) : Number.NaN
  const head = ['peer', 'requests/s', 'min – max', `× ${base}`, 'p50 ms', 'p99 ms', 'CPU µs/request']
  return columns([head, ...results.map(result => row(result, rateOfBase))])
}

function row({ peer, rounds, failed }: Result, rateOfBase: number): string[] {
  if (failed !== undefined || rounds.length === 0) return [peer, 'failed', failed ?? 'no round', '', '', '', '']
  const rates = rounds.map(r => r.rate)
  const cpu = rounds.map(r => r.cpu).filter(c => c !== undefined)
  const mid = (of: (round: Round) => number): string => median(rounds.map(of)).toFixed(2)
  return [
    peer,
    median(rates).toFixed(0),
    `${Math.min(...rates).toFixed(0)} – ${Math.max(...rates).toFixed(0)}`,
    (median(rates) / rateOfBase).toFixed(2),
    mid(r => r.p50),
    mid(r => r.p99),
    cpu.length > 0 ? median(cpu).toFixed(1) : '?'
  ]
}

function columns(rows: readonly string[][]): string {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map(r => r[i]!.length)))
  const line = (cells: string[]): string =>
    cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ')
  return rows.map(line).join('\n')
}
