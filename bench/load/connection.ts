/** One connection of a client, one request at a time. */
import { connect, type Socket } from 'node:net'
import { within } from '../owner.ts'
import { type ResponseEvents, ResponseParser } from './response-parser.ts'

export interface Whole {
  readonly status: number
  readonly head: string
  readonly body: Buffer
}

const ANSWER_TIMEOUT = 20_000
const CLOSES = /\r\nconnection: *close/i

/**
 * `failed` is called at most once, and not for an end between two requests. Where the other side closes the connection with its
 * answer, the next request opens a new one.
 */
export class Connection {
  readonly #url: URL
  #socket: Socket
  #last = false
  #events: ResponseEvents | undefined
  #failed: ((error: Error) => void) | undefined

  constructor(url: string) {
    this.#url = new URL(url)
    this.#socket = this.#connect()
  }

  get socket(): Socket {
    return this.#socket
  }

  get open(): boolean {
    return !this.#last && !this.#socket.destroyed && this.#socket.writable
  }

  /** What comes is told to `events` as it comes. */
  send(request: string, events: ResponseEvents, failed: (error: Error) => void): void {
    if (!this.open) this.#socket = this.#connect()
    this.#events = events
    this.#failed = failed
    this.#socket.write(request)
  }

  /** The whole answer. */
  ask(request: string): Promise<Whole> {
    const answer = new Promise<Whole>((resolve, reject) => {
      const chunks: Buffer[] = []
      let status = 0
      let head = ''
      this.send(
        request,
        {
          onHead: (s, h) => {
            status = s
            head = h
          },
          onBody: chunk => void chunks.push(chunk),
          onEnd: () => resolve({ status, head, body: Buffer.concat(chunks) })
        },
        reject
      )
    })
    return within(ANSWER_TIMEOUT, 'an answer', answer)
  }

  close(): void {
    this.#events = undefined
    this.#failed = undefined
    this.#socket.destroy()
  }

  #connect(): Socket {
    this.#last = false
    const socket = connect({ host: this.#url.hostname, port: Number(this.#url.port), noDelay: true })
    const parser = new ResponseParser({
      onHead: (status, head) => {
        if (CLOSES.test(head)) this.#last = true
        this.#events?.onHead?.(status, head)
      },
      onBody: chunk => this.#events?.onBody?.(chunk),
      onEnd: () => {
        const events = this.#events
        this.#events = undefined
        if (this.#last) socket.end()
        events?.onEnd()
      }
    })
    const guarded = (act: () => void): void => {
      try {
        act()
      } catch (error) {
        fail(error as Error)
        socket.destroy()
      }
    }
    // What becomes of a connection that has a successor is nobody's concern.
    const fail = (error: Error): void => {
      if (socket === this.#socket) this.#fail(error)
    }
    socket.on('data', bytes => guarded(() => parser.push(bytes)))
    socket.on('end', () => guarded(() => parser.close()))
    socket.on('error', fail)
    socket.on('close', () => fail(new Error('the connection was closed before the answer')))
    return socket
  }

  #fail(error: Error): void {
    const failed = this.#failed
    const waiting = this.#events !== undefined
    this.#events = undefined
    this.#failed = undefined
    if (waiting) failed?.(error)
  }
}
