import type { Readable, Writable } from 'node:stream'
import { type Log, SILENT } from '../log.ts'
import type { Metrics } from '../metrics/metrics.ts'
import { type Session, SessionManager } from '../session/manager.ts'
import { MemorySessionStore } from '../session/memory-store.ts'
import { recordedLeg } from '../session/recorded-leg.ts'
import type { SessionStore } from '../session/store.ts'
import { FrameBus } from '../tape/bus.ts'
import type { LiveFeed } from '../tape/live.ts'
import type { RecorderStats, TapeRecorder } from '../tape/recorder.ts'
import { Redactor } from '../tape/redact.ts'
import { HttpServer } from '../transport/downstream/http-server.ts'
import { mayListen } from './bind.ts'
import { checkOptions } from './check-options.ts'
import { closeAll } from './closing.ts'
import { Core, type Target } from './core.ts'
import { type Interceptor, Pipeline } from './interceptor.ts'
import { interceptorList } from './interceptors.ts'
import { type MetricsOptions, openMetrics, serveMetrics } from './metering.ts'
import { openFeed, openRecorder } from './observers.ts'
import { type SettingName, type Settings, settings } from './options.ts'
import type { SessionLoss } from './reverse-options.ts'
import { secretsOf } from './secrets.ts'
import { endpoint } from './serve-http.ts'
import { ssePaths } from './serve-sse.ts'
import type { StdioConnection, StdioEnd } from './serve-stdio.ts'
import { openTarget, type TargetOptions } from './target.ts'

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
  readonly record?: RecordOptions
  readonly redactHeaders?: readonly string[]
  readonly redactJson?: readonly string[]
  /** Offer the traffic to `catflap tail` of the same user. Default false. */
  readonly live?: boolean
  /** Keep numbers (docs/observability.md). `true`: for `exportMetrics()` alone. Default: none. */
  readonly metrics?: MetricsOptions | boolean
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
const REAP_EVERY = 30_000
/** How long clients may at least take to read what was answered before everything is closed, in ms. */
const FLUSH = 100
/** How long one part may take to close, beside what it waits for children to end, in ms. */
const CLOSE_PATIENCE = 10_000

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
  readonly #parts: Parts
  #closing: Promise<void> | undefined

  constructor(parts: Parts) {
    this.#parts = parts
    this.url = parts.url
    this.target = parts.core.target.label
    this.tape = parts.tape
    this.metricsUrl = parts.metricsUrl
    this.ended = parts.stdio?.ended ?? new Promise(() => {})
  }

  get stats(): ForwardStats {
    const { core, server, recorder } = this.#parts
    return {
      sessions: core.sessions.size,
      exchanges: core.inFlight.size,
      streams: core.streams,
      connections: server?.connections ?? 0,
      tape: recorder?.stats
    }
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
    this.#closing ??= this.#close(options.drainTimeout ?? this.#parts.core.settings.drainTimeout)
    return this.#closing
  }

  async #close(drainTimeout: number): Promise<void> {
    const { core, server, stdio, recorder, feed, metrics } = this.#parts
    const startedAt = performance.now()
    core.draining = true
    server?.stopAccepting()
    const drained = await core.drained(drainTimeout)
    if (!drained && drainTimeout > 0)
      core.log.warn('drain', `${core.inFlight.size} requests were still in flight after ${drainTimeout} ms`)
    // Over HTTP+SSE errors go out on the streams, so these end last.
    for (const x of [...core.inFlight]) if (!x.longLived) x.abandon('shutdown')
    for (const x of [...core.inFlight]) if (x.longLived) x.finish()
    core.cancelAll('shutdown')
    // A call has finished when its client can have the whole answer.
    const flush = Math.max(FLUSH, drainTimeout - (performance.now() - startedAt))
    const patience = CLOSE_PATIENCE + 3 * core.settings.killAfter
    await closeAll(
      [
        ['the client', () => stdio?.close()],
        ['the sessions', () => core.sessions.close()],
        ['connections', () => server?.flushed(flush)],
        ['the listener', () => server?.close()],
        ['the server', () => core.target.close()],
        ['deadlines', async () => core.deadlines.close()],
        ['observers', () => core.tap.settled()],
        ['the live view', () => feed?.close()],
        ['metrics', () => metrics?.close()]
      ],
      patience + flush,
      core.log
    )
    // It knows itself whether a disk is slow or gone.
    await recorder?.close()
  }
}

