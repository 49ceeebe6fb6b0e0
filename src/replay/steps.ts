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
import { NONE } from './shared-strings.ts'
import { type TapeSource, TextOnTape } from './tape-source.ts'

/** The parts of a recording while it is read. There are millions of them: what can be found by their line is not held twice. */

/** Headers that are read from the tape when they are asked for. */
export const UNREAD = Symbol('unread')

/** Where something stands on a tape, and in the order of all that happened. */
export interface Mark {
  readonly order: number
  readonly source: TapeSource
  /** Of its text there. */
  readonly index: number
}

/** What every step is made of. */
export interface Origin extends Mark {
  readonly redacted: readonly string[]
  readonly headers: readonly string[] | typeof UNREAD | undefined
}

abstract class OnTape {
  /** Renumbered where several tapes are joined. */
  order: number
  protected readonly source: TapeSource
  protected readonly index: number

  constructor({ order, source, index }: Mark) {
    this.order = order
    this.source = source
    this.index = index
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
}

abstract class StepOnTape extends OnTape {
  readonly redacted: readonly string[]
  after: readonly Said[] = NONE
  readonly #headers: Origin['headers']

  constructor(origin: Origin) {
    super(origin)
    this.redacted = origin.redacted
    this.#headers = origin.headers
  }

  get headers(): readonly string[] | undefined {
    return this.#headers === UNREAD ? this.source.headersOf(this.index) : this.#headers
  }

  addAfter(said: Said): void {
    if (this.after === NONE) this.after = [said]
    else (this.after as Said[]).push(said)
  }

  /** Where something belongs that was said then. */
  listFor(_order: number): Said[] {
    if (this.after === NONE) this.after = []
    return this.after as Said[]
  }
}

export interface Cancelled {
  at: number
  order: number
  readonly how: 'notification' | 'disconnect'
}

export const OPEN: Outcome = { kind: 'open' }

export class RequestOnTape extends StepOnTape implements RecordedRequest {
  readonly method: string
  readonly subject: string | undefined
  readonly id: string
  readonly progressToken: string | undefined
  readonly batch: number | undefined
  readonly truncated: boolean
  readonly own: boolean
  said: readonly Said[] = NONE
  outcome: Outcome = OPEN
  cancelled: Cancelled | undefined = undefined

  constructor(
    origin: Origin,
    facts: Pick<RecordedRequest, 'method' | 'subject' | 'id' | 'progressToken' | 'batch' | 'truncated' | 'own'>
  ) {
    super(origin)
    this.method = facts.method
    this.subject = facts.subject
    this.id = facts.id
    this.progressToken = facts.progressToken
    this.batch = facts.batch
    this.truncated = facts.truncated
    this.own = facts.own
  }

  get kind(): 'request' {
    return 'request'
  }

  addSaid(said: Said): void {
    if (this.said === NONE) this.said = [said]
    else (this.said as Said[]).push(said)
  }

  override listFor(order: number): Said[] {
    if (this.outcome.kind !== 'open' && (this.outcome as Mark | CutOnTape).order < order) return super.listFor(order)
    if (this.said === NONE) this.said = []
    return this.said as Said[]
  }

  /** Its stream ended without an answer; it may be taken up again. */
  get isCut(): boolean {
    return this.outcome.kind === 'cut'
  }

  get isAnswered(): boolean {
    return this.outcome.kind === 'response' || this.outcome.kind === 'status'
  }

  /** What looked like its end was none. */
  revive(): void {
    if (!this.isCut) return
    this.outcome = OPEN
    if (this.cancelled?.how === 'disconnect') this.cancelled = undefined
    // All of it came behind what was said before.
    for (const said of this.after) this.addSaid(said)
    this.after = NONE
  }
}

export class NotificationOnTape extends StepOnTape implements RecordedNotification {
  readonly method: string
  readonly cancels: RecordedRequest | undefined

