import type { TapeFrame } from './format.ts'
import { Histogram } from './histogram.ts'
import { Pairing, type Seen } from './pairing.ts'

/** Names beyond count as `other`: a tape may be made of them. */
const MAX_NAMES = 1000
const LONGEST_NAME = 200

export interface StatsRow {
  readonly from: 'client' | 'server'
  readonly method: string
  /** Tool, prompt, or URI of the resource. */
  readonly subject?: string
  /** Requests and notifications. */
  readonly count: number
  /** Answers with a JSON-RPC error. */
  readonly errors: number
  /** Results of tools with `isError`. */
  readonly toolErrors: number
  readonly answered: number
  /** ms; absent where nothing was answered. */
  readonly p50?: number
  readonly p95?: number
  readonly p99?: number
  /** ms, of all answers together. */
  readonly time: number
  /** Bytes towards the server, and towards the client. */
  readonly up: number
  readonly down: number
}

export type StatsOrder = 'count' | 'time' | 'errors' | 'bytes'

interface Tally {
  readonly from: 'client' | 'server'
  readonly method: string
  readonly subject: string | undefined
  readonly latencies: Histogram
  count: number
  errors: number
  toolErrors: number
  time: number
  up: number
  down: number
}

/** Counts what clients saw of a conversation, in constant memory. */
export class TapeStats {
  readonly #tallies = new Map<string, Tally>()
  #pairing = new Pairing()

  /** What follows is another tape: nothing on it answers to what came before. */
  next(): void {
    this.#pairing = new Pairing()
  }

  add(frame: TapeFrame): void {
    if (frame.side !== 'client') return
    const seen = this.#pairing.see(frame)
    if (seen.length === 0) return
    // Those of a batch share its bytes.
    const size = (frame.truncated?.length ?? Buffer.byteLength(frame.text ?? '')) / seen.length
    for (const one of seen) this.#message(frame, one, size)
  }

  rows(order: StatsOrder = 'count'): StatsRow[] {
    const weight = WEIGHTS[order]
    return [...this.#tallies.values()].map(rowOf).sort((a, b) => weight(b) - weight(a) || b.count - a.count)
  }

  #message(frame: TapeFrame, seen: Seen, size: number): void {
    const method = seen.method ?? seen.request?.method
    if (method === undefined) return
    const isAnswer = seen.kind === 'response'
    const from = (frame.dir === 'up') === isAnswer ? 'server' : 'client'
    const tally = this.#tallyOf(from, method, seen.method === undefined ? seen.request?.subject : seen.subject)
    tally[frame.dir] += size
    if (!isAnswer) {
      tally.count++
      return
    }
    if (seen.error) tally.errors++
    if (seen.toolError) tally.toolErrors++
    if (!seen.request) return
    tally.time += seen.request.latency
    tally.latencies.add(seen.request.latency)
  }

  #tallyOf(from: 'client' | 'server', method: string, subject: string | undefined): Tally {
    // Notifications name things of their own; what they are about is not what was asked for.
    const name = shortened(method)
    const about = subject === undefined || method.startsWith('notifications/') ? undefined : shortened(subject)
    const key = JSON.stringify([from, name, about])
    const known = this.#tallies.get(key)
    if (known) return known
    if (this.#tallies.size >= MAX_NAMES && name !== OTHER) return this.#tallyOf(from, OTHER, undefined)
    const fresh: Tally = {
      ...{ from, method: name, subject: about, latencies: new Histogram() },
      ...{ count: 0, errors: 0, toolErrors: 0, time: 0, up: 0, down: 0 }
    }
    this.#tallies.set(key, fresh)
    return fresh
  }
}

export const OTHER = 'other'

const WEIGHTS: Readonly<Record<StatsOrder, (row: StatsRow) => number>> = {
  count: row => row.count,
  time: row => row.time,
  errors: row => row.errors + row.toolErrors,
  bytes: row => row.up + row.down
}

/** A copy: a slice would keep the whole message alive. */
function shortened(text: string): string {
  return Buffer.from(text.slice(0, LONGEST_NAME)).toString()
}

function rowOf({ from, method, subject, latencies, count, errors, toolErrors, time, up, down }: Tally): StatsRow {
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map(q => latencies.quantile(q))
  return {
    ...{ from, method, ...(subject !== undefined && { subject }) },
    ...{ count, errors, toolErrors, answered: latencies.count },
    ...(p50 !== undefined && { p50: rounded(p50), p95: rounded(p95!), p99: rounded(p99!) }),
    ...{ time: rounded(time), up: Math.round(up), down: Math.round(down) }
  }
}

function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000
}
