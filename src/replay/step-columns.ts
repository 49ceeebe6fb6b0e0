import { Chains } from './chains.ts'
import { uint16s, uint32s } from './column.ts'
import { type Envelope, envelopesOf } from './envelope.ts'
import { IdColumn } from './id-column.ts'
import { NameColumn } from './name-column.ts'
import type { Cancelled, Origin } from './on-tape.ts'
import { type HeldLists, OriginLists } from './origin-lists.ts'
import type { Outcome } from './recording.ts'
import { SourceRows } from './source-rows.ts'
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
  /** Of a request: its batch. The row plus one of what a notification cancels, or of the question that an answer answers. */
  readonly link = uint32s()
  /** What the server said before a request's answer, */
  readonly said = new Chains()
  /** and behind a step. */
  readonly after = new Chains()
  readonly cancelled = new Map<number, Cancelled>()
  readonly outcomes = new Map<number, Outcome>()
  readonly statuses = new Map<number, number>()
  readonly #methods = new NameColumn(uint16s(), MAX_METHODS)
  readonly #subjects = new NameColumn(uint32s(), MAX_SUBJECTS)
  readonly #ids = new IdColumn()
  readonly #origins = uint32s()
  readonly #lists = new OriginLists()
  readonly #sources = new SourceRows()

  add(kind: number, { order, source, index, ...lists }: Origin): number {
    const row = this.rows++
    this.#sources.add(row, source)
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
    return this.#sources.of(row)
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

  setId(row: number, id: string): void {
    this.#ids.set(row, id)
  }

  /** Undefined where it stands on the tape alone. */
  idOf(row: number): string | undefined {
    return this.#ids.get(row)
  }

  /** What its text says of itself, read from the tape. */
  envelopeOf(row: number): Envelope | undefined {
    return envelopesOf(this.sourceOf(row).textOf(this.index.get(row)), 1)[0]
  }
}
