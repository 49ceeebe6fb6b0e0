const QUOTE = 0x22
const BACKSLASH = 0x5c
const ZERO = 0x30
/** Longer strings are left to `JSON.stringify`, whose call costs more than so many characters. */
const SHORT = 256
/** So many bytes are escaped at a time: room is made for the case that each of them takes six. */
const STEP = 4 * 1024
/** Memory beyond so many times the size is let go. */
const KEPT = 4

/** `.001`, `.002` … `.999`, without zeros at their ends. */
const DECIMALS: readonly string[] = Array.from({ length: 1000 }, (_, i) => String(i / 1000).slice(1))

/** How bytes that JSON does not allow within a string are written, as `JSON.stringify` does it. */
const ESCAPES: readonly string[] = Array.from({ length: 0x20 }, (_, c) =>
  JSON.stringify(String.fromCharCode(c)).slice(1, -1)
)

/**
 * Lines put together as bytes, in memory that is used again and again. What is recorded came as bytes and leaves as bytes:
 * making strings of it in between would cost more than all the rest of recording.
 */
export class LineBuffer {
  readonly #size: number
  #bytes: Buffer
  #length = 0

  constructor(size: number) {
    this.#size = size
    this.#bytes = Buffer.allocUnsafeSlow(size)
  }

  get length(): number {
    return this.#length
  }

  /** Valid until something is written or taken back. */
  view(from = 0, to = this.#length): Buffer {
    return this.#bytes.subarray(from, to)
  }

  /** A character for each byte. */
  latin1(from: number): string {
    return this.#bytes.toString('latin1', from, this.#length)
  }

  toString(): string {
    return this.#bytes.toString('utf8', 0, this.#length)
  }

  /** Takes back all behind `length`. */
  cut(length: number): void {
    this.#length = length
  }

  clear(): void {
    this.#length = 0
    if (this.#bytes.length > KEPT * this.#size) this.#bytes = Buffer.allocUnsafeSlow(this.#size)
  }

  /** As they are. */
  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
  }

  /** As it is. Short, and of ASCII alone. */
  ascii(text: string): void {
    this.#reserve(text.length)
    const bytes = this.#bytes
    let at = this.#length
    for (let i = 0; i < text.length; i++) bytes[at++] = text.charCodeAt(i)
    this.#length = at
  }

  /** A whole number from 0. */
  integer(value: number): void {
    let digits = 1
    for (let limit = 10; limit <= value; limit *= 10) digits++
    this.#reserve(digits)
    for (let i = digits - 1, rest = value; i >= 0; i--, rest = Math.floor(rest / 10))
      this.#bytes[this.#length + i] = ZERO + (rest % 10)
    this.#length += digits
  }

  /** As a number with at most three decimals. */
  thousandths(value: number): void {
    this.integer(Math.floor(value / 1000))
    const decimals = value % 1000
    if (decimals > 0) this.ascii(DECIMALS[decimals]!)
  }

  /** The list or object whose members stand from `start` on, a comma before each: its bracket takes the place of the first. */
  open(start: number, bracket: '[' | '{'): void {
    if (this.#length === start) this.ascii(bracket)
    else this.#bytes[start] = bracket.charCodeAt(0)
  }

  /** The JSON string for `text`. */
  string(text: string): void {
    if (text.length > SHORT) return this.#stringified(text)
    this.#reserve(text.length + 2)
    const bytes = this.#bytes
    let at = this.#length
    bytes[at++] = QUOTE
    for (let i = 0; i < text.length; i++) {
      const c = text.charCodeAt(i)
      if (c < 0x20 || c > 0x7e || c === QUOTE || c === BACKSLASH) return this.#stringified(text)
      bytes[at++] = c
    }
    bytes[at++] = QUOTE
    this.#length = at
  }

  /** The JSON string for text that is there as (valid) UTF-8. */
  stringOf(utf8: Uint8Array): void {
    this.#reserve(utf8.length)
    this.ascii('"')
    for (let from = 0; from < utf8.length; from += STEP) this.#escape(utf8, from, Math.min(from + STEP, utf8.length))
    this.ascii('"')
  }

  #escape(utf8: Uint8Array, from: number, to: number): void {
    this.#reserve((to - from) * 6)
    const bytes = this.#bytes
    let at = this.#length
    for (let i = from; i < to; i++) {
      const c = utf8[i]!
      if (c < 0x20) {
        const escaped = ESCAPES[c]!
        for (let k = 0; k < escaped.length; k++) bytes[at++] = escaped.charCodeAt(k)
        continue
      }
      if (c === QUOTE || c === BACKSLASH) bytes[at++] = BACKSLASH
      bytes[at++] = c
    }
    this.#length = at
  }

  #stringified(text: string): void {
    this.utf8(JSON.stringify(text))
  }

  /** As it is, however long. */
  utf8(text: string): void {
    this.#reserve(text.length <= STEP ? text.length * 3 : Buffer.byteLength(text))
    this.#length += this.#bytes.write(text, this.#length)
  }

  #reserve(more: number): void {
    const needed = this.#length + more
    if (needed <= this.#bytes.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2))
    larger.set(this.view())
    this.#bytes = larger
  }
}
