import type { HeaderPolicy, Redactor } from './redact.ts'

export interface HeaderName {
  readonly name: string
  readonly policy: HeaderPolicy
  /** `,["Name",` */
  readonly opening: Uint8Array
  readonly mark: string
}

/** A place in the list of headers. */
export interface HeaderPlace {
  readonly header: HeaderName
  /** What stood there last. */
  value: string | undefined
  /** How that is written: `,["Name","value"]`. Valid until a secret was forgotten. */
  shown: Uint8Array | undefined
  evictions: number
}

const MAX_NAMES = 1024
/** Of each direction; headers behind them are looked up by name. */
const MAX_PLACES = 32

/**
 * What is known of the headers that come. Peers send the same ones in the same order and mostly say the same in them, so that
 * each place of the list keeps what stood there last.
 */
export class HeaderPlaces {
  readonly #redactor: Redactor
  readonly #names = new Map<string, HeaderName>()
  readonly #requests: HeaderPlace[] = []
  readonly #replies: HeaderPlace[] = []

  constructor(redactor: Redactor) {
    this.#redactor = redactor
  }

  /** Of the header with this name, which is the one at `at` in its list; the list is gone through from its beginning. */
  placeOf(name: string, isRequest: boolean, at: number): HeaderPlace {
    const places = isRequest ? this.#requests : this.#replies
    const place = places[at]
    if (place?.header.name === name) return place
    const fresh = { header: this.#nameOf(name), value: undefined, shown: undefined, evictions: 0 }
    if (at < MAX_PLACES) places[at] = fresh
    return fresh
  }

  #nameOf(name: string): HeaderName {
    let header = this.#names.get(name)
    if (header) return header
    header = {
      name,
      policy: this.#redactor.policyOf(name),
      opening: Buffer.from(`,[${JSON.stringify(name)},`),
      mark: `header:${name.toLowerCase()}`
    }
    if (this.#names.size >= MAX_NAMES) this.#names.clear()
    this.#names.set(name, header)
    return header
  }
}
