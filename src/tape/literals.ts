import { MARK } from './format.ts'
import { scalarEnd, stringEnd } from './json-text.ts'

/** Shorter secrets would hit ordinary words, and are guessed as fast as read. */
const SHORTEST_SECRET = 6
/** Longer values are no credentials; comparing with them would cost. */
const LONGEST_SECRET = 16_384

interface Literal {
  readonly raw: string
  /** What stands in its place: the mark, or a session's handle. */
  readonly mark: string
  /** The ways to write it in plain text, the raw one among them. */
  readonly variants: readonly string[]
  /** `variants` as their bytes look within a JSON string, a character for each: what a finished line is searched for. */
  readonly escaped: readonly string[]
}

/**
 * Known secrets, searched for wherever they may turn up: fixed ones (options), and a bounded number of observed ones, of
 * which the least recently seen is forgotten first.
 */
export class Literals {
  readonly #limit: number
  readonly #fixed = new Map<string, Literal>()
  readonly #observed = new Map<string, Literal>()
  #all: readonly Literal[] = []
  #latest = ''
  /** Grows when an observed secret is forgotten, so that caches of "seen already" know when to look again. */
  evictions = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  get size(): number {
    return this.#all.length
  }

  has(secret: string): boolean {
    return this.#observed.has(secret) || this.#fixed.has(secret)
  }

  add(secret: string): void {
    if (!isUsable(secret) || this.#fixed.has(secret)) return
    this.#fixed.set(secret, literalOf(secret, MARK))
    this.#observed.delete(secret)
    this.#rebuild()
  }

  observe(secret: string, mark = MARK): void {
    if (secret === this.#latest) return
    this.#latest = secret
    if (!isUsable(secret) || this.#fixed.has(secret)) return
    const known = this.#observed.get(secret)
    if (known) {
      this.#observed.delete(secret)
      this.#observed.set(secret, known)
      return
    }
    this.#observed.set(secret, literalOf(secret, mark))
    if (this.#observed.size > this.#limit) {
      this.#observed.delete(this.#observed.keys().next().value!)
      this.evictions++
    }
    this.#rebuild()
  }

  #rebuild(): void {
    // The longest first: a secret may be part of another.
    this.#all = [...this.#fixed.values(), ...this.#observed.values()].sort((a, b) => b.raw.length - a.raw.length)
  }

  /**
   * Whether a line of JSON, a character for each byte, may hold a secret within one of its strings. Called for every line, so
   * it allocates nothing.
   */
  foundIn(line: string): boolean {
    for (const literal of this.#all) for (const form of literal.escaped) if (line.includes(form)) return true
    return false
  }

  scrub(text: string): string {
    for (const literal of this.#all) {
      for (const variant of literal.variants) if (text.includes(variant)) text = text.replaceAll(variant, literal.mark)
    }
    return text
  }

  /** As `scrub`, for JSON text: the result is valid JSON when `text` was; tokens that hold no secret keep every character. */
  scrubJson(text: string): string {
    let out = ''
    let from = 0
    let i = 0
    while (i < text.length) {
      const c = text.charCodeAt(i)
      if (c <= 0x20 || c === 0x2c || c === 0x3a || c === 0x5b || c === 0x5d || c === 0x7b || c === 0x7d) {
        i++
        continue
      }
      const end = c === 0x22 ? stringEnd(text, i) : scalarEnd(text, i)
      const token = text.slice(i, end)
      const clean = c === 0x22 ? this.#string(token) : this.#scalar(token)
      if (clean !== token) {
        out += text.slice(from, i) + clean
        from = end
      }
      i = end
    }
    const result = from === 0 ? text : out + text.slice(from)
    // A configured secret that is a piece of JSON itself has no token to hide in; secrecy goes before the rest of the message.
    const spans = [...this.#fixed.values()].find(l => /["{}[\],:\s]/.test(l.raw) && result.includes(l.raw))
    return spans ? JSON.stringify(spans.mark) : result
  }

  #string(token: string): string {
    let decoded: unknown
    try {
      decoded = JSON.parse(token)
    } catch {
      return this.scrub(token)
    }
    const clean = this.scrub(decoded as string)
    return clean === decoded ? token : JSON.stringify(clean)
  }

  #scalar(token: string): string {
    const literal = this.#all.find(l => token.includes(l.raw))
    return literal ? JSON.stringify(literal.mark) : token
  }

  /** Of text that was cut off: a secret cut in two leaves its beginning at the end. */
  trimTail(text: string): string {
    for (const literal of this.#all) {
      for (const variant of literal.variants) {
        for (let k = Math.min(variant.length - 1, text.length); k >= 4; k--)
          if (text.endsWith(variant.slice(0, k))) return text.slice(0, text.length - k) + literal.mark
      }
    }
    return text
  }
}

/** Whether it is searched for at all. */
export function isUsable(secret: string): boolean {
  return secret.length >= SHORTEST_SECRET && secret.length <= LONGEST_SECRET && secret !== MARK
}

function literalOf(raw: string, mark: string): Literal {
  const variants = [...variantsOf(raw)].sort((a, b) => b.length - a.length)
  return {
    raw,
    mark,
    variants,
    escaped: [...new Set(variants.map(v => Buffer.from(jsonEscaped(v)).toString('latin1')))]
  }
}

/** As JSON writers, URLs and JSON within JSON spell it. One variant for a secret of letters and digits. */
function variantsOf(raw: string): Set<string> {
  const json = jsonEscaped(raw)
  const variants = new Set([raw, json, json.replaceAll('/', '\\/'), asciiEscaped(json), htmlEscaped(json)])
  for (const variant of [...variants]) variants.add(jsonEscaped(variant))
  if (raw.isWellFormed()) {
    variants.add(encodeURIComponent(raw))
    variants.add(encodeURI(raw))
    variants.add(new URLSearchParams([['', raw]]).toString().slice(1))
  }
  // What reads as Latin-1 because it is no valid UTF-8 as a whole.
  variants.add(Buffer.from(raw).toString('latin1'))
  return variants
}

function jsonEscaped(text: string): string {
  return JSON.stringify(text).slice(1, -1)
}

/** Python's json.dumps. */
function asciiEscaped(json: string): string {
  return json.replace(/[^\x00-\x7f]/g, c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** Go's encoding/json. */
function htmlEscaped(json: string): string {
  return json.replace(/[<>&]/g, c => `\\u00${c.charCodeAt(0).toString(16)}`)
}
