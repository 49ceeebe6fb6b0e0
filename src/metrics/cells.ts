import { boundsOf, type InstrumentName } from './instruments.ts'

export type Attributes = Readonly<Record<string, string>>

/** One series that only grows. */
export class Counter {
  readonly attributes: Attributes
  value = 0

  constructor(attributes: Attributes) {
    this.attributes = attributes
  }
}

/** One series of a histogram. Recording costs a search among the bounds and three additions. */
export class Histogram {
  readonly attributes: Attributes
  /** One more than there are bounds: the last holds what is beyond them. */
  readonly counts: Float64Array
  count = 0
  sum = 0
  readonly #bounds: readonly number[]

  constructor(attributes: Attributes, bounds: readonly number[]) {
    this.attributes = attributes
    this.#bounds = bounds
    this.counts = new Float64Array(bounds.length + 1)
  }

  record(value: number): void {
    const bounds = this.#bounds
    let i = 0
    // A bound belongs to its bucket. Most values are small, so that the search from below is short.
    while (i < bounds.length && value > bounds[i]!) i++
    this.counts[i]!++
    this.count++
    this.sum += value
  }
}

/** Beyond so many series of one instrument, new ones share one that says so (in the way of OpenTelemetry's SDKs). */
export const MAX_SERIES = 1000
const OVERFLOW: Attributes = { 'otel.metric.overflow': 'true' }

/** Where series stand: what all of them carry, and how many there may be of each instrument. */
export interface Room {
  readonly attributes: Attributes
  readonly max: number
}

const WHOLE: Room = { attributes: {}, max: MAX_SERIES }

/**
 * The series of one instrument. They are made once, kept by whoever writes to them and never go away: counting looks nothing up
 * by its labels. (The SDK's own instruments make a string of all labels for each value, which costs fifty times as much.)
 */
export class Series<T extends Counter | Histogram> {
  readonly name: InstrumentName
  readonly cells: T[] = []
  readonly #make: (attributes: Attributes) => T
  readonly #room: Room
  #overflow: T | undefined

  constructor(name: InstrumentName, make: (attributes: Attributes) => T, room: Room) {
    this.name = name
    this.#make = make
    this.#room = room
  }

  /** A new series; each set of attributes may be asked for once. */
  add(attributes: Attributes): T {
    if (this.cells.length >= this.#room.max - 1) return this.#beyond()
    return this.#put(attributes)
  }

  #beyond(): T {
    this.#overflow ??= this.#put(OVERFLOW)
    return this.#overflow
  }

  #put(attributes: Attributes): T {
    const cell = this.#make({ ...attributes, ...this.#room.attributes })
    this.cells.push(cell)
    return cell
  }
}

export function counters(name: InstrumentName, room: Room = WHOLE): Series<Counter> {
  return new Series(name, attributes => new Counter(attributes), room)
}

export function histograms(name: InstrumentName, room: Room = WHOLE): Series<Histogram> {
  const bounds = boundsOf(name)
  return new Series(name, attributes => new Histogram(attributes, bounds), room)
}

/** Counters that differ in one label, whose values are few and ours. */
export class ByLabel<T extends Counter | Histogram> {
  readonly series: Series<T>
  readonly #label: string
  readonly #rest: Attributes
  readonly #cells = new Map<string, T>()

  constructor(series: Series<T>, label: string, rest: Attributes = {}) {
    this.series = series
    this.#label = label
    this.#rest = rest
  }

  of(value: string): T {
    let cell = this.#cells.get(value)
    if (!cell) this.#cells.set(value, (cell = this.series.add({ ...this.#rest, [this.#label]: value })))
    return cell
  }
}
