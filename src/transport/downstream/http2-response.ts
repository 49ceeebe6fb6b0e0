import type { IncomingMessage, ServerResponse } from 'node:http'
import type { OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2'
import type { ResponseStream } from './http-reply.ts'
import type { Http2Request } from './http2-request.ts'

// Loaded with this module, which is loaded where HTTP/2 is asked for.
const { constants, Http2ServerRequest, Http2ServerResponse } = process.getBuiltinModule('node:http2')

/** RFC 9113 §8.2.2: what speaks of one connection has no place on a stream. */
const CONNECTION_SPECIFIC = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  'te'
])

/** RFC 9110 §5.5. Node checks this for HTTP/1.1 alone, and would even take a NUL for the end of a value. */
const ILLEGAL = /[^\t\x20-\x7e\x80-\xff]/

/** What is left of a request stands in nobody's way here: streams end one by one. */
const WHOLE = { complete: true, headers: {} } as unknown as IncomingMessage

/** What `HttpReply` writes to, on a stream of HTTP/2. A client that is gone is told nothing, and nobody else either. */
export class Http2Response implements ResponseStream {
  readonly req = WHOLE
  /** There is none in HTTP/2. */
  statusMessage = ''
  /** We broke it off, not the client. */
  broken = false
  readonly #request: Http2Request
  readonly #stream: ServerHttp2Stream
  readonly #patience: number

  /** `patience`: how long an answer that is complete may wait on a connection on which nothing moves, in ms. */
  constructor(request: Http2Request, patience: number) {
    this.#request = request
    this.#stream = request.stream
    this.#patience = patience
  }

  get headersSent(): boolean {
    return this.#stream.headersSent
  }

  get writableEnded(): boolean {
    return this.#stream.writableEnded
  }

  /** Written is not yet sent: the end of a stream goes out behind its last byte. */
  get writableFinished(): boolean {
    return this.#stream.writableFinished && this.#stream.destroyed
  }

  get writableLength(): number {
    return this.#stream.writableLength
  }

  /** Throws at what is no header. */
  writeHead(status: number, phraseOrHeaders: string | string[], headers?: string[]): this {
    const stream = this.#stream
    // What was told already, as to a client that was too slow, stays told.
    if (stream.destroyed || stream.closed || stream.headersSent) return this
    const head = headOf(status, headers ?? (phraseOrHeaders as string[]))
    stream.respond(head, head['content-length'] === '0' ? ENDED : undefined)
    return this
  }

  write(chunk: Buffer): boolean {
    const stream = this.#stream
    if (chunk.length === 0 || stream.destroyed || stream.closed || stream.writableEnded) return true
    return stream.write(chunk)
  }

  end(body?: Buffer | string, encoding?: 'latin1'): this {
    const stream = this.#stream
    if (stream.destroyed || stream.closed || stream.writableEnded) return this
    if (body !== undefined || stream.writableLength > 0)
      stream.setTimeout(this.#patience, () => stream.close(constants.NGHTTP2_CANCEL))
    if (body === undefined) stream.end()
    else if (typeof body === 'string') stream.end(body, encoding ?? 'utf8')
    else stream.end(body)
    return this
  }

  destroy(): this {
    this.broken = true
    // close() would end it in order first, and a part would pass for the whole.
    this.#stream.destroy(new Error('broken off'))
    return this
  }

  on(event: string, listener: () => void): this {
    this.#stream.on(event, listener)
    return this
  }

  once(event: string, listener: () => void): this {
    this.#stream.once(event, listener)
    return this
  }

  /** Both halves as Node's own, for code that knows nothing else. */
  handOver(): { req: IncomingMessage; res: ServerResponse } {
    const { stream, headers, rawHeaders } = this.#request
    const req = new Http2ServerRequest(stream, headers, {}, rawHeaders)
    const res = new Http2ServerResponse(stream)
    // Who breaks it off there is not the client either.
    res.destroy = () => {
      this.destroy()
      return res
    }
    return { req: req as unknown as IncomingMessage, res: res as unknown as ServerResponse }
  }
}

const ENDED = { endStream: true }

function headOf(status: number, list: readonly string[]): OutgoingHttpHeaders {
  const head: OutgoingHttpHeaders = Object.create(null)
  head[':status'] = status
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i]!.toLowerCase()
    if (CONNECTION_SPECIFIC.has(name)) continue
    const value = trimmed(list[i + 1]!)
    if (name.startsWith(':') || ILLEGAL.test(value)) throw new TypeError(`Invalid character in header ["${name}"]`)
    const before = head[name]
    if (before === undefined) head[name] = value
    else if (Array.isArray(before)) before.push(value)
    else head[name] = [String(before), value]
  }
  return head
}

/**
 * RFC 9113 §8.2.1 makes a message with such blanks malformed. Not trim(): that takes bytes for blanks which are none. Nor a
 * pattern: for blanks in the middle of a value it would take time by their square.
 */
function trimmed(value: string): string {
  let start = 0
  let end = value.length
  while (start < end && isBlank(value.charCodeAt(start))) start++
  while (end > start && isBlank(value.charCodeAt(end - 1))) end--
  return start === 0 && end === value.length ? value : value.slice(start, end)
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB
}

const SPACE = 32
const TAB = 9
