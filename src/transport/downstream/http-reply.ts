import type { IncomingMessage, ServerResponse } from 'node:http'
import { CatflapError } from '../../errors.ts'
import { removeHeader } from '../../protocol/headers.ts'
import { MalformedMessage, Message } from '../../protocol/message.ts'
import { encodeMessageEvent, KEEP_ALIVE_COMMENT } from '../../protocol/sse.ts'
import { type Queue, QueueNode } from '../../queue.ts'
import type { Reply, ReplyListener, WholeAnswer } from '../reply.ts'
import type { Turn } from '../turn.ts'
import type { ReplyHead } from '../upstream.ts'

/** What an answer is written to: Node's ServerResponse, or the like of it on a stream of HTTP/2. */
export interface ResponseStream {
  readonly req: IncomingMessage
  readonly headersSent: boolean
  readonly writableEnded: boolean
  /** All of it has gone out. */
  readonly writableFinished: boolean
  readonly writableLength: number
  /** The reason phrase, where there is one. */
  statusMessage: string
  /** Throws at what is no header. */
  writeHead(status: number, headers: string[]): unknown
  writeHead(status: number, phrase: string, headers: string[]): unknown
  write(chunk: Buffer): boolean
  end(body?: Buffer): unknown
  end(body: string, encoding: 'latin1'): unknown
  destroy(): unknown
  on(event: 'close', listener: () => void): unknown
  once(event: 'close' | 'drain' | 'finish', listener: () => void): unknown
  /** Where it is not Node's own already: both halves as that. */
  handOver?(): { readonly req: IncomingMessage; readonly res: ServerResponse }
}

export interface HttpReplyOptions {
  /** Silence before the first message after which the answer becomes a stream, in ms. */
  readonly streamAfter: number
  /** Replies that have begun and are not yet with the kernel. */
  readonly open: Queue<HttpReply>
  /** Answers that are whole and wait for the end of the turn. */
  readonly turn: Turn<HttpReply>
  /** SSE replies that a keep-alive comment may be due on. */
  readonly streams: Set<HttpReply>
}

const JSON_HEADERS = ['Content-Type', 'application/json']
const SSE_HEADERS = [
  'Content-Type',
  'text/event-stream',
  'Cache-Control',
  'no-cache, no-transform',
  'X-Accel-Buffering',
  'no'
]

const NOTHING = Buffer.alloc(0)

/**
 * Up to so many bytes a whole body goes out as a string: Node joins it with the head and writes both at once, which costs less
 * than a gathering write of two pieces. Latin-1 maps every byte to itself.
 */
const ONE_WRITE = 16 * 1024

/** RFC 9112 §4: what else stands in a reason phrase is dropped with it, as it tells nobody anything. */
const LEGAL_PHRASE = /^[\t\x20-\x7e\x80-\xff]+$/

/** How long a client may go on sending what was refused, in ms. */
const LINGER = 1_000

/** An answer over HTTP. */
export class HttpReply implements Reply {
  state: Reply['state'] = 'pending'
  extra: string[] = []
  listener: ReplyListener | undefined
  readonly res: ResponseStream
  /** `performance.now()` of the last write on a stream. */
  lastWrite = 0
  /** Bytes of content. */
  sent = 0
  readonly #options: HttpReplyOptions
  readonly #place: QueueNode<HttpReply> = new QueueNode<HttpReply>(this)
  #head: ReplyHead | undefined
  #headWritten = false
  #atBoundary = true
  #waitsForDrain = false
  #streamTimer: NodeJS.Timeout | undefined
  /** A whole body that waits for the end of the turn, as Latin-1. */
  #whole = ''
  /** A whole answer whose head came when the stream had begun: it is gathered, and becomes an event. */
  #late: Buffer[] | undefined

