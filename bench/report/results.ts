/** What a run leaves behind: its raw data, and how numbers are made of it. */
import type { Plan } from '../plan.ts'

/** One round of one peer: numbers by the key of their metric, and `at`: when it ended, in seconds from the start of the run. */
export type Round = Readonly<Record<string, number>>

export interface Metric {
  readonly key: string
  readonly label: string
  readonly digits: number
  /** What is good: `more` of it, or `less`. */
  readonly better: 'more' | 'less'
}

/** What is told below the table, for peers that had more than so much of it in some round. */
export interface Note {
  readonly key: string
  readonly above: number
  readonly says: string
}

export interface PeerResult {
  readonly peer: string
  readonly rounds: readonly Round[]
  /** It was tried, and this went wrong. */
  readonly failed?: string
  /** It was not tried, for this reason. */
  readonly skipped?: string
}

export interface ScenarioResult {
  readonly name: string
  readonly title: string
  readonly says: string
  readonly metrics: readonly Metric[]
  readonly notes?: readonly Note[]
  /** The peer that ratios of the first metric refer to. */
  readonly base: string
  /** Where the numbers are a curve: at which values of what. Keys are then `metric@value`. */
  readonly curve?: Curve
  readonly results: readonly PeerResult[]
}

export interface Curve {
  readonly label: string
  readonly points: readonly number[]
  readonly unit: 'count' | 'bytes'
}

export interface Run {
  readonly version: 1
  /** It did not come to its end, or has not yet: rounds or scenarios are missing. */
  readonly cut?: boolean
  readonly at: string
  readonly seconds: number
  readonly plan: Plan
  readonly machine: Readonly<Record<string, string | number>>
  readonly programs: Readonly<Record<string, string>>
  /** Of the processor time of all cores, the percentage that the machine's host gave to others meanwhile, where that is known. */
  readonly stolen?: number
  /** catflap was being profiled, and no other peer: it was slower than it is. */
  readonly profiled?: boolean
  /** The commit that was compared with, if one was. */
  readonly compared?: string
  readonly peers: readonly { readonly name: string; readonly says: string }[]
  readonly scenarios: readonly ScenarioResult[]
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length === 0) return Number.NaN
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** The values of one metric in all rounds that have it. */
export function valuesOf({ rounds }: PeerResult, key: string): number[] {
  return rounds.map(round => round[key]).filter(value => value !== undefined && value !== null)
}

/** The ratio of medians to those of the base; undefined where one of them has none. */
export function ratioTo(base: PeerResult | undefined, result: PeerResult, key: string): number | undefined {
  const ratio = median(valuesOf(result, key)) / median(base === undefined ? [] : valuesOf(base, key))
  return Number.isFinite(ratio) ? ratio : undefined
}
