import { isUtf8 } from 'node:buffer'
import { MARK, TAPE_VERSION, type TapeHeader, type TapeSoftware, type TapeTarget } from './format.ts'
import type { Direction, Frame, FrameKind, HttpFacts, Side, SseFacts } from './frame.ts'
import { type HeaderName, type HeaderPlace, HeaderPlaces } from './header-places.ts'
import { LineBuffer } from './line-buffer.ts'
import type { Redactor } from './redact.ts'
import { isSecretName } from './secret-names.ts'
import { withoutTornCharacter } from './truncate.ts'

/** Longer values of headers are not kept. */
const MAX_KEPT_VALUE = 1024

export interface HeaderFacts {
  readonly started: Date
  readonly target: TapeTarget
  readonly software: TapeSoftware
  readonly session?: string
}

const SCRATCH = 4 * 1024

/**
 * Turns frames into lines, redacted. A line is made of a prefix that depends on the tape (`n`, `t`) and a body that does
 * not, so that one encoding serves several readers. Lines are put together by hand: this runs for every frame recorded.
 */
export class FrameEncoder {
  readonly #redactor: Redactor
  readonly #places: HeaderPlaces
  #scratch: LineBuffer | undefined
  #out!: LineBuffer
  #marks: string[] | undefined
  /** Something was taken out since this was last set. */
  #marked = false
  #session: string | undefined
  /** The second, slow pass over a frame in which a known secret was found. */
  #scrubbing = false

  constructor(redactor: Redactor) {
    this.#redactor = redactor
    this.#places = new HeaderPlaces(redactor)
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
    this.#scratch ??= new LineBuffer(SCRATCH)
    this.#write(this.#scratch, frame)
    const text = this.#scratch.toString()
    // Memory that one huge frame took is let go with it.
    this.#scratch.clear()
    return text
  }

  /** The whole line, as `lineOf` makes it of a body. */
  line(out: LineBuffer, n: number, t: number, frame: Frame): void {
    out.ascii('{"n":')
    out.integer(n)
    out.ascii(',"t":')
    out.thousandths(thousandthsOf(t))
    out.ascii(',')
    this.#write(out, frame)
  }

