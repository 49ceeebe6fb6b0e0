import type { Origin } from './on-tape.ts'
import type {
  RecordedAnswer,
  RecordedEnd,
  RecordedListen,
  RecordedNotification,
  RecordedRequest,
  Said
} from './recording.ts'
import { ownTextOf, type RequestOnTape } from './request-on-tape.ts'
import type { SaidOnTape } from './said-on-tape.ts'
import { KINDS } from './step-facts.ts'
import { StepOnTape } from './step-on-tape.ts'
import type { StepTable } from './step-table.ts'

export class NotificationOnTape extends StepOnTape implements RecordedNotification {
  get kind(): 'notification' {
    return 'notification'
  }

  static add(table: StepTable, origin: Origin, method: string, cancels: RequestOnTape | undefined): NotificationOnTape {
    const row = table.add(KINDS.notification, origin)
    table.setMethod(row, method)
    if (cancels) table.link.set(row, cancels.row + 1)
    return new NotificationOnTape(table, row)
  }

  get method(): string {
    return this.table.methodOf(this.row, () => ownTextOf(this.table.envelopeOf(this.row)?.method))
  }

  get cancels(): RecordedRequest | undefined {
    const link = this.table.link.get(this.row)
    return link === 0 ? undefined : (this.table.at(link - 1) as RequestOnTape)
  }
}

export class AnswerOnTape extends StepOnTape implements RecordedAnswer {
  get kind(): 'answer' {
    return 'answer'
  }

  static add(table: StepTable, origin: Origin, to: SaidOnTape | undefined): AnswerOnTape {
    const row = table.add(KINDS.answer, origin)
    if (to) table.link.set(row, to.row + 1)
    return new AnswerOnTape(table, row)
  }

  get to(): Said | undefined {
    const link = this.table.link.get(this.row)
    return link === 0 ? undefined : this.table.sayings.at(link - 1)
  }
}

abstract class StatedOnTape extends StepOnTape {
  get status(): number | undefined {
    return this.table.statuses.get(this.row)
  }

  set status(status: number) {
    this.table.statuses.set(this.row, status)
  }
}

export class ListenOnTape extends StatedOnTape implements RecordedListen {
  get kind(): 'listen' {
    return 'listen'
  }

  static add(table: StepTable, origin: Origin): ListenOnTape {
    return new ListenOnTape(table, table.add(KINDS.listen, origin))
  }
}

export class EndOnTape extends StatedOnTape implements RecordedEnd {
  get kind(): 'end' {
    return 'end'
  }

  static add(table: StepTable, origin: Origin): EndOnTape {
    return new EndOnTape(table, table.add(KINDS.end, origin))
  }
}

export type StepOn = RequestOnTape | NotificationOnTape | AnswerOnTape | ListenOnTape | EndOnTape