  constructor(res: ResponseStream, options: HttpReplyOptions) {
    this.res = res
    this.#options = options
    options.open.push(this.#place)
    res.on('close', () => {
      options.open.remove(this.#place)
      clearTimeout(this.#streamTimer)
      this.#options.streams.delete(this)
      const complete = this.state === 'ended'
      this.state = 'ended'
      if (!complete || !res.writableFinished) this.listener?.onGone()
    })
  }

  get queued(): number {
    return this.res.writableLength
  }

  head(head: ReplyHead): void {
    if (this.state === 'sse' && head.type === 'json') this.#late = []
    if (this.state !== 'pending') return
    clearTimeout(this.#streamTimer)
    this.#head = head
    this.state = head.type === 'sse' ? 'sse' : head.type === 'json' ? 'json' : 'raw'
    // Nothing of ours fits into compressed content.
    this.#atBoundary = head.encoding === undefined
    if (this.state !== 'sse') return // until its first bytes are here, an error can still be told as one
    this.#openStream()
    // Head and first event often arrive in one packet: one write carries both. Without one, the head must not wait.
    queueMicrotask(() => this.#flushHead())
  }

  data(chunk: Buffer, atBoundary: boolean): boolean {
    if (this.state === 'ended') return true
    if (this.#late) {
      this.#late.push(chunk)
      return true
    }
    const head = this.#head
    this.#atBoundary = atBoundary
    if (!this.#headWritten && head && head.length === chunk.length && this.state !== 'sse') {
      this.#writeHead()
      this.#close(chunk)
      return true
    }
    this.#writeHead()
    return this.#write(chunk)
  }

  message(message: Message, last: boolean): boolean {
    if (this.state === 'ended') return true
    if (this.state === 'pending') {
      clearTimeout(this.#streamTimer)
      if (last) {
        const body = message.bytes
        this.answer({ status: 200, headers: [...JSON_HEADERS, ...this.extra], body })
        return true
      }
      this.openStream()
    }
    this.#writeHead()
    return this.#write(encodeMessageEvent(message.oneLine()))
  }

  farewell(message: Message): boolean {
    if (this.state !== 'sse' || !this.#atBoundary) return false
    this.#writeHead()
    this.#write(encodeMessageEvent(message.oneLine()))
    return true
  }

  /** What the answer will be is settled, and with it that silence does not make it a stream. False: it is one. */
  settle(): boolean {
    clearTimeout(this.#streamTimer)
    return this.state === 'pending'
  }

  /** Becomes a stream now, or by itself when nothing was said for a while: nobody holds a connection open on silence. */
  openStream(afterSilence = false): void {
    if (this.state !== 'pending') return
    if (afterSilence) {
      this.#streamTimer ??= setTimeout(() => this.openStream(), this.#options.streamAfter)
      return
    }
    this.head({
      status: 200,
      statusText: '',
      headers: [...SSE_HEADERS],
      type: 'sse',
      length: undefined,
      encoding: undefined
    })
  }

  end(): void {
    if (this.state === 'ended') return
    if (this.state === 'pending') {
      this.answer({ status: 202, headers: this.extra, body: undefined })
      return
    }
    this.#writeHead()
    this.#writeLate()
    this.#close()
  }

  fail(error: CatflapError, idText: string | undefined): void {
    if (this.state === 'ended') return
    clearTimeout(this.#streamTimer)
    if (!this.#headWritten) {
      this.state = 'pending'
      this.#head = undefined
      this.#options.streams.delete(this)
      // Of a head that could not be written, the reason phrase would stay.
      this.res.statusMessage = ''
      const headers = [...JSON_HEADERS, ...this.extra, ...errorHeaders(error)]
      try {
        this.answer({ status: error.status, headers, body: error.toJsonRpc(idText) })
      } catch {
        // A hook's header that Node refuses to write: the client sees the end at least.
        this.state = 'ended'
        this.res.destroy()
      }
      return
    }
    if (this.state === 'sse' && this.#atBoundary && idText !== undefined) {
      this.#write(encodeMessageEvent(error.toJsonRpc(idText)))
      this.#close()
      return
    }
    // A stream between two events may end; anything else has to look broken, or a part would pass for the whole.
    if (this.state === 'sse' && this.#atBoundary) this.#close()
    else this.res.destroy()
  }

  answer(answer: WholeAnswer): void {
    if (this.state !== 'pending') return
    clearTimeout(this.#streamTimer)
    const headers = [...answer.headers]
    const bodiless = answer.status === 204 || answer.status === 304 || answer.status < 200
    if (!bodiless) headers.push('Content-Length', String(answer.body?.length ?? 0))
    // A body that was refused unread would be taken for the next request.
    const unread = !this.res.req.complete && hasBody(this.res.req)
    if (unread) headers.push('Connection', 'close')
    // Throws at what is no header; until it has not, the client can be told something else.
    this.res.writeHead(answer.status, headers)
    this.state = 'ended'
    this.#headWritten = true
    if (unread && answer.body) this.#linger(answer.body)
    else this.#last(answer.body)
  }

  /** Closing on a client that still sends would reset the connection, and the answer could be lost with it. */
  #linger(body: Buffer): void {
    const res = this.res
    const end = (): void => void res.end()
    const timer = setTimeout(end, LINGER)
    res.once('close', () => clearTimeout(timer))
    res.req.once('end', end)
    res.req.resume()
    this.sent += body.length
    res.write(body)
  }

  /** Request and response as Node's own, for code that answers on these. Nothing may have been read or said here before. */
  handOver(req: IncomingMessage): { readonly req: IncomingMessage; readonly res: ServerResponse } {
    return this.res.handOver?.() ?? { req, res: this.res as ServerResponse }
  }

  keepAlive(): void {
    if (this.state !== 'sse' || !this.#atBoundary || this.res.writableLength > 0) return
    this.#writeHead()
    this.#write(KEEP_ALIVE_COMMENT)
  }

  #openStream(): void {
    clearTimeout(this.#streamTimer)
    this.lastWrite = performance.now()
    this.#options.streams.add(this)
  }

  #flushHead(): void {
    if (this.#headWritten || this.state === 'ended' || !this.#head) return
    this.#writeHead()
    // flushHeaders() would write them as UTF-8, and header bytes are not always that.
    this.res.write(NOTHING)
  }

  #writeHead(): void {
    const head = this.#head
    if (this.#headWritten || !head) return
    this.#headWritten = true
    const headers = this.extra.length > 0 ? [...head.headers, ...this.extra] : head.headers
    // What the server said of its stream's length does not hold for ours, which has comments, errors and changes in it.
    if (this.state === 'sse') removeHeader(headers, 'content-length')
    try {
      if (head.statusText && LEGAL_PHRASE.test(head.statusText))
        this.res.writeHead(head.status, head.statusText, headers)
      else this.res.writeHead(head.status, headers)
    } catch (error) {
      // A header that Node refuses to write (a control character): the server's fault, and only this exchange's.
      this.#headWritten = false
      const text = error instanceof Error ? error.message : String(error)
      this.fail(new CatflapError('upstream_protocol', `The server's headers cannot be passed on: ${text}`), undefined)
    }
  }

  #writeLate(): void {
    if (!this.#late) return
    const whole = Buffer.concat(this.#late)
    try {
      this.#write(encodeMessageEvent(Message.parse(whole, 'server').oneLine()))
    } catch (error) {
      if (!(error instanceof MalformedMessage)) throw error
      this.res.destroy()
    }
  }

  #write(chunk: Buffer): boolean {
    if (this.state === 'ended') return true
    this.lastWrite = performance.now()
    this.sent += chunk.length
    if (this.res.write(chunk)) return true
    if (!this.#waitsForDrain) {
      this.#waitsForDrain = true
      this.res.once('drain', () => {
        this.#waitsForDrain = false
        this.listener?.onDrained()
      })
    }
    return false
  }

  #close(chunk?: Buffer): void {
    if (this.state === 'ended') return
    this.state = 'ended'
    this.#options.streams.delete(this)
    this.#last(chunk)
  }

  #last(body: Buffer | undefined): void {
    if (body) this.sent += body.length
    if (!body || body.length > ONE_WRITE) return void this.res.end(body)
    this.#whole = body.toString('latin1')
    // Alone there is nothing to share a turn with.
    const { open, streams, turn } = this.#options
    if (open.size - streams.size > 1) turn.add(this)
    else this.flush()
  }

  /** The turn has ended. */
  flush(): void {
    this.res.end(this.#whole, 'latin1')
  }
}

function errorHeaders(error: CatflapError): string[] {
  if (error.status === 503) return ['Retry-After', String(error.data?.retryAfter ?? 1)]
  if (error.status === 401) return ['WWW-Authenticate', 'Bearer realm="catflap"']
  return []
}

/** RFC 9112 §6: one of these two announces it. Without, Node calls a request complete only after its handler has returned. */
function hasBody(req: IncomingMessage): boolean {
  const length = req.headers['content-length']
  return req.headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0')
}
