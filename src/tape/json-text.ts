/**
 * A lenient scanner over JSON text. Unlike protocol/scan.ts it must make the best of a prefix (truncated messages) and of
 * text that only claims to be JSON, so it never throws: what is cut off ends at the end of the text. Iterative.
 */

const QUOTE = 0x22
const BACKSLASH = 0x5c

/** `i` is at the opening quote; returns the offset behind the closing one, or the text's length. */
export function stringEnd(text: string, i: number): number {
  let from = i + 1
  for (;;) {
    const quote = text.indexOf('"', from)
    if (quote < 0) return text.length
    let slashes = quote
    while (slashes > from && text.charCodeAt(slashes - 1) === BACKSLASH) slashes--
    if ((quote - slashes) % 2 === 0) return quote + 1
    from = quote + 1
  }
}

export function skipBlank(text: string, i: number): number {
  for (; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) break
  }
  return i
}

function isDelimiter(c: number): boolean {
  // , ] } : and white space
  return c === 0x2c || c === 0x5d || c === 0x7d || c === 0x3a || c <= 0x20
}

export function scalarEnd(text: string, i: number): number {
  let end = i + 1
  while (end < text.length && !isDelimiter(text.charCodeAt(end)) && text.charCodeAt(end) !== QUOTE) end++
  return end
}

/** The offset behind the value at `i` (no leading space). */
export function valueEnd(text: string, i: number): number {
  const first = text.charCodeAt(i)
  if (first === QUOTE) return stringEnd(text, i)
  if (first !== 0x7b && first !== 0x5b) return i < text.length ? scalarEnd(text, i) : i
  let depth = 0
  while (i < text.length) {
    const c = text.charCodeAt(i)
    if (c === QUOTE) {
      i = stringEnd(text, i)
      continue
    }
    i++
    if (c === 0x7b || c === 0x5b) depth++
    else if ((c === 0x7d || c === 0x5d) && --depth === 0) return i
  }
  return i
}

/** The string whose token is `text[start, end)`, decoded; undefined when it is no complete JSON string. */
export function decodeString(text: string, start: number, end: number): string | undefined {
  const inner = text.slice(start + 1, end - 1)
  if (!inner.includes('\\') && text.charCodeAt(end - 1) === QUOTE && end - start > 1) return inner
  try {
    const value: unknown = JSON.parse(text.slice(start, end))
    return typeof value === 'string' ? value : undefined
  } catch {
    return undefined
  }
}

/** Is told of a member or element; returns the offset behind its value. */
export type ItemVisitor = (key: string, valueStart: number) => number

/** Walks the members of the object, or the elements of the array (keys `0`, `1` …), at `i`. Returns the offset behind it. */
export function walkItems(text: string, i: number, visit: ItemVisitor): number {
  const isObject = text.charCodeAt(i) === 0x7b
  i = skipBlank(text, i + 1)
  for (let index = 0; i < text.length; index++) {
    const c = text.charCodeAt(i)
    if (c === 0x7d || c === 0x5d) return i + 1
    let key = String(index)
    if (isObject) {
      if (c !== QUOTE) return text.length
      const end = stringEnd(text, i)
      key = decodeString(text, i, end) ?? ''
      i = skipBlank(text, end)
      if (text.charCodeAt(i) !== 0x3a) return text.length
      i = skipBlank(text, i + 1)
    }
    if (i >= text.length) return i
    const after = visit(key, i)
    // Malformed text must not make a loop that stands still.
    i = skipBlank(text, Math.max(after, i + 1))
    if (text.charCodeAt(i) === 0x2c) i = skipBlank(text, i + 1)
  }
  return i
}

/** Collects replacements of ranges, left to right, and leaves every other character as it is. */
export class Splicer {
  readonly #text: string
  #out = ''
  #from = 0

  constructor(text: string) {
    this.#text = text
  }

  replace(start: number, end: number, by: string): void {
    this.#out += this.#text.slice(this.#from, start) + by
    this.#from = end
  }

  get result(): string {
    return this.#from === 0 ? this.#text : this.#out + this.#text.slice(this.#from)
  }
}
