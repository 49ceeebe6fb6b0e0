import type { IncomingMessage } from 'node:http'
import type { IncomingHttpHeaders, ServerHttp2Stream, ServerOptions } from 'node:http2'
import type { Socket } from 'node:net'
import { CatflapError } from '../../errors.ts'
import { Queue, QueueNode } from '../../queue.ts'
import { type FirstWord, firstWord } from './first-bytes.ts'
import { HttpReply, type HttpReplyOptions } from './http-reply.ts'
import type { RequestHandler } from './http-server.ts'
import { Http2Connection } from './http2-connection.ts'
import { Http2Request } from './http2-request.ts'
import { Http2Response } from './http2-response.ts'

// Loaded with this module, which is loaded where HTTP/2 is asked for.
const { constants, performServerHandshake } = process.getBuiltinModule('node:http2')

export interface Http2DoorOptions {
  readonly maxHeaderSize: number
  readonly maxBody: number
  readonly clientTimeout: number
  /** A connection on which nothing is asked is closed after this, in ms. */
  readonly idleTimeout: number
  readonly replies: HttpReplyOptions
  /** Counts what nobody else hears of. */
  readonly refused: (code: 'bad_http' | 'headers_too_large' | 'request_timeout') => void
}

/** Streams that one client may have open at once. */
const MAX_STREAMS = 256

/** Header fields of one request. */
const MAX_FIELDS = 256

/** RFC 9113 §6.5.2 counts so much for each field besides its bytes. */
const FIELD_OVERHEAD = 32

/** Bytes that may wait for the client of one connection; beyond it new streams are refused. */
const MAX_QUEUED = 128 * 1024 * 1024

/** Bytes of bodies on one connection that are not answered yet; two of the largest have room in any case. */
const MAX_COMING = 64 * 1024 * 1024

/**
 * Node's own bound for the same, in MB, is out of the way: what it counts for a stream that is reset with bytes unsent it never
 * takes off again, so that a connection that was used long enough would have no stream any more.
 */
const NO_BOUND = 1_000_000

/** Frames that break the rules on one connection. */
const MAX_INVALID = 100

/** Streams beyond those allowed that one client may try to open before it has heard how many are. */
const MAX_REJECTED = 100

/**
 * nghttp2 counts all resets, also of streams whose answers have begun, which clients leave in no other way. What costs us
 * something is counted apart (see `takenBack`).
 */
const RESETS = { streamResetBurst: 10_000, streamResetRate: 1_000 }

/** What a client may send before it hears that it was read: of one request, and in all. Enough for long ways. */
const STREAM_WINDOW = 256 * 1024
const CONNECTION_WINDOW = 1024 * 1024

/** A request whose body is still coming. */
interface Coming {
  readonly since: number
  readonly stream: ServerHttp2Stream
  readonly response: Http2Response
}

/** Speaks HTTP/2 on connections that others have accepted, and makes the same requests of it as come over HTTP/1.1. */
export class Http2Door {
  readonly #options: Http2DoorOptions
  readonly #handler: RequestHandler
  readonly #session: ServerOptions
  readonly #connections = new Set<Http2Connection>()
  /** The oldest first. */
  readonly #coming = new Queue<Coming>()
  #ticker: NodeJS.Timeout | undefined
  #draining = false

