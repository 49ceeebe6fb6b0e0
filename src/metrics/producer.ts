import { ValueType } from '@opentelemetry/api'
import { resourceFromAttributes } from '@opentelemetry/resources'
import {
  AggregationTemporality,
  DataPointType,
  type Histogram as HistogramValue,
  type MetricData,
  type MetricProducer,
  type ResourceMetrics
} from '@opentelemetry/sdk-metrics'
import { VERSION } from '../version.ts'
import type { Histogram } from './cells.ts'
import type { Family } from './families.ts'
import { boundsOf, INSTRUMENTS } from './instruments.ts'

type Time = [number, number]

/** The numbers in OpenTelemetry's data model: for a reader of its SDK, and for its serializers. */
export class Producer implements MetricProducer {
  readonly #families: () => readonly Family[]
  readonly #startTime = hrTime(Date.now())

  constructor(families: () => readonly Family[]) {
    this.#families = families
  }

  async collect(): ReturnType<MetricProducer['collect']> {
    // A reader takes the resource from its own provider.
    return { resourceMetrics: this.now(), errors: [] }
  }

  /** All there is at this moment. */
  now(): ResourceMetrics {
    const at = { startTime: this.#startTime, endTime: hrTime(Date.now()) }
    const metrics = this.#families().map(family => metricOf(family, at))
    return { resource, scopeMetrics: [{ scope: { name: 'catflap', version: VERSION }, metrics }] }
  }
}

const resource = resourceFromAttributes({ 'service.name': 'catflap', 'service.version': VERSION })

function metricOf({ name, histograms, points }: Family, at: { startTime: Time; endTime: Time }): MetricData {
  const { type, unit, help } = INSTRUMENTS[name]
  const metric = {
    descriptor: { name, description: help, unit, valueType: ValueType.DOUBLE },
    aggregationTemporality: AggregationTemporality.CUMULATIVE
  }
  const singles = points.map(({ attributes, value }) => ({ ...at, attributes, value }))
  if (type === 'counter') return { ...metric, dataPointType: DataPointType.SUM, isMonotonic: true, dataPoints: singles }
  if (type === 'gauge') return { ...metric, dataPointType: DataPointType.GAUGE, dataPoints: singles }
  const boundaries = [...boundsOf(name)]
  const dataPoints = histograms.map(h => ({ ...at, attributes: h.attributes, value: histogramValue(h, boundaries) }))
  return { ...metric, dataPointType: DataPointType.HISTOGRAM, dataPoints }
}

function histogramValue({ counts, sum, count }: Histogram, boundaries: number[]): HistogramValue {
  return { buckets: { boundaries, counts: [...counts] }, sum, count }
}

function hrTime(ms: number): Time {
  return [Math.trunc(ms / 1000), (ms % 1000) * 1e6]
}
