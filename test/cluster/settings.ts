/** How a group is set, and what that is in the file of an instance. */

export interface GroupOptions {
  readonly instances: number
  /** `memory`: nothing is shared, so that one instance is all there can be. */
  readonly store: 'memory' | 'redis' | 'sentinel'
  readonly loss?: 'reinitialize' | 'propagate'
  readonly failure?: 'fail' | 'local'
  /** Milliseconds, as all times here. Default 2 seconds. */
  readonly lease?: number
  /** Of one operation of the store. Default 1 second. */
  readonly timeout?: number
  /** Of a session without use. Default 20 seconds. */
  readonly idle?: number
}

export interface Places {
  readonly port: number
  readonly metrics: number
  /** Words of a command, or a URL. */
  readonly behind: string | readonly string[]
  readonly redis: string | undefined
  readonly storeKey: string
  readonly clusterKey: string
}

export const PREFIX = 'stage:'
export const LEASE = 2_000
export const IDLE = 20_000

/** The whole file, as JSON. */
export function configuration(options: GroupOptions, places: Places): object {
  const { loss = 'reinitialize', idle = IDLE } = options
  const { behind } = places
  const server = typeof behind === 'string' ? { target: behind } : { command: behind, maxChildren: 500 }
  const settings = { sessionIdle: written(idle), requestTimeout: '60s' }
  return {
    // The round robin learns from what it writes that a client is gone.
    listeners: [{ address: `127.0.0.1:${places.port}`, settings: { keepAlive: '1s' } }],
    metrics: { address: `127.0.0.1:${places.metrics}` },
    drainTimeout: '3s',
    routes: { stage: { path: '/mcp', ...server, sessionLoss: loss, settings } },
    ...shared(options, places)
  }
}

function shared({ lease = LEASE, timeout = 1_000, failure = 'fail' }: GroupOptions, places: Places): object {
  if (places.redis === undefined) return {}
  const times = { timeout: written(timeout), lease: written(lease) }
  return {
    store: { url: places.redis, keys: [`file:${places.storeKey}`], prefix: PREFIX, failure, ...times },
    cluster: { listen: '127.0.0.1:0', keys: [`file:${places.clusterKey}`] }
  }
}

/** As durations are written there. */
function written(ms: number): string {
  return `${Math.round(ms)}ms`
}
