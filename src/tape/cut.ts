import { globToRegExp } from './filter.ts'
import type { TapeFrame } from './format.ts'
import { Pairing, type Seen } from './pairing.ts'
import { Remembered } from './remembered.ts'
import { RequestFates } from './request-fates.ts'

/** A place on a tape: by the number of a frame, or by ms since the tape began. */
export type TapeMark = { readonly n: number } | { readonly t: number }

export interface CutOptions {
  /** Included. */
  readonly from?: TapeMark
  /** Included. */
  readonly to?: TapeMark
  readonly session?: string
  /** Globs; one of them is to match. */
  readonly methods?: readonly string[]
}

/**
 * Says of each frame whether it stays. A request decides for its answer, for its progress and cancellation, and for all that comes on
 * its own HTTP stream; what the server asks elsewhere stays where it may belong to a request that stays. Any other frame decides
 * for itself.
 */
export class Cut {
  readonly #options: CutOptions
  readonly #methods: readonly RegExp[] | undefined
  readonly #pairing = new Pairing()
  /** By the stream's name: whether the request that opened it stays. */
  readonly #streams = new Remembered<string>()
  readonly #requests = new RequestFates()

  constructor(options: CutOptions) {
    this.#options = options
    this.#methods = options.methods?.map(globToRegExp)
  }

  keeps(frame: TapeFrame): boolean {
    if (this.#options.session !== undefined && frame.session !== this.#options.session) return false
    const seen = this.#pairing.see(frame)
    const key = exchangeOf(frame)
    const ofStream = key === undefined ? undefined : this.#streams.get(key)
    const keep = ofStream ?? this.#ofRequest(frame, seen) ?? this.#byItself(frame, seen)
    if (key !== undefined && ofStream === undefined) this.#streams.set(key, keep)
    for (const one of seen) this.#requests.saw(frame, one, keep)
    return keep
  }

  /** What belongs to a request that was before it. */
  #ofRequest(frame: TapeFrame, seen: readonly Seen[]): boolean | undefined {
    const fates = seen.map(one => this.#answered(frame, one) ?? this.#requests.fateOf(frame, one))
    if (fates.includes(true)) return true
    return fates.length > 0 && fates.every(fate => fate === false) ? false : undefined
  }

  #answered(frame: TapeFrame, { kind, request }: Seen): boolean | undefined {
    if (kind !== 'response' || !request) return undefined
    const { method, latency, n } = request
    return this.#requests.stayed(n) ?? (this.#isWithin({ n, t: frame.t - latency }) && this.#names(method))
  }

  #byItself(frame: TapeFrame, seen: readonly Seen[]): boolean {
    return this.#isWithin(frame) && this.#isSought(seen)
  }

  #isWithin(frame: Pick<TapeFrame, 'n' | 't'>): boolean {
    const { from, to } = this.#options
    if (from && ('n' in from ? frame.n < from.n : frame.t < from.t)) return false
    return !to || ('n' in to ? frame.n <= to.n : frame.t <= to.t)
  }

  #isSought(seen: readonly Seen[]): boolean {
    return this.#methods === undefined || seen.some(s => this.#names(s.method ?? ''))
  }

  #names(method: string): boolean {
    return this.#methods?.some(pattern => pattern.test(method)) ?? true
  }
}

/** HTTP requests have streams of their own; what passes on a pipe or a stream for listening is not one exchange. */
function exchangeOf({ side, stream, process }: TapeFrame): string | undefined {
  return stream?.startsWith('post-') ? `${process ?? ''} ${side} ${stream}` : undefined
}

/** `#120` a frame, `90s`, `1500ms`, `2m`, `1h` since the start, or a moment (ISO 8601). Undefined for anything else. */
export function parseMark(text: string, started: string): TapeMark | undefined {
  const n = /^#(\d{1,15})$/.exec(text)?.[1]
  if (n !== undefined) return { n: Number(n) }
  const since = /^(\d{1,12}(?:\.\d{1,6})?)(ms|s|m|h)$/.exec(text)
  if (since) return { t: Number(since[1]) * UNITS[since[2] as keyof typeof UNITS] }
  const moment = /^\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)$/.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(moment) ? undefined : { t: moment - Date.parse(started) }
}

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }
