import { isUtf8 } from 'node:buffer'
import { JsonSyntaxError, skipSpace, skipValue, stringAt, walkArray, walkObject } from './scan.ts'
import { META_SUBSCRIPTION, META_VERSION } from './versions.ts'

/** `json`: not JSON (-32700). `rpc`: JSON, but no JSON-RPC message as MCP has them (-32600). `duplicate`: a routing member twice. */
export type MalformedKind = 'json' | 'rpc' | 'duplicate'

export class MalformedMessage extends Error {
  readonly kind: MalformedKind
  constructor(kind: MalformedKind, message: string) {
    super(message)
    this.name = 'MalformedMessage'
    this.kind = kind
  }
}

/** Who said it. */
export type Sender = 'client' | 'server'

export type MessageKind = 'request' | 'notification' | 'response'

/** Where a value stands in the message's bytes. */
interface Range {
  readonly start: number
  readonly end: number
}

/** What routing, correlation and remapping need to know; everything else stays unread. */
interface Envelope {
  jsonrpc?: Range
  id?: Range
  method?: Range
  params?: Range
  result?: Range
  error?: Range
  name?: Range
  uri?: Range
  requestId?: Range
  progressToken?: Range // params.progressToken (a progress notification) or params._meta.progressToken (a request)
  protocolVersion?: Range
  metaVersion?: Range
  task?: Range // params.task of a request (2025-11-25)
  subscription?: Range // params._meta or result._meta
  variants?: RoutingMember[] // members that differ from a routing member by case only
  twice?: string // a member that decides about routing, and occurs again
  arguments?: 'once' | 'twice' // params.arguments: what a tool is called with is mirrored in headers
}

/**
 * One JSON-RPC message with its original bytes. The envelope is located once, without building values; `json` parses the
 * whole once, if ever. Changing a message makes a new one in which only the changed bytes differ.
 */
export class Message {
  readonly bytes: Buffer
  readonly kind: MessageKind
  readonly method: string | undefined
  /** The id's JSON text (`7`, `"7"`, `9007199254740993`), undefined for a notification or an error without id. */
  readonly idText: string | undefined
  readonly #envelope: Envelope
  #json: unknown

  private constructor(bytes: Buffer, envelope: Envelope) {
    this.bytes = bytes
    this.#envelope = envelope
    this.idText = envelope.id && bytes.toString('utf8', envelope.id.start, envelope.id.end)
    this.method = envelope.method && stringAt(bytes, envelope.method.start, envelope.method.end)
    this.kind = this.method === undefined ? 'response' : this.idText === undefined ? 'notification' : 'request'
  }

  /** Throws MalformedMessage. What a server says is not refused for members that occur twice: nothing is routed by it. */
  static parse(bytes: Buffer, from: Sender = 'client'): Message {
    if (!isUtf8(bytes)) throw new MalformedMessage('json', 'not UTF-8')
    const start = skipSpace(bytes, 0, bytes.length)
    if (bytes[start] === 0x5b) throw new MalformedMessage('rpc', 'an array, where one message is expected')
    return Message.#scan(bytes, start, from)
  }

  /** A body that may be one message or, in 2025-03-26, an array of them. Throws MalformedMessage. */
  static parseBody(bytes: Buffer, from: Sender = 'client'): Message | readonly Message[] {
    const start = skipSpace(bytes, 0, bytes.length)
    if (bytes[start] !== 0x5b) return Message.parse(bytes, from)
    if (!isUtf8(bytes)) throw new MalformedMessage('json', 'not UTF-8')
    const ranges: Range[] = []
    asSyntax(() => {
      const after = walkArray(bytes, start, bytes.length, (s, e) => ranges.push({ start: s, end: e }))
      expectEnd(bytes, after)
    })
    if (ranges.length === 0) throw new MalformedMessage('rpc', 'an empty batch')
    return ranges.map(r => Message.parse(bytes.subarray(r.start, r.end), from))
  }

  /** From a value, for messages of our own and for interceptors that write new ones. Throws MalformedMessage. */
  static from(value: object): Message {
    return Message.parse(Buffer.from(JSON.stringify(value)))
  }

