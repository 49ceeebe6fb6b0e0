import type { MetricData, MetricProducer, ResourceMetrics } from '@opentelemetry/sdk-metrics'
import { VERSION } from '../version.ts'
import type { Histogram } from './cells.ts'
import type { Family } from './families.ts'
import { boundsOf, INSTRUMENTS } from './instruments.ts'

/** Numbers of the SDK's enumerations (a test compares): taking them from there would load all of it. */
export const HISTOGRAM = 0
export const GAUGE = 2
export const SUM = 3
export const CUMULATIVE = 1
const DOUBLE = 1

type Time = [number, number]

/** The same numbers in OpenTelemetry's data model, for a reader of its SDK. */
export class Producer implements MetricProducer {
  readonly #families: () => readonly Family[]
  readonly #startTime = hrTime(Date.now())

  constructor(families: () => readonly Family[]) {
    this.#families = families
  }

  async collect(): ReturnType<MetricProducer['collect']> {
    const at = { startTime: this.#startTime, endTime: hrTime(Date.now()) }
    const metrics = this.#families().map(family => metricOf(family, at))
    const resource = { attributes: { 'service.name': 'catflap', 'service.version': VERSION } }
    const scopeMetrics = [{ scope: { name: 'catflap', version: VERSION }, metrics }]
    // A reader takes the resource from its own provider.
    return { resourceMetrics: { resource, scopeMetrics } as unknown as ResourceMetrics, errors: [] }
  }
}

function metricOf({ name, histograms, points }: Family, at: { startTime: Time; endTime: Time }): MetricData {
  const { type, unit, help } = INSTRUMENTS[name]
  const bounds = boundsOf(name)
  return {
    descriptor: { name, description: help, unit, valueType: DOUBLE },
    aggregationTemporality: CUMULATIVE,
    dataPointType: { histogram: HISTOGRAM, counter: SUM, gauge: GAUGE }[type],
    isMonotonic: type === 'counter',
    dataPoints:
      type === 'histogram'
        ? histograms.map(h => ({ ...at, attributes: h.attributes, value: histogramValue(h, bounds) }))
        : points.map(({ attributes, value }) => ({ ...at, attributes, value }))
  } as unknown as MetricData
}

function histogramValue({ counts, sum, count }: Histogram, boundaries: readonly number[]): object {
  return { buckets: { boundaries: [...boundaries], counts: [...counts] }, sum, count }
}

function hrTime(ms: number): Time {
  return [Math.trunc(ms / 1000), (ms % 1000) * 1e6]
}
