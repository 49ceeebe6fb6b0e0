import type { Owner } from '../owner.ts'
import type { Peer, PeerKind, Target } from '../peers/peer.ts'
import type { Plan } from '../plan.ts'
import type { Curve, Metric, Note, Round } from '../report/results.ts'

export interface Context {
  readonly plan: Plan
  /** Of this scenario, for whatever it has to write. */
  readonly folder: string
  /** Of this scenario: everything it starts is ended with it. */
  readonly owner: Owner
}

/** Something that every peer goes through, by the same rules. */
export interface Scenario {
  readonly name: string
  readonly title: string
  /** What is done, in a sentence or two. */
  readonly says: string
  readonly metrics: readonly Metric[]
  readonly notes?: readonly Note[]
  readonly curve?: (plan: Plan) => Curve
  /** Whom ratios refer to. */
  readonly base: string
  /** Names of peers; without it, all that know the kind of server. What others have to say is why not. */
  readonly peers?: readonly string[]
  readonly front: 'http' | 'stdio'
  /** Each round has the peer started anew. */
  readonly fresh?: boolean
  /** Starts the server behind. */
  server(context: Context): Promise<Server>
  /** A peer is there: opens sessions, and throws unless it does what is wanted, byte for byte. */
  open(peer: Peer, kind: PeerKind, context: Context): Promise<Load>
}

export interface Server {
  readonly target: Target
  /** What clients talk to without a proxy. */
  readonly direct?: Peer
}

/** One peer under the load of one scenario. */
export interface Load {
  /** Before anything counts. */
  warm?(): Promise<void>
  round(): Promise<Round>
  /** After the last round, the peer still running: throws unless its answers are still right. */
  check?(): Promise<void>
  /** After the peer has stopped. */
  afterwards?(): Promise<void>
}

export const RATE: Metric = { key: 'rate', label: 'requests/s', digits: 0, better: 'more' }
export const P50: Metric = { key: 'p50', label: 'p50 ms', digits: 2, better: 'less' }
export const P99: Metric = { key: 'p99', label: 'p99 ms', digits: 2, better: 'less' }
export const P999: Metric = { key: 'p999', label: 'p99.9 ms', digits: 2, better: 'less' }
/** What wrk reports while it has a peer do as much as it can: how long the queue is, and not what users feel at other times. */
export const SATURATED: readonly Metric[] = [P50, P99, P999].map(m => ({ ...m, label: `${m.label}, saturated` }))
/** A peer of one thread that is at its limit has about one; what is far below waited for the server or the load generator. */
export const CORES: Metric = { key: 'cores', label: 'cores used', digits: 2, better: 'less' }
export const CPU: Metric = { key: 'cpu', label: 'CPU µs/request', digits: 1, better: 'less' }
export const THROUGHPUT: Metric = { key: 'mb', label: 'MB/s', digits: 0, better: 'more' }

/** Processor time for one request, in µs, where it is known. */
export async function cpuPerRequest<T extends { readonly requests: number }>(
  peer: Peer,
  load: () => Promise<T>
): Promise<T & { readonly cpu?: number }> {
  const before = peer.cpu()
  const result = await load()
  const after = peer.cpu()
  if (before === undefined || after === undefined) return result
  return { ...result, cpu: ((after - before) * 1000) / result.requests }
}
