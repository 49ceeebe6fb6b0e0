import { RANK, type Rank } from '../transport/upstream/breaker.ts'

/** How one of several is chosen. */
export type Balance = 'round-robin' | 'least-in-flight'

/** One of those to choose from. */
export interface Candidate {
  readonly weight: number
  /** Set before each choice: only those of the best rank are considered, and of these those with the least load. */
  rank: Rank
  load: number
  /** The balancer's own: what it is owed. */
  owed: number
}

/**
 * Chooses among the candidates of the best rank and the least load, undefined where none has any rank: in turn, weighted
 * smoothly. With weights 5, 1 and 1 the order is a a b a c a a, never five of one in a row.
 */
export function choose<T extends Candidate>(candidates: readonly T[]): T | undefined {
  let rank: Rank = RANK.none
  let load = Number.POSITIVE_INFINITY
  for (const one of candidates) {
    if (one.rank > rank || (one.rank === rank && one.load >= load)) continue
    rank = one.rank
    load = one.load
  }
  if (rank === RANK.none) return undefined
  let chosen: T | undefined
  let total = 0
  for (const one of candidates) {
    if (one.rank !== rank || one.load !== load) continue
    one.owed += one.weight
    total += one.weight
    if (!chosen || one.owed > chosen.owed) chosen = one
  }
  if (chosen) chosen.owed -= total
  return chosen
}