  #write(out: LineBuffer, frame: Frame): void {
    const start = out.length
    this.#out = out
    this.#session = frame.session
    this.#scrubbing = false
    this.#redactor.learning = frame.unproven !== true
    try {
      this.#encode(frame)
      if (this.#needsScrubbing(start)) {
        this.#scrubbing = true
        out.cut(start)
        this.#encode(frame)
      }
    } finally {
      this.#redactor.learning = true
    }
  }

  #needsScrubbing(start: number): boolean {
    const { literals } = this.#redactor
    const ids = this.#redactor.idsOf(this.#session)
    if (literals.size === 0 && !ids) return false
    const line = this.#out.latin1(start)
    return literals.foundIn(line) || (ids?.foundIn(line) ?? false)
  }

  #encode(frame: Frame): void {
    const out = this.#out
    this.#marks = undefined
    out.raw(beginningOf(frame))
    if (frame.session !== undefined) this.#plain(',"session":', frame.session)
    if (frame.stream !== undefined) this.#plain(',"stream":', frame.stream)
    if (frame.http) this.#http(frame.http)
    if (frame.sse) this.#sse(frame.sse)
    if (frame.bytes) this.#content(frame, frame.bytes)
    if (frame.truncated)
      out.ascii(`,"truncated":{"length":${frame.truncated.length},"sha256":"${frame.truncated.sha256}"}`)
    if (frame.own) out.ascii(',"own":true')
    if (frame.outcome !== undefined) this.#text(',"outcome":', this.#redactor.note(frame.outcome, this.#mark))
    if (frame.note !== undefined) this.#plain(',"note":', frame.note)
    if (frame.text !== undefined) this.#text(',"remark":', this.#redactor.note(frame.text, this.#mark))
    if (frame.data) this.#data(frame.data)
    if (this.#marks) this.#redacted(this.#marks)
    out.ascii('}\n')
  }

  #http(http: HttpFacts): void {
    const out = this.#out
    const { status, headers } = http
    // A comma is written before each member, and the first one taken for the bracket.
    const start = out.length + HTTP.length
    out.ascii(HTTP)
    if (http.method !== undefined) this.#plain(',"method":', http.method)
    if (http.path !== undefined) this.#text(',"path":', this.#url(http.path))
    if (status !== undefined) out.ascii(`,"status":${status}`)
    if (headers) this.#headers(headers, status === undefined)
    out.open(start, '{')
    out.ascii('}')
  }

  #sse(sse: SseFacts): void {
    const out = this.#out
    const start = out.length + SSE.length
    out.ascii(SSE)
    if (sse.id !== undefined) this.#text(',"id":', sse.id)
    if (sse.event !== undefined) this.#text(',"event":', sse.event)
    if (sse.retry !== undefined) out.ascii(`,"retry":${sse.retry}`)
    out.open(start, '{')
    out.ascii('}')
  }

  #headers(headers: readonly string[], isRequest: boolean): void {
    const out = this.#out
    out.ascii(',"headers":')
    const start = out.length
    for (let i = 0; i + 1 < headers.length; i += 2)
      this.#header(this.#places.placeOf(headers[i]!, isRequest, i >> 1), headers[i + 1]!)
    out.open(start, '[')
    out.ascii(']')
  }

  #header(place: HeaderPlace, value: string): void {
    const out = this.#out
    const { header } = place
    const { evictions } = this.#redactor.literals
    if (place.value === value && place.shown && place.evictions === evictions && !this.#scrubbing) {
      if (header.policy === 'secret') this.#mark(header.mark)
      return out.raw(place.shown)
    }
    const start = out.length
    this.#marked = false
    out.raw(header.opening)
    this.#headerValue(header, value)
    out.ascii(']')
    if (this.#mayKeep(header, value)) this.#keep(place, value, start)
  }

  #headerValue({ policy, name, mark }: HeaderName, value: string): void {
    switch (policy) {
      case 'session':
        this.#mark(mark)
        return this.#out.string(this.#redactor.sessionId(this.#session, value))
      case 'secret':
        this.#mark(mark)
        return this.#text('', this.#redactor.secretHeader(name, value))
      default:
        this.#text('', policy === 'url' || value.includes('://') ? this.#redactor.url(value, this.#mark) : value)
    }
  }

  /** Whether it would be written the same, and teach the same, another time. */
  #mayKeep({ policy }: HeaderName, value: string): boolean {
    if (this.#scrubbing || !this.#redactor.learning || value.length > MAX_KEPT_VALUE) return false
    return policy === 'secret' || !this.#marked
  }

  /** What comes a second time is worth keeping; what a secret becomes, at once. */
  #keep(place: HeaderPlace, value: string, start: number): void {
    const again = place.value === value || place.header.policy === 'secret'
    place.value = value
    place.shown = again ? Buffer.from(this.#out.view(start)) : undefined
    place.evictions = this.#redactor.literals.evictions
  }

  #url(path: string): string {
    return path.includes('?') || path.includes('://') ? this.#redactor.url(path, this.#mark, this.#session) : path
  }

  /** `,"text":…` or `,"base64":…` */
  #content(frame: Frame, bytes: Buffer): void {
    const whole = frame.truncated ? withoutTornCharacter(bytes) : bytes
    const isText = isUtf8(whole)
    if (isText && frame.kind === 'message' && !frame.truncated && !this.#scrubbing && !this.#redactor.hasPointers) {
      this.#out.ascii(',"text":')
      this.#out.stringOf(whole)
      return
    }
    const before = whole.toString(isText ? 'utf8' : 'latin1')
    let text = this.#shaped(frame, before)
    if (frame.truncated) text = this.#trimmed(text)
    if (isText) return this.#text(',"text":', text, frame.kind === 'message')
    // No line shows what Base64 hides, so here the search comes first.
    const clean = this.#redactor.literals.scrub(text)
    if (clean !== text) this.#mark('literal')
    const shown = clean === before ? whole : Buffer.from(clean, 'latin1')
    this.#out.utf8(`,"base64":"${shown.toString('base64')}"`)
  }

  #shaped(frame: Frame, text: string): string {
    switch (frame.kind) {
      case 'message':
        return this.#redactor.message(text, this.#mark)
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

  #data(data: NonNullable<Frame['data']>): void {
    const shown: Record<string, unknown> = {}
    for (const [key, value] of Object.entries(data)) {
      if (typeof value !== 'string') shown[key] = value
      else if (isSecretName(key)) {
        this.#mark(`data:${key}`)
        shown[key] = key.toLowerCase().includes('session') ? this.#redactor.sessionId(this.#session, value) : MARK
      } else shown[key] = this.#scrubbed(this.#redactor.note(value, this.#mark))
    }
    this.#out.utf8(`,"data":${JSON.stringify(shown)}`)
  }

  /** A member whose value holds no secret: its name is ours, or its value is. */
  #plain(opening: string, value: string): void {
    this.#out.ascii(opening)
    this.#out.string(value)
  }

  /** A member that may hold known secrets. */
  #text(opening: string, text: string, isJson = false): void {
    this.#plain(opening, this.#scrubbing ? this.#scrubbed(text, isJson) : text)
  }

  #redacted(marks: readonly string[]): void {
    const out = this.#out
    out.ascii(',"redacted":')
    const list = out.length
    for (const mark of marks) this.#plain(',', mark)
    out.open(list, '[')
    out.ascii(']')
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
    this.#marked = true
    this.#marks ??= []
    if (!this.#marks.includes(mark) && this.#marks.length < 32) this.#marks.push(mark)
  }
}

const HTTP = ',"http":'
const SSE = ',"sse":'

/** Of a `body`. */
export function lineOf(n: number, t: number, body: string): string {
  return `{"n":${n},"t":${thousandthsOf(t) / 1000},${body}`
}

function thousandthsOf(t: number): number {
  return Math.max(0, Math.round(t * 1000))
}

/** There are few ways in which bodies begin. */
const beginnings: Record<Direction, Record<Side, Map<FrameKind, Uint8Array>>> = {
  up: { client: new Map(), server: new Map() },
  down: { client: new Map(), server: new Map() }
}

function beginningOf({ side, dir, kind }: Frame): Uint8Array {
  const known = beginnings[dir][side]
  let beginning = known.get(kind)
  if (!beginning) {
    beginning = Buffer.from(`"side":"${side}","dir":"${dir}","kind":"${kind}"`)
    known.set(kind, beginning)
  }
  return beginning
}
