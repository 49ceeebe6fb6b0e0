import type { Chain } from './chains.ts'
import { type Cancelled, type Mark, OPEN, type Origin, ResponseOnTape } from './on-tape.ts'
import type { Outcome, RecordedRequest, Said } from './recording.ts'
import type { SaidOnTape } from './said-on-tape.ts'
import { ownText } from './shared-strings.ts'
import * as facts from './step-facts.ts'
import { StepOnTape } from './step-on-tape.ts'
import type { StepTable } from './step-table.ts'

export type RequestFacts = Pick<RecordedRequest, 'method' | 'subject' | 'id' | 'progressToken' | 'batch' | 'truncated'>

export class RequestOnTape extends StepOnTape implements RecordedRequest {
  /** Known while the tape is read. */
  #told: { readonly id: string; readonly progressToken: string | undefined } | undefined

  get kind(): 'request' {
    return 'request'
  }

  /** A row of its own. */
  static add(table: StepTable, origin: Origin, told: RequestFacts): RequestOnTape {
    const row = table.add(facts.KINDS.request, origin)
    const { id, progressToken, batch } = told
    table.setMethod(row, told.method)
    table.setSubject(row, told.subject)
    table.setId(row, id)
    if (batch !== undefined) table.link.set(row, batch)
    if (told.truncated) table.mark(row, facts.TRUNCATED)
    if (progressToken !== undefined) table.mark(row, progressToken === id ? facts.TOKEN_IS_ID : facts.HAS_TOKEN)
    const request = new RequestOnTape(table, row)
    request.#told = { id, progressToken }
    return request
  }

  get method(): string {
    return this.table.methodOf(this.row, () => ownTextOf(this.table.envelopeOf(this.row)?.method))
  }

  get subject(): string | undefined {
    return this.table.subjectOf(this.row, () => ownTextOf(this.table.envelopeOf(this.row)?.subject))
  }

  get id(): string {
    return this.#told?.id ?? this.table.idOf(this.row) ?? ownTextOf(this.table.envelopeOf(this.row)?.id) ?? ''
  }

  get progressToken(): string | undefined {
    if (this.#told) return this.#told.progressToken
    if (this.has(facts.TOKEN_IS_ID)) return this.id
    return this.has(facts.HAS_TOKEN) ? ownTextOf(this.table.envelopeOf(this.row)?.progressToken) : undefined
  }

  get batch(): number | undefined {
    return this.table.link.get(this.row) || undefined
  }

  get truncated(): boolean {
    return this.has(facts.TRUNCATED)
  }

  get said(): readonly Said[] {
    return this.table.sayings.listOf(this.saidList)
  }

  allSaid(): Iterable<SaidOnTape> {
    return this.table.sayings.glimpses(this.saidList)
  }

  get saidList(): Chain {
    return { chains: this.table.said, list: this.row }
  }

  get cancelled(): Cancelled | undefined {
    return this.has(facts.HAS_CANCELLED) ? this.table.cancelled.get(this.row) : undefined
  }

  set cancelled(cancelled: Cancelled) {
    this.table.cancelled.set(this.row, cancelled)
    this.table.mark(this.row, facts.HAS_CANCELLED)
  }

  get outcome(): Outcome {
    if (this.has(facts.ANSWERED)) return this.#answer()
    return this.has(facts.ENDED_OTHERWISE) ? this.table.outcomes.get(this.row)! : OPEN
  }

  set outcome(outcome: Outcome) {
    const { table, row } = this
    this.#open()
    if (outcome.kind === 'open') return
    // Plain answers are most of all, and each of them would be an object.
    if (outcome.constructor === ResponseOnTape) this.#answered(outcome)
    else {
      table.outcomes.set(row, outcome)
      table.mark(row, facts.ENDED_OTHERWISE)
    }
  }

  /** When it ended: to be renumbered. */
  get ending(): { order: number; readonly at: number } | undefined {
    if (this.has(facts.ANSWERED)) return new AnswerPlace(this.table, this.row)
    return this.has(facts.ENDED_OTHERWISE) ? (this.outcome as Outcome & { order: number; at: number }) : undefined
  }

  #open(): void {
    const { table, row } = this
    if (this.has(facts.ENDED_OTHERWISE)) table.outcomes.delete(row)
    table.unmark(row, OUTCOME_FACTS)
  }

  #answered(response: ResponseOnTape): void {
    const { table, row } = this
    const { order, index } = response.mark
    table.answerOrder.set(row, order)
    table.answerIndex.set(row, index)
    table.mark(
      row,
      facts.ANSWERED |
        (response.isError ? facts.ANSWER_IS_ERROR : 0) |
        (response.truncated ? facts.ANSWER_TRUNCATED : 0) |
        (response.own ? facts.ANSWER_OWN : 0) |
        (response.status === 200 ? facts.ANSWER_200 : 0)
    )
  }

  #answer(): ResponseOnTape {
    const { table, row, source } = this
    const mark: Mark = { order: table.answerOrder.get(row), source, index: table.answerIndex.get(row) }
    return new ResponseOnTape(mark, {
      status: this.has(facts.ANSWER_200) ? 200 : undefined,
      isError: this.has(facts.ANSWER_IS_ERROR),
      truncated: this.has(facts.ANSWER_TRUNCATED),
      own: this.has(facts.ANSWER_OWN)
    })
  }

  addSaid({ row }: SaidOnTape): void {
    this.table.sayings.append(row, this.saidList)
  }

  override listFor(order: number): Chain {
    const { ending } = this
    return ending && ending.order < order ? super.listFor(order) : this.saidList
  }

  get isOpen(): boolean {
    return !this.has(facts.ANSWERED | facts.ENDED_OTHERWISE)
  }

  /** Its stream ended without an answer; it may be taken up again. */
  get isCut(): boolean {
    return this.has(facts.ENDED_OTHERWISE) && this.outcome.kind === 'cut'
  }

  get isAnswered(): boolean {
    return this.has(facts.ANSWERED) || (this.has(facts.ENDED_OTHERWISE) && this.outcome.kind !== 'cut')
  }

  /** What looked like its end was none. */
  revive(): void {
    if (!this.isCut) return
    const { table, row } = this
    this.#open()
    if (this.cancelled?.how === 'disconnect') {
      table.cancelled.delete(row)
      table.unmark(row, facts.HAS_CANCELLED)
    }
    // All of it came behind what was said before.
    for (const said of table.sayings.take(this.afterList)) table.sayings.append(said, this.saidList)
  }
}

const OUTCOME_FACTS =
  facts.ANSWERED |
  facts.ENDED_OTHERWISE |
  facts.ANSWER_IS_ERROR |
  facts.ANSWER_TRUNCATED |
  facts.ANSWER_OWN |
  facts.ANSWER_200

/** A plain answer's place in the order. */
class AnswerPlace {
  readonly #table: StepTable
  readonly #row: number

  constructor(table: StepTable, row: number) {
    this.#table = table
    this.#row = row
  }

  get order(): number {
    return this.#table.answerOrder.get(this.#row)
  }

  set order(order: number) {
    this.#table.answerOrder.set(this.#row, order)
  }

  get at(): number {
    return this.#table.sourceOf(this.#row).atOf(this.#table.answerIndex.get(this.#row))
  }
}

export function ownTextOf(text: string | undefined): string | undefined {
  return text === undefined ? undefined : ownText(text)
}
