import { CatflapError } from '../../errors.ts'

/** After a child that ended before it answered anything, in ms; twice as long after each further one. */
const FIRST_PAUSE = 100
const MAX_PAUSE = 30_000
/** So many such children in a row: nobody is kept waiting for the next any more. */
const PARKED_AFTER = 5

/** A command that is not started at the moment. */
export interface Parked {
  /** What its last child said, and how it ended. */
  readonly reason: string
  /** Epoch ms at which it is tried again. */
  readonly until: number
}

/**
 * How the starts of one command have gone. One that ends before it has answered anything is started again after a pause that grows;
 * after some of them calls fail at once, and the command is tried once after each pause.
 */
export class Starts {
  readonly #label: string
  readonly #now: () => number
  #failed = 0
  #endedAt = Number.NEGATIVE_INFINITY
  #error: CatflapError | undefined

  /** `now` in ms; default `performance.now`. */
  constructor(label: string, now: () => number = () => performance.now()) {
    this.#label = label
    this.#now = now
  }

  /** How long the next start has to wait, in ms. */
  get pause(): number {
    if (this.#failed === 0) return 0
    const length = Math.min(FIRST_PAUSE * 2 ** (this.#failed - 1), MAX_PAUSE)
    return Math.max(0, this.#endedAt + length - this.#now())
  }

  /** Set while there is no use in waiting. */
  get parked(): Parked | undefined {
    const left = this.pause
    if (this.#failed < PARKED_AFTER || left <= 0 || !this.#error) return undefined
    return { reason: this.#error.message, until: Math.round(Date.now() + left) }
  }

  /** Why nothing is started now, for whoever wants a child. */
  get refusal(): CatflapError | undefined {
    const parked = this.parked
    if (!parked) return undefined
    const retryAfter = Math.max(1, Math.ceil((parked.until - Date.now()) / 1000))
    const text = `${this.#label} has ended ${this.#failed} times in a row before it answered anything, and is tried again in ${retryAfter} s. The last time: ${parked.reason}`
    return new CatflapError('command_parked', text, { data: { ...this.#error?.data, retryAfter } })
  }

  /** A child is started. While the command is parked, the next one is so after another pause. */
  begun(): void {
    if (this.#failed >= PARKED_AFTER) this.#endedAt = this.#now()
  }

  /** A child has answered something. */
  worked(): void {
    this.#failed = 0
    this.#error = undefined
  }

  /** A child ended by itself before it did. Of several that were started together, one counts. */
  failed(startedAt: number, error: CatflapError): void {
    this.#error = error
    if (startedAt <= this.#endedAt && this.#failed < PARKED_AFTER) return
    this.#failed++
    this.#endedAt = this.#now()
  }
}
