import { META_SUBSCRIPTION, META_VERSION } from '../protocol/versions.ts'
import { decodeString, skipBlank, valueEnd, walkItems } from '../tape/json-text.ts'

/** What pairing needs of a JSON-RPC message, read off its text (or its mere beginning) without building it. */
export interface Envelope {
  kind: 'request' | 'notification' | 'response' | 'other'
  /** JSON text, as are the next four. */
  id?: string
  /** Of a request's `_meta`, or a progress notification's own. */
  progressToken?: string
  subscription?: string
  /** Of `notifications/cancelled`. */
  requestId?: string
  method?: string
  /** `params.name` or `params.uri`. */
  subject?: string
  /** `params.protocolVersion` or `result.protocolVersion`. */
  version?: string
  /** `params._meta["io.modelcontextprotocol/protocolVersion"]` */
  metaVersion?: string
  isError: boolean
  /** `result.task`: it goes on behind this answer. */
  isTask: boolean
  /** Where it stands in the text. */
  from: number
  to: number
}

/** One entry for a message; for a batch as many as it has messages, or `max`. */
export function envelopesOf(text: string, max: number): readonly Envelope[] {
  const start = skipBlank(text, 0)
  const first = text.charCodeAt(start)
  if (first === 0x7b) return [envelopeAt(text, start)]
  const all: Envelope[] = []
  if (first === 0x5b) {
    walkItems(text, start, (_, at) => {
      if (all.length >= max) return text.length
      if (text.charCodeAt(at) !== 0x7b) return valueEnd(text, at)
      const envelope = envelopeAt(text, at)
      all.push(envelope)
      return envelope.to
    })
  }
  return all
}

/** A batch, even one of a single message. */
export function isBatch(text: string): boolean {
  return text.charCodeAt(skipBlank(text, 0)) === 0x5b
}

function envelopeAt(text: string, from: number): Envelope {
  const e: Envelope = { kind: 'other', isError: false, isTask: false, from, to: from }
  let answers = false
  e.to = walkItems(text, from, (key, at) => {
    if (key === 'params') return inParams(text, at, e)
    if (key === 'result') {
      answers = true
      return inResult(text, at, e)
    }
    const after = valueEnd(text, at)
    if (key === 'id') e.id = text.slice(at, after)
    else if (key === 'method') e.method = decodeString(text, at, after)
    else if (key === 'error') answers = e.isError = true
    return after
  })
  if (e.id === 'null' || (e.id !== undefined && !isId(e.id))) e.id = undefined
  if (e.method !== undefined) e.kind = e.id === undefined ? 'notification' : 'request'
  else if (answers) e.kind = 'response'
  return e
}

/** A string or a number; nothing else is an id (JSON-RPC 2.0 §4). */
function isId(text: string): boolean {
  const c = text.charCodeAt(0)
  return c === 0x22 || c === 0x2d || (c >= 0x30 && c <= 0x39)
}

function inParams(text: string, start: number, e: Envelope): number {
  return membersOf(text, start, (key, at) => {
    if (key === '_meta') return inMeta(text, at, e)
    const after = valueEnd(text, at)
    if (key === 'name' || key === 'uri') e.subject ??= decodeString(text, at, after)
    else if (key === 'requestId') e.requestId = text.slice(at, after)
    else if (key === 'progressToken') e.progressToken ??= text.slice(at, after)
    else if (key === 'protocolVersion') e.version = decodeString(text, at, after)
    return after
  })
}

function inResult(text: string, start: number, e: Envelope): number {
  return membersOf(text, start, (key, at) => {
    const after = valueEnd(text, at)
    if (key === 'protocolVersion') e.version = decodeString(text, at, after)
    else if (key === 'task') e.isTask = true
    return after
  })
}

function inMeta(text: string, start: number, e: Envelope): number {
  return membersOf(text, start, (key, at) => {
    const after = valueEnd(text, at)
    if (key === 'progressToken') e.progressToken = text.slice(at, after)
    else if (key === META_VERSION) e.metaVersion = decodeString(text, at, after)
    else if (key === META_SUBSCRIPTION) e.subscription = text.slice(at, after)
    return after
  })
}

function membersOf(text: string, start: number, visit: (key: string, at: number) => number): number {
  return text.charCodeAt(start) === 0x7b ? walkItems(text, start, visit) : valueEnd(text, start)
}
