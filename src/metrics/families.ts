import { type Attributes, Counter, Histogram, type Series } from './cells.ts'
import type { InstrumentName } from './instruments.ts'
import type { Reading } from './reading.ts'

/** One series of a counter or gauge at this moment. */
export interface Point {
  readonly attributes: Attributes
  readonly value: number
}

/** All that is known of one instrument at this moment: `histograms`, or `points`. */
export interface Family {
  readonly name: InstrumentName
  readonly histograms: readonly Histogram[]
  readonly points: readonly Point[]
}

/** Puts together what was counted and what was read; instruments without any series are left out. */
export function families(series: readonly Series<Counter | Histogram>[], readings: readonly Reading[]): Family[] {
  const made = new Map<InstrumentName, { histograms: Histogram[]; points: Point[] }>()
  const at = (name: InstrumentName): { histograms: Histogram[]; points: Point[] } => {
    let family = made.get(name)
    if (!family) made.set(name, (family = { histograms: [], points: [] }))
    return family
  }
  for (const { name, cells } of series)
    for (const cell of cells)
      if (cell instanceof Histogram) at(name).histograms.push(cell)
      else if (cell instanceof Counter) at(name).points.push(cell)
  for (const reading of readings) at(reading.name).points.push(reading)
  return [...made].map(([name, family]) => ({ name, ...family }))
}
