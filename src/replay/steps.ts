import {
  type Cancelled,
  headersOf,
  type Mark,
  OPEN,
  type Origin,
  type Reference,
  ResponseOnTape,
  UNREAD
} from './on-tape.ts'
import type {
  Outcome,
  RecordedAnswer,
  RecordedEnd,
  RecordedListen,
  RecordedNotification,
  RecordedRequest,
  Said,
  TapePlace,
  TapeText
} from './recording.ts'
import { NONE, ownText } from './shared-strings.ts'
import * as facts from './step-columns.ts'
import { StepColumns } from './step-columns.ts'
import { type TapeSource, TextOnTape } from './tape-source.ts'

/**
 * Steps as others see them. What they say stands in columns, by row: what is set here is set there, so that there may be several of
 * one row while a tape is read.
 */
abstract class StepOnTape {
  readonly row: number
  protected readonly table: StepTable
  /** Those that were made with it: as long as one of them is in use, none is made a second time. */
  protected readonly page: Page | undefined

  constructor(table: StepTable, row: number, page?: Page) {
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
    return this.has(facts.HAS_AFTER) ? this.table.after.get(this.row)! : NONE
  }

  /** Where something belongs that was said then. */
  listFor(_order: number): Said[] {
    return this.list(this.table.after, facts.HAS_AFTER)
  }

  addAfter(said: Said): void {
    this.list(this.table.after, facts.HAS_AFTER).push(said)
  }

  protected has(fact: number): boolean {
    return this.table.has(this.row, fact)
  }

  protected list(lists: Map<number, Said[]>, fact: number): Said[] {
    let list = lists.get(this.row)
    if (!list) lists.set(this.row, (list = []))
    this.table.mark(this.row, fact)
    return list
  }
}

export type RequestFacts = Pick<RecordedRequest, 'method' | 'subject' | 'id' | 'progressToken' | 'batch' | 'truncated'>

export class RequestOnTape extends StepOnTape implements RecordedRequest {
  /** Known while the tape is read. */
  #told: { readonly id: string; readonly progressToken: string | undefined } | undefined

  get kind(): 'request' {
    return 'request'
  }

  /** A row of its own. */
  static add(table: StepTable, origin: Origin, told: RequestFacts): RequestOnTape {
    const row = table.add(KINDS.request, origin)
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
    return this.has(facts.HAS_SAID) ? this.table.said.get(this.row)! : NONE
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

  addSaid(said: Said): void {
    this.list(this.table.said, facts.HAS_SAID).push(said)
  }

  override listFor(order: number): Said[] {
    const { ending } = this
    return ending && ending.order < order ? super.listFor(order) : this.list(this.table.said, facts.HAS_SAID)
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
    for (const said of this.after) this.addSaid(said)
    table.after.delete(row)
    table.unmark(row, facts.HAS_AFTER)
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

  static add(table: StepTable, origin: Origin, to: Said | undefined): AnswerOnTape {
    const row = table.add(KINDS.answer, origin)
    if (to) table.answersTo.set(row, to)
    return new AnswerOnTape(table, row)
  }

  get to(): Said | undefined {
    return this.table.answersTo.get(this.row)
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

function ownTextOf(text: string | undefined): string | undefined {
  return text === undefined ? undefined : ownText(text)
}

export type StepOn = RequestOnTape | NotificationOnTape | AnswerOnTape | ListenOnTape | EndOnTape

const KINDS = { request: 0, notification: 1, answer: 2, listen: 3, end: 4 }
const CLASSES = [RequestOnTape, NotificationOnTape, AnswerOnTape, ListenOnTape, EndOnTape]

/** Steps that were made for each other's company. */
type Page = (StepOn | undefined)[]

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

  /** To be had when it is asked for: until then it takes no room. */
  reference<T extends StepOn>({ row }: T): Reference<T> {
    return { get: () => this.at(row) as T }
  }

  #make(row: number, page?: Page): StepOn {
    return new CLASSES[this.facts.get(row) & facts.KIND]!(this, row, page)
  }
}