  constructor(origin: Origin, method: string, cancels: RecordedRequest | undefined) {
    super(origin)
    this.method = method
    this.cancels = cancels
  }

  get kind(): 'notification' {
    return 'notification'
  }
}

export class AnswerOnTape extends StepOnTape implements RecordedAnswer {
  readonly to: Said | undefined

  constructor(origin: Origin, to: Said | undefined) {
    super(origin)
    this.to = to
  }

  get kind(): 'answer' {
    return 'answer'
  }
}

export class ListenOnTape extends StepOnTape implements RecordedListen {
  status: number | undefined = undefined

  get kind(): 'listen' {
    return 'listen'
  }
}

export class EndOnTape extends StepOnTape implements RecordedEnd {
  status: number | undefined = undefined

  get kind(): 'end' {
    return 'end'
  }
}

export type StepOn = RequestOnTape | NotificationOnTape | AnswerOnTape | ListenOnTape | EndOnTape

export interface SaidFacts {
  readonly method: string
  readonly id: string | undefined
  readonly owned: boolean
  readonly names: RecordedRequest | undefined
  readonly own: boolean
  readonly truncated: boolean
}

export class SaidOnTape extends OnTape implements Said {
  readonly method: string
  readonly id: string | undefined
  readonly owned: boolean
  readonly names: RecordedRequest | undefined
  readonly own: boolean
  readonly truncated: boolean
  answer: RecordedAnswer | undefined = undefined

  constructor(mark: Mark, facts: SaidFacts) {
    super(mark)
    this.method = facts.method
    this.id = facts.id
    this.owned = facts.owned
    this.names = facts.names
    this.own = facts.own
    this.truncated = facts.truncated
  }
}

export class ResponseOnTape extends OnTape {
  readonly status: number | undefined
  readonly #facts: number

  constructor(
    mark: Mark,
    facts: { readonly status: number | undefined; readonly isError: boolean; truncated: boolean; own: boolean }
  ) {
    super(mark)
    this.status = facts.status
    this.#facts = (facts.isError ? IS_ERROR : 0) | (facts.truncated ? TRUNCATED : 0) | (facts.own ? OWN : 0)
  }

  get kind(): 'response' {
    return 'response'
  }

  get isError(): boolean {
    return (this.#facts & IS_ERROR) !== 0
  }

  get truncated(): boolean {
    return (this.#facts & TRUNCATED) !== 0
  }

  get own(): boolean {
    return (this.#facts & OWN) !== 0
  }
}

/** Under a status other than 200. */
export class RefusalOnTape extends ResponseOnTape {
  readonly #headers: Origin['headers']

  constructor(mark: Mark, facts: ConstructorParameters<typeof ResponseOnTape>[1] & Pick<Origin, 'headers'>) {
    super(mark, facts)
    this.#headers = facts.headers
  }

  get headers(): readonly string[] {
    return headersOf(this.#headers, this.source, this.index)
  }
}

function headersOf(headers: Origin['headers'], source: TapeSource, index: number): readonly string[] {
  return (headers === UNREAD ? source.headersOf(index) : headers) ?? []
}

const IS_ERROR = 1
const TRUNCATED = 2
const OWN = 4

export class StatusOnTape extends OnTape {
  readonly status: number
  readonly body: TapeText | undefined
  readonly truncated: boolean
  readonly own: boolean
  readonly #headers: Origin['headers']

  constructor(
    mark: Mark,
    facts: Pick<Origin, 'headers'> & { status: number; hasBody: boolean; truncated: boolean; own: boolean }
  ) {
    super(mark)
    this.#headers = facts.headers
    this.status = facts.status
    this.body = facts.hasBody ? this.text : undefined
    this.truncated = facts.truncated
    this.own = facts.own
  }

  get kind(): 'status' {
    return 'status'
  }

  get headers(): readonly string[] {
    return headersOf(this.#headers, this.source, this.index)
  }
}

export interface CutOnTape {
  readonly kind: 'cut'
  at: number
  order: number
  readonly how: string
}
