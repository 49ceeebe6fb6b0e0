import { KnownNames } from './known-names.ts'

/**
 * A validating JSON scanner over bytes (RFC 8259). It builds no values: it walks the text once, checks the grammar and tells
 * its visitor where members begin and end. That is what lets catflap know an id or a method without touching a single byte,
 * and keeps `9007199254740993` what it is. Iterative, so that depth costs no stack.
 */

export class JsonSyntaxError extends Error {
  readonly offset: number
  constructor(what: string, offset: number) {
    super(`${what} at byte ${offset}`)
    this.name = 'JsonSyntaxError'
    this.offset = offset
  }
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const MINUS = 0x2d

export function skipSpace(b: Uint8Array, i: number, end: number): number {
  while (i < end) {
    const c = b[i]
    if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) break
    i++
  }
  return i
}

/** `i` is at the opening quote; returns the offset behind the closing one. */
function skipString(b: Uint8Array, i: number, end: number): number {
  const start = i
  i++
  while (i < end) {
    const near = Math.min(i + NEAR, end)
    let c = 0
    for (; i < near; i++) {
      c = b[i]!
      if (c === QUOTE) return i + 1
      if (c === BACKSLASH || c < 0x20) break
    }
    if (i === near) i = skipPlain(b, i, end)
    else if (c === BACKSLASH) i = skipEscape(b, i, end)
    else throw new JsonSyntaxError('control character in a string', i)
  }
  throw new JsonSyntaxError('unterminated string', start)
}

/** Where so many bytes in a row were plain, more are likely: four at a time take a quarter of the time. */
const NEAR = 64

/** Offset of the group of four in which, or behind which, something else than plain text of a string comes. */
function skipPlain(b: Uint8Array, i: number, end: number): number {
  // Words are read at multiples of four only; up to three bytes are looked at one by one.
  for (; (b.byteOffset + i) % 4 !== 0; i++)
    if (i >= end || b[i] === QUOTE || b[i] === BACKSLASH || b[i]! < 0x20) return i
  const words = new Int32Array(b.buffer, b.byteOffset + i, Math.max(0, (end - i) >> 2))
  let k = 0
  while (k < words.length && !hasOther(words[k]!)) k++
  return i + 4 * k
}

/**
 * Whether one of the four bytes is a control character, a quote or a backslash. Subtracting from each byte sets its highest
 * bit where that goes below zero; bytes that had it set before (`& ~word`) are none of the three.
 */
function hasOther(word: number): boolean {
  const quote = word ^ 0x22222222
  const backslash = word ^ 0x5c5c5c5c
  const below = (word - 0x20202020) & ~word
  const equal = ((quote - 0x01010101) & ~quote) | ((backslash - 0x01010101) & ~backslash)
  return ((below | equal) & 0x80808080) !== 0
}

function skipEscape(b: Uint8Array, i: number, end: number): number {
  const c = b[i + 1]
  if (i + 1 < end && c === 0x75) {
    for (let k = i + 2; k < i + 6; k++) {
      if (k >= end || !isHex(b[k]!)) throw new JsonSyntaxError('bad \\u escape', i)
    }
    return i + 6
  }
  // " \ / b f n r t
  if (
    i + 1 < end &&
    (c === 0x22 || c === 0x5c || c === 0x2f || c === 0x62 || c === 0x66 || c === 0x6e || c === 0x72 || c === 0x74)
  )
    return i + 2
  throw new JsonSyntaxError('bad escape', i)
}

function isHex(c: number): boolean {
  return (c >= 0x30 && c <= 0x39) || (c >= 0x41 && c <= 0x46) || (c >= 0x61 && c <= 0x66)
}

function skipDigits(b: Uint8Array, i: number, end: number): number {
  const start = i
  while (i < end && b[i]! >= 0x30 && b[i]! <= 0x39) i++
  if (i === start) throw new JsonSyntaxError('digit expected', i)
  return i
}

function skipNumber(b: Uint8Array, i: number, end: number): number {
  if (b[i] === MINUS) i++
  if (i < end && b[i] === 0x30) i++
  else i = skipDigits(b, i, end)
  if (i < end && b[i] === 0x2e) i = skipDigits(b, i + 1, end)
  if (i < end && (b[i] === 0x65 || b[i] === 0x45)) {
    i++
    if (i < end && (b[i] === 0x2b || b[i] === MINUS)) i++
    i = skipDigits(b, i, end)
  }
  return i
}

const TRUE = [0x74, 0x72, 0x75, 0x65]
const FALSE = [0x66, 0x61, 0x6c, 0x73, 0x65]
const NULL = [0x6e, 0x75, 0x6c, 0x6c]

function skipLiteral(b: Uint8Array, i: number, end: number, literal: readonly number[]): number {
  for (const [k, code] of literal.entries())
    if (i + k >= end || b[i + k] !== code) throw new JsonSyntaxError('unexpected character', i)
  return i + literal.length
}

