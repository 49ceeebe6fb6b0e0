import type { Readable, Writable } from 'node:stream'
import { type Log, SILENT } from '../log.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { ReplaySummary } from '../replay/report.ts'
import type { ClusterOptions, SharedStoreOptions } from '../session/shared.ts'
import type { SessionStore } from '../session/store.ts'
import type { RecorderStats } from '../tape/recorder.ts'
import { Redactor } from '../tape/redact.ts'
import { HttpServer } from '../transport/downstream/http-server.ts'
import { hostForUrl, mayListen } from './bind.ts'
import { checkOptions } from './check-options.ts'
import { closeAll, type Step } from './closing.ts'
import type { Cluster, ClusterSetup } from './cluster.ts'
import { Drain } from './drain.ts'
import type { ForwardOperators } from './forward-admin.ts'
import type { Interceptor } from './interceptor.ts'
import { type MetricsOptions, openMetrics, serveMetrics } from './metering.ts'
import { type SettingName, settings } from './options.ts'
import type { AdminOptions, SessionLoss } from './reverse-options.ts'
import { CLOSE_PATIENCE, openRoute, type Route } from './route.ts'
import { secretsOf } from './secrets.ts'
import { endpoint } from './serve-http.ts'
import { ssePaths } from './serve-sse.ts'
import type { StdioConnection, StdioEnd } from './serve-stdio.ts'
import type { TargetOptions } from './target.ts'

export interface HttpListen {
  /** Default 127.0.0.1. Anything beyond loopback needs `tokens` or `allowUnauthenticated`. */
  readonly host?: string
  /** Default 0: any free port. */
  readonly port?: number
  /** Default `/mcp`. */
  readonly path?: string
}

export interface StdioListen {
  readonly input: Readable
  readonly output: Writable
}

export interface RecordOptions {
  /** A new file; or a folder (one that exists, or a name that ends with a slash), which gets one tape a session. */
  readonly path: string
  readonly overflow?: 'block' | 'drop'
  /** Bytes of one message that are kept whole. Default 8 MiB. */
  readonly maxMessage?: number
}

export interface ForwardOptions {
  readonly target: TargetOptions
  readonly listen?: HttpListen | StdioListen
  /** What becomes of a session that the server has lost. Default: `reinitialize` for URLs, `propagate` for commands. */
  readonly sessionLoss?: SessionLoss
  /** Clients must present one of them. */
  readonly tokens?: readonly string[]
  readonly allowUnauthenticated?: boolean
  readonly allowHosts?: readonly string[]
  readonly allowOrigins?: readonly string[]
  /** Limits and timeouts; docs/options.md lists them. */
  readonly settings?: Partial<Record<SettingName, number>>
  readonly interceptors?: readonly Interceptor[]
  /** Default: in memory. Closed with the proxy. */
  readonly store?: SessionStore
  /** In its place: sessions in Redis, which other processes serve as well (docs/sessions.md). */
  readonly sharedStore?: SharedStoreOptions
  /** The way between those processes, for what only one of them can do. */
  readonly cluster?: ClusterOptions
  readonly record?: RecordOptions
  readonly redactHeaders?: readonly string[]
  readonly redactJson?: readonly string[]
  /** Offer the traffic to `catflap tail` of the same user. Default false. */
  readonly live?: boolean
  /** Keep numbers (docs/observability.md). `true`: for `exportMetrics()` alone. Default: none. */
  readonly metrics?: MetricsOptions | boolean
  /** Where operators ask and act (docs/operations.md): always with a token. Not on stdio. Default: nowhere. */
  readonly admin?: AdminOptions
  readonly log?: Log
  /** Our name in the Via header (RFC 9110 §7.6.3); false: no Via. Default `catflap`. */
  readonly via?: string | false
  /** Takes secrets out of texts; made from the options where it is not given. */
  readonly redactor?: Redactor
}

/** What a running proxy holds at this moment. */
export interface ForwardStats {
  readonly sessions: number
  readonly exchanges: number
  readonly streams: number
  readonly connections: number
  readonly tape: RecorderStats | undefined
}

const DEFAULT_VIA = 'catflap'
/** What the one route is called among instances. */
const ROUTE = 'default'
/** How long clients may at least take to read what was answered before everything is closed, in ms. */
const FLUSH = 100

