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

/** `failed` is called at most once, and not for an end between two requests. */
export class Connection {
  readonly socket: Socket
  readonly #parser: ResponseParser
  #events: ResponseEvents | undefined
  #failed: ((error: Error) => void) | undefined

  constructor(url: string) {
    const { hostname, port } = new URL(url)
    this.socket = connect({ host: hostname, port: Number(port), noDelay: true })
    this.#parser = new ResponseParser({
      onHead: (status, head) => this.#events?.onHead?.(status, head),
      onBody: chunk => this.#events?.onBody?.(chunk),
      onEnd: () => {
        const events = this.#events
        this.#events = undefined
        events?.onEnd()
      }
    })
    this.socket.on('data', bytes => this.#guarded(() => this.#parser.push(bytes)))
    this.socket.on('end', () => this.#guarded(() => this.#parser.close()))
    this.socket.on('error', error => this.#fail(error))
    this.socket.on('close', () => this.#fail(new Error('the connection was closed before the answer')))
  }

  get open(): boolean {
    return !this.socket.destroyed && this.socket.writable
  }

  /** What comes is told to `events` as it comes. */
  send(request: string, events: ResponseEvents, failed: (error: Error) => void): void {
    this.#events = events
    this.#failed = failed
    this.socket.write(request)
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
    this.socket.destroy()
  }

  #guarded(act: () => void): void {
    try {
      act()
    } catch (error) {
      this.#fail(error as Error)
      this.socket.destroy()
    }
  }

  #fail(error: Error): void {
    const failed = this.#failed
    const waiting = this.#events !== undefined
    this.#events = undefined
    this.#failed = undefined
    if (waiting) failed?.(error)
  }
}
