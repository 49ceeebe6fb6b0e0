import type { Metrics } from '../metrics/metrics.ts'
import { mayListen } from './bind.ts'
import type { ForwardOptions } from './forward.ts'

export interface MetricsOptions {
  /** Serves them at `/metrics` on this port; 0: any free one. Without it `exportMetrics()` alone tells them. */
  readonly port?: number
  /** Default 127.0.0.1. Anything beyond loopback needs `tokens` or `allowUnauthenticated`. */
  readonly host?: string
  /** Names of tools, of prompts, and of methods that MCP does not define, that become labels. Default 100 of each. */
  readonly maxNames?: number
}

/** The numbers, where they are asked for; else nothing of them is loaded. Throws a TypeError for options that make no sense. */
export async function openMetrics(options: ForwardOptions): Promise<Metrics | undefined> {
  if (!options.metrics) return undefined
  const { host, port, maxNames } = chosen(options)
  if (port !== undefined && !(Number.isInteger(port) && port >= 0 && port <= 65_535))
    throw new TypeError(`metrics.port: ${port} is not allowed; give a whole number from 0 (any free one) to 65535`)
  if (maxNames !== undefined && !(Number.isInteger(maxNames) && maxNames >= 0 && maxNames <= MAX_NAMES))
    throw new TypeError(`metrics.maxNames: ${maxNames} is not allowed; give a whole number from 0 to ${MAX_NAMES}`)
  if (!mayListen(host, options))
    throw new TypeError(
      `metrics: '${host}' can be reached from other machines; require a token (--token), or say --allow-unauthenticated`
    )
  const { Metrics } = await import('../metrics/metrics.ts')
  const { listen = {}, target } = options
  return new Metrics({ target, client: 'input' in listen ? 'pipe' : 'http', maxNames })
}

/** Where they are served; undefined where that is not asked for. Rejects with the system's error. */
export async function serveMetrics(metrics: Metrics | undefined, options: ForwardOptions): Promise<string | undefined> {
  const { host, port } = chosen(options)
  if (!metrics || port === undefined) return undefined
  return await metrics.listen({ host, port, allowHosts: options.allowHosts ?? [], tokens: options.tokens ?? [] })
}

function chosen({ metrics }: ForwardOptions): MetricsOptions & { readonly host: string } {
  const given = typeof metrics === 'object' ? metrics : {}
  return { ...given, host: given.host ?? '127.0.0.1' }
}

/** More would not help anybody who reads them. */
export const MAX_NAMES = 1000