/** A running forward proxy. */
export class Forward {
  /** Where clients connect; undefined for a proxy on stdio. */
  readonly url: string | undefined
  /** What it leads to, for people. */
  readonly target: string
  /** Resolves when a stdio conversation is over; never for HTTP. The proxy still has to be closed then. */
  readonly ended: Promise<StdioEnd>
  /** The tape (or the folder of tapes), where one is recorded. */
  readonly tape: string | undefined
  /** Where metrics are served, if they are. */
  readonly metricsUrl: string | undefined
  /** Where operators ask and act, if they do. */
  readonly adminUrl: string | undefined
  /** What they must present: the option's, or one that was made up. */
  readonly adminToken: string | undefined
  readonly #parts: Parts
  #closing: Promise<void> | undefined

  constructor(parts: Parts) {
    this.#parts = parts
    this.url = parts.url
    this.target = parts.route.core.target.label
    this.tape = parts.route.recorder?.path
    this.metricsUrl = parts.metricsUrl
    this.adminUrl = parts.operators?.admin.url
    this.adminToken = parts.operators?.admin.token
    this.ended = parts.stdio?.ended ?? new Promise(() => {})
  }

  get stats(): ForwardStats {
    const { server } = this.#parts
    const { core, recorder } = this.#parts.route
    return {
      sessions: core.sessions.size,
      exchanges: core.inFlight.size,
      streams: core.streams,
      connections: server?.connections ?? 0,
      tape: recorder?.stats
    }
  }

  /** What became of the replay so far, where the target is a tape. */
  get replay(): ReplaySummary | undefined {
    return this.#parts.route.core.target.replayed?.()
  }

  /** All metrics at this moment, as Prometheus text. Throws where `metrics` was not asked for. */
  exportMetrics(): string {
    return [...this.#metrics.text()].join('')
  }

  /** The same for a reader of OpenTelemetry's SDK (`metricProducers`), to be sent by OTLP or however it exports. */
  get metricProducer(): Metrics['producer'] {
    return this.#metrics.producer
  }

  get #metrics(): Metrics {
    const { metrics } = this.#parts
    if (!metrics) throw new TypeError('there are no metrics: start with createForward({ metrics: true, … })')
    return metrics
  }

