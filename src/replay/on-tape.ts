import type { Outcome, TapePlace, TapeText } from './recording.ts'
import { type TapeSource, TextOnTape } from './tape-source.ts'

/** Headers, or marks of what was taken out, that are read from the tape when they are asked for. */
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
  readonly redacted: readonly string[] | typeof UNREAD
  readonly headers: readonly string[] | typeof UNREAD | undefined
}

/** What can be found by its line is not held twice. */
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

  get mark(): Mark {
    return { order: this.order, source: this.source, index: this.index }
  }

  get place(): TapePlace {
    return new TextOnTape(this.source, this.index)
  }

  get text(): TapeText {
    return new TextOnTape(this.source, this.index)
  }
}

export interface Cancelled {
  at: number
  order: number
  readonly how: 'notification' | 'disconnect'
}

export interface CutOnTape {
  readonly kind: 'cut'
  at: number
  order: number
  readonly how: string
}

export const OPEN: Outcome = { kind: 'open' }

export interface ResponseFacts {
  readonly status: number | undefined
  readonly isError: boolean
  readonly truncated: boolean
  readonly own: boolean
}

/** A plain answer. */
export class ResponseOnTape extends OnTape {
  readonly status: number | undefined
  readonly isError: boolean
  readonly truncated: boolean
  readonly own: boolean

  constructor(mark: Mark, facts: ResponseFacts) {
    super(mark)
    this.status = facts.status
    this.isError = facts.isError
    this.truncated = facts.truncated
    this.own = facts.own
  }

  get kind(): 'response' {
    return 'response'
  }
}

/** Under a status other than 200. */
export class RefusalOnTape extends ResponseOnTape {
  readonly #headers: Origin['headers']

  constructor(mark: Mark, facts: ResponseFacts & Pick<Origin, 'headers'>) {
    super(mark, facts)
    this.#headers = facts.headers
  }

  get headers(): readonly string[] {
    return headersOf(this.#headers, this.source, this.index) ?? []
  }
}

export function headersOf(
  headers: Origin['headers'],
  source: TapeSource,
  index: number
): readonly string[] | undefined {
  return headers === UNREAD ? source.headersOf(index) : headers
}

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
    return headersOf(this.#headers, this.source, this.index) ?? []
  }
}
