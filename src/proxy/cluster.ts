import type { Log } from '../log.ts'
import type { ClusterOptions, Shared, SharedStoreOptions } from '../session/shared.ts'
import type { SessionStore } from '../session/store.ts'
import type { Peers } from '../transport/upstream/peer.ts'
import { hostForUrl } from './bind.ts'
import { HandOver } from './handover.ts'
import type { Settings } from './options.ts'
import type { PeerListener } from './peer-listener.ts'
import type { Route } from './route.ts'

export interface ClusterSetup {
  readonly sharedStore: SharedStoreOptions
  readonly cluster?: ClusterOptions
  readonly settings: Settings
  readonly log: Log
  /** The route of that name that holds the session, or else the one that is served. */
  readonly route: (name: string, session: string) => Route | undefined
}

/** For how long a process is waited for that is not heard of, in ms. */
export const DEFAULT_LEASE = 10_000

/** What this process has in common with others that serve the same sessions: the store, the lease, the ways between them. */
export class Cluster {
  readonly shared: Shared
  /** `HOST:PORT` where others hand over what this process alone can do; undefined: nowhere. */
  readonly address: string | undefined
  readonly #lease: number
  readonly #peers: Peers | undefined
  readonly #listener: PeerListener | undefined

  private constructor(shared: Shared, lease: number, ways: Ways | undefined) {
    this.shared = shared
    this.#lease = lease
    this.address = ways?.address
    this.#peers = ways?.peers
    this.#listener = ways?.listener
  }

  /** Rejects with a RangeError for what makes no sense, with the system's error when it cannot listen. */
  static async open(setup: ClusterSetup): Promise<Cluster> {
    const { openShared } = await import('../session/redis/shared.ts')
    const { sharedStore, log } = setup
    const shared = openShared(sharedStore, log)
    try {
      const ways = setup.cluster && (await openWays(setup, setup.cluster, shared))
      // Redis may not be there yet: that is told where it matters.
      shared.membership.announce(ways?.address).catch(() => {})
      return new Cluster(shared, sharedStore.lease ?? DEFAULT_LEASE, ways)
    } catch (error) {
      await shared.close()
      throw error
    }
  }

  store(route: string, { maxSessions, sessionIdle, sessionMax }: Settings): SessionStore {
    return this.shared.store(route, { maxSessions, idleTtl: sessionIdle, maxTtl: sessionMax })
  }

  handOver(route: string): HandOver {
    return new HandOver({ membership: this.shared.membership, peers: this.#peers, route, lease: this.#lease })
  }

  /** Others can have what they were answered, for so many ms; whoever comes anew goes elsewhere. */
  async flushed(ms: number): Promise<void> {
    this.#listener?.stopAccepting()
    await this.#listener?.flushed(ms)
  }

  /** Others are not served any more. */
  async closeListener(): Promise<void> {
    await this.#listener?.close()
  }

  /** When all stores are closed. */
  async close(): Promise<void> {
    await this.#listener?.close()
    await this.#peers?.close()
    await this.shared.close()
  }
}

interface Ways {
  readonly address: string
  readonly peers: Peers
  readonly listener: PeerListener
}

async function openWays(setup: ClusterSetup, options: ClusterOptions, { membership }: Shared): Promise<Ways> {
  const { clusterKeys } = await import('../transport/psk.ts')
  const { Peers } = await import('../transport/upstream/peer.ts')
  const { PeerListener } = await import('./peer-listener.ts')
  const { settings, log } = setup
  const { host = '127.0.0.1', port = 0 } = options.listen
  const keys = clusterKeys(options.keys)
  const listener = new PeerListener({
    ...{ host, port, keys, settings, log },
    instance: () => membership.id,
    route: (name, session) => setup.route(name, session)?.forPeers
  })
  const bound = await listener.listen()
  const { connectTimeout, maxPending } = settings
  const peers = new Peers({ keys, connectTimeout, maxPending, from: () => membership.id })
  const address = options.address ?? `${hostForUrl(host, bound.address)}:${bound.port}`
  return { address, peers, listener }
}
