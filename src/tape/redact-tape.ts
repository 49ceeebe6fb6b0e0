import { isDeepStrictEqual } from 'node:util'
import { MARK, type TapeFrame, type TapeHeader, type TapeHttp } from './format.ts'
import { decodeString } from './json-text.ts'
import { isPlausibleCredential } from './plausible.ts'
import { compilePointers, redactPointers } from './pointers.ts'
import { type OnMark, Redactor } from './redact.ts'
import { isSecretName } from './secret-names.ts'
import { KINDS, NOTES } from './validate.ts'

/** Takes secrets out of what is on a tape already. Give it all frames once to learn from before the first is written. */
export class TapeRedaction {
  readonly #redactor: Redactor
  #marks = new Set<string>()

  constructor(redactor: Redactor) {
    this.#redactor = redactor
  }

  /** The header as it is to be written. */
  header(header: TapeHeader): TapeHeader {
    this.#marks = new Set()
    const { target, redacted } = this.#redactor.target(header.target)
    const clean = this.#everywhere({ ...header, target: { ...header.target, ...target } })
    const marks = new Set([...(clean.redacted ?? []), ...redacted, ...this.#marks])
    return { ...clean, ...(marks.size > 0 && { redacted: [...marks].slice(0, MAX_MARKS) }) }
  }

  /** Undefined where nothing has to change. */
  frame(frame: TapeFrame): TapeFrame | undefined {
    this.#marks = new Set()
    const draft: Draft = { ...frame }
    this.#plainMembers(frame, draft)
    if (frame.http) draft.http = this.#http(frame.http, frame.session)
    if (frame.sse) draft.sse = this.#sse(frame.sse)
    if (frame.text !== undefined) draft.text = this.#content(frame, frame.text)
    if (frame.base64 !== undefined) draft.base64 = this.#binary(frame, frame.base64)
    if (frame.data) draft.data = this.#data(frame.data)
    const clean = this.#everywhere(draft)
    if (this.#marks.size === 0) return undefined
    const marks = new Set([...(clean.redacted ?? []), ...this.#marks])
    if (isDeepStrictEqual(clean, frame)) return undefined
    return { ...clean, redacted: [...marks].slice(0, MAX_MARKS) }
  }

  /** Secrets also stand where nobody looks for them: in names, and in members that this version does not know. */
  #everywhere<T extends object>(line: T): T {
    const members = Object.entries(line).map(([key, value]) =>
      AS_THEY_ARE.has(key) ? ([key, value] as const) : this.#member(key, value, 1)
    )
    return Object.fromEntries(members) as T
  }

  #member(key: string, value: unknown, depth: number): readonly [string, unknown] {
    const words = depth > 1 ? undefined : WORDS[key]
    const isOwnWord = words?.has(value as string) === true
    return [OWN_MEMBERS.has(key) ? key : this.#scrub(key), isOwnWord ? value : this.#deeply(value, depth)]
  }

  #deeply(value: unknown, depth: number): unknown {
    if (typeof value === 'string') return this.#scrub(value)
    if (typeof value === 'number') return this.#scrub(String(value)) === String(value) ? value : MARK
    if (typeof value !== 'object' || value === null) return value
    if (depth > MAX_DEPTH) {
      this.#mark('literal')
      return MARK
    }
    if (Array.isArray(value)) return value.map(item => this.#deeply(item, depth + 1))
    return Object.fromEntries(Object.entries(value).map(([key, item]) => this.#member(key, item, depth + 1)))
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
/** Of members that the format does not know. */
const MAX_DEPTH = 100

/** Contents are gone through as what they are; the others hold words and numbers of the format. */
const AS_THEY_ARE: ReadonlySet<string> = new Set([
  ...['catflap', 'version', 'started', 'pid', 'n', 't', 'side', 'dir', 'text', 'base64', 'truncated', 'own', 'process']
])
const WORDS: Readonly<Record<string, ReadonlySet<string> | undefined>> = Object.assign(Object.create(null), {
  kind: KINDS,
  note: NOTES
})
const OWN_MEMBERS: ReadonlySet<string> = new Set([
  ...[
    'kind',
    'session',
    'stream',
    'http',
    'sse',
    'outcome',
    'note',
    'remark',
    'data',
    'redacted',
    'target',
    'software'
  ],
  ...['method', 'path', 'status', 'headers', 'id', 'event', 'retry', 'url', 'argv', 'name', 'version']
])

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
