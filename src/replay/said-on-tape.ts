import type { Page } from './pages.ts'
import type { RecordedAnswer, RecordedRequest, Said, TapePlace, TapeText } from './recording.ts'
import type { SaidTable } from './said-table.ts'
import { ownText } from './shared-strings.ts'
import { type TapeSource, TextOnTape } from './tape-source.ts'

export interface SaidFacts {
  readonly method: string
  readonly id: string | undefined
  readonly owned: boolean
  /** The row of a request. */
  readonly names: number | undefined
  readonly own: boolean
  readonly truncated: boolean
}

/** In the place of a method, of an error that answers nothing. */
export const UNADDRESSED = 'error'

export const IS_OWNED = 1
export const IS_OWN = 2
export const IS_TRUNCATED = 4
export const HAS_ID = 8

/** What a server said, as others see it. */
export class SaidOnTape implements Said {
  readonly row: number
  readonly #table: SaidTable
  readonly #id: string | undefined
  /** Those that were made with it. */
  protected readonly page: Page<SaidOnTape> | undefined

  /** `id`: known while the tape is read. */
  constructor(table: SaidTable, row: number, page?: Page<SaidOnTape>, id?: string) {
    this.#table = table
    this.row = row
    this.page = page
    this.#id = id
  }

  get order(): number {
    return this.#table.order.get(this.row)
  }

  set order(order: number) {
    this.#table.order.set(this.row, order)
  }

  get #source(): TapeSource {
    return this.#table.sourceOf(this.row)
  }

  get #index(): number {
    return this.#table.index.get(this.row)
  }

  get at(): number {
    return this.#source.atOf(this.#index)
  }

  get place(): TapePlace {
    return new TextOnTape(this.#source, this.#index)
  }

  get text(): TapeText {
    return new TextOnTape(this.#source, this.#index)
  }

  get method(): string {
    const onTape = (): string => ownText(this.#table.envelopeOf(this.row)?.method ?? UNADDRESSED)
    return this.#table.methods.get(this.row, onTape) ?? ''
  }

  get id(): string | undefined {
    if (!this.#has(HAS_ID)) return undefined
    return this.#id ?? this.#table.ids.get(this.row) ?? ownText(this.#table.envelopeOf(this.row)?.id ?? '')
  }

  get owned(): boolean {
    return this.#has(IS_OWNED)
  }

  get own(): boolean {
    return this.#has(IS_OWN)
  }

  get truncated(): boolean {
    return this.#has(IS_TRUNCATED)
  }

  get names(): RecordedRequest | undefined {
    return this.#step(this.#table.names.get(this.row)) as RecordedRequest | undefined
  }

  get answer(): RecordedAnswer | undefined {
    return this.#step(this.#table.answer.get(this.row)) as RecordedAnswer | undefined
  }

  /** In a step of this row. */
  answeredBy(row: number): void {
    this.#table.answer.set(this.row, row + 1)
  }

  #step(link: number) {
    return link === 0 ? undefined : this.#table.steps.at(link - 1)
  }

  #has(fact: number): boolean {
    return (this.#table.facts.get(this.row) & fact) !== 0
  }
}
