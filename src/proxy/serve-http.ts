import type { IncomingMessage } from 'node:http'
import { asCatflapError, CatflapError } from '../errors.ts'
import {
  addVia,
  accepts as admits,
  contentTypeOf,
  forwardableRequestHeaders,
  getHeader,
  VERSION_HEADER
} from '../protocol/headers.ts'
import { MalformedMessage, Message } from '../protocol/message.ts'
import { type Era, eraOf } from '../protocol/versions.ts'
import { prefixOf } from '../tape/truncate.ts'
import type { HttpReply } from '../transport/downstream/http-reply.ts'
import { type RequestHandler, readBody } from '../transport/downstream/http-server.ts'
import { isEncrypted, tlsPrincipal } from '../transport/downstream/tls-peer.ts'
import type { Core } from './core.ts'
import { Exchange } from './exchange.ts'
import type { Forwarding, Sender } from './forwarded.ts'
import { openStream, postMessage, type SsePaths } from './serve-sse.ts'

export interface EndpointOptions {
  /** Where MCP is served, e.g. `/mcp`. */
  readonly path: string
  /** Where HTTP+SSE is served. */
  readonly sse: SsePaths
  /** Our name in Via; undefined: none is added. */
  readonly via: string | undefined
  /** Says who sent a request, and tells servers; undefined: what comes in about that passes. */
  readonly forwarding?: Forwarding
}

/** Makes exchanges of HTTP requests to the one endpoint. */
export function endpoint(core: Core, options: EndpointOptions): RequestHandler {
  return (req, reply) => {
    const { socket } = req
    const sender = options.forwarding?.receive(req.rawHeaders, socket)
    const x = new Exchange(core, reply, {
      method: req.method ?? 'GET',
      path: req.url ?? '/',
      headers: req.rawHeaders,
      remoteAddress: sender ? sender.address : socket.remoteAddress,
      encrypted: isEncrypted(socket),
      tlsPrincipal: tlsPrincipal(socket)
    })
    // A token, which is looked at next, counts for more.
    if (x.client!.tlsPrincipal !== undefined) x.principal = x.client!.tlsPrincipal
    try {
      accept(x, req, reply, options, sender)
    } catch (error) {
      refuse(x, asCatflapError(error))
    }
  }
}

function accept(
  x: Exchange,
  req: IncomingMessage,
  reply: HttpReply,
  options: EndpointOptions,
  sender: Sender | undefined
): void {
  const denied = x.core.pipeline.admit(x)
  if (denied) {
    if (x.core.bus.active) x.core.tap.stranger(x)
    return refuse(x, denied)
  }
  const { path, query } = partsOf(x.client!.path)
  const { sse } = options
  if (path !== options.path && path !== sse.stream && path !== sse.messages) {
    const text = `Nothing is served at this path; MCP is at ${options.path}.`
    return refuse(x, new CatflapError('not_found', text))
  }
  x.query = query
  x.headers = forwardableRequestHeaders(req.rawHeaders)
  sender?.write(x.headers, getHeader(req.rawHeaders, 'host'), options.path.slice(0, options.path.lastIndexOf('/')))
  if (options.via) addVia(x.headers, req.httpVersion, options.via)
  x.version = getHeader(req.rawHeaders, VERSION_HEADER)
  if (path === sse.stream) return openStream(x, reply, sse)
  if (path === sse.messages) return postMessage(x, req, reply)
  receive(x, req, reply, run)
}

/** Is told when all of a request is there and it is known what it is. */
type Ready = (x: Exchange, req: IncomingMessage) => void

function run(x: Exchange): void {
  void x.run()
}

/** What a client does by its HTTP method. */
export function receive(x: Exchange, req: IncomingMessage, reply: HttpReply, ready: Ready): void {
  switch (x.client!.method) {
    case 'POST':
      return post(x, req, ready)
    case 'GET':
      return bodiless(x, req, 'listen', ready)
    case 'DELETE':
      return bodiless(x, req, 'terminate', ready)
    default:
      reply.extra.push('Allow', 'GET, POST, DELETE')
      return refuse(x, new CatflapError('method_not_allowed'))
  }
}

