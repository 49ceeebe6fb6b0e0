import { standardHeaders } from '../../protocol/header-rules.ts'
import { Message } from '../../protocol/message.ts'
import type { ToolHeaderBook } from './http-client-tools.ts'
import type { HttpClientWire } from './http-client-wire.ts'
import type { ReplyEnd, ReplyReader, ReplySink } from './reply-reader.ts'

export interface RefreshOptions {
  readonly wire: HttpClientWire
  readonly tools: ToolHeaderBook
  /** The client's call that was refused. */
  readonly call: Message
  readonly headers: readonly string[]
  /** An id that no request of the client's has. */
  readonly mintId: () => string
  readonly own: (message: Message) => void
  /** What the server says besides. */
  readonly other: (message: Message) => void
  readonly done: () => void
}

/** A server that always has another page must end somewhere. */
const MAX_PAGES = 100

/** Asks for the list of tools on catflap's own account, all pages of it, to learn what the headers of a call have to say. */
export class ToolRefresh implements ReplySink {
  readonly #options: RefreshOptions
  #reader: ReplyReader | undefined
  #next: string | undefined
  #pages = 0

  constructor(options: RefreshOptions) {
    this.#options = options
  }

  start(): void {
    this.#ask(undefined)
  }

  cancel(): void {
    this.#reader?.cancel()
  }

  head(): void {}
  noise(): void {}

  message(message: Message): void {
    if (message.kind !== 'response') this.#options.other(message)
    else if (!message.isError) this.#next = this.#options.tools.learnPage(message)
  }

  end(end: ReplyEnd): void {
    const next = this.#next
    if (end.how === 'complete' && next !== undefined && this.#pages < MAX_PAGES) this.#ask(next)
    else this.#options.done()
  }

  #ask(cursor: string | undefined): void {
    const { wire, call, headers, own } = this.#options
    this.#pages++
    this.#next = undefined
    const { progressToken: _, ...meta } = metaOf(call)
    const params = { ...(cursor !== undefined && { cursor }), _meta: meta }
    const message = Message.from({ jsonrpc: '2.0', id: this.#options.mintId(), method: 'tools/list', params })
    own(message)
    const out = { message, batch: undefined, era: 'modern', headers, derived: standardHeaders(message) } as const
    this.#reader = wire.post(out, { lastEventId: undefined, retry: undefined, events: 0 }, this)
    this.#reader.start()
  }
}

/** Calls that are refused at the same time learn from one list. */
export class SharedRefresh {
  readonly #make: (call: Message, headers: readonly string[], done: () => void) => ToolRefresh
  readonly #waiting = new Set<() => void>()
  #running: ToolRefresh | undefined

  constructor(make: (call: Message, headers: readonly string[], done: () => void) => ToolRefresh) {
    this.#make = make
  }

  /** Returns how to wait no longer; when nobody does, it ends. */
  join(call: Message, headers: readonly string[], done: () => void): () => void {
    const wait = (): void => done()
    this.#waiting.add(wait)
    if (!this.#running) {
      this.#running = this.#make(call, headers, () => this.#done())
      this.#running.start()
    }
    return () => {
      if (!this.#waiting.delete(wait) || this.#waiting.size > 0) return
      this.#running?.cancel()
      this.#running = undefined
    }
  }

  #done(): void {
    this.#running = undefined
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const done of waiting) done()
  }
}

function metaOf(call: Message): Record<string, unknown> {
  const { params } = call.json as { params?: { _meta?: Record<string, unknown> } }
  return params?._meta ?? {}
}
