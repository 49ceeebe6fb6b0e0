import { MARK, type TapeTarget } from './format.ts'
import { isUsable, Literals } from './literals.ts'
import { isPlausibleCredential, isPlausibleId } from './plausible.ts'
import { compilePointers, type PointerTree, redactPointers } from './pointers.ts'
import { type OnRedacted, redactArgv, redactBody, redactNote, redactUrls } from './redact-text.ts'
import { isSecretHeader } from './secret-names.ts'

export interface RedactorOptions {
  /** Header names besides the built-in ones, in any case. */
  readonly redactHeaders?: readonly string[]
  /** JSON pointers (RFC 6901; `*` for any one member or element) into JSON-RPC messages. */
  readonly redactJson?: readonly string[]
  /** Known secrets; those under 6 characters are ignored. */
  readonly secrets?: readonly string[]
  /** How many credentials seen in the traffic are remembered. Default 64. */
  readonly maxObserved?: number
}

/** `keep` still looks for URLs within the value. */
export type HeaderPolicy = 'keep' | 'secret' | 'session' | 'url'

const URL_HEADERS = new Set(['location', 'content-location', 'referer', 'link', 'refresh', 'www-authenticate'])

/** Sessions whose ids are remembered, so that they are replaced in text too. */
const MAX_SESSIONS = 10_000
const MAX_IDS_PER_SESSION = 4

/** What is secret and how it is taken out. One per process, so that tapes, live views and logs know the same secrets. */
export class Redactor {
  readonly literals: Literals
  /** False while something is redacted that came from one who is not to be believed. */
  learning = true
  readonly #headers: ReadonlySet<string>
  readonly #pointers: PointerTree | undefined
  /** Ids by handle. Until they are searched for they are only noted: most sessions are never watched. */
  readonly #sessions = new Map<string, Literals | readonly string[]>()

  /** Throws TapeError `tape_pointer`. */
  constructor(options: RedactorOptions = {}) {
    this.#headers = new Set((options.redactHeaders ?? []).map(h => h.toLowerCase()))
    this.#pointers = compilePointers(options.redactJson ?? [])
    this.literals = new Literals(options.maxObserved ?? 64)
    for (const secret of options.secrets ?? []) this.addSecret(secret)
  }

  /** A configured secret. Of `Bearer abc` and `Basic dXNlcjpwYXNz` the credential counts too. */
  addSecret(secret: string): void {
    this.literals.add(secret)
    for (const part of credentialsIn(secret)) this.literals.add(part)
  }

