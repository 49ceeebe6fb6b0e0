import type { Chain } from './chains.ts'
import { headersOf, UNREAD } from './on-tape.ts'
import type { Page } from './pages.ts'
import type { Said, TapePlace, TapeText } from './recording.ts'
import type { SaidOnTape } from './said-on-tape.ts'
import type { StepTable } from './step-table.ts'
import type { StepOn } from './steps.ts'
import { type TapeSource, TextOnTape } from './tape-source.ts'

/**
 * Steps as others see them. What they say stands in columns, by row: what is set here is set there, so that there may be several of
 * one row while a tape is read.
 */
export abstract class StepOnTape {
  readonly row: number
  protected readonly table: StepTable
  /** Those that were made with it: as long as one of them is in use, none is made a second time. */
  protected readonly page: Page<StepOn> | undefined

  constructor(table: StepTable, row: number, page?: Page<StepOn>) {
    this.table = table
    this.row = row
    this.page = page
  }

  get order(): number {
    return this.table.order.get(this.row)
  }

  set order(order: number) {
    this.table.order.set(this.row, order)
  }

  protected get source(): TapeSource {
    return this.table.sourceOf(this.row)
  }

  protected get index(): number {
    return this.table.index.get(this.row)
  }

  get at(): number {
    return this.source.atOf(this.index)
  }

  get place(): TapePlace {
    return new TextOnTape(this.source, this.index)
  }

  get text(): TapeText {
    return new TextOnTape(this.source, this.index)
  }

  get redacted(): readonly string[] {
    const { redacted } = this.table.originOf(this.row)
    return redacted === UNREAD ? this.source.redactedOf(this.index) : redacted
  }

  get headers(): readonly string[] | undefined {
    return headersOf(this.table.originOf(this.row).headers, this.source, this.index)
  }

  get after(): readonly Said[] {
    return this.table.sayings.listOf(this.afterList)
  }

  allAfter(): Iterable<SaidOnTape> {
    return this.table.sayings.glimpses(this.afterList)
  }

  get afterList(): Chain {
    return { chains: this.table.after, list: this.row }
  }

  /** Where something belongs that was said then. */
  listFor(_order: number): Chain {
    return this.afterList
  }

  addAfter({ row }: SaidOnTape): void {
    this.table.sayings.append(row, this.afterList)
  }

  protected has(fact: number): boolean {
    return this.table.has(this.row, fact)
  }
}
