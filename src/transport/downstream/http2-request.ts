import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import { CatflapError } from '../../errors.ts'

const COLON = 58

/** Name, value, and what HTTP/1.1 would write between and behind them: the same request is as long on both. */
const BETWEEN = ': \r\n'.length

/**
 * A request over HTTP/2, with what catflap reads of Node's IncomingMessage. Its head is what an HTTP/1.1 request would carry:
 * `:authority` is Host, cookies are one (RFC 9113 §8.2.3, §8.3.1).
 */
export class Http2Request {
  readonly httpVersion = '2.0'
  readonly httpVersionMajor = 2
  readonly httpVersionMinor = 0
  readonly stream: ServerHttp2Stream
  readonly socket: Socket
  /** As Node gives them: by name, `:method` and the like among them. */
  readonly headers: IncomingHttpHeaders
  readonly rawHeaders: readonly string[]
  /** Bytes of the head, counted as over HTTP/1.1. */
  readonly size: number
  /** `:authority` and Host name different hosts. */
  readonly contradictory: boolean
  /** Told of each piece of the body that is read here; false: there is no room for it. */
  received: ((bytes: number) => boolean) | undefined

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, raw: readonly string[], socket: Socket) {
    this.stream = stream
    this.headers = headers
    this.socket = socket
    const { list, size, contradictory } = endToEnd(raw)
    this.rawHeaders = list
    this.size = size
    this.contradictory = contradictory
    headers.host ??= headers[':authority']
  }

  get method(): string | undefined {
    return this.headers[':method']
  }

  get url(): string | undefined {
    return this.headers[':path']
  }

  get complete(): boolean {
    return this.stream.endAfterHeaders || this.stream.readableEnded
  }

  /** What is wrong with the head, where nghttp2 has found nothing. */
  fault(maxHeaderSize: number): CatflapError | undefined {
    if (this.size > maxHeaderSize) return new CatflapError('headers_too_large')
    if (this.contradictory)
      return new CatflapError('bad_http', 'The request names two hosts: :authority and Host differ.')
    if (this.method === 'CONNECT') return new CatflapError('bad_http', 'CONNECT is not served: catflap is no tunnel.')
    return undefined
  }

  on(event: string, listener: (...args: unknown[]) => void): this {
    this.stream.on(
      event,
      event === 'end' ? this.#ifWhole(listener) : event === 'data' ? this.#ifRoom(listener) : listener
    )
    return this
  }

  once(event: string, listener: (...args: unknown[]) => void): this {
    this.stream.once(event, event === 'end' ? this.#ifWhole(listener) : listener)
    return this
  }

  off(event: string, listener: (...args: unknown[]) => void): this {
    this.stream.off(event, listener)
    return this
  }

  removeAllListeners(event: string): this {
    this.stream.removeAllListeners(event)
    return this
  }

  pause(): this {
    this.stream.pause()
    return this
  }

  resume(): this {
    this.stream.resume()
    return this
  }

  #ifRoom(listener: (...args: unknown[]) => void): (...args: unknown[]) => void {
    const received = this.received
    if (!received) return listener
    const ifRoom = (chunk: unknown): void => {
      if (received((chunk as Buffer).length)) listener(chunk)
    }
    return Object.assign(ifRoom, { listener })
  }

  /** Node says `end` of what was broken off as well: a part would pass for the whole. */
  #ifWhole(listener: () => void): () => void {
    const ifWhole = (): void => {
      if (!this.stream.aborted && !this.stream.closed) listener()
    }
    // By which an emitter knows the listener again.
    return Object.assign(ifWhole, { listener })
  }
}

/** nghttp2 has seen to it that names are lower case, and that pseudo-headers come first and once. */
function endToEnd(raw: readonly string[]): { list: string[]; size: number; contradictory: boolean } {
  const list: string[] = []
  let size = 0
  let authority: string | undefined
  let contradictory = false
  let cookie = -1
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!
    const value = raw[i + 1]!
    size += name.length + value.length + BETWEEN
    if (name.charCodeAt(0) === COLON) {
      if (name !== ':authority' || value === '') continue
      authority = value
      list.push('host', value)
    } else if (name === 'host' && authority !== undefined) {
      if (value.toLowerCase() !== authority.toLowerCase()) contradictory = true
    } else if (name === 'cookie' && cookie >= 0) {
      list[cookie] += `; ${value}`
    } else {
      if (name === 'cookie') cookie = list.length + 1
      list.push(name, value)
    }
  }
  return { list, size, contradictory }
}
