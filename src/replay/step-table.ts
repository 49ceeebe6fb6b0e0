import { RequestOnTape } from './request-on-tape.ts'
import { StepColumns } from './step-columns.ts'
import { KIND } from './step-facts.ts'
import { AnswerOnTape, EndOnTape, ListenOnTape, NotificationOnTape, type StepOn } from './steps.ts'

const CLASSES = [RequestOnTape, NotificationOnTape, AnswerOnTape, ListenOnTape, EndOnTape]

/** Steps that were made for each other's company. */
export type Page = (StepOn | undefined)[]

const PAGE_BITS = 6
const PAGE = 1 << PAGE_BITS

/** The columns, and the steps that somebody has in use. */
export class StepTable extends StepColumns {
  readonly #pages: (WeakRef<Page> | undefined)[] = []

  /** The same object as long as it is in use: others may put it into sets. */
  at(row: number): StepOn {
    const number = row >>> PAGE_BITS
    let page = this.#pages[number]?.deref()
    if (!page) {
      page = new Array<StepOn | undefined>(PAGE).fill(undefined)
      // From one to the next, so that the list has no holes.
      while (this.#pages.length < number) this.#pages.push(undefined)
      this.#pages[number] = new WeakRef(page)
    }
    return (page[row & (PAGE - 1)] ??= this.#make(row, page))
  }

  /** For those who keep nothing of it but its row. */
  glimpse(row: number): StepOn {
    return this.#make(row)
  }

  #make(row: number, page?: Page): StepOn {
    return new CLASSES[this.facts.get(row) & KIND]!(this, row, page)
  }
}
