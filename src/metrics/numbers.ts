import type { ErrorCode } from '../errors.ts'
import type { Exchange } from '../proxy/exchange.ts'
import type { Outcome } from '../proxy/interceptor.ts'
import type { RetryReason } from '../transport/upstream.ts'
import {
  type Attributes,
  ByLabel,
  type Counter,
  counters,
  type Histogram,
  histograms,
  type Room,
  type Series
} from './cells.ts'
import type { Failure } from './failure.ts'
import type { InstrumentName } from './instruments.ts'
import { type Operation, Operations, Side, type Wire, wireAttributes } from './operations.ts'
import { versionOf } from './version-of.ts'

/** How an operation ended. */
export interface Ended {
  readonly failure: Failure | undefined
  readonly seconds: number
}

export interface NumbersOptions {
  /** Names of each sort that become labels. */
  readonly maxNames: number
  /** Of the server, where it has an address. */
  readonly server: Attributes
  readonly wires: Wires
  /** Default: as much as there is for one proxy. */
  readonly room?: Room
}

/** How messages travel on the two sides. */
export interface Wires {
  readonly down: Wire
  readonly up: Wire
}

/** All that is counted as it happens. What is read at the scrape stands in `route-gauges.ts` and `process-gauges.ts`. */
export class Numbers {
  readonly operations: Operations
  readonly server: Side
  readonly client: Side
  readonly serverSessions: Series<Histogram>
  readonly clientSessions: Series<Histogram>
  readonly #firstMessages: ByLabel<Histogram>
  readonly #exchanges: Series<Counter>
  readonly #kinds = new Map<string, Map<string, Counter>>()
  readonly errors: ByLabel<Counter>
  readonly refusals: ByLabel<Counter>
  readonly #upstreamBytes: ByLabel<Counter>
  readonly sent: Counter
  readonly received: Counter
  readonly #retries: ByLabel<Counter>
  readonly #ejections: ByLabel<Counter>
  readonly #reinitializations: ByLabel<Counter>

  constructor({ maxNames, server, wires, room }: NumbersOptions) {
    const counted = (name: InstrumentName, label: string): ByLabel<Counter> => new ByLabel(counters(name, room), label)
    const toServer = { ...wireAttributes(wires.up), ...server }
    this.operations = new Operations(maxNames)
    this.server = new Side(0, 'mcp.server.operation.duration', wireAttributes(wires.down), room)
    this.client = new Side(1, 'mcp.client.operation.duration', toServer, room)
    this.serverSessions = histograms('mcp.server.session.duration', room)
    this.clientSessions = histograms('mcp.client.session.duration', room)
    this.#firstMessages = new ByLabel(histograms('catflap.stream.first_message.duration', room), 'mcp.method.name')
    this.#exchanges = counters('catflap.exchanges', room)
    this.errors = counted('catflap.errors', 'error.type')
    this.refusals = counted('catflap.refusals', 'error.type')
    this.#upstreamBytes = counted('catflap.upstream.io', 'network.io.direction')
    this.sent = this.#upstreamBytes.of('transmit')
    this.received = this.#upstreamBytes.of('receive')
    this.#retries = counted('catflap.upstream.retries', 'catflap.retry.reason')
    this.#ejections = counted('catflap.target.ejections', 'catflap.target')
    this.#reinitializations = counted('catflap.session.reinitializations', 'catflap.session.outcome')
  }

  get series(): readonly Series<Counter | Histogram>[] {
    return [
      this.server.series,
      this.client.series,
      this.serverSessions,
      this.clientSessions,
      this.#firstMessages.series,
      this.#exchanges,
      this.errors.series,
      this.refusals.series,
      this.#upstreamBytes.series,
      this.#retries.series,
      this.#ejections.series,
      this.#reinitializations.series
    ] as Series<Counter | Histogram>[]
  }

  again(reason: RetryReason): void {
    this.#retries.of(reason).value++
  }

  reinitialized(outcome: string): void {
    this.#reinitializations.of(outcome).value++
  }

  ejected(target: string): void {
    this.#ejections.of(target).value++
  }

  refused(code: ErrorCode): void {
    this.refusals.of(code).value++
  }

  firstMessage(x: Exchange): void {
    const seconds = (performance.now() - x.startedAt) / 1000
    this.#firstMessages.of(this.operations.methodLabel(x.message)).record(seconds)
  }

  /**
   * One side's duration of what an exchange asked: of each message that has a method. Where it is one, its operation is
   * returned, so that the other side (`known`) need not look for it.
   */
  operation(x: Exchange, side: Side, ended: Ended, known?: Operation): Operation | undefined {
    const { message, batch } = x
    if (message?.method === undefined && !batch) return undefined
    const version = versionOf(x)
    // Only what went to the server and came back well has proven its name.
    const proven = ended.failure === undefined && x.probe !== undefined
    if (batch) {
      for (const m of batch)
        if (m.method !== undefined) this.operations.of(m, proven).record(side, version, ended.failure, ended.seconds)
      return undefined
    }
    const operation = known ?? this.operations.of(message!, proven)
    operation.record(side, version, ended.failure, ended.seconds)
    return operation
  }

  ended({ kind }: Exchange, { result, code }: Outcome): void {
    let results = this.#kinds.get(kind)
    if (!results) this.#kinds.set(kind, (results = new Map()))
    let cell = results.get(result)
    if (!cell) {
      cell = this.#exchanges.add({ 'catflap.exchange.kind': kind, 'catflap.exchange.result': result })
      results.set(result, cell)
    }
    cell.value++
    if (code === undefined) return
    if (result === 'refused') this.refusals.of(code).value++
    else if (result === 'failed') this.errors.of(code).value++
  }
}
