import type { Audit } from '../admin/audit.ts'
import type { ProxyView } from '../admin/proxy-view.ts'
import type { Log } from '../log.ts'
import type { RoutesMetrics } from '../metrics/routes-metrics.ts'
import type { AccessLogOptions, AdminOptions, ReverseOptions } from './reverse-options.ts'

/** What operators have of a running proxy, each on an address of its own. */
export interface Operators {
  readonly adminUrl: string | undefined
  readonly adminToken: string | undefined
  readonly metricsUrl: string | undefined
  close(): Promise<void>
}

/** Only what is asked for is loaded. Rejects with the system's error when it cannot listen; then nothing is left open. */
export async function openOperators(
  { admin, metrics: wanted }: Pick<ReverseOptions, 'admin' | 'metrics'>,
  { view, metrics, audit }: { view: ProxyView; metrics: RoutesMetrics | undefined; audit: Audit }
): Promise<Operators> {
  const listener = admin && (await openAdmin(admin, view, audit))
  try {
    const served = typeof wanted === 'object' && wanted.port !== undefined ? wanted : undefined
    const metricsUrl = await (served &&
      metrics?.listen({
        host: served.host ?? '127.0.0.1',
        port: served.port!,
        allowHosts: served.allowHosts ?? [],
        tokens: served.tokens ?? []
      }))
    return {
      adminUrl: listener?.url,
      adminToken: listener?.token,
      metricsUrl,
      close: async () => await listener?.close()
    }
  } catch (error) {
    await listener?.close()
    throw error
  }
}

/** A running admin listener. */
export interface Admin {
  readonly url: string
  readonly token: string
  close(): Promise<void>
}

export async function openAdmin(options: AdminOptions, view: ProxyView, audit: Audit): Promise<Admin> {
  const { AdminListener, newToken } = await import('../admin/admin-listener.ts')
  const token = options.token ?? newToken()
  const listener = new AdminListener({ ...options, token }, view, audit)
  try {
    return { url: await listener.listen(), token, close: () => listener.close() }
  } catch (error) {
    await listener.close()
    throw error
  }
}

interface OpenAccessLog extends Pick<AccessLogOptions, 'scrub'> {
  readonly lines: import('../admin/line-sink.ts').LineSink
  readonly format: 'text' | 'json'
}

/** Lines of the access log wait, a few, and never hold up traffic. */
export async function openAccessLog(
  options: AccessLogOptions | undefined,
  log: Log
): Promise<OpenAccessLog | undefined> {
  if (!options) return undefined
  const { LineSink } = await import('../admin/line-sink.ts')
  const onError = (error: unknown): void => log.error('access-log-failed', `the access log cannot be written: ${error}`)
  const { write, format = 'text', scrub } = options
  return { lines: new LineSink(write, { onError }), format, ...(scrub && { scrub }) }
}
