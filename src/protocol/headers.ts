/** Header rules on raw lists (name, value, name, value …), which keep spelling, order and repetition (RFC 9110 §5.2, §7.6). */

export type RawHeaders = readonly string[]

/** RFC 9110 §7.6.1: these speak about one connection. Proxy-Authenticate and -Authorization are for the next proxy, us. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings'
])

/** What a request loses besides: rewritten by us (Host, Content-Length, Accept-Encoding), checked by us (Origin), or spent. */
const NOT_FORWARDED = new Set(['host', 'origin', 'content-length', 'accept-encoding', 'expect', 'catflap-token'])

export const SESSION_HEADER = 'mcp-session-id'
export const VERSION_HEADER = 'mcp-protocol-version'
export const EVENT_ID_HEADER = 'last-event-id'

interface FieldName {
  readonly lower: string
  readonly hopByHop: boolean
  /** May go to the server. */
  readonly forwarded: boolean
}

// Header names repeat from message to message; classifying each anew would cost more than all the rest here.
const classified = new Map<string, FieldName>()

function fieldName(spelled: string): FieldName {
  const known = classified.get(spelled)
  if (known) return known
  const lower = spelled.toLowerCase()
  const hopByHop = HOP_BY_HOP.has(lower)
  const made = { lower, hopByHop, forwarded: !hopByHop && !NOT_FORWARDED.has(lower) }
  // Clients choose names: a full table starts anew, or names that nobody uses again would keep the usual ones out for good.
  if (classified.size >= 1024) classified.clear()
  classified.set(spelled, made)
  return made
}

/** `name` in lower case. Most names differ in length already. */
function isNamed(spelled: string, name: string): boolean {
  return spelled.length === name.length && fieldName(spelled).lower === name
}

/** Whether it speaks about one connection, and ends with it. */
export function isHopByHop(name: string): boolean {
  return fieldName(name).hopByHop
}

/** The first value, or undefined. `name` in lower case. */
export function getHeader(headers: RawHeaders, name: string): string | undefined {
  for (let i = 0; i < headers.length; i += 2) if (isNamed(headers[i]!, name)) return headers[i + 1]
  return undefined
}

/** Whether a header that may stand once (`name` in lower case) stands there with two values: parsers disagree on which counts. */
export function contradicts(headers: RawHeaders, name: string): boolean {
  let first: string | undefined
  for (let i = 0; i < headers.length; i += 2) {
    if (!isNamed(headers[i]!, name)) continue
    if (first === undefined) first = headers[i + 1]
    else if (first !== headers[i + 1]) return true
  }
  return false
}

/** Names that this message's Connection header declares hop-by-hop. */
function connectionNames(headers: RawHeaders): Set<string> | undefined {
  let names: Set<string> | undefined
  for (let i = 0; i < headers.length; i += 2) {
    if (!isNamed(headers[i]!, 'connection')) continue
    for (const token of headers[i + 1]!.split(',')) {
      const name = token.trim().toLowerCase()
      if (name !== '' && name !== 'close' && name !== 'keep-alive') (names ??= new Set()).add(name)
    }
  }
  return names
}

/** End-to-end headers of a client's request: what may go to the server, in the order it came. */
export function forwardableRequestHeaders(headers: RawHeaders): string[] {
  const out: string[] = []
  const named = connectionNames(headers)
  for (let i = 0; i < headers.length; i += 2) {
    const name = fieldName(headers[i]!)
    if (!name.forwarded || named?.has(name.lower)) continue
    out.push(headers[i]!, headers[i + 1]!)
  }
  return out
}

/** End-to-end headers of a server's response. Content-Length stays: it tells how the content is framed. */
export function forwardableResponseHeaders(headers: RawHeaders): string[] {
  const out: string[] = []
  const named = connectionNames(headers)
  for (let i = 0; i < headers.length; i += 2) {
    const name = fieldName(headers[i]!)
    if (name.hopByHop || named?.has(name.lower)) continue
    out.push(headers[i]!, headers[i + 1]!)
  }
  return out
}

/** Removes every header of that (lower-case) name, or those whose value `matches`, in place. */
export function removeHeader(headers: string[], name: string, matches?: (value: string) => boolean): void {
  let n = 0
  for (let i = 0; i < headers.length; i += 2) {
    if (isNamed(headers[i]!, name) && (matches?.(headers[i + 1]!) ?? true)) continue
    headers[n++] = headers[i]!
    headers[n++] = headers[i + 1]!
  }
  headers.length = n
}

/** Sets one value, in place where the name stood first (its spelling kept), else at the end. */
export function setHeader(headers: string[], name: string, value: string): void {
  const key = name.toLowerCase()
  for (let i = 0; i < headers.length; i += 2) {
    if (!isNamed(headers[i]!, key)) continue
    const spelling = headers[i]!
    const rest = headers.slice(i + 2)
    removeHeader(rest, key)
    headers.length = i
    headers.push(spelling, value, ...rest)
    return
  }
  headers.push(name, value)
}

/** RFC 9110 §7.6.3: every intermediary adds itself at the end. */
export function addVia(headers: string[], protocol: string, pseudonym: string): void {
  const own = `${protocol} ${pseudonym}`
  const before = getHeader(headers, 'via')
  if (before === undefined) headers.push('Via', own)
  else setHeader(headers, 'Via', `${before}, ${own}`)
}

export type ContentType = 'json' | 'sse' | 'other' | 'none'

export function contentTypeOf(value: string | undefined): ContentType {
  if (value === undefined) return 'none'
  const semicolon = value.indexOf(';')
  const type = (semicolon < 0 ? value : value.slice(0, semicolon)).trim().toLowerCase()
  if (type === 'application/json') return 'json'
  if (type === 'text/event-stream') return 'sse'
  return 'other'
}

/** Whether an Accept header admits `type/subtype` (RFC 9110 §12.5.1; q=0 refuses). No header admits everything. */
export function accepts(accept: string | undefined, type: 'application/json' | 'text/event-stream'): boolean {
  if (accept === undefined) return true
  // As the SDKs say it, message after message.
  if (accept === 'application/json, text/event-stream') return true
  const group = type.slice(0, type.indexOf('/'))
  let best = -1
  let admitted = false
  for (const part of accept.split(',')) {
    const [range, ...params] = part.split(';').map(s => s.trim().toLowerCase())
    const rank = range === type ? 2 : range === `${group}/*` ? 1 : range === '*/*' ? 0 : -1
    if (rank <= best) continue
    best = rank
    admitted = !params.some(p => /^q=0(\.0*)?$/.test(p))
  }
  return admitted
}
