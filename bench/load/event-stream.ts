/** Streams of events that stay open. */
import { within } from '../owner.ts'
import { Connection } from './connection.ts'

const TIMEOUT = 30_000
/** How many are opened at once. */
const AT_ONCE = 100

/** A request whose answer is such a stream. */
export class EventStream {
  /** It was answered with status 200 and its first bytes. */
  readonly opened: Promise<void>
  /** When its answer ended whole, by `performance.now()`; rejects if the connection ends within it. */
  readonly ended: Promise<number>
  readonly #connection: Connection
  #text = ''
  #changed: (() => void) | undefined

  constructor(url: string, request: string) {
    this.#connection = new Connection(url)
    const opened = Promise.withResolvers<void>()
    const ended = Promise.withResolvers<number>()
    const fail = (error: Error): void => {
      opened.reject(error)
      ended.reject(error)
    }
    ended.promise.catch(() => {})
    this.#connection.send(
      request,
      {
        onHead: status => status !== 200 && fail(new Error(`a stream: status ${status}`)),
        onBody: chunk => {
          this.#text += chunk.toString()
          opened.resolve()
          this.#changed?.()
        },
        onEnd: () => {
          opened.reject(new Error('a stream has ended before it began'))
          ended.resolve(performance.now())
        }
      },
      fail
    )
    this.opened = opened.promise
    this.ended = ended.promise
  }

  /** All that came so far. */
  get text(): string {
    return this.#text
  }

  /** Once that has come; rejects if the stream ends without. */
  async heard(what: string): Promise<void> {
    const come = new Promise<void>(resolve => {
      this.#changed = () => this.#text.includes(what) && resolve()
      this.#changed()
    })
    const early = this.ended.then(() => {
      if (!this.#text.includes(what)) throw new Error('a stream has ended')
    })
    await Promise.race([come, early])
  }

  close(): void {
    this.#connection.close()
  }
}

/** All of them are open then. `streams` has each from the moment it is begun, for whoever closes them. */
export async function openStreams(url: string, requests: readonly string[], streams: EventStream[]): Promise<void> {
  for (let i = 0; i < requests.length; i += AT_ONCE) {
    const group = requests.slice(i, i + AT_ONCE).map(request => new EventStream(url, request))
    streams.push(...group)
    await within(TIMEOUT, 'streams to open', Promise.all(group.map(stream => stream.opened)))
  }
}
