import type { Attributes } from './cells.ts'
import type { InstrumentName } from './instruments.ts'

/** A number that nobody has to count: it is read at the scrape. */
export interface Reading {
  readonly name: InstrumentName
  readonly attributes: Attributes
  readonly value: number
}

const NONE: Attributes = {}

export function one(name: InstrumentName, value: number): Reading {
  return { name, attributes: NONE, value }
}

export function labelled(name: InstrumentName, label: string, text: string, value: number): Reading {
  return { name, attributes: { [label]: text }, value }
}
