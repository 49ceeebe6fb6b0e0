import type { ErrorCode } from '../errors.ts'
import type { CallProbe } from '../proxy/call.ts'
import type { Meter } from '../proxy/core.ts'
import type { Exchange } from '../proxy/exchange.ts'
import type { Interceptor } from '../proxy/interceptor.ts'
import type { TargetOptions } from '../proxy/target.ts'
import type { Session, SessionEnd } from '../session/session.ts'
import type { SessionStore } from '../session/store.ts'
import type { RetryReason } from '../transport/upstream.ts'
import type { Attributes } from './cells.ts'
import { Exposition } from './exposition.ts'
import { type ListenerOptions, MetricsListener } from './listener.ts'
import type { Wire } from './operations.ts'
import type { ListenerSource, ProcessGauges, StdioSource } from './process-gauges.ts'
import type { Producer } from './producer.ts'
import type { Served } from './route-gauges.ts'
import { RouteMetrics } from './route-metrics.ts'

/** What the numbers are about. */
export interface MetricsSubject {
  readonly target: TargetOptions
  /** How clients connect. */
  readonly client: Wire
  /** Names of tools, of prompts, and of methods that MCP does not define, that become labels. Default 100 of each. */
  readonly maxNames?: number
}

/** Where numbers are read that nobody has to count. */
export interface Sources extends Served {
  readonly server: ListenerSource | undefined
  /** Bytes of a client on stdio. */
  readonly stdio: StdioSource | undefined
}

export const DEFAULT_MAX_NAMES = 100

/**
 * The numbers of a proxy with one target: those of its one route, which needs no name, and of the process. This module and
 * what it needs are loaded only where metrics are asked for.
 */
export class Metrics implements Meter {
  readonly #route: RouteMetrics
  readonly #exposition = new Exposition(() => [this.#route])
  #listener: MetricsListener | undefined

  constructor({ target, client, maxNames = DEFAULT_MAX_NAMES }: MetricsSubject) {
    const wires = { down: client, up: 'url' in target ? 'http' : 'pipe' } as const
    this.#route = new RouteMetrics({ server: serverAttributes(target), wires, maxNames })
  }

  get interceptor(): Interceptor {
    return this.#route.interceptor
  }

  /** Takes the store that processes share. */
  get process(): ProcessGauges {
    return this.#exposition.process
  }

  /** For a reader of OpenTelemetry's SDK. */
  get producer(): Producer {
    return this.#exposition.producer
  }

  call(x: Exchange): CallProbe {
    return this.#route.call(x)
  }

  refused(code: ErrorCode): void {
    this.#route.refused(code)
  }

  again(reason: RetryReason): void {
    this.#route.again(reason)
  }

  reinitialized(outcome: string): void {
    this.#route.reinitialized(outcome)
  }

  ejected(target: string): void {
    this.#route.ejected(target)
  }

  sessionEnded(session: Session, why: SessionEnd): void {
    this.#route.sessionEnded(session, why)
  }

  /** The same store, counted. */
  store(store: SessionStore): SessionStore {
    return this.#route.store(store)
  }

  /** From now on these are read at each scrape. */
  watch({ core, recorder, server, stdio }: Sources): void {
    this.#route.watch({ core, recorder })
    if (server) this.#exposition.process.listener(server)
    if (stdio) this.#exposition.process.stdio(stdio)
  }

  /** Prometheus text of this moment, in parts. */
  text(): Iterable<string> {
    return this.#exposition.text()
  }

  /** Serves the text; returns where. Rejects with the system's error. */
  async listen(options: ListenerOptions): Promise<string> {
    this.#listener = new MetricsListener(options, () => this.text())
    return await this.#listener.listen()
  }

  async close(): Promise<void> {
    this.#exposition.close()
    await this.#listener?.close()
  }
}

/** Of the one server there is, as the user has named it: no credentials, and nothing that a client could choose. */
function serverAttributes(target: TargetOptions): Attributes {
  if (!('url' in target)) return {}
  const { hostname, port, protocol } = new URL(target.url)
  return { 'server.address': hostname, 'server.port': port || (protocol === 'https:' ? '443' : '80') }
}
