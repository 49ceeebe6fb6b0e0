import { VERSION } from '../version.ts'
import type { Attributes, Histogram } from './cells.ts'
import type { Family } from './families.ts'
import { boundsOf, INSTRUMENTS, prometheusName } from './instruments.ts'

/** As the format calls itself. */
export const TEXT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/**
 * Prometheus's text format. OpenTelemetry's serializer says the same (a test compares), and takes eight times as long: with a
 * thousand series each scrape would hold up the traffic for a good part of a tenth of a second.
 */
export function prometheusText(families: readonly Family[]): string {
  let text = header('target_info', 'gauge', 'What is measured')
  text += `target_info${labelsOf({ 'service.name': 'catflap', 'service.version': VERSION })} 1\n`
  for (const { name, histograms, points } of families) {
    const { type, help } = INSTRUMENTS[name]
    const shown = prometheusName(name)
    text += header(shown, type, help)
    for (const { attributes, value } of points) text += `${shown}${labelsOf(attributes)} ${value}\n`
    for (const histogram of histograms) text += histogramText(shown, boundsOf(name), histogram)
  }
  return text
}

function header(name: string, type: string, help: string): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`
}

function histogramText(name: string, bounds: readonly number[], { attributes, counts, count, sum }: Histogram): string {
  const labels = pairsOf(attributes)
  const bucket = labels === '' ? `${name}_bucket{le="` : `${name}_bucket{${labels},le="`
  let text = ''
  let below = 0
  for (let i = 0; i < counts.length; i++) {
    below += counts[i]!
    text += `${bucket}${bounds[i] ?? '+Inf'}"} ${below}\n`
  }
  const all = labels === '' ? '' : `{${labels}}`
  return `${text}${name}_sum${all} ${sum}\n${name}_count${all} ${count}\n`
}

function labelsOf(attributes: Attributes): string {
  const pairs = pairsOf(attributes)
  return pairs === '' ? '' : `{${pairs}}`
}

/** Attributes of a series never change. */
const rendered = new WeakMap<Attributes, string>()

function pairsOf(attributes: Attributes): string {
  let text = rendered.get(attributes)
  if (text === undefined) {
    const pairs = Object.entries(attributes).map(([name, value]) => `${name.replaceAll('.', '_')}="${escaped(value)}"`)
    rendered.set(attributes, (text = pairs.join(',')))
  }
  return text
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"')
}
