import type { ErrorCode } from '../errors.ts'
import type { CallProbe } from '../proxy/call.ts'
import type { Meter } from '../proxy/core.ts'
import type { Exchange } from '../proxy/exchange.ts'
import type { Interceptor } from '../proxy/interceptor.ts'
import type { Session, SessionEnd } from '../session/session.ts'
import type { SessionStore } from '../session/store.ts'
import type { RetryReason } from '../transport/upstream.ts'
import { CallWatch } from './call-probe.ts'
import { type Attributes, type Counter, type Histogram, MAX_SERIES, type Series } from './cells.ts'
import { metrics } from './interceptor.ts'
import { MeteredStore, StoreNumbers } from './metered-store.ts'
import { Numbers, type Wires } from './numbers.ts'
import type { Reading } from './reading.ts'
import { RouteGauges, type Served } from './route-gauges.ts'
import { Sessions } from './sessions.ts'

export interface RouteSubject {
  /** Its name, which stands on all of its series; absent where there is only one. */
  readonly name?: string
  /** Of the one server behind it, where it has an address. */
  readonly server?: Attributes
  readonly wires: Wires
  /** Names of tools, of prompts, and of methods that MCP does not define, that become labels. */
  readonly maxNames: number
  /** Of each instrument. Default: all there may be. */
  readonly maxSeries?: number
  /** Something begins to serve it. */
  readonly onServed?: (metrics: RouteMetrics) => void
}

/** The numbers of one route. The rest of catflap knows them as a `Meter` that mostly is not there. */
export class RouteMetrics implements Meter {
  readonly interceptor: Interceptor
  readonly wires: Wires
  readonly #numbers: Numbers
  readonly #sessions: Sessions
  readonly #store: StoreNumbers
  readonly #gauges: RouteGauges
  readonly #onServed: RouteSubject['onServed']

  constructor({ name, server = {}, wires, maxNames, maxSeries = MAX_SERIES, onServed }: RouteSubject) {
    const route: Attributes = name === undefined ? {} : { 'catflap.route': name }
    const room = { attributes: route, max: maxSeries }
    this.wires = wires
    this.#onServed = onServed
    this.#numbers = new Numbers({ maxNames, server, wires, room })
    this.#sessions = new Sessions(this.#numbers, wires, server)
    this.#store = new StoreNumbers(room)
    this.#gauges = new RouteGauges(route)
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

  /** What became of a session that its server had lost; a word of ours. */
  reinitialized(outcome: string): void {
    this.#numbers.reinitialized(outcome)
  }

  /** A target is left out, by the name that tells it from others of its route. */
  ejected(target: string): void {
    this.#numbers.ejected(target)
  }

  sessionEnded(session: Session, why: SessionEnd): void {
    this.#sessions.ended(session, why)
  }

  /** The same store, counted. */
  store(store: SessionStore): SessionStore {
    return new MeteredStore(store, this.#store)
  }

  /** From now on it is read at each scrape, until what is returned is called. */
  watch(served: Served): () => void {
    this.#gauges.add(served)
    this.#onServed?.(this)
    return () => this.#gauges.remove(served)
  }

  /** Something serves it. */
  get served(): boolean {
    return this.#gauges.size > 0
  }

  get series(): readonly Series<Counter | Histogram>[] {
    const store = [this.#store.operations, this.#store.durations] as Series<Counter | Histogram>[]
    return [...this.#numbers.series, ...store]
  }

  get readings(): readonly Reading[] {
    return this.#gauges.read()
  }

  get streams(): number {
    return this.#gauges.streams
  }
}
