/**
 * What pairing needs of a line, read off its bytes: several times as fast as parsing it. Only lines in the shape in which catflap's
 * writer writes them are read so; anything else is left to the parser.
 */

export interface LineSketch {
  readonly n: number
  readonly t: number
  readonly side: 'client' | 'server'
  readonly dir: 'up' | 'down'
  readonly session: string | undefined
  readonly stream: string | undefined
  readonly message: MessageSketch
}

export interface MessageSketch {
  /** JSON text. */
  readonly id: string | undefined
  readonly method: string | undefined
  readonly hasResult: boolean
}

const BEGINNING =
  /^\{"n":([1-9]\d{0,14}),"t":((?:0|[1-9]\d{0,14})(?:\.\d{1,9})?),"side":"(client|server)","dir":"(up|down)","kind":"([a-z]{1,16})"(?:,"session":"([\w.-]{1,80})")?(?:,"stream":"([\w.-]{1,80})")?(?=[,}])/
const LONGEST_BEGINNING = 320
/** Behind the text. */
const ENDING =
  /^"(?:,"own":true)?(?:,"outcome":"[\w .-]{0,80}")?(?:,"redacted":\["[^"\\\x00-\x1f\x80-\xff]*"(?:,"[^"\\\x00-\x1f\x80-\xff]*")*\])?\}$/
const LONGEST_ENDING = 4096
const KINDS_WITHOUT_MESSAGE = new Set(['head', 'event', 'body', 'open', 'end', 'note'])
const TEXT = Buffer.from(',"text":"')

/** Undefined: the line must be parsed. `none`: it holds no message. */
export function sketchOf(line: Buffer): LineSketch | 'none' | undefined {
  const begin = BEGINNING.exec(line.toString('latin1', 0, Math.min(line.length, LONGEST_BEGINNING)))
  if (!begin || line[line.length - 1] !== CLOSE_BRACE) return undefined
  const [whole, n, t, side, dir, kind, session, stream] = begin
  if (KINDS_WITHOUT_MESSAGE.has(kind!)) return 'none'
  if (kind !== 'message') return undefined
  // Within strings quotes stand behind a backslash, so that these bytes are a member of an object.
  const at = line.indexOf(TEXT, whole.length)
  if (at < 0 || (at > whole.length && line[at - 1] !== CLOSE_BRACE)) return undefined
  const scan = new TextScan(line, at + TEXT.length)
  const message = scan.message()
  if (!message || line.length - scan.at > LONGEST_ENDING) return undefined
  if (!ENDING.test(line.toString('latin1', scan.at, line.length))) return undefined
  return { n: Number(n), t: Number(t), side: side as 'client', dir: dir as 'up', session, stream, message }
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d

/** Walks over JSON that stands within a JSON string: each quote of it is written `\"`, each backslash `\\`. */
class TextScan {
  at: number
  readonly #line: Buffer

  constructor(line: Buffer, at: number) {
    this.#line = line
    this.at = at
  }

  /** One compact object whose members of interest stand there once and without escapes; undefined for all else. */
  message(): MessageSketch | undefined {
    let id: string | undefined
    let method: string | undefined
    let hasResult = false
    if (this.#line[this.at++] !== OPEN_BRACE) return undefined
    for (;;) {
      const key = this.#plainString()
      if (key === undefined || this.#line[this.at++] !== COLON) return undefined
      const start = this.at
      if (key === 'method') {
        if (method !== undefined) return undefined
        method = this.#plainString()
        if (method === undefined) return undefined
      } else if (key === 'id') {
        if (id !== undefined) return undefined
        id = this.#id()
        if (id === undefined) return undefined
      } else {
        if (!this.#skipValue() || this.at === start) return undefined
        if (key === 'result' || key === 'error') hasResult = true
      }
      const next = this.#line[this.at++]
      if (next === CLOSE_BRACE) break
      if (next !== COMMA) return undefined
    }
    return this.#line[this.at] === QUOTE ? { id, method, hasResult } : undefined
  }

  /** Of printable ASCII without escapes. */
  #plainString(): string | undefined {
    const line = this.#line
    if (line[this.at] !== BACKSLASH || line[this.at + 1] !== QUOTE) return undefined
    const start = this.at + 2
    let i = start
    while (i < line.length && line[i] !== BACKSLASH) {
      if (line[i]! < 0x20 || line[i]! > 0x7e || line[i] === QUOTE) return undefined
      i++
    }
    if (line[i + 1] !== QUOTE) return undefined
    this.at = i + 2
    return line.toString('latin1', start, i)
  }

  #id(): string | undefined {
    if (this.#line[this.at] === BACKSLASH) {
      const text = this.#plainString()
      return text === undefined ? undefined : `"${text}"`
    }
    const start = this.at
    while (isDigit(this.#line[this.at])) this.at++
    return this.at === start ? undefined : this.#line.toString('latin1', start, this.at)
  }

  /** False where something is not as it is usually written. */
  #skipValue(): boolean {
    const line = this.#line
    const { length } = line
    let depth = 0
    let inString = false
    let i = this.at
    while (i < length) {
      const c = line[i]!
      if (c === BACKSLASH) {
        const next = line[i + 1]
        if (next === QUOTE) inString = !inString
        else if (next === BACKSLASH) {
          // An escape within the message: `\\n`, `\\\"`, `\\\\`.
          if (!inString) return false
          if (line[i + 2] === BACKSLASH) {
            if (line[i + 3] !== QUOTE && line[i + 3] !== BACKSLASH) return false
            i += 2
          } else if (line[i + 2] === QUOTE) return false
          else i++
        } else return false
        i += 2
        continue
      }
      if (c === QUOTE) return false
      if (!inString) {
        if (c === OPEN_BRACE || c === OPEN_BRACKET) depth++
        else if (depth === 0 && (c === COMMA || c === CLOSE_BRACE)) break
        else if ((c === CLOSE_BRACE || c === CLOSE_BRACKET) && --depth < 0) return false
      }
      i++
    }
    this.at = i
    return !inString && depth === 0
  }
}

function isDigit(c: number | undefined): boolean {
  return c !== undefined && c >= 0x30 && c <= 0x39
}
