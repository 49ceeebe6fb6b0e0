import { type Column, uint16s, uint32s } from './column.ts'
import { type Envelope, envelopesOf } from './envelope.ts'
import type { Cancelled, Origin } from './on-tape.ts'
import { type HeldLists, OriginLists } from './origin-lists.ts'
import type { Outcome, Said } from './recording.ts'
import type { TapeSource } from './tape-source.ts'

/** Names that are held; others are read from the tape when they are asked for. */
const MAX_METHODS = 10_000
const MAX_SUBJECTS = 10_000

/**
 * All that clients did on the tapes of a recording: a row for each step. There are millions of them, most alike: what every step has
 * stands in columns of numbers, what few have beside them by row, and what is seldom asked for is read from the tape.
 */
export class StepColumns {
  rows = 0
  readonly order = uint32s()
  /** Which of its source's texts it is. */
  readonly index = uint32s()
  readonly facts = uint32s()
  /** The row plus one of the next step of the same conversation; 0: it is the last. */
  readonly next = uint32s()
  /** Of a plain answer. */
  readonly answerOrder = uint32s()
  readonly answerIndex = uint32s()
  /** Of a request: its batch. Of a notification: the row plus one of what it cancels. */
  readonly link = uint32s()
  readonly said = new Map<number, Said[]>()
  readonly after = new Map<number, Said[]>()
  readonly cancelled = new Map<number, Cancelled>()
  readonly outcomes = new Map<number, Outcome>()
  readonly answersTo = new Map<number, Said>()
  readonly statuses = new Map<number, number>()
  readonly #methods = new NameColumn(uint16s(), MAX_METHODS)
  readonly #subjects = new NameColumn(uint32s(), MAX_SUBJECTS)
  readonly #ids = uint32s()
  readonly #origins = uint32s()
  readonly #lists = new OriginLists()
  /** Sources, with the first row of each. */
  readonly #sources: { readonly from: number; readonly source: TapeSource }[] = []

  add(kind: number, { order, source, index, ...lists }: Origin): number {
    const row = this.rows++
    if (this.#sources.at(-1)?.source !== source) this.#sources.push({ from: row, source })
    this.order.set(row, order)
    this.index.set(row, index)
    this.facts.set(row, kind)
    this.#origins.set(row, this.#lists.numberOf(lists))
    return row
  }

  has(row: number, fact: number): boolean {
    return (this.facts.get(row) & fact) !== 0
  }

  mark(row: number, fact: number): void {
    this.facts.set(row, this.facts.get(row) | fact)
  }

  unmark(row: number, facts: number): void {
    this.facts.set(row, this.facts.get(row) & ~facts)
  }

  sourceOf(row: number): TapeSource {
    let low = 0
    let high = this.#sources.length
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if (this.#sources[middle]!.from <= row) low = middle
      else high = middle
    }
    return this.#sources[low]!.source
  }

  originOf(row: number): HeldLists {
    return this.#lists.get(this.#origins.get(row))
  }

  setMethod(row: number, method: string): void {
    this.#methods.set(row, method)
  }

  setSubject(row: number, subject: string | undefined): void {
    this.#subjects.set(row, subject)
  }

  /** `onTape` reads it where it is not held. */
  methodOf(row: number, onTape: () => string | undefined): string {
    return this.#methods.get(row, onTape) ?? ''
  }

  subjectOf(row: number, onTape: () => string | undefined): string | undefined {
    return this.#subjects.get(row, onTape)
  }

  /** JSON text. Most are small numbers. */
  setId(row: number, id: string): void {
    if (SMALL_NUMBER.test(id)) this.#ids.set(row, Number(id) + 1)
  }

  idOf(row: number): string | undefined {
    const id = this.#ids.get(row)
    return id === 0 ? undefined : String(id - 1)
  }

  /** What its text says of itself, read from the tape. */
  envelopeOf(row: number): Envelope | undefined {
    return envelopesOf(this.sourceOf(row).textOf(this.index.get(row)), 1)[0]
  }
}

const SMALL_NUMBER = /^(?:0|[1-9]\d{0,8})$/

/** Names of which most recur. */
class NameColumn {
  readonly #column: Column
  readonly #max: number
  /** Numbers from 2 on; 1: it stands on the tape; 0: there is none. */
  readonly #numbers = new Map<string, number>()
  readonly #names: string[] = []

  constructor(column: Column, max: number) {
    this.#column = column
    this.#max = max
  }

  set(row: number, name: string | undefined): void {
    if (name !== undefined) this.#column.set(row, this.#numberOf(name))
  }

  get(row: number, onTape: () => string | undefined): string | undefined {
    const number = this.#column.get(row)
    if (number === 0) return undefined
    return number === 1 ? onTape() : this.#names[number - 2]
  }

  #numberOf(name: string): number {
    const known = this.#numbers.get(name)
    if (known !== undefined) return known
    if (this.#names.length >= this.#max) return 1
    const number = this.#names.push(name) + 1
    this.#numbers.set(name, number)
    return number
  }
}
