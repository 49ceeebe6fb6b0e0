/** Reads Prometheus text as a scraper does. */
import type { Forward } from '../../src/index.ts'

export type Labels = Readonly<Record<string, string>>

export interface Sample {
  readonly name: string
  readonly labels: Labels
  readonly value: number
}

export class Scrape {
  readonly samples: readonly Sample[]
  /** By the name of the family. */
  readonly types: ReadonlyMap<string, string>

  constructor(text: string) {
    const lines = text.split('\n')
    this.types = new Map(lines.flatMap(l => [...l.matchAll(/^# TYPE (\S+) (\S+)$/g)].map(m => [m[1]!, m[2]!] as const)))
    this.samples = lines.filter(line => line !== '' && !line.startsWith('#')).map(sampleOf)
  }

  /** All of that name whose labels hold at least these. */
  all(name: string, labels: Labels = {}): Sample[] {
    const wanted = Object.entries(labels)
    return this.samples.filter(s => s.name === name && wanted.every(([label, value]) => s.labels[label] === value))
  }

  /** Their sum; 0 where there is none. */
  sum(name: string, labels: Labels = {}): number {
    return this.all(name, labels).reduce((sum, s) => sum + s.value, 0)
  }
}

export function scrapeOf(door: Forward): Scrape {
  return new Scrape(door.exportMetrics())
}

function sampleOf(line: string): Sample {
  const m = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line)
  if (!m) throw new Error(`no sample: ${line}`)
  const pairs = [...(m[2] ?? '').matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"(?:,|$)/g)]
  const labels = Object.fromEntries(pairs.map(([, label, value]) => [label!, unescaped(value!)]))
  return { name: m[1]!, labels, value: Number(m[3]!.replace('+Inf', 'Infinity')) }
}

function unescaped(value: string): string {
  return value.replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c))
}