/** Path and query of a request target, which may be a whole URL (RFC 9112 §3.2.2). */
function partsOf(target: string): { path: string; query: string | undefined } {
  if (!target.startsWith('/') && URL.canParse(target)) {
    const url = new URL(target)
    return { path: url.pathname, query: url.search }
  }
  const end = target.indexOf('?')
  return end < 0 ? { path: target, query: undefined } : { path: target.slice(0, end), query: target.slice(end) }
}

function bodiless(x: Exchange, req: IncomingMessage, kind: 'listen' | 'terminate', ready: Ready): void {
  x.kind = kind
  x.era = eraOfHead(x.version)
  const accept = getHeader(x.client!.headers, 'accept')
  x.received = { bytes: undefined }
  if (kind === 'listen' && x.core.target.kind !== 'http' && !acceptsStream(accept))
    return x.fail(new CatflapError('not_acceptable'))
  ready(x, req)
}

function post(x: Exchange, req: IncomingMessage, ready: Ready): void {
  // Behind a server over HTTP it is the server's to judge, and some are content with less than the spec asks for.
  if (x.core.target.kind !== 'http' && !acceptsBoth(getHeader(x.client!.headers, 'accept')))
    return refuse(x, new CatflapError('not_acceptable'))
  readPost(x, req, (parsed, body) => {
    classify(x, parsed, body)
    ready(x, req)
  })
}

/** Reads a POST's message, or refuses what is none. */
export function readPost(
  x: Exchange,
  req: IncomingMessage,
  received: (parsed: Message | readonly Message[], body: Buffer) => void
): void {
  const headers = x.client!.headers
  if (contentTypeOf(getHeader(headers, 'content-type')) !== 'json')
    return refuse(x, new CatflapError('unsupported_media_type'))
  const encoding = getHeader(headers, 'content-encoding')
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity')
    return refuse(
      x,
      new CatflapError(
        'unsupported_media_type',
        `Content-Encoding '${encoding}' is not supported: send the body as it is.`
      )
    )
  readBody(req, x.core.settings.maxBody, (error, body) => {
    if (x.ended) return
    if (error) return refuse(x, error)
    if (x.core.bus.active) x.received = prefixOf(body, x.core.settings.maxMessage)
    let parsed: Message | readonly Message[]
    try {
      parsed = Message.parseBody(body)
    } catch (fault) {
      x.wellFormed = false
      // No message of anybody's: its beginning says what it was.
      if (x.received) x.received = prefixOf(body, 0)
      return x.fail(fault instanceof MalformedMessage ? malformed(fault) : asCatflapError(fault))
    }
    received(parsed, body)
  })
}

/** Refused before there is a message. */
export function refuse(x: Exchange, error: CatflapError): void {
  x.received = { bytes: undefined }
  x.fail(error)
}

/** Kind, era and version of what a client said, on any wire. */
export function classify(x: Exchange, parsed: Message | readonly Message[], body: Buffer | undefined): void {
  x.body = body
  if (parsed instanceof Message) {
    x.message = parsed
    x.kind = parsed.kind === 'request' ? 'request' : 'notify'
    x.version ??= parsed.metaVersion
    // A request that names its version within is modern whatever its headers say: the server is to see the contradiction.
    x.era = parsed.metaVersion !== undefined ? 'modern' : eraOfHead(x.version)
  } else {
    x.batch = parsed
    x.kind = 'batch'
    x.version ??= parsed.find(m => m.metaVersion !== undefined)?.metaVersion
    x.era = eraOfHead(x.version)
  }
}

export function malformed(error: MalformedMessage): CatflapError {
  const code = { json: 'parse_error', rpc: 'invalid_request', duplicate: 'ambiguous_request' } as const
  return new CatflapError(code[error.kind], `Not a valid message: ${error.message}.`)
}

function eraOfHead(version: string | undefined): Era {
  return (version === undefined ? undefined : eraOf(version)) ?? 'legacy'
}

function acceptsStream(accept: string | undefined): boolean {
  return admits(accept, 'text/event-stream')
}

function acceptsBoth(accept: string | undefined): boolean {
  return admits(accept, 'application/json') && admits(accept, 'text/event-stream')
}
