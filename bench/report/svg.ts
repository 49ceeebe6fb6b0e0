/** A curve for each peer over logarithmic axes, as an SVG that can be read on a light and on a dark page. */
import { median, type PeerResult, type ScenarioResult, valuesOf } from './results.ts'
import { shown } from './table.ts'

const WIDTH = 760
const HEIGHT = 400
const LEFT = 70
const RIGHT = 130
const TOP = 44
const BOTTOM = 52
const LABEL_HEIGHT = 15
/** Told apart also by those who see fewer colours (Okabe and Ito); each is light or dark enough for both grounds. */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#b8860b', '#56b4e9', '#888888']

interface Line {
  readonly name: string
  readonly points: readonly { readonly x: number; readonly y: number }[]
}

/** Of the first metric. Undefined where no peer has numbers, or it is no curve. */
export function curveSvg(scenario: ScenarioResult): string | undefined {
  const { curve, metrics, title } = scenario
  const [metric] = metrics
  if (!curve || !metric) return undefined
  const lines = scenario.results
    .map(result => lineOf(result, metric.key, curve.points))
    .filter(l => l.points.length > 0)
  if (lines.length === 0) return undefined
  const all = lines.flatMap(line => line.points)
  const x = scale(curve.points, LEFT, WIDTH - RIGHT)
  const ys = decades(all.map(p => p.y))
  const y = scale(ys, HEIGHT - BOTTOM, TOP)
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(title)}">`,
    STYLE,
    text(LEFT, 20, title, 'title'),
    text(LEFT, 36, `${metric.label}; both axes logarithmic`, 'small'),
    ...ys.map(value => gridline(value, y(value))),
    ...curve.points.map(value => text(x(value), HEIGHT - BOTTOM + 18, shown(value, curve.unit), 'small middle')),
    text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, curve.label, 'small middle'),
    ...drawn(lines, x, y),
    '</svg>\n'
  ].join('\n')
}

const STYLE = `<style>
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 14px }
.small { font-size: 11px; fill: #57606a }
.middle { text-anchor: middle }
.end { text-anchor: end }
.grid { stroke: #8c959f; stroke-opacity: .35 }
.line { fill: none; stroke-width: 2 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .small { fill: #9aa4ae } }
</style>`

function lineOf(result: PeerResult, key: string, points: readonly number[]): Line {
  const measured = points.map(x => ({ x, y: median(valuesOf(result, `${key}@${x}`)) }))
  return { name: result.peer, points: measured.filter(p => Number.isFinite(p.y) && p.y > 0) }
}

/** A position for a value, on a logarithmic axis from the least to the greatest. */
function scale(values: readonly number[], from: number, to: number): (value: number) => number {
  const low = Math.log10(Math.min(...values))
  const high = Math.log10(Math.max(...values))
  return value =>
    round(high === low ? (from + to) / 2 : from + ((Math.log10(value) - low) / (high - low)) * (to - from))
}

/** 1, 2, 5 and their tenfolds that lie around the values. */
function decades(values: readonly number[]): number[] {
  const steps: number[] = []
  for (let power = -3; power <= 9; power++) for (const step of [1, 2, 5]) steps.push(step * 10 ** power)
  const low = steps.findLastIndex(step => step <= Math.min(...values))
  const high = steps.findIndex(step => step >= Math.max(...values))
  return steps.slice(Math.max(0, low), Math.max(low + 2, high + 1))
}

function gridline(value: number, y: number): string {
  const line = `<line class="grid" x1="${LEFT}" y1="${y}" x2="${WIDTH - RIGHT}" y2="${y}"/>`
  return `${line}\n${text(LEFT - 8, y + 4, value.toLocaleString('en-US', { maximumFractionDigits: 3 }), 'small end')}`
}

function drawn(lines: readonly Line[], x: (v: number) => number, y: (v: number) => number): string[] {
  const labels = apart(lines.map(line => y(line.points.at(-1)!.y)))
  return lines.flatMap((line, i) => {
    const colour = COLOURS[i % COLOURS.length]!
    const points = line.points.map(p => `${x(p.x)},${y(p.y)}`)
    return [
      `<polyline class="line" stroke="${colour}" points="${points.join(' ')}"/>`,
      ...line.points.map(p => `<circle r="3" fill="${colour}" cx="${x(p.x)}" cy="${y(p.y)}"/>`),
      `<text x="${WIDTH - RIGHT + 10}" y="${labels[i]! + 4}" style="fill:${colour}">${escaped(line.name)}</text>`
    ]
  })
}

/** Heights for labels near where they belong, none upon another. */
function apart(heights: readonly number[]): number[] {
  const order = heights.map((_, i) => i).sort((a, b) => heights[a]! - heights[b]!)
  const out: number[] = []
  let least = TOP
  for (const i of order) {
    out[i] = Math.max(heights[i]!, least)
    least = out[i]! + LABEL_HEIGHT
  }
  return out
}

function text(x: number, y: number, content: string, kind: string): string {
  return `<text class="${kind}" x="${x}" y="${y}">${escaped(content)}</text>`
}

function escaped(value: string): string {
  return value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
