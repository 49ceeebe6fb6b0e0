import { RANK, type Rank } from '../transport/upstream/breaker.ts'

/** How one of several is chosen. */
export type Balance = 'round-robin' | 'least-in-flight'

/** One of those to choose from. */
export interface Candidate {
  readonly weight: number
  readonly inFlight: number
  /** Set before each choice: only those of the best rank are considered. */
  rank: Rank
  /** The balancer's own: what it is owed. */
  owed: number
}

/**
 * Chooses among the candidates of the best rank; undefined where none has any. Round robin is weighted smoothly: with weights
 * 5, 1 and 1 the order is a a b a c a a, never five of one in a row. `least-in-flight` takes the one with the fewest calls
 * for its weight, and goes round among equals.
 */
export function choose<T extends Candidate>(candidates: readonly T[], balance: Balance): T | undefined {
  let best: Rank = RANK.none
  for (const one of candidates) if (one.rank < best) best = one.rank
  if (best === RANK.none) return undefined
  const load = balance === 'least-in-flight' ? leastLoad(candidates, best) : Number.POSITIVE_INFINITY
  let chosen: T | undefined
  let total = 0
  for (const one of candidates) {
    if (one.rank !== best || one.inFlight / one.weight > load) continue
    one.owed += one.weight
    total += one.weight
    if (!chosen || one.owed > chosen.owed) chosen = one
  }
  if (chosen) chosen.owed -= total
  return chosen
}

function leastLoad(candidates: readonly Candidate[], rank: Rank): number {
  let least = Number.POSITIVE_INFINITY
  for (const one of candidates) if (one.rank === rank) least = Math.min(least, one.inFlight / one.weight)
  return least
}
