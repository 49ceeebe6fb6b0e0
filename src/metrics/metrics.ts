import type { ErrorCode } from '../errors.ts'
import type { CallProbe } from '../proxy/call.ts'
import type { Meter } from '../proxy/core.ts'
import type { Exchange } from '../proxy/exchange.ts'
import type { Interceptor } from '../proxy/interceptor.ts'
import type { LossOutcome } from '../proxy/renew-leg.ts'
import type { TargetOptions } from '../proxy/target.ts'
import type { Session, SessionEnd } from '../session/manager.ts'
import type { SessionStore } from '../session/store.ts'
import type { RetryReason } from '../transport/upstream.ts'
import { CallWatch } from './call-probe.ts'
import type { Attributes, Counter, Histogram, Series } from './cells.ts'
import { type Family, families } from './families.ts'
import { Gauges, type Sources } from './gauges.ts'
import { metrics } from './interceptor.ts'
import { type ListenerOptions, MetricsListener } from './listener.ts'
import { MeteredStore } from './metered-store.ts'
import { Numbers } from './numbers.ts'
import type { Wire } from './operations.ts'
import { Producer } from './producer.ts'
import { prometheusText } from './prometheus.ts'
import { Sessions } from './sessions.ts'

/** What the numbers are about. */
export interface MetricsSubject {
  readonly target: TargetOptions
  /** How clients connect. */
  readonly client: Wire
  /** Names of tools, of prompts, and of methods that MCP does not define, that become labels. Default 100 of each. */
  readonly maxNames?: number
}

const DEFAULT_MAX_NAMES = 100

/**
 * The numbers of one running proxy. This module and what it needs are loaded only where metrics are asked for; the rest of
 * catflap knows them as a `Meter` that mostly is not there.
 */
export class Metrics implements Meter {
  readonly interceptor: Interceptor
  readonly #numbers: Numbers
  readonly #sessions: Sessions
  /** For a reader of OpenTelemetry's SDK. */
  readonly producer: Producer = new Producer(() => this.#families())
  #store: MeteredStore | undefined
  #gauges: Gauges | undefined
  #server: Sources['server']
  #listener: MetricsListener | undefined

  constructor({ target, client, maxNames = DEFAULT_MAX_NAMES }: MetricsSubject) {
    const server = serverAttributes(target)
    const wires = { down: client, up: 'url' in target ? 'http' : 'pipe' } as const
    this.#numbers = new Numbers({ maxNames, server, wires })
    this.#sessions = new Sessions(this.#numbers, wires, server)
    this.interceptor = metrics(this.#numbers)
  }

  call(x: Exchange): CallProbe {
    return new CallWatch(this.#numbers, x)
  }

  refused(code: ErrorCode): void {
    this.#numbers.refused(code)
  }

  again(reason: RetryReason): void {
    this.#numbers.again(reason)
  }

  reinitialized(outcome: LossOutcome): void {
    this.#numbers.reinitialized(outcome)
  }

  sessionEnded(session: Session, why: SessionEnd): void {
    this.#sessions.ended(session, why)
  }

  /** The same store, counted. */
  store(store: SessionStore): SessionStore {
    this.#store = new MeteredStore(store)
    return this.#store
  }

  /** From now on these are read at each scrape. */
  watch(sources: Sources): void {
    this.#gauges = new Gauges(sources)
    this.#server = sources.server
  }

  /** Prometheus text of this moment, in parts. */
  text(): Iterable<string> {
    return prometheusText(this.producer.now())
  }

  #families(): Family[] {
    // What is refused before there is an exchange, the listener counts.
    const refused = Object.entries(this.#server?.refusals ?? {})
    for (const [code, count] of refused) if (count > 0) this.#numbers.refusals.of(code).value = count
    const store = this.#store
    const more = store ? [store.operations, store.durations] : []
    const series = [...this.#numbers.series, ...more] as Series<Counter | Histogram>[]
    return families(series, this.#gauges?.read() ?? [])
  }

  /** Serves the text; returns where. Rejects with the system's error. */
  async listen(options: ListenerOptions): Promise<string> {
    this.#listener = new MetricsListener(options, () => this.text())
    return await this.#listener.listen()
  }

  async close(): Promise<void> {
    this.#gauges?.close()
    await this.#listener?.close()
  }
}

/** Of the one server there is, as the user has named it: no credentials, and nothing that a client could choose. */
function serverAttributes(target: TargetOptions): Attributes {
  if (!('url' in target)) return {}
  const { hostname, port, protocol } = new URL(target.url)
  return { 'server.address': hostname, 'server.port': port || (protocol === 'https:' ? '443' : '80') }
}
