import { MARK, type TapeFrame, type TapeHeader, type TapeHttp } from './format.ts'
import { decodeString } from './json-text.ts'
import { isPlausibleCredential } from './plausible.ts'
import { compilePointers, redactPointers } from './pointers.ts'
import { type OnMark, Redactor } from './redact.ts'
import { isSecretName } from './secret-names.ts'

/** Takes secrets out of what is on a tape already. Give it all frames once to learn from before the first is written. */
export class TapeRedaction {
  readonly #redactor: Redactor
  #marks = new Set<string>()

  constructor(redactor: Redactor) {
    this.#redactor = redactor
  }

  /** The header as it is to be written. */
  header(header: TapeHeader): TapeHeader {
    const { target, redacted } = this.#redactor.target(header.target)
    const marks = new Set([...(header.redacted ?? []), ...redacted])
    return { ...header, target, ...(marks.size > 0 && { redacted: [...marks].slice(0, MAX_MARKS) }) }
  }

  /** Undefined where nothing has to change. */
  frame(frame: TapeFrame): TapeFrame | undefined {
    this.#marks = new Set()
    const clean: Draft = { ...frame }
    this.#plainMembers(frame, clean)
    if (frame.http) clean.http = this.#http(frame.http, frame.session)
    if (frame.sse) clean.sse = this.#sse(frame.sse)
    if (frame.text !== undefined) clean.text = this.#content(frame, frame.text)
    if (frame.base64 !== undefined) clean.base64 = this.#binary(frame, frame.base64)
    if (frame.data) clean.data = this.#data(frame.data)
    if (this.#marks.size === 0) return undefined
    const marks = new Set([...(frame.redacted ?? []), ...this.#marks])
    if (JSON.stringify(clean) === JSON.stringify(frame)) return undefined
    return { ...clean, redacted: [...marks].slice(0, MAX_MARKS) }
  }

  #plainMembers(frame: TapeFrame, clean: Draft): void {
    if (frame.remark !== undefined) clean.remark = this.#note(frame.remark)
    if (frame.outcome !== undefined) clean.outcome = this.#note(frame.outcome)
    if (frame.session !== undefined) clean.session = this.#scrub(frame.session)
    if (frame.stream !== undefined) clean.stream = this.#scrub(frame.stream)
  }

  #http(http: TapeHttp, session: string | undefined): TapeHttp {
    const { path, headers } = http
    return {
      ...http,
      ...(http.method !== undefined && { method: this.#scrub(http.method) }),
      ...(path !== undefined && { path: this.#scrub(this.#redactor.url(path, this.#mark, session)) }),
      ...(headers && {
        headers: headers.map(([name, value]) => [name, this.#headerValue(name, value, session)] as const)
      })
    }
  }

  #headerValue(name: string, value: string, session: string | undefined): string {
    const policy = this.#redactor.policyOf(name)
    if (policy === 'secret') {
      this.#mark(`header:${name.toLowerCase()}`)
      return this.#scrub(this.#redactor.secretHeader(name, value))
    }
    if (policy === 'session') return this.#sessionId(value, session)
    if (policy === 'url' || value.includes('://')) return this.#scrub(this.#redactor.url(value, this.#mark))
    return this.#scrub(value)
  }

  /** catflap writes the session's handle in its place; other writers may not have. */
  #sessionId(value: string, session: string | undefined): string {
    if (value === session || value === MARK) return value
    this.#mark('header:mcp-session-id')
    if (isPlausibleCredential(value)) this.#redactor.addSecret(value)
    return session ?? MARK
  }

  #sse(sse: NonNullable<TapeFrame['sse']>): NonNullable<TapeFrame['sse']> {
    return {
      ...sse,
      ...(sse.id !== undefined && { id: this.#scrub(sse.id) }),
      ...(sse.event !== undefined && { event: this.#scrub(sse.event) })
    }
  }

  #content(frame: TapeFrame, text: string): string {
    const shaped = this.#shaped(frame, text)
    if (frame.kind === 'message' && !frame.truncated) return this.#scrubJson(shaped)
    const clean = this.#scrub(shaped)
    if (!frame.truncated) return clean
    const trimmed = this.#redactor.literals.trimTail(clean)
    if (trimmed !== clean) this.#mark('literal')
    return trimmed
  }

  #shaped(frame: TapeFrame, text: string): string {
    if (frame.kind === 'message') return this.#redactor.message(text, this.#mark)
    if (frame.kind === 'body') return this.#redactor.body(text, this.#mark)
    if (frame.kind === 'note') return this.#redactor.note(text, this.#mark)
    return this.#redactor.url(text, this.#mark, frame.session)
  }

  #binary(frame: TapeFrame, base64: string): string {
    const text = Buffer.from(base64, 'base64').toString('latin1')
    const clean = this.#scrub(this.#shaped(frame, text))
    return clean === text ? base64 : Buffer.from(clean, 'latin1').toString('base64')
  }

  #data(data: NonNullable<TapeFrame['data']>): NonNullable<TapeFrame['data']> {
    return Object.fromEntries(
      Object.entries(data).map(([key, value]) => [key, typeof value === 'string' ? this.#dataValue(key, value) : value])
    )
  }

  #dataValue(key: string, value: string): string {
    if (!isSecretName(key) || key.toLowerCase().includes('session')) return this.#note(value)
    this.#mark(`data:${key}`)
    return MARK
  }

  #note(text: string): string {
    return this.#scrub(this.#redactor.note(text, this.#mark))
  }

  #scrub(text: string): string {
    const clean = this.#redactor.literals.scrub(text)
    if (clean !== text) this.#mark('literal')
    return clean
  }

  #scrubJson(text: string): string {
    const clean = this.#redactor.literals.scrubJson(text)
    if (clean !== text) this.#mark('literal')
    return clean
  }

  readonly #mark: OnMark = mark => void this.#marks.add(mark)
}

const MAX_MARKS = 32

type Draft = { -readonly [K in keyof TapeFrame]: TapeFrame[K] }

export interface TapeRedactionOptions {
  readonly redactJson: readonly string[]
  readonly redactHeaders: readonly string[]
  readonly secrets: readonly string[]
}

/** Values that pointers name, and credentials seen, that are searched for elsewhere on the tape. */
const MAX_VALUES = 1000

/** What is learned from all of a tape: a secret may stand before the place that tells it is one. Throws TapeError `tape_pointer`. */
export class TapeSecrets {
  readonly redaction: TapeRedaction
  readonly #redactor: Redactor
  readonly #pointers: ReturnType<typeof compilePointers>
  readonly #values = new Set<string>()
  /** There were more values than are searched for. */
  overflowed = false

  constructor({ redactJson, redactHeaders, secrets }: TapeRedactionOptions) {
    this.#redactor = new Redactor({ redactJson, redactHeaders, secrets, maxObserved: MAX_VALUES })
    this.#pointers = compilePointers(redactJson)
    this.redaction = new TapeRedaction(this.#redactor)
  }

  learn(frame: TapeFrame): void {
    this.redaction.frame(frame)
    if (frame.kind !== 'message' || frame.text === undefined || !this.#pointers) return
    redactPointers(frame.text, this.#pointers, (_, json) => {
      const value = json.startsWith('"') ? decodeString(json, 0, json.length) : undefined
      if (value === undefined || this.#values.has(value)) return
      if (this.#values.size >= MAX_VALUES) this.overflowed = true
      else this.#redactor.addSecret(value)
      if (this.#values.size < MAX_VALUES) this.#values.add(value)
    })
  }
}