  static #scan(bytes: Buffer, start: number, from: Sender): Message {
    const envelope = asSyntax(() => locate(bytes, start))
    if (from === 'client') refuseAmbiguous(envelope)
    check(bytes, envelope)
    const message = new Message(bytes, envelope)
    if (from === 'client' && message.method === 'tools/call' && envelope.arguments === 'twice')
      throw new MalformedMessage('duplicate', "'params.arguments' occurs twice")
    return message
  }

  /** The parsed message. Numbers beyond 2^53 lose precision here, never in `bytes`. */
  get json(): unknown {
    this.#json ??= JSON.parse(this.bytes.toString('utf8'))
    return this.#json
  }

  get isError(): boolean {
    return this.#envelope.error !== undefined
  }

  /** `params.name` or `params.uri`: what the `Mcp-Name` header mirrors. */
  get name(): string | undefined {
    return this.#string(this.#envelope.name) ?? this.#string(this.#envelope.uri)
  }

  /** `params.name` alone: of a tool or a prompt. */
  get ownName(): string | undefined {
    return this.#string(this.#envelope.name)
  }

  /** JSON text of `params`. */
  get paramsText(): string | undefined {
    return this.#text(this.#envelope.params)
  }

  /** JSON text of `params._meta.progressToken` of a request, or `params.progressToken` of a progress notification. */
  get progressTokenText(): string | undefined {
    return this.#text(this.#envelope.progressToken)
  }

  /** JSON text of `params.requestId` (notifications/cancelled). */
  get requestIdText(): string | undefined {
    return this.#text(this.#envelope.requestId)
  }

  /** JSON text of `_meta["io.modelcontextprotocol/subscriptionId"]`. */
  get subscriptionIdText(): string | undefined {
    return this.#text(this.#envelope.subscription)
  }

  /** `params.protocolVersion` (initialize) or `result.protocolVersion` (its answer). */
  get protocolVersion(): string | undefined {
    return this.#string(this.#envelope.protocolVersion)
  }

  /** `_meta["io.modelcontextprotocol/protocolVersion"]`: its presence makes a request modern. */
  get metaVersion(): string | undefined {
    return this.#string(this.#envelope.metaVersion)
  }

  /** `params.task`: the answer is to be a task, which goes on behind it (spec 2025-11-25 basic/utilities/tasks). */
  get asksForTask(): boolean {
    return this.#envelope.task !== undefined
  }

  withId(text: string): Message {
    return this.#replace(this.#envelope.id, text)
  }

  withProgressToken(text: string): Message {
    return this.#replace(this.#envelope.progressToken, text)
  }

  withRequestId(text: string): Message {
    return this.#replace(this.#envelope.requestId, text)
  }

  withSubscriptionId(text: string): Message {
    return this.#replace(this.#envelope.subscription, text)
  }

  /** The bytes on one line: raw CR and LF in valid JSON stand between tokens only, so they can go (stdio and SSE framing). */
  oneLine(): Buffer {
    const b = this.bytes
    if (!b.includes(0x0a) && !b.includes(0x0d)) return b
    const out = Buffer.allocUnsafe(b.length)
    let n = 0
    for (const c of b) if (c !== 0x0a && c !== 0x0d) out[n++] = c
    return out.subarray(0, n)
  }

  #replace(range: Range | undefined, text: string): Message {
    if (!range) return this
    const b = this.bytes
    return Message.parse(
      Buffer.concat([b.subarray(0, range.start), Buffer.from(text), b.subarray(range.end)]),
      'server'
    )
  }

  #text(range: Range | undefined): string | undefined {
    return range && this.bytes.toString('utf8', range.start, range.end)
  }

  #string(range: Range | undefined): string | undefined {
    return range && this.bytes[range.start] === 0x22 ? stringAt(this.bytes, range.start, range.end) : undefined
  }
}

function asSyntax<T>(scan: () => T): T {
  try {
    return scan()
  } catch (error) {
    if (error instanceof JsonSyntaxError) throw new MalformedMessage('json', error.message)
    throw error
  }
}

function expectEnd(b: Buffer, after: number): void {
  const rest = skipSpace(b, after, b.length)
  if (rest < b.length) throw new JsonSyntaxError('unexpected text behind the value', rest)
}

function locate(b: Buffer, start: number): Envelope {
  const e: Envelope = {}
  if (b[start] !== 0x7b) {
    expectEnd(b, skipValue(b, start, b.length))
    throw new MalformedMessage('rpc', 'not a JSON object')
  }
  const after = walkObject(b, start, b.length, (key, s, end) => {
    switch (key) {
      case 'jsonrpc':
      case 'id':
      case 'method':
      case 'error':
        return put(e, key, s, skipValue(b, s, end))
      case 'params':
        return put(e, 'params', s, b[s] === 0x7b ? inParams(b, s, end, e) : skipValue(b, s, end))
      case 'result':
        return put(e, 'result', s, b[s] === 0x7b ? inResult(b, s, end, e) : skipValue(b, s, end))
      default:
        noteVariant(key, TOP_ROUTING, e)
        return skipValue(b, s, end)
    }
  })
  expectEnd(b, after)
  return e
}

