import type {
  Outcome,
  RecordedAnswer,
  RecordedEnd,
  RecordedListen,
  RecordedNotification,
  RecordedRequest,
  Said,
  TapeText
} from './recording.ts'
import { NONE } from './shared-strings.ts'
import type { TapeLine } from './tape-source.ts'

/** The parts of a recording while it is read. There are millions of them: what can be found by their line is not held twice. */

/** Headers that are read from the tape when they are asked for. */
export const UNREAD = Symbol('unread')

/** What every step is made of. */
export interface Origin {
  readonly order: number
  readonly line: TapeLine
  readonly text: TapeText
  readonly redacted: readonly string[]
  readonly headers: readonly string[] | typeof UNREAD | undefined
}

abstract class StepOnTape {
  /** Renumbered where several tapes are joined. */
  order: number
  readonly place: TapeLine
  readonly redacted: readonly string[]
  after: readonly Said[] = NONE
  readonly #headers: Origin['headers']

  constructor({ order, line, redacted, headers }: Origin) {
    this.order = order
    this.place = line
    this.redacted = redacted
    this.#headers = headers
  }

  get at(): number {
    return this.place.at
  }

  get headers(): readonly string[] | undefined {
    return this.#headers === UNREAD ? this.place.headers() : this.#headers
  }

  addAfter(said: Said): void {
    if (this.after === NONE) this.after = [said]
    else (this.after as Said[]).push(said)
  }
}

export interface Cancelled {
  at: number
  order: number
  readonly how: 'notification' | 'disconnect'
}

export const OPEN: Outcome = { kind: 'open' }

export class RequestOnTape extends StepOnTape implements RecordedRequest {
  readonly text: TapeText
  readonly method: string
  readonly subject: string | undefined
  readonly id: string
  readonly progressToken: string | undefined
  readonly batch: number | undefined
  readonly truncated: boolean
  said: readonly Said[] = NONE
  outcome: Outcome = OPEN
  cancelled: Cancelled | undefined = undefined

  constructor(
    origin: Origin,
    facts: Pick<RecordedRequest, 'method' | 'subject' | 'id' | 'progressToken' | 'batch' | 'truncated'>
  ) {
    super(origin)
    this.text = origin.text
    this.method = facts.method
    this.subject = facts.subject
    this.id = facts.id
    this.progressToken = facts.progressToken
    this.batch = facts.batch
    this.truncated = facts.truncated
  }

  get kind(): 'request' {
    return 'request'
  }

  addSaid(said: Said): void {
    if (this.said === NONE) this.said = [said]
    else (this.said as Said[]).push(said)
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
    if (this.after === NONE) return
    this.said = [...this.said, ...this.after].sort((a, b) => a.order - b.order)
    this.after = NONE
  }
}

export class NotificationOnTape extends StepOnTape implements RecordedNotification {
  readonly text: TapeText
  readonly method: string
  readonly cancels: RecordedRequest | undefined

  constructor(origin: Origin, method: string, cancels: RecordedRequest | undefined) {
    super(origin)
    this.text = origin.text
    this.method = method
    this.cancels = cancels
  }

  get kind(): 'notification' {
    return 'notification'
  }
}

export class AnswerOnTape extends StepOnTape implements RecordedAnswer {
  readonly text: TapeText
  readonly to: Said | undefined

  constructor(origin: Origin, to: Said | undefined) {
    super(origin)
    this.text = origin.text
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

export class SaidOnTape implements Said {
  order: number
  readonly place: TapeLine
  readonly text: TapeText
  readonly method: string
  readonly id: string | undefined
  readonly owned: boolean
  readonly names: RecordedRequest | undefined
  readonly own: boolean
  readonly truncated: boolean
  answer: RecordedAnswer | undefined = undefined

  constructor(order: number, line: TapeLine, text: TapeText, facts: SaidFacts) {
    this.order = order
    this.place = line
    this.text = text
    this.method = facts.method
    this.id = facts.id
    this.owned = facts.owned
    this.names = facts.names
    this.own = facts.own
    this.truncated = facts.truncated
  }

  get at(): number {
    return this.place.at
  }
}

export class ResponseOnTape {
  order: number
  readonly place: TapeLine
  readonly text: TapeText
  readonly status: number | undefined
  readonly #facts: number

  constructor(
    order: number,
    line: TapeLine,
    text: TapeText,
    facts: { readonly status: number | undefined; readonly isError: boolean; truncated: boolean; own: boolean }
  ) {
    this.order = order
    this.place = line
    this.text = text
    this.status = facts.status
    this.#facts = (facts.isError ? IS_ERROR : 0) | (facts.truncated ? TRUNCATED : 0) | (facts.own ? OWN : 0)
  }

  get kind(): 'response' {
    return 'response'
  }

  get at(): number {
    return this.place.at
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

const IS_ERROR = 1
const TRUNCATED = 2
const OWN = 4

export class StatusOnTape {
  order: number
  readonly place: TapeLine
  readonly status: number
  readonly body: TapeText | undefined
  readonly truncated: boolean
  readonly own: boolean
  readonly #headers: Origin['headers']

  constructor(
    { order, line, headers }: Pick<Origin, 'order' | 'line' | 'headers'>,
    facts: { readonly status: number; body: TapeText | undefined; truncated: boolean; own: boolean }
  ) {
    this.order = order
    this.place = line
    this.#headers = headers
    this.status = facts.status
    this.body = facts.body
    this.truncated = facts.truncated
    this.own = facts.own
  }

  get kind(): 'status' {
    return 'status'
  }

  get at(): number {
    return this.place.at
  }

  get headers(): readonly string[] {
    return (this.#headers === UNREAD ? this.place.headers() : this.#headers) ?? []
  }
}

export interface CutOnTape {
  readonly kind: 'cut'
  at: number
  order: number
  readonly how: string
}
