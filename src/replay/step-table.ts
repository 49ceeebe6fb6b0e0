import { Pages } from './pages.ts'
import { RequestOnTape } from './request-on-tape.ts'
import { SaidTable } from './said-table.ts'
import { StepColumns } from './step-columns.ts'
import { KIND } from './step-facts.ts'
import { AnswerOnTape, EndOnTape, ListenOnTape, NotificationOnTape, type StepOn } from './steps.ts'

const CLASSES = [RequestOnTape, NotificationOnTape, AnswerOnTape, ListenOnTape, EndOnTape]

/** All that was done and said on the tapes of a recording: the columns, and what of them somebody has in use. */
export class StepTable extends StepColumns {
  readonly sayings: SaidTable = new SaidTable(this)
  readonly #pages = new Pages<StepOn>((row, page) => new CLASSES[this.#kindOf(row)]!(this, row, page))

  at(row: number): StepOn {
    return this.#pages.at(row)
  }

  /** For those who keep nothing of it but its row. */
  glimpse(row: number): StepOn {
    return new CLASSES[this.#kindOf(row)]!(this, row)
  }

  #kindOf(row: number): number {
    return this.facts.get(row) & KIND
  }
}