  policyOf(headerName: string): HeaderPolicy {
    const name = headerName.toLowerCase()
    if (this.#headers.has(name) || isSecretHeader(name)) return 'secret'
    if (name === 'mcp-session-id') return 'session'
    return URL_HEADERS.has(name) ? 'url' : 'keep'
  }

  /** The value of a `secret` header, its scheme kept: `Bearer [redacted]`. What it held is remembered. */
  secretHeader(name: string, value: string): string {
    const lower = name.toLowerCase()
    if (lower === 'cookie' || lower === 'set-cookie') {
      for (const secret of cookieValues(value, lower === 'cookie')) this.#learn(secret)
      return MARK
    }
    this.#learn(value)
    for (const part of credentialsIn(value)) this.#learn(part)
    const scheme = /^([A-Za-z][A-Za-z0-9-]{2,15}) +\S/.exec(value)
    return scheme ? `${scheme[1]} ${MARK}` : MARK
  }

  /** Remembers that `id` (of either side) belongs to the session. Returns what stands in its place. */
  sessionId(handle: string | undefined, id: string): string {
    if (handle === undefined) {
      this.#learn(id)
      return MARK
    }
    const ids = this.#sessions.get(handle)
    const known = ids instanceof Literals ? ids.has(id) : ids?.includes(id)
    if (!this.learning || !(known || isPlausibleId(id))) return handle
    if (ids instanceof Literals) ids.observe(id, handle)
    else this.#note(handle, id, ids)
    return handle
  }

  #note(handle: string, id: string, before: readonly string[] = []): void {
    if (before.at(-1) === id || !isUsable(id)) return
    const ids = before.filter(other => other !== id).concat(id)
    this.#sessions.set(handle, ids.slice(-MAX_IDS_PER_SESSION))
    if (this.#sessions.size > MAX_SESSIONS) this.#sessions.delete(this.#sessions.keys().next().value!)
  }

  /** The session's ids, as far as they were seen. */
  idsOf(handle: string | undefined): Literals | undefined {
    if (handle === undefined) return undefined
    const ids = this.#sessions.get(handle)
    if (ids === undefined || ids instanceof Literals) return ids
    const literals = new Literals(MAX_IDS_PER_SESSION)
    for (const id of ids) literals.observe(id, handle)
    this.#sessions.set(handle, literals)
    return literals
  }

  /** URLs, paths with queries, `endpoint` events. */
  url(text: string, mark: OnMark, session?: string): string {
    return redactUrls(text, this.#remember(mark, session))
  }

  message(text: string, mark: OnMark): string {
    return this.#pointers ? redactPointers(text, this.#pointers, pointer => mark(`json:${pointer}`)) : text
  }

  get hasPointers(): boolean {
    return this.#pointers !== undefined
  }

  body(text: string, mark: OnMark): string {
    return redactBody(text, this.#remember(mark))
  }

  note(text: string, mark: OnMark): string {
    return redactNote(text, this.#remember(mark))
  }

  /** What a tape's header says of the target. Secrets in it are fixed ones from now on. */
  target(target: TapeTarget): { readonly target: TapeTarget; readonly redacted: readonly string[] } {
    const marks = new Set<string>()
    const on: OnRedacted = (mark, secret) => {
      marks.add(mark)
      if (secret !== undefined) this.addSecret(secret)
    }
    const url = target.url === undefined ? undefined : redactUrls(target.url, on)
    const argv = target.argv === undefined ? undefined : redactArgv(target.argv, on)
    const clean = {
      kind: target.kind,
      ...(url !== undefined && { url: this.literals.scrub(url) }),
      ...(argv && { argv: argv.map(a => this.literals.scrub(a)) })
    }
    return { target: clean, redacted: [...marks] }
  }

  /** Any text on its way to a person: log lines, error messages. */
  readonly scrub = (text: string): string => this.literals.scrub(redactNote(text, this.#remember(ignore)))

  #remember(mark: OnMark, session?: string): OnRedacted {
    return (name, secret) => {
      mark(name)
      if (secret !== undefined && session !== undefined && SESSION_PARAMETER.test(name)) {
        this.sessionId(session, secret)
        return
      }
      if (secret === undefined) return
      this.#learn(secret)
      for (const part of credentialsIn(secret)) this.#learn(part)
    }
  }

  #learn(secret: string): void {
    if (this.learning && isPlausibleCredential(secret)) this.literals.observe(secret)
  }
}

export type OnMark = (mark: string) => void

/** HTTP+SSE (2024-11-05) carries the session's id in the query. */
const SESSION_PARAMETER = /^query:session_?id$/i

function ignore(): void {}

function credentialsIn(value: string): string[] {
  const match = /^([A-Za-z][A-Za-z0-9-]{2,15}) +(\S+)$/.exec(value)
  if (!match) return []
  const credential = match[2]!
  if (match[1]!.toLowerCase() !== 'basic') return [credential]
  const decoded = Buffer.from(credential, 'base64').toString()
  return [credential, decoded, decoded.slice(decoded.indexOf(':') + 1)]
}

/** Cookies also hold settings (`theme=dark`): what is short is not remembered. */
function cookieValues(value: string, all: boolean): string[] {
  const pairs = value.split(';')
  return (all ? pairs : pairs.slice(0, 1))
    .map(pair => pair.slice(pair.indexOf('=') + 1).trim())
    .filter(v => v.length >= 8)
    .slice(0, 16)
}
