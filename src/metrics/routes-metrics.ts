import { MAX_SERIES } from './cells.ts'
import { Exposition } from './exposition.ts'
import { type ListenerOptions, MetricsListener } from './listener.ts'
import { DEFAULT_MAX_NAMES } from './metrics.ts'
import type { Wires } from './numbers.ts'
import type { ProcessGauges } from './process-gauges.ts'
import type { Producer } from './producer.ts'
import { RouteMetrics } from './route-metrics.ts'

export interface MeteredRoute {
  readonly name: string
  readonly wires: Wires
  /** How many routes there are: they share what series there may be. */
  readonly among: number
}

/** However many routes there are, each may have so many series of an instrument. */
const MIN_SERIES = 250

/**
 * The numbers of several routes in one exposition. A route keeps its numbers while anything serves it, over any number of
 * configurations; when the last of that is gone, they go as well, so that only routes there are take up room.
 */
export class RoutesMetrics {
  readonly #routes = new Map<string, RouteMetrics>()
  readonly #exposition = new Exposition(() => this.#served())
  readonly #maxNames: number
  #listener: MetricsListener | undefined

  constructor({ maxNames = DEFAULT_MAX_NAMES }: { readonly maxNames?: number } = {}) {
    this.#maxNames = maxNames
  }

  /** Those of the route of that name. One that now leads to another kind of target begins anew: its labels differ. */
  route({ name, wires, among }: MeteredRoute): RouteMetrics {
    const known = this.#routes.get(name)
    if (known && known.wires.up === wires.up && known.wires.down === wires.down) return known
    const maxSeries = Math.max(MIN_SERIES, Math.floor(MAX_SERIES / among))
    const onServed = (metrics: RouteMetrics): void => this.#serves(name, metrics)
    return new RouteMetrics({ name, wires, maxNames: this.#maxNames, maxSeries, onServed })
  }

  /** Takes listeners and the access log, as they come and go, and the store that processes share. */
  get process(): ProcessGauges {
    return this.#exposition.process
  }

  /** For a reader of OpenTelemetry's SDK. */
  get producer(): Producer {
    return this.#exposition.producer
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

  #served(): RouteMetrics[] {
    return [...this.#routes.values()].filter(route => route.served)
  }

  /** What nothing serves any more is forgotten when there is something new: until then it may only be between two configurations. */
  #serves(name: string, metrics: RouteMetrics): void {
    for (const [other, route] of this.#routes) if (!route.served) this.#routes.delete(other)
    this.#routes.set(name, metrics)
  }
}
