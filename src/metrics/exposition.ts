import type { Counter, Histogram, Series } from './cells.ts'
import { type Family, families } from './families.ts'
import { ProcessGauges } from './process-gauges.ts'
import { Producer } from './producer.ts'
import { prometheusText } from './prometheus.ts'
import type { RouteMetrics } from './route-metrics.ts'

/** All numbers of one process at a moment: those of each route, and once what belongs to none. */
export class Exposition {
  readonly process = new ProcessGauges()
  /** For a reader of OpenTelemetry's SDK. */
  readonly producer: Producer = new Producer(() => this.#families())
  readonly #routes: () => Iterable<RouteMetrics>

  constructor(routes: () => Iterable<RouteMetrics>) {
    this.#routes = routes
  }

  /** Prometheus text, in parts. */
  text(): Iterable<string> {
    return prometheusText(this.producer.now())
  }

  close(): void {
    this.process.close()
  }

  #families(): Family[] {
    const routes = [...this.#routes()]
    const series: Series<Counter | Histogram>[] = routes.flatMap(route => route.series)
    const listening = routes.reduce((sum, route) => sum + route.streams, 0)
    return families(series, [...routes.flatMap(route => route.readings), ...this.process.read(listening)])
  }
}
