import { isUtf8 } from 'node:buffer'
import { MARK, TAPE_VERSION, type TapeHeader, type TapeSoftware, type TapeTarget } from './format.ts'
import type { Frame, HttpFacts, SseFacts } from './frame.ts'
import type { HeaderPolicy, Redactor } from './redact.ts'
import { isSecretName } from './secret-names.ts'

interface HeaderEntry {
  readonly policy: HeaderPolicy
  /** `["Name",` */
  readonly opening: string
  readonly mark: string
  // Most headers say the same in message after message: their encoding is kept, and valid until a secret was forgotten.
  value?: string
  encoded?: string
  marks?: readonly string[]
  evictions?: number
}

const MAX_HEADER_NAMES = 1024

export interface HeaderFacts {
  readonly started: Date
  readonly target: TapeTarget
  readonly software: TapeSoftware
  readonly session?: string
}

/**
 * Turns frames into lines, redacted. A line is made of a prefix that depends on the tape (`n`, `t`) and a body that does
 * not, so that one encoding serves several readers. Strings are put together by hand: this runs for every frame recorded.
 */
export class FrameEncoder {
  readonly #redactor: Redactor
  readonly #headers = new Map<string, HeaderEntry>()
  #marks: string[] | undefined
  #session: string | undefined
  /** The second, slow pass over a frame in which a known secret was found. */
  #scrubbing = false

  constructor(redactor: Redactor) {
    this.#redactor = redactor
  }

  header(facts: HeaderFacts): string {
    const { target, redacted } = this.#redactor.target(facts.target)
    const header: TapeHeader = {
      catflap: 'tape',
      version: TAPE_VERSION,
      started: facts.started.toISOString(),
      target,
      software: facts.software,
      pid: process.pid,
      ...(facts.session !== undefined && { session: facts.session }),
      ...(redacted.length > 0 && { redacted })
    }
    return `${JSON.stringify(header)}\n`
  }

  /** Everything behind `n` and `t`, newline included: see `lineOf`. */
  body(frame: Frame): string {
    this.#session = frame.session
    this.#scrubbing = false
    this.#redactor.learning = frame.unproven !== true
    const body = this.#encode(frame)
    if (!this.#needsScrubbing(body)) return this.#learned(body)
    this.#scrubbing = true
    return this.#learned(this.#encode(frame))
  }

  #learned(body: string): string {
    this.#redactor.learning = true
    return body
  }

  #needsScrubbing(body: string): boolean {
    if (this.#redactor.literals.size > 0 && this.#redactor.literals.foundIn(body)) return true
    return this.#redactor.idsOf(this.#session)?.foundIn(body) ?? false
  }

  #encode(frame: Frame): string {
    this.#marks = undefined
    let out = `"side":"${frame.side}","dir":"${frame.dir}","kind":"${frame.kind}"`
    if (frame.session !== undefined) out += `,"session":${JSON.stringify(frame.session)}`
    if (frame.stream !== undefined) out += `,"stream":${JSON.stringify(frame.stream)}`
    if (frame.http) out += `,"http":${this.#http(frame.http)}`
    if (frame.sse) out += `,"sse":${this.#sse(frame.sse)}`
    if (frame.bytes) out += this.#content(frame, frame.bytes)
    if (frame.truncated) out += `,"truncated":{"length":${frame.truncated.length},"sha256":"${frame.truncated.sha256}"}`
    if (frame.own) out += ',"own":true'
    if (frame.outcome !== undefined) out += `,"outcome":${this.#text(this.#redactor.note(frame.outcome, this.#mark))}`
    if (frame.note !== undefined) out += `,"note":"${frame.note}"`
    if (frame.text !== undefined) out += `,"remark":${this.#text(this.#redactor.note(frame.text, this.#mark))}`
    if (frame.data) out += `,"data":${this.#data(frame.data)}`
    if (this.#marks) out += `,"redacted":${JSON.stringify(this.#marks)}`
    return `${out}}\n`
  }