type RoutingMember = 'jsonrpc' | 'id' | 'method' | 'params' | 'name' | 'uri'
const TOP_ROUTING: readonly RoutingMember[] = ['jsonrpc', 'id', 'method', 'params']
const PARAM_ROUTING: readonly RoutingMember[] = ['name', 'uri']

function inParams(b: Buffer, start: number, end: number, e: Envelope): number {
  let metaSeen = false
  return walkObject(b, start, end, (key, s) => {
    switch (key) {
      case 'name':
      case 'uri':
      case 'requestId':
      case 'task':
      case 'protocolVersion':
        return put(e, key, s, skipValue(b, s, end))
      case 'progressToken':
        // A request's own token (in `_meta`) wins; a notification has this one only.
        if (e.progressToken) return skipValue(b, s, end)
        return put(e, key, s, skipValue(b, s, end))
      case '_meta':
        if (metaSeen) e.twice = 'params._meta'
        metaSeen = true
        return b[s] === 0x7b ? inMeta(b, s, end, e) : skipValue(b, s, end)
      default:
        noteVariant(key, PARAM_ROUTING, e)
        if (key.length === 9 && key.toLowerCase() === 'arguments') e.arguments = e.arguments ? 'twice' : 'once'
        return skipValue(b, s, end)
    }
  })
}

function inResult(b: Buffer, start: number, end: number, e: Envelope): number {
  return walkObject(b, start, end, (key, s) => {
    if (key === '_meta' && b[s] === 0x7b) return inMeta(b, s, end, e)
    const after = skipValue(b, s, end)
    if (key === 'protocolVersion') e.protocolVersion = { start: s, end: after }
    return after
  })
}

function inMeta(b: Buffer, start: number, end: number, e: Envelope): number {
  return walkObject(b, start, end, (key, s) => {
    const range = { start: s, end: skipValue(b, s, end) }
    if (key === 'progressToken') e.progressToken = range
    else if (key === META_VERSION) e.metaVersion = range
    else if (key === META_SUBSCRIPTION) e.subscription = range
    return range.end
  })
}

function put(
  e: Envelope,
  key: Exclude<keyof Envelope, 'variants' | 'twice' | 'arguments'>,
  start: number,
  end: number
): number {
  if (e[key]) e.twice = key
  e[key] = { start, end }
  return end
}

/** Some parsers (Go's among them) match names without regard to case, so `Method` beside `method` is a duplicate too. */
function noteVariant(key: string, routing: readonly RoutingMember[], e: Envelope): void {
  if (key.length > 7) return
  const lower = key.toLowerCase()
  for (const name of routing) if (lower === name) (e.variants ??= []).push(name)
}

/** Parsers disagree on which of two equal members counts: an attacker could show us one and the server the other. */
function refuseAmbiguous(e: Envelope): void {
  if (e.twice !== undefined) throw new MalformedMessage('duplicate', `'${e.twice}' occurs twice`)
  for (const name of e.variants ?? [])
    if (e[name]) throw new MalformedMessage('duplicate', `'${name}' occurs twice, in different case`)
}

function check(b: Buffer, e: Envelope): void {
  if (!e.jsonrpc || b.toString('latin1', e.jsonrpc.start, e.jsonrpc.end) !== '"2.0"')
    throw new MalformedMessage('rpc', '\'jsonrpc\' must be "2.0"')
  const answer = e.result !== undefined || e.error !== undefined
  if (e.method) {
    if (b[e.method.start] !== 0x22) throw new MalformedMessage('rpc', "'method' must be a string")
    if (answer) throw new MalformedMessage('rpc', "'method' beside 'result' or 'error'")
  } else if (!answer) throw new MalformedMessage('rpc', "neither 'method' nor 'result' nor 'error'")
  if (!e.id) {
    if (e.result) throw new MalformedMessage('rpc', "a result without 'id'")
    return
  }
  if (isNull(b, e.id) && e.error) {
    // JSON-RPC 2.0 §5: an error for a request whose id could not be read. It answers nothing we can name.
    delete e.id
    return
  }
  const c = b[e.id.start]!
  if (c !== 0x22 && c !== 0x2d && !(c >= 0x30 && c <= 0x39))
    throw new MalformedMessage('rpc', "'id' must be a string or a number")
}

function isNull(b: Buffer, r: Range): boolean {
  return b[r.start] === 0x6e
}
