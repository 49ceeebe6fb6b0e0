/** HTTP/1.1 responses as they come: small and fast enough to tell what a proxy takes from what the load generator takes. */

export interface ResponseEvents {
  onHead?(status: number, head: string): void
  onBody?(chunk: Buffer): void
  onEnd(): void
}

const END_OF_HEAD = Buffer.from('\r\n\r\n')
const MAX_HEAD = 64 * 1024

type State = 'head' | 'sized' | 'chunk-size' | 'chunk' | 'chunk-end' | 'trailer' | 'until-close'

export class ResponseParser {
  readonly #events: ResponseEvents
  #state: State = 'head'
  /** What came but cannot be understood yet. */
  #held: Buffer = Buffer.alloc(0)
  /** Bytes of the body or chunk that are still to come. */
  #left = 0

  constructor(events: ResponseEvents) {
    this.#events = events
  }

  /** Throws at what is no HTTP/1.1. */
  push(bytes: Buffer): void {
    let rest = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes])
    this.#held = Buffer.alloc(0)
    while (rest.length > 0) {
      const used = this.#step(rest)
      if (used === 0) {
        if (rest.length > MAX_HEAD) throw new Error('a head or chunk size without an end')
        this.#held = rest
        return
      }
      rest = rest.subarray(used)
    }
  }

  /** The connection has ended: right for a body without a length, else too early. */
  close(): void {
    if (this.#state === 'until-close') this.#end()
    else if (this.#state !== 'head' || this.#held.length > 0) throw new Error('the connection ended within a response')
  }

  /** How many bytes were understood; 0: more are needed. */
  #step(bytes: Buffer): number {
    switch (this.#state) {
      case 'head':
        return this.#head(bytes)
      case 'chunk-size':
        return this.#chunkSize(bytes)
      case 'chunk-end':
      case 'trailer':
        return this.#lineEnd(bytes)
      default:
        return this.#body(bytes)
    }
  }

  #head(bytes: Buffer): number {
    const end = bytes.indexOf(END_OF_HEAD)
    if (end < 0) return 0
    const head = bytes.toString('latin1', 0, end + 2)
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1])
    if (!status) throw new Error(`no HTTP response: ${head.slice(0, 80)}`)
    if (status < 200) return end + 4
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
    if (length !== undefined) {
      this.#left = Number(length)
      this.#state = 'sized'
    } else this.#state = /\r\ntransfer-encoding: *chunked/i.test(head) ? 'chunk-size' : 'until-close'
    this.#events.onHead?.(status, head)
    if (length !== undefined && this.#left === 0) this.#end()
    return end + 4
  }

  #body(bytes: Buffer): number {
    if (this.#state === 'until-close') {
      this.#events.onBody?.(bytes)
      return bytes.length
    }
    const used = Math.min(this.#left, bytes.length)
    this.#left -= used
    this.#events.onBody?.(used === bytes.length ? bytes : bytes.subarray(0, used))
    if (this.#left === 0) {
      if (this.#state === 'sized') this.#end()
      else this.#state = 'chunk-end'
    }
    return used
  }

  #chunkSize(bytes: Buffer): number {
    const end = bytes.indexOf('\r\n')
    if (end < 0) return 0
    this.#left = Number.parseInt(bytes.toString('latin1', 0, end), 16)
    if (Number.isNaN(this.#left)) throw new Error('no chunk size')
    this.#state = this.#left === 0 ? 'trailer' : 'chunk'
    return end + 2
  }

  #lineEnd(bytes: Buffer): number {
    const end = bytes.indexOf('\r\n')
    if (end < 0) return 0
    if (this.#state === 'chunk-end') this.#state = 'chunk-size'
    else if (end === 0) this.#end()
    return end + 2
  }

  #end(): void {
    this.#state = 'head'
    this.#events.onEnd()
  }
}