  #http(http: HttpFacts): string {
    let out = ''
    if (http.method !== undefined) out += `,"method":${JSON.stringify(http.method)}`
    if (http.path !== undefined) out += `,"path":${this.#text(this.#url(http.path))}`
    if (http.status !== undefined) out += `,"status":${http.status}`
    if (http.headers) {
      let list = ''
      for (let i = 0; i + 1 < http.headers.length; i += 2)
        list += `,${this.#header(http.headers[i]!, http.headers[i + 1]!)}`
      out += `,"headers":[${list.slice(1)}]`
    }
    return `{${out.slice(1)}}`
  }

  #sse(sse: SseFacts): string {
    let out = ''
    if (sse.id !== undefined) out += `,"id":${this.#text(sse.id)}`
    if (sse.event !== undefined) out += `,"event":${this.#text(sse.event)}`
    if (sse.retry !== undefined) out += `,"retry":${sse.retry}`
    return `{${out.slice(1)}}`
  }

  #header(name: string, value: string): string {
    let entry = this.#headers.get(name)
    if (!entry) {
      entry = {
        policy: this.#redactor.policyOf(name),
        opening: `[${JSON.stringify(name)},`,
        mark: `header:${name.toLowerCase()}`
      }
      if (this.#headers.size >= MAX_HEADER_NAMES) this.#headers.clear()
      this.#headers.set(name, entry)
    }
    if (entry.policy === 'session') {
      this.#mark(entry.mark)
      return `${entry.opening}${JSON.stringify(this.#redactor.sessionId(this.#session, value))}]`
    }
    if (this.#scrubbing || entry.value !== value || entry.evictions !== this.#redactor.literals.evictions) {
      const marks: string[] = []
      const clean = this.#headerValue(entry, name, value, mark => marks.push(mark))
      const encoded = `${entry.opening}${this.#text(clean)}]`
      if (this.#scrubbing || !this.#redactor.learning) {
        for (const mark of marks) this.#mark(mark)
        return encoded
      }
      entry.value = value
      entry.encoded = encoded
      entry.marks = marks
      entry.evictions = this.#redactor.literals.evictions
    }
    for (const mark of entry.marks!) this.#mark(mark)
    return entry.encoded!
  }

  #headerValue(entry: HeaderEntry, name: string, value: string, mark: (mark: string) => void): string {
    if (entry.policy === 'secret') {
      mark(entry.mark)
      return this.#redactor.secretHeader(name, value)
    }
    if (entry.policy === 'url') return this.#redactor.url(value, mark)
    return value.includes('://') ? this.#redactor.url(value, mark) : value
  }

  #url(path: string): string {
    return path.includes('?') || path.includes('://') ? this.#redactor.url(path, this.#mark, this.#session) : path
  }

  /** `,"text":…` or `,"base64":…` */
  #content(frame: Frame, bytes: Buffer): string {
    const whole = frame.truncated ? withoutTornCharacter(bytes) : bytes
    const isText = isUtf8(whole)
    const before = whole.toString(isText ? 'utf8' : 'latin1')
    let text = this.#shaped(frame, before)
    if (frame.truncated) text = this.#trimmed(text)
    if (isText) return `,"text":${this.#text(text, frame.kind === 'message')}`
    // No line shows what Base64 hides, so here the search comes first.
    const clean = this.#redactor.literals.scrub(text)
    if (clean !== text) this.#mark('literal')
    return `,"base64":"${clean === before ? whole.toString('base64') : Buffer.from(clean, 'latin1').toString('base64')}"`
  }

  #shaped(frame: Frame, text: string): string {
    switch (frame.kind) {
      case 'message':
        return this.#redactor.hasPointers ? this.#redactor.message(text, this.#mark) : text
      case 'body':
        return this.#redactor.body(text, this.#mark)
      case 'note':
        return this.#redactor.note(text, this.#mark)
      default:
        return this.#redactor.url(text, this.#mark, this.#session)
    }
  }

  #trimmed(text: string): string {
    const clean = this.#redactor.literals.trimTail(text)
    if (clean !== text) this.#mark('literal')
    return clean
  }

  #data(data: NonNullable<Frame['data']>): string {
    const out: Record<string, unknown> = {}
    for (const [key, value] of Object.entries(data)) {
      if (typeof value !== 'string') out[key] = value
      else if (isSecretName(key)) {
        this.#mark(`data:${key}`)
        out[key] = key.toLowerCase().includes('session') ? this.#redactor.sessionId(this.#session, value) : MARK
      } else out[key] = this.#scrubbed(this.#redactor.note(value, this.#mark))
    }
    return JSON.stringify(out)
  }

  /** The JSON string for `text`. */
  #text(text: string, isJson = false): string {
    return JSON.stringify(this.#scrubbing ? this.#scrubbed(text, isJson) : text)
  }

  #scrubbed(text: string, isJson = false): string {
    if (!this.#scrubbing) return text
    const { literals } = this.#redactor
    const clean = isJson ? literals.scrubJson(text) : literals.scrub(text)
    if (clean !== text) this.#mark('literal')
    const ids = this.#redactor.idsOf(this.#session)
    if (!ids) return clean
    const handled = isJson ? ids.scrubJson(clean) : ids.scrub(clean)
    if (handled !== clean) this.#mark('session-id')
    return handled
  }

  readonly #mark = (mark: string): void => {
    this.#marks ??= []
    if (!this.#marks.includes(mark) && this.#marks.length < 32) this.#marks.push(mark)
  }
}

export function lineOf(n: number, t: number, body: string): string {
  return `{"n":${n},"t":${Math.max(0, Math.round(t * 1000) / 1000)},${body}`
}

/** A prefix may end within a character, which would make text of it look like binary. */
function withoutTornCharacter(bytes: Buffer): Buffer {
  for (let back = 1; back <= 3 && back <= bytes.length; back++) {
    const byte = bytes[bytes.length - back]!
    if ((byte & 0xc0) === 0x80) continue
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1
    return length > back ? bytes.subarray(0, bytes.length - back) : bytes
  }
  return bytes
}
