import type { RecordedRequest } from '../replay/recording.ts'

/** After so long a silence, in ms, a server speaks by its own clock. */
const OWN_CLOCK = 2_000

/** Which requests are under way, while a session is had or read: what the server says meanwhile is about them, or chance. */
export class UnderWay {
  /** By what stands for each; undefined where it is none of the tape's. */
  readonly #open = new Map<object, RecordedRequest | undefined>()
  readonly #isSure: (request: RecordedRequest) => boolean
  #unsure = 0
  /** One was cancelled, and nothing was answered since: what it had begun may still be told. */
  #afterCancel = false
  #last = Number.NEGATIVE_INFINITY

  /** `isSure`: it is sent on both sides, and had to the end. */
  constructor(isSure: (request: RecordedRequest) => boolean) {
    this.#isSure = isSure
  }

  /** The client did something, at this moment in ms. */
  touched(at: number): void {
    this.#last = at
  }

  began(key: object, request: RecordedRequest | undefined, at: number): void {
    this.over(key, at, false)
    this.#open.set(key, request)
    if (!this.#counts(request)) this.#unsure++
    this.#last = at
  }

  over(key: object, at: number, isAnswered: boolean): void {
    if (!this.#open.has(key)) return
    const request = this.#open.get(key)
    this.#open.delete(key)
    if (!this.#counts(request)) this.#unsure--
    this.#afterCancel = !isAnswered && (this.#afterCancel || request?.cancelled !== undefined)
    this.#last = at
  }

  /** The only one. */
  get only(): RecordedRequest | undefined {
    return this.#open.size === 1 ? [...this.#open.values()][0] : undefined
  }

  /** Whether what is said at this moment may as well not be said, or be said elsewhere. */
  isChance(at: number): boolean {
    return this.#unsure > 0 || this.#afterCancel || (this.#open.size === 0 && at - this.#last > OWN_CLOCK)
  }

  #counts(request: RecordedRequest | undefined): boolean {
    return request !== undefined && this.#isSure(request)
  }
}