/** A string, number or literal at `i`; returns the offset behind it. */
function skipScalar(b: Uint8Array, i: number, end: number): number {
  const c = b[i]
  if (i >= end) throw new JsonSyntaxError('unexpected end', i)
  if (c === QUOTE) return skipString(b, i, end)
  if (c === MINUS || (c! >= 0x30 && c! <= 0x39)) return skipNumber(b, i, end)
  if (c === 0x74) return skipLiteral(b, i, end, TRUE)
  if (c === 0x66) return skipLiteral(b, i, end, FALSE)
  if (c === 0x6e) return skipLiteral(b, i, end, NULL)
  throw new JsonSyntaxError('unexpected character', i)
}

function skipKey(b: Uint8Array, i: number, end: number): number {
  return skipColon(b, skipName(b, i, end), end)
}

function skipName(b: Uint8Array, i: number, end: number): number {
  if (b[i] !== QUOTE || i >= end) throw new JsonSyntaxError('member name expected', i)
  return skipString(b, i, end)
}

function skipColon(b: Uint8Array, i: number, end: number): number {
  const colon = skipSpace(b, i, end)
  if (b[colon] !== COLON || colon >= end) throw new JsonSyntaxError("':' expected", colon)
  return skipSpace(b, colon + 1, end)
}

/** Any value at `i` (no leading space); returns the offset behind it. */
export function skipValue(b: Uint8Array, i: number, end: number): number {
  const first = b[i]
  if (i < end && first !== OPEN_BRACE && first !== OPEN_BRACKET) return skipScalar(b, i, end)
  const closers: number[] = []
  for (;;) {
    const c = i < end ? b[i] : -1
    if (c === OPEN_BRACE || c === OPEN_BRACKET) {
      const closer = c === OPEN_BRACE ? CLOSE_BRACE : CLOSE_BRACKET
      i = skipSpace(b, i + 1, end)
      if (b[i] === closer && i < end) i++
      else {
        closers.push(closer)
        if (closer === CLOSE_BRACE) i = skipKey(b, i, end)
        continue
      }
    } else i = skipScalar(b, i, end)
    for (;;) {
      const closer = closers[closers.length - 1]
      if (closer === undefined) return i
      i = skipSpace(b, i, end)
      const d = i < end ? b[i] : -1
      if (d === COMMA) {
        i = skipSpace(b, i + 1, end)
        if (closer === CLOSE_BRACE) i = skipKey(b, i, end)
        break
      }
      if (d !== closer) throw new JsonSyntaxError("',' or the closing bracket expected", i)
      closers.pop()
      i++
    }
  }
}

/** Is told of each member; returns the offset behind the value it was shown (it may look into it, or `skipValue`). */
export type MemberVisitor = (key: string, valueStart: number, end: number) => number

/** Walks the members of the object at `i`; returns the offset behind it. */
export function walkObject(b: Buffer, i: number, end: number, visit: MemberVisitor): number {
  i = skipSpace(b, i + 1, end)
  if (b[i] === CLOSE_BRACE && i < end) return i + 1
  for (;;) {
    const after = skipName(b, i, end)
    const key = NAMES.at(b, i + 1, after - 1) ?? stringAt(b, i, after)
    i = visit(key, skipColon(b, after, end), end)
    i = skipSpace(b, i, end)
    const c = i < end ? b[i] : -1
    if (c === CLOSE_BRACE) return i + 1
    if (c !== COMMA) throw new JsonSyntaxError("',' or '}' expected", i)
    i = skipSpace(b, i + 1, end)
  }
}

/** Walks the elements of the array at `i`; `visit` gets each one's range. Returns the offset behind the array. */
export function walkArray(b: Buffer, i: number, end: number, visit: (start: number, end: number) => void): number {
  i = skipSpace(b, i + 1, end)
  if (b[i] === CLOSE_BRACKET && i < end) return i + 1
  for (;;) {
    const after = skipValue(b, i, end)
    visit(i, after)
    i = skipSpace(b, after, end)
    const c = i < end ? b[i] : -1
    if (c === CLOSE_BRACKET) return i + 1
    if (c !== COMMA) throw new JsonSyntaxError("',' or ']' expected", i)
    i = skipSpace(b, i + 1, end)
  }
}

/** The decoded string whose opening quote is at `i`. Escapes are rare in names, so the plain case makes no detour. */
export function stringAt(b: Buffer, i: number, after: number): string {
  for (let k = i + 1; k < after - 1; k++)
    if (b[k] === BACKSLASH) return JSON.parse(b.toString('utf8', i, after)) as string
  return b.toString('utf8', i + 1, after - 1)
}

/** Members that most messages have. */
const NAMES = new KnownNames(
  'jsonrpc id method params result error _meta name uri arguments cursor protocolVersion capabilities clientInfo serverInfo requestId progressToken progress total content structuredContent isError tools'.split(
    ' '
  )
)