  constructor(options: Http2DoorOptions, handler: RequestHandler) {
    this.#options = options
    this.#handler = handler
    this.#session = {
      maxHeaderListPairs: MAX_FIELDS,
      maxSessionMemory: NO_BOUND,
      maxSessionInvalidFrames: MAX_INVALID,
      maxSessionRejectedStreams: MAX_REJECTED,
      ...RESETS,
      // As over HTTP/1.1: what a server said twice goes out twice.
      strictSingleValueFields: false,
      settings: {
        enablePush: false,
        maxConcurrentStreams: MAX_STREAMS,
        initialWindowSize: STREAM_WINDOW,
        // Beyond this Node resets the stream; below it the client can be told why.
        maxHeaderListSize: 2 * options.maxHeaderSize + MAX_FIELDS * FIELD_OVERHEAD
      }
    }
  }

  /** Which protocol a client on clear text speaks. */
  hear(socket: Socket, told: (word: FirstWord) => void): void {
    firstWord(socket, this.#options.clientTimeout, told)
  }

  /** Takes over a connection whose client speaks HTTP/2. */
  accept(socket: Socket): void {
    if (socket.destroyed) return
    // A client that has nothing more to say is gone: it could not even acknowledge what it is sent.
    socket.allowHalfOpen = false
    const { refused } = this.#options
    const session = performServerHandshake(socket, this.#session)
    const connection = new Http2Connection(socket, session, () => refused('bad_http'))
    this.#connections.add(connection)
    session.on('stream', (stream, headers, _flags, raw) => this.#begin(connection, stream, headers, raw))
    session.on('error', (error: NodeJS.ErrnoException) => {
      if (BROKEN_RULES.test(error.code ?? '')) refused('bad_http')
      if (!socket.destroyed) connection.closeSoon()
    })
    socket.once('close', () => this.#closed(connection))
    session.setLocalWindowSize(CONNECTION_WINDOW)
    this.#ticker ??= setInterval(() => this.#sweep(), this.#every).unref()
    if (this.#draining) connection.drain()
  }

  /** Every connection is left once its client has been answered. */
  drain(): void {
    this.#draining = true
    for (const connection of this.#connections) connection.drain()
  }

  /** Connections on which nothing was asked for `quiet` ms are left; with 0, all, once what was asked is answered. */
  sendAway(quiet: number): void {
    const now = performance.now()
    for (const connection of this.#connections) {
      const since = connection.idleSince
      if (quiet === 0 || (since !== undefined && now - since >= quiet)) connection.sendAway()
    }
  }

  /** Resolves when all clients that were sent away have taken what they were sent, and closed. */
  async left(): Promise<void> {
    const leaving = [...this.#connections].filter(({ left }) => left)
    await Promise.all(leaving.map(({ socket }) => new Promise(resolve => socket.once('close', resolve))))
  }

  #closed(connection: Http2Connection): void {
    this.#connections.delete(connection)
    if (this.#connections.size > 0) return
    clearInterval(this.#ticker)
    this.#ticker = undefined
  }

  #begin(
    connection: Http2Connection,
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    raw: readonly string[]
  ): void {
    stream.on('error', ignore)
    // Opened and reset in one breath: nobody has to hear of it.
    if (stream.destroyed || stream.closed) return connection.reset()
    if (connection.queued > MAX_QUEUED) return stream.close(constants.NGHTTP2_REFUSED_STREAM)
    const { clientTimeout, maxHeaderSize, replies, refused } = this.#options
    const request = new Http2Request(stream, headers, raw, connection.socket)
    const response = new Http2Response(request, clientTimeout)
    const reply = new HttpReply(response, replies)
    const coming = stream.endAfterHeaders ? undefined : this.#await(stream, response)
    if (coming) this.#bound(connection, request, response)
    const place = connection.opened(response)
    stream.once('close', () => {
      if (coming) this.#coming.remove(coming)
      connection.closed(place, takenBack(stream) && !response.broken)
    })
    const fault = request.fault(maxHeaderSize)
    if (fault) {
      refused(fault.code as 'bad_http')
      return reply.fail(fault, undefined)
    }
    if (headers.expect?.toLowerCase() === '100-continue') stream.additionalHeaders(CONTINUE)
    this.#handler(request as unknown as IncomingMessage, reply)
  }

  #await(stream: ServerHttp2Stream, response: Http2Response): QueueNode<Coming> {
    const place = new QueueNode<Coming>({ since: performance.now(), stream, response })
    this.#coming.push(place)
    stream.once('end', () => this.#coming.remove(place))
    // RFC 9113 §8.1: the answer is whole, and nobody reads what else the client sends.
    stream.once('finish', () => {
      if (stream.readableEnded || stream.closed || !stream.headersSent) return
      stream.resume()
      stream.close(constants.NGHTTP2_NO_ERROR)
    })
    return place
  }

  /** Each body alone is bounded by who reads it; so many at once are only here. */
  #bound(connection: Http2Connection, request: Http2Request, response: Http2Response): void {
    const { stream } = request
    const most = Math.max(MAX_COMING, 2 * this.#options.maxBody)
    let held = 0
    const release = (): void => {
      connection.came(-held)
      held = 0
    }
    request.received = bytes => {
      if (stream.closed || stream.destroyed) return false
      held += bytes
      if (connection.came(bytes) <= most) return true
      response.broken = true
      // Nothing was done with it: it may be sent again.
      stream.close(constants.NGHTTP2_REFUSED_STREAM)
      return false
    }
    // Whole, it waits for the server to take it, and may be sent once more.
    stream.once('close', release)
  }

  get #every(): number {
    return Math.max(100, Math.min(this.#options.clientTimeout / 4, 10_000))
  }

  #sweep(): void {
    const now = performance.now()
    const { clientTimeout, idleTimeout } = this.#options
    for (let head = this.#coming.head; head && now - head.value.since >= clientTimeout; head = this.#coming.head) {
      this.#coming.remove(head)
      // All of it may be here, and nobody reads it: a GET has nothing to say.
      if (head.value.stream.state.remoteClose !== 1) this.#tooSlow(head.value)
    }
    for (const connection of this.#connections) {
      const since = connection.idleSince
      if (since !== undefined && now - since >= idleTimeout) connection.leave()
    }
  }

  /** Past the reply, as over HTTP/1.1: to whoever waits for the rest of the request, its client is gone. */
  #tooSlow({ response }: Coming): void {
    this.#options.refused('request_timeout')
    // Into the middle of an answer nothing may be written.
    if (response.headersSent) return void response.destroy()
    const error = new CatflapError('request_timeout')
    const body = error.toJsonRpc()
    const headers = ['Content-Type', 'application/json', 'Content-Length', String(body.length)]
    response.writeHead(error.status, headers)
    response.end(body)
  }
}

/**
 * By a reset, whatever reason that gives. An answer that has begun was worth its request: clients leave streams of events by a
 * reset, as there is no other way.
 */
function takenBack(stream: ServerHttp2Stream): boolean {
  const code = stream.rstCode
  return !stream.headersSent || (code !== constants.NGHTTP2_NO_ERROR && code !== constants.NGHTTP2_CANCEL)
}

/** What Node calls it when a client does not keep to the protocol, or breaks it too often. */
const BROKEN_RULES = /^ERR_HTTP2_(?:ERROR|TOO_MANY_INVALID_FRAMES)$/

const CONTINUE = { ':status': 100 }

function ignore(): void {}
