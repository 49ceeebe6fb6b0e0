import { PrometheusSerializer } from '@opentelemetry/exporter-prometheus'
import type { MetricData, ResourceMetrics } from '@opentelemetry/sdk-metrics'
import { type InstrumentName, unitSuffix } from './instruments.ts'

/** Without the scope, which would be the same label on every series. What is measured (`target_info`) is said once. */
const first = new PrometheusSerializer(undefined, false, undefined, false, true)
const further = new PrometheusSerializer(undefined, false, undefined, true, true)

/** Series that are written in one go: two or three milliseconds of histograms. */
const AT_ONCE = 10

/**
 * Prometheus's text format, by OpenTelemetry's own serializer, but for the unit in the name, which it leaves out. In parts,
 * between which the traffic may have its turn: a thousand histograms take half a second.
 */
export function* prometheusText({ resource, scopeMetrics }: ResourceMetrics): Generator<string, void> {
  let serializer = first
  for (const { scope, metrics } of scopeMetrics)
    for (const metric of metrics.map(withUnit))
      for (let i = 0; i < metric.dataPoints.length; i += AT_ONCE) {
        const part = { ...metric, dataPoints: metric.dataPoints.slice(i, i + AT_ONCE) } as MetricData
        const text = serializer.serialize({ resource, scopeMetrics: [{ scope, metrics: [part] }] })
        serializer = further
        // What a family is, is said once.
        yield i === 0 ? text : text.replaceAll(/^#.*\n/gm, '')
      }
}

function withUnit(metric: MetricData): MetricData {
  const { name } = metric.descriptor
  // With the unit in its name it needs none beside it, which Prometheus would want to be a word.
  const descriptor = { ...metric.descriptor, name: `${name}${unitSuffix(name as InstrumentName)}`, unit: '' }
  return { ...metric, descriptor }
}