  /**
   * Stops: accepts nothing new, lets calls in flight finish for up to `drainTimeout` ms (default: the setting), ends streams,
   * upstream sessions and children, writes the tape. Afterwards nothing is left open.
   */
  close(options: { readonly drainTimeout?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(options.drainTimeout ?? this.#parts.route.core.settings.drainTimeout)
    return this.#closing
  }

  async #close(drainTimeout: number): Promise<void> {
    const { route, server, stdio, metrics, operators, cluster } = this.#parts
    const { core } = route
    const startedAt = performance.now()
    const listeners = server ? [server] : []
    const drain =
      operators?.view.startDrain({ timeout: drainTimeout }) ??
      new Drain({ cores: () => route.cores, listeners, timeout: drainTimeout, log: core.log })
    // One that operators began may have more time.
    drain.hurry(drainTimeout)
    await drain.run()
    // A call has finished when its client can have the whole answer.
    const flush = Math.max(FLUSH, drainTimeout - (performance.now() - startedAt))
    const patience = CLOSE_PATIENCE + 3 * core.settings.killAfter
    await closeAll(
      [
        ['the client', () => stdio?.close()],
        ['the sessions', () => core.sessions.close()],
        ['connections', () => server?.flushed(flush)],
        ['the listener', () => server?.close()],
        ['what other instances read', () => cluster?.flushed(flush)],
        ['the listener of other instances', () => cluster?.closeListener()],
        ...route.closing,
        ['the shared store', () => cluster?.close()],
        ['the admin listener', () => operators?.admin.close()],
        ['metrics', () => metrics?.close()]
      ],
      patience + flush,
      core.log
    )
    await route.endTape()
  }
}

interface Parts {
  readonly route: Route
  readonly metrics: Metrics | undefined
  readonly url: string | undefined
  readonly server: HttpServer | undefined
  readonly stdio: StdioConnection | undefined
  readonly metricsUrl: string | undefined
  readonly operators?: ForwardOperators
  readonly cluster: Cluster | undefined
}

/**
 * Starts a forward proxy: one target, clients on HTTP or one client on a pair of pipes.
 * Throws a TypeError for options that make no sense, the system's error when it cannot listen, TapeError for the tape.
 */
export async function createForward(options: ForwardOptions): Promise<Forward> {
  checkOptions(options)
  const chosen = settings(options.settings)
  const listen = options.listen ?? {}
  const host = 'input' in listen ? '127.0.0.1' : (listen.host ?? '127.0.0.1')
  checkBind(host, options)
  const log = options.log ?? SILENT
  const redactor =
    options.redactor ??
    new Redactor({ redactHeaders: options.redactHeaders, redactJson: options.redactJson, secrets: secretsOf(options) })
  const metrics = await openMetrics(options)
  let route: Route | undefined
  const cluster = await openCluster(options, { settings: chosen, log, route: () => route }).catch(async error => {
    await metrics?.close()
    throw error
  })
  if (cluster) metrics?.process.shared(cluster.shared)
  const setup = { ...options, settings: chosen, host, log, redactor, metrics, via: viaOf(options) }
  route = await openRoute({ ...setup, cluster: cluster && { of: cluster, name: ROUTE } }).catch(async error => {
    await cluster?.close()
    await metrics?.close()
    throw error
  })
  const { core, recorder } = route
  let server: HttpServer | undefined
  try {
    const parts = { route, cluster, metrics, metricsUrl: await serveMetrics(metrics, options) }
    if ('input' in listen) {
      const { StdioConnection } = await import('./serve-stdio.ts')
      const stdio = new StdioConnection(core, { ...listen, maxLine: chosen.maxBody })
      await route.offer(undefined)
      metrics?.watch({ core, server: undefined, stdio, recorder })
      stdio.start()
      return new Forward({ ...parts, url: undefined, server: undefined, stdio })
    }
    const path = listen.path ?? '/mcp'
    const handler = endpoint(core, { path, sse: ssePaths(path), via: viaOf(options) })
    server = new HttpServer({ ...chosen, host, port: listen.port ?? 0 }, handler)
    const address = await server.listen()
    metrics?.watch({ core, server, stdio: undefined, recorder })
    const url = `http://${hostForUrl(host, address.address)}:${address.port}${path}`
    await route.offer(url)
    const storeFailure = options.sharedStore?.onFailure
    const running = { route, server, metrics, cluster, storeFailure, path, url }
    const operators = options.admin && (await openForwardAdmin(options.admin, running))
    return new Forward({ ...parts, url, server, stdio: undefined, operators })
  } catch (error) {
    const listening = server
    const steps: Step[] = [
      ['the listener', () => listening?.close()],
      ['the sessions', () => core.sessions.close()],
      ...route.closing,
      ['the shared store', () => cluster?.close()]
    ]
    await closeAll([...steps, ['metrics', () => metrics?.close()]], CLOSE_PATIENCE, log)
    await route.endTape()
    throw error
  }
}

/** Loaded only where sessions are shared with other processes. */
async function openCluster(
  { sharedStore, cluster }: ForwardOptions,
  setup: Pick<ClusterSetup, 'settings' | 'log' | 'route'>
): Promise<Cluster | undefined> {
  if (!sharedStore) return undefined
  const { Cluster } = await import('./cluster.ts')
  return await Cluster.open({ ...setup, sharedStore, cluster })
}

/** Loaded only where it is asked for. */
async function openForwardAdmin(
  ...args: Parameters<typeof import('./forward-admin.ts').openForwardAdmin>
): Promise<ForwardOperators> {
  const { openForwardAdmin: open } = await import('./forward-admin.ts')
  return await open(...args)
}

function viaOf(options: ForwardOptions): string | undefined {
  return options.via === false ? undefined : (options.via ?? DEFAULT_VIA)
}

function checkBind(host: string, options: ForwardOptions): void {
  if (mayListen(host, options)) return
  throw new TypeError(
    `listen: '${host}' can be reached from other machines; require a token (--token), or say --allow-unauthenticated`
  )
}
