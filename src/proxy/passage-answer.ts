import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { CatflapError } from '../errors.ts'

/** Answers of passages, on HTTP/1.1 and on Node's HTTP/2. */

/** RFC 9112 §4: what else stands in a reason phrase is dropped with it, as it tells nobody anything. */
const LEGAL_PHRASE = /^[\t\x20-\x7e\x80-\xff]+$/

/** How long a client may go on sending what was refused, in ms. */
const LINGER = 1_000

/** `headers` in turn. Throws at what is no header. */
export function writeHead(res: ServerResponse, from: IncomingMessage, headers: readonly string[]): void {
  const status = from.statusCode ?? 502
  if (streamOf(res)) {
    // Of a list, HTTP/2's writeHead keeps the last of several equal names.
    res.writeHead(status, byLowerName(headers))
    return res.flushHeaders()
  }
  if (from.statusMessage && LEGAL_PHRASE.test(from.statusMessage))
    res.writeHead(status, from.statusMessage, headers as string[])
  else res.writeHead(status, headers as string[])
  // The head must not wait for a body that may take its time. flushHeaders() would write it as UTF-8 here, and header bytes
  // are not always that.
  res.write(NOTHING)
}

const NOTHING = Buffer.alloc(0)

export function writeError(res: ServerResponse, req: IncomingMessage, error: CatflapError): void {
  const body = error.toJsonRpc()
  const headers = ['Content-Type', 'application/json', 'Content-Length', String(body.length)]
  if (error.status === 503) headers.push('Retry-After', '1')
  if (error.status === 405) headers.push('Allow', 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS')
  // A body that was refused unread would be taken for the next request.
  const unread = !streamOf(res) && !req.complete && hasBody(req)
  if (unread) headers.push('Connection', 'close')
  if (streamOf(res)) res.writeHead(error.status, byLowerName(headers))
  else {
    // Of a head that could not be written, the reason phrase would stay.
    res.statusMessage = ''
    res.writeHead(error.status, headers)
  }
  if (!unread) return void res.end(body)
  // Closing on a client that still sends would reset the connection, and the answer could be lost with it.
  const end = (): void => void res.end()
  const timer = setTimeout(end, LINGER)
  res.once('close', () => clearTimeout(timer))
  req.once('end', end)
  req.resume()
  res.write(body)
}

/** The client is to see that something is missing. */
export function breakOff(res: ServerResponse): void {
  // Without an error, HTTP/2 would end it in order.
  res.destroy(new Error('broken off'))
}

/** For a connection that asked for something else than an answer, and gets one all the same. It ends with that. */
export function responseOn(req: IncomingMessage, socket: Socket): ServerResponse {
  const { ServerResponse } = process.getBuiltinModule('node:http')
  const res = new ServerResponse(req)
  res.shouldKeepAlive = false
  res.assignSocket(socket)
  res.once('finish', () => socket.destroySoon())
  return res
}

/** One entry a name (its first spelling kept), as Node's own `request` takes them; a list where one stood there several times. */
export function byName(list: readonly string[]): Record<string, string | string[]> {
  const spelled = new Map<string, string>()
  // Without a prototype: a field may be called `constructor`.
  const out: Record<string, string | string[]> = Object.create(null)
  for (let i = 0; i < list.length; i += 2) {
    const lower = list[i]!.toLowerCase()
    const name = spelled.get(lower) ?? list[i]!
    spelled.set(lower, name)
    const before = out[name]
    if (before === undefined) out[name] = list[i + 1]!
    // HTTP/2 may cut this one into several (RFC 9113 §8.2.3), which HTTP/1.1 does not know.
    else if (lower === 'cookie') out[name] = `${before}; ${list[i + 1]}`
    else if (Array.isArray(before)) before.push(list[i + 1]!)
    else out[name] = [before, list[i + 1]!]
  }
  return out
}

function byLowerName(list: readonly string[]): Record<string, string | string[]> {
  return byName(list.map((part, i) => (i % 2 === 0 ? part.toLowerCase() : part)))
}

interface Http2Stream {
  once(event: 'close', listener: () => void): unknown
  readonly aborted: boolean
  readonly closed: boolean
  /** 0: not reset. */
  readonly rstCode: number
}

/** To HEAD that is not answered, Node's HTTP/2 closes the stream and says nothing of the response. */
export function whenClosed(res: ServerResponse, told: () => void): void {
  const stream = streamOf(res)
  if (stream) stream.once('close', told)
  else res.once('close', told)
}

/** The client has had all of it, as far as is known. A stream of HTTP/2 that was reset counts as finished for Node. */
export function isWhole(res: ServerResponse): boolean {
  const stream = streamOf(res)
  return res.writableFinished && !(stream && (stream.aborted || stream.rstCode !== 0))
}

/**
 * Whether the end of a request that has just been read is its true one: Node's HTTP/2 says the end of what was broken off, or
 * came too slowly, as well, and tells the difference only when it has looked at the frame to its end.
 */
export function ifWhole(req: IncomingMessage, told: (whole: boolean) => void): void {
  const { stream } = req as unknown as { stream?: Http2Stream }
  if (stream === undefined) told(true)
  else setImmediate(() => told(!stream.aborted && !stream.closed))
}

function streamOf(res: ServerResponse): Http2Stream | undefined {
  return (res as unknown as { stream?: Http2Stream }).stream
}

/** RFC 9112 §6: one of these two announces it. */
function hasBody(req: IncomingMessage): boolean {
  const length = req.headers['content-length']
  return req.headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0')
}