interface Parts {
  readonly core: Core
  readonly url: string | undefined
  readonly tape: string | undefined
  readonly server: HttpServer | undefined
  readonly stdio: StdioConnection | undefined
  readonly recorder: TapeRecorder | undefined
  readonly feed: LiveFeed | undefined
  readonly metrics: Metrics | undefined
  readonly metricsUrl: string | undefined
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
  const bus = new FrameBus(error =>
    log.error('observer-failed', `an observer of the traffic failed and was dropped: ${error}`)
  )
  const metrics = await openMetrics(options)
  const given = { log, bus, host, redactor, metrics }
  const recorder = await openRecorder(options, given)
  let core: Core | undefined
  let target: Target | undefined
  try {
    target = await openTarget(options.target, chosen, { via: viaOf(options), scrub: redactor.scrub })
    core = makeCore(options, chosen, { ...given, target })
    const metricsUrl = await serveMetrics(metrics, options)
    const parts = { core, recorder, tape: recorder?.path, metrics, metricsUrl }
    if ('input' in listen) {
      const { StdioConnection } = await import('./serve-stdio.ts')
      const stdio = new StdioConnection(core, { ...listen, maxLine: chosen.maxBody })
      const feed = await openFeed(options, given, undefined)
      metrics?.watch({ core, server: undefined, stdio, recorder })
      stdio.start()
      return new Forward({ ...parts, url: undefined, server: undefined, stdio, feed })
    }
    const path = listen.path ?? '/mcp'
    const endpointOptions = { path, sse: ssePaths(path), via: viaOf(options) }
    const server = new HttpServer({ ...chosen, host, port: listen.port ?? 0 }, endpoint(core, endpointOptions))
    const address = await server.listen()
    metrics?.watch({ core, server, stdio: undefined, recorder })
    const url = `http://${hostForUrl(host, address.address)}:${address.port}${path}`
    const feed = await openFeed(options, given, url)
    return new Forward({ ...parts, url, server, stdio: undefined, feed })
  } catch (error) {
    await closeAll(
      [
        ['the sessions', () => core?.sessions.close()],
        ['the server', () => target?.close()],
        ['the store', async () => (core ? undefined : options.store?.close())],
        ['metrics', () => metrics?.close()]
      ],
      CLOSE_PATIENCE,
      log
    )
    await recorder?.close()
    throw error
  }
}

function makeCore(
  options: ForwardOptions,
  chosen: Settings,
  given: { log: Log; bus: FrameBus; host: string; redactor: Redactor; metrics: Metrics | undefined; target: Target }
): Core {
  const { metrics, target } = given
  const pipeline = new Pipeline(
    interceptorList({
      settings: chosen,
      host: given.host,
      allowHosts: options.allowHosts ?? [],
      allowOrigins: options.allowOrigins ?? [],
      tokens: options.tokens ?? [],
      metrics: metrics?.interceptor,
      interceptors: options.interceptors ?? []
    })
  )
  const plain =
    options.store ??
    new MemorySessionStore({ maxSessions: chosen.maxSessions, idleTtl: chosen.sessionIdle, maxTtl: chosen.sessionMax })
  const store = metrics?.store(plain) ?? plain
  let core: Core | undefined
  const sessions = new SessionManager({
    store,
    target: target.name,
    log: given.log,
    reapEvery: Math.max(50, Math.min(REAP_EVERY, chosen.sessionIdle / 3, chosen.sessionMax / 3)),
    openLeg: record => {
      const { upstreamId, member } = recordedLeg(record, target.name) ?? {}
      return upstreamId === undefined ? undefined : target.resume(upstreamId, member)
    },
    onStart: session => {
      if (options.record || options.live) hideIds(given.redactor, session)
      given.log.debug('session-start', `session ${session.handle} began`, { session: session.handle })
      if (core?.bus.active) core.tap.note(session, 'session-start', 'the session began')
    },
    onRenew: session => {
      if (options.record || options.live) hideIds(given.redactor, session)
    },
    onEnd: (session, why) => {
      metrics?.sessionEnded(session, why)
      given.log.debug('session-end', `session ${session.handle} ended: ${why}`, { session: session.handle, why })
      if (core?.bus.active) core.tap.note(session, 'session-end', `the session ended: ${why}`)
    }
  })
  core = new Core({
    settings: chosen,
    log: given.log,
    bus: given.bus,
    target,
    sessions,
    pipeline,
    sessionLoss: options.sessionLoss,
    meter: metrics
  })
  return core
}

function viaOf(options: ForwardOptions): string | undefined {
  return options.via === false ? undefined : (options.via ?? DEFAULT_VIA)
}

/** Both sides' ids of a session are secrets; whoever repeats one in a text shows the handle instead. */
function hideIds(redactor: Redactor, session: Session): void {
  redactor.sessionId(session.handle, session.id)
  if (session.leg.upstreamId !== undefined) redactor.sessionId(session.handle, session.leg.upstreamId)
}

function checkBind(host: string, options: ForwardOptions): void {
  if (mayListen(host, options)) return
  throw new TypeError(
    `listen: '${host}' can be reached from other machines; require a token (--token), or say --allow-unauthenticated`
  )
}

function hostForUrl(asked: string, bound: string): string {
  if (asked === '0.0.0.0' || asked === '::') return '127.0.0.1'
  const host = /^[a-z]/i.test(asked) && asked.includes('.') === false ? asked : bound
  return host.includes(':') ? `[${host}]` : host
}
